"""Which loop replays a trace, and its compilation before a replay is timed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.replay import coherent, sharing
from cgsim.trace_replay.coherent import run_coherent
from cgsim.trace_replay.general import run_general
from cgsim.trace_replay.geometry import Level
from cgsim.trace_replay.numbering import OutsideWindowError
from cgsim.trace_replay.one_cpu import run_reads, run_traffic
from cgsim.trace_replay.plan import (
    COUNT_COLUMNS,
    LINE_BITS,
    Counts,
    Options,
    Plan,
    private_and_shared,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def choose_loop(plan: Plan, writes: bool, false_sharing: bool = False) -> str:
    """The fastest loop that covers a plan: "reads", "traffic", "coherent" or "general"."""
    if plan.policy != "nine" or (false_sharing and not 1 < plan.cpus <= sharing.MAX_CPUS):
        return "general"
    if plan.cpus == 1 and not writes:
        return "reads"
    if plan.traffic:
        return "traffic"
    if plan.cpus > coherent.MAX_CPUS or any(level.fold for level in plan.levels):
        return "general"
    private, shared = private_and_shared(plan)
    return "coherent" if 1 <= private <= 2 and shared <= 1 else "general"


def run(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16] | None,
    write: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
    words: NDArray[np.uint8] | None = None,
) -> Counts:
    """Replay a trace of accesses that lie within one line each.

    address : uint64[n] byte addresses    cpu : uint16[n], None: CPU 0
    write : uint8[n], not 0 where the access writes, None: all read
    words : uint8[n], see `trace.words_touched`; if given, false sharing is counted
    """
    loop = options.loop or choose_loop(plan, write is not None, words is not None)
    address = np.ascontiguousarray(address)
    cpu = None if cpu is None else np.ascontiguousarray(cpu)
    write = None if write is None else np.ascontiguousarray(write)
    if loop == "reads":
        misses = run_reads(address, plan.levels, LINE_BITS, options)
        levels = np.zeros((len(plan.levels), len(COUNT_COLUMNS)), np.int64)
        levels[:, 1] = misses
        levels[:, 0] = np.concatenate([[len(address)], misses[:-1]]) - misses
        return Counts(levels)
    try:
        if loop == "coherent":
            return run_coherent(address, cpu, write, words, plan, options)
        if loop == "traffic":
            return run_traffic(address, write, plan, options)
    except OutsideWindowError:
        pass
    cpu = np.zeros(1, np.uint16) if cpu is None else cpu
    write = np.zeros(1, np.uint8) if write is None else write
    return run_general(address, cpu, write, words, plan, options)


def compile_loop(
    loop: str, levels: Sequence[Level], cpus: int, tlb: bool, false_sharing: bool
) -> None:
    """Compile the loop or load it, by replaying next to nothing, so that no time includes it.

    The ways, the number of CPUs, whether the sets are powers of two, and whether they are chosen by
    a hash decide on the variant.
    """
    shapes = tuple(
        (2 if level.sets & (level.sets - 1) == 0 else 3, level.ways, level.hashed)
        for level in levels
    )
    _compile_for(loop, shapes, cpus, false_sharing)
    if tlb:
        _compile_for("reads", ((2, 4, False),), 1, False)


@cache
def _compile_for(
    loop: str, shapes: tuple[tuple[int, int, bool], ...], cpus: int, false_sharing: bool
) -> None:
    last = len(shapes) - 1 or 1
    levels = tuple(
        Level("", sets, ways, cpus if n == last else 1, hashed)
        for n, (sets, ways, hashed) in enumerate(shapes)
    )
    run(
        np.zeros(2, np.uint64),
        None,
        None,
        Plan(levels, cpus, "nine", False),
        Options(loop=loop),
        np.zeros(2, np.uint8) if false_sharing else None,
    )
