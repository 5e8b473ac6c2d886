"""Which object and field the accesses of a workload's lookups touched, and what each cost.

The CPI stack of `cgsim.simulate` says which part of the machine the cycles went to; this says which
word of which struct they were spent on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cgsim.core.attribution import PLACE_COLUMNS
from cgsim.core.block_fields import CAUSES, TICKS
from cgsim.experiments.estimate import check_estimate
from cgsim.experiments.in_workload import play_workload
from cgsim.experiments.points import facts_of, resolve, user_for
from cgsim.kernel import load_kernel
from cgsim.kernel_fields import field_name
from cgsim.limits import check_common, check_switches
from cgsim.workloads import load_workload

if TYPE_CHECKING:
    import numpy as np

    from cgsim.core.system import System
    from cgsim.designs.base import Design
    from cgsim.kernel import Kernel
    from cgsim.machines.model import Machine

_WORD_BYTES = 8
_SERVED = ("L1", "L2", "L3", "L4", "memory", "coherence")


def attribute(
    design: str | Design,
    machine: str | Machine,
    workload: str,
    *,
    lookups: int = 4000,
    seed: int = 1,
    kernel: str = "7.3.4",
    aged: bool = True,
    prefetch_next_line: bool = False,
    **parameters: Any,
) -> pd.DataFrame:
    """Accesses of a workload's lookups by struct and field, per lookup.

    Arguments as for `cgsim.simulate`, whose first replicate this is. Of a mixed workload, the ways
    of the others to their cgroups are in it too.

    Returns
    -------
    DataFrame, one row per 8-byte word touched, the most expensive first:

    ================  ==============================================================================
    struct, field     whose word; `field` as the kernel's recordings name it, else +offset
    offset_bytes      of the word in the struct
    accesses          per lookup
    L1 ... coherence  of them, by what served the line
    translations      of them, that waited for the TLB
    false_sharing     of those served by another core, for a word nobody had written since
    wait_cycles       cycles of retirement that waited for them
    ================  ==============================================================================

    Raises UserError for a bad argument.
    """
    loaded = load_workload(workload, **parameters)
    chosen, model = resolve(design, machine)
    check_common("attribute", lookups=lookups, seed=seed)
    check_estimate(
        "attribute", chosen, kernel, n_cgroups=loaded.n_cgroups, n_keys=loaded.n_keys,
        lookups=lookups,
    )  # fmt: skip
    check_switches("attribute", aged=aged, prefetch_next_line=prefetch_next_line)
    facts = facts_of(chosen, model, kernel, loaded.n_cgroups, loaded.n_keys, 0, seed, lookups) | {
        "workload": loaded.name,
        "mode": "workload",
        "user": user_for(loaded, None),
    }
    _, system, before = play_workload(
        chosen, model, loaded, kernel, facts,
        aged=aged, prefetch=prefetch_next_line, places=True,
    )  # fmt: skip
    assert before is not None
    return attribution_frame(system, load_kernel(kernel), before, lookups)


def attribution_frame(
    system: System, kernel: Kernel, before: np.ndarray | None, operations: int
) -> pd.DataFrame:
    """The table of `attribute` for a machine built with places.

    before : the places' counts when the measured part began (`system.places.counts`), None for the
    machine's whole life. operations : by which the counts are divided.
    """
    assert system.places is not None
    now = system.places.counts.copy()
    if before is not None:
        system.places.counts[:] = now - before
    rows = []
    for cache, offset, counts in system.places.rows():
        struct = system.heap.caches[cache].struct
        counted = dict(zip(PLACE_COLUMNS, counts.tolist(), strict=True))
        row = {
            "struct": struct,
            "field": word_name(kernel, struct, offset),
            "offset_bytes": offset,
            "accesses": counted["accesses"] / operations,
        }
        row |= {name: counted[name] / operations for name in _SERVED if name in CAUSES}
        row |= {name: counted[name] / operations for name in ("translations", "false_sharing")}
        row["wait_cycles"] = counted["wait_ticks"] / TICKS / operations
        rows.append(row)
    system.places.counts[:] = now
    frame = pd.DataFrame(rows)
    order = ["wait_cycles", "accesses"]
    return frame.sort_values(order, ascending=False, kind="stable").reset_index(drop=True)


def word_name(kernel: Kernel, struct: str, offset: int) -> str:
    """The field that lies in the word at `offset`, as the recordings name it; else `+offset`."""
    for start in range(offset, offset + _WORD_BYTES):
        for size in (8, 4, 2, 1):
            if start % size == 0 and (name := field_name(kernel, struct, start, size)):
                return name
    return f"+{offset}"
