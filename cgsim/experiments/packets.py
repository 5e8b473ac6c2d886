"""What lookups take of a packet's time: ns a packet, shares of the budget, queueing.

The hook's time comes from `cgsim.experiments.lookups`, packet by packet; the rest of a packet's
work is what the workload says (driver, stack, programs, application), at its instructions per
nanosecond. Packets then queue before one CPU in an open loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.errors import UserError
from cgsim.experiments.in_workload import event_costs
from cgsim.experiments.replicates import run_replicates
from cgsim.limits import Range, check_common
from cgsim.workloads import load_workload
from cgsim.workloads.mixed import MixedWorkload
from cgsim.workloads.network import NetworkWorkload
from cgsim.workloads.network_feed import WIRE_OVERHEAD_BYTES
from cgsim.workloads.queueing import highest_rate, poisson_gaps, sojourns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cgsim.designs.base import Design
    from cgsim.machines import Machine

GBIT_S = (1.0, 10.0, 25.0, 40.0, 100.0)
FRAME_BYTES = (64, 128, 256, 512, 1024, 1518)
_ARRIVALS = 200_000


def budget_ns(frame_bytes: float, gbit_s: float) -> float:
    """Time of a frame on the wire, preamble and gap included: 67.2 ns for 64 bytes at 10 Gbit/s."""
    return 8 * (frame_bytes + WIRE_OVERHEAD_BYTES) / gbit_s


def packet_budget(
    design: str | Design,
    machine: str | Machine,
    workload: str | Path = "network",
    *,
    gbit_s: Sequence[float] = GBIT_S,
    frame_bytes: Sequence[int] = FRAME_BYTES,
    load: float = 0.7,
    limit_us: float = 100.0,
    lookups: int = 4000,
    replicates: int = 3,
    seed: int = 1,
    kernel: str = "7.3.4",
    threads: int = 1,
    **parameters: Any,
) -> pd.DataFrame:
    """The hook's share of a packet's budget, and what a CPU can do.

    Parameters
    ----------
    design, machine, workload : as for `cgsim.simulate`; a network workload
    gbit_s, frame_bytes : of the budgets; a frame's check sequence included, preamble and gap added
    load : share of the CPU's time at which the waiting is measured
    limit_us : p99.9 of the time from arrival to done that still counts as sustained
    lookups, replicates, seed, kernel, threads : as for `cgsim.simulate`
    parameters : values that replace the workload's own

    Returns
    -------
    DataFrame, one row per budget and replicate: design, machine, workload, replicate, seed, gbit_s,
    frame_bytes, budget_ns, hook_ns (all programs of a packet, reaching the cgroup included), share
    (of the budget, 1 is all of it), service_ns (a packet's whole work), packets_per_s (of one CPU
    that does nothing else), p50_us, p99_us and p999_us (arrival to done, Poisson arrivals at
    `load`), sustained_per_s (highest rate of Poisson arrivals with p99.9 within the limit).

    Raises UserError for a bad argument.
    """
    loaded = load_workload(workload, **parameters)
    if not isinstance(loaded, (NetworkWorkload, MixedWorkload)) or loaded.reach != "skb":
        raise UserError(f"workload {loaded.name}: packets are asked for; it has none")
    check_common(
        "packet_budget", lookups=lookups, replicates=replicates, seed=seed, threads=threads
    )
    Range(0.01, 0.99, whole=False).check("packet_budget", "load", load)
    Range(0.001, 1e6, whole=False).check("packet_budget", "limit_us", limit_us)
    for rate in gbit_s:
        Range(0.001, 10_000, whole=False).check("packet_budget", "gbit_s", rate)
    for size in frame_bytes:
        Range(64, 65_536).check("packet_budget", "frame_bytes", size)

    def one(replicate: int) -> list[dict[str, Any]]:
        own_seed = seed + replicate
        costs = event_costs(design, machine, loaded, lookups=lookups, seed=own_seed, kernel=kernel)
        services = costs.hook_ns + costs.other_ns
        gaps = poisson_gaps(_ARRIVALS, own_seed)
        waited = sojourns(gaps * (services.mean() / load), services)
        limit_ns = 1e3 * limit_us
        rate = highest_rate(gaps, services, lambda s: bool(np.quantile(s, 0.999) <= limit_ns))
        p50, p99, p999 = np.quantile(waited, (0.5, 0.99, 0.999)) / 1e3
        hook_ns = float(costs.hook_ns.mean())
        facts = {
            "design": costs.design,
            "machine": costs.machine,
            "workload": loaded.name,
            "replicate": replicate,
            "seed": own_seed,
        }
        return [
            facts
            | {
                "gbit_s": float(rate_gbit),
                "frame_bytes": int(size),
                "budget_ns": budget_ns(size, rate_gbit),
                "hook_ns": hook_ns,
                "share": hook_ns / budget_ns(size, rate_gbit),
                "service_ns": float(services.mean()),
                "packets_per_s": 1e9 / float(services.mean()),
                "p50_us": float(p50),
                "p99_us": float(p99),
                "p999_us": float(p999),
                "sustained_per_s": 1e9 * rate,
            }
            for rate_gbit in gbit_s
            for size in frame_bytes
        ]

    return run_replicates(one, replicates, threads)
