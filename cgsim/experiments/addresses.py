"""A workload with a design on a machine as an address trace, which `cgsim replay` reads.

The trace begins with an empty machine and holds each line that is asked for: the warm-up, which
looks every datum up, then the workload's own rows, twice as many as there are lookups; other code's
lines are in it one by one. CPUs stand in the order in which the machine played them.

Replayed on the same machine's caches it gives the simulation's misses of L1 to the last one, where
the machine replaces the least recently used line, nobody else uses its last level, no next line is
prefetched, and no page walk reads its entry through the caches. L2 and L3 differ by the few lines
that a write-back has made recent: a replay with a last level of victims leaves write-backs out.
What has no counterpart in a trace: time, branches, and the TLB's pages of 2 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cgsim.core.recording import columns, count, new_log
from cgsim.errors import UserError
from cgsim.experiments.estimate import check_estimate
from cgsim.experiments.in_workload import play_workload
from cgsim.experiments.points import facts_of, resolve, user_for
from cgsim.limits import check_common
from cgsim.memory import check_bytes
from cgsim.workloads import Feeds, load_workload

if TYPE_CHECKING:
    from pathlib import Path

    from cgsim.designs.base import Design
    from cgsim.machines import Machine

MAX_ACCESSES = 1 << 28
_ACCESS_BYTES = 32  # in the log, in the columns, and while they are made


class AddressTrace(NamedTuple):
    """What a workload asked for.

    accesses : DataFrame of address (uint64), op (R, W, A) and cpu (uint16). warm : so many of them
    came before the measured lookups. misses : of the whole simulation, by level, over all CPUs.
    """

    accesses: pd.DataFrame
    warm: int
    misses: dict[str, int]


def workload_addresses(
    workload: str | Path,
    design: str | Design,
    machine: str | Machine,
    *,
    lookups: int = 1000,
    seed: int = 1,
    kernel: str = "7.3.4",
    **parameters: Any,
) -> AddressTrace:
    """The address trace of a workload's lookups with a design on a machine.

    Parameters
    ----------
    workload, design, machine, kernel : as for `cgsim.simulate`
    lookups : over all CPUs, after as many that only warm; all are in the trace
    seed : of the workload's draws and the population
    parameters : values that replace the workload's own

    Raises UserError for a bad argument, and for a trace of more than `MAX_ACCESSES`.
    """
    scenario = load_workload(workload, **parameters)
    chosen, model = resolve(design, machine)
    check_common("workload_addresses", lookups=lookups, seed=seed)
    check_estimate(
        "workload_addresses", chosen, kernel, n_cgroups=scenario.n_cgroups,
        n_keys=scenario.n_keys, lookups=lookups,
    )  # fmt: skip
    what = f"the address trace of {lookups} lookups of workload {scenario.name}"
    rows = Feeds(scenario, seed).take(2 * scenario.rows_for(lookups))
    lines = sum(int(rows.column(name).sum()) for name in ("hot_lines", "cold_lines"))
    _check_accesses(what, lines)
    check_bytes(what, _ACCESS_BYTES * lines)
    log = new_log(MAX_ACCESSES)
    facts = facts_of(
        chosen, model, kernel, scenario.n_cgroups, scenario.n_keys, 0, seed, lookups
    ) | {
        "workload": scenario.name,
        "mode": "workload",
        "user": user_for(scenario, None),
        "footprint_bytes": 0,
    }
    began: list[int] = []
    _, system, _ = play_workload(
        chosen, model, scenario, kernel, facts, aged=True, prefetch=False, log=log,
        when_warm=lambda: began.append(count(log)),
    )  # fmt: skip
    _check_accesses(what, count(log))
    address, operation, cpu = columns(log)
    frame = pd.DataFrame(
        {
            "address": address.astype(np.uint64),
            "op": pd.Categorical.from_codes(operation, dtype=pd.CategoricalDtype(["R", "W", "A"])),
            "cpu": cpu.astype(np.uint16),
        }
    )
    return AddressTrace(frame, began[0], system.misses())


def _check_accesses(what: str, accesses: int) -> None:
    if accesses > MAX_ACCESSES:
        allowed = f"at most {MAX_ACCESSES}, as of fewer lookups"
        raise UserError(f"{what}: {accesses} accesses are not allowed; allowed: {allowed}")
