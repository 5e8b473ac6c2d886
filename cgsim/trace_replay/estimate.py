"""The memory that a replay asks for, before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.memory import check_bytes
from cgsim.trace_replay.coherent import coherent_shards
from cgsim.trace_replay.general import general_shards
from cgsim.trace_replay.rows import row_offsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.trace_replay.geometry import Level
    from cgsim.trace_replay.plan import Options, Plan

ACCESS_BYTES = 24
"""Of an access, at most: its record, and its address once more where lines are brought together."""


def check_memory(
    accesses: int, plan: Plan, tlb: Sequence[Level], loop: str, options: Options
) -> None:
    """Raise UserError, naming the largest level, if a replay would take too much memory.

    Each thread has the rows of a shard for itself. Tables of lines, which only what is touched of
    them costs, are bounded by `numbering.MAX_DIRECTORY_WORDS` for each thread.
    """
    shards = 1
    if loop == "coherent":
        shards = coherent_shards(accesses, plan, options)
    elif loop == "general":
        shards = general_shards(accesses, plan, options)
    cpus = 1 << (plan.cpus - 1).bit_length() if loop == "coherent" else plan.cpus
    sizes: dict[str, int] = {}
    for level in plan.levels:
        instances = -(-cpus // level.cpus_per_instance)
        rows = row_offsets([level], [instances], options.vector)[1]
        sizes[f"level {level.name}"] = rows // shards * min(options.threads, shards)
    for level in tlb:
        owners = -(-plan.cpus // level.cpus_per_instance)
        rows = row_offsets([level], [1], options.vector)[1]
        sizes[f"TLB {level.name}"] = rows * min(options.threads, owners)
    largest = max(sizes, key=lambda name: sizes[name])
    check_bytes(
        f"replay: {plan.cpus} CPUs and {options.threads} threads, {largest} above all,",
        sum(sizes.values()) + ACCESS_BYTES * accesses,
    )
