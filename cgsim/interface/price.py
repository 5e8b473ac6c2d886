"""What each interface costs, from the simulation of the design that it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cgsim.designs import get_design
from cgsim.errors import unknown_name
from cgsim.experiments.contention import contention
from cgsim.experiments.footprint import memory_cost
from cgsim.experiments.lookups import lookup_cost
from cgsim.experiments.points import first_user
from cgsim.machines import load_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

DESIGNS = {
    "cgroup-priv-as-posted": "hash",
    "cgroup-priv": "hash-rcu",
    "cgroup-priv-kref-as-posted": "v4",
    "cgroup-priv-kref": "v4",
    "registered-type": "table",
    "cgroup-buf": "direct",
    "map-storage": "storage",
}
"""The design whose structure and lookup each interface has."""

COLD_BYTES = 1 << 20
"""Memory that other code reads before each lookup that is cold."""


def interface_cost(
    machine: str,
    interfaces: Sequence[str] = tuple(DESIGNS),
    *,
    cpus: int = 8,
    n_cgroups: int = 1000,
    n_keys: int = 4,
    lookups: int = 300,
    replicates: int = 1,
    seed: int = 1,
) -> pd.DataFrame:
    """Lookups, locked instructions, bytes and contention of interfaces.

    Parameters
    ----------
    machine : name or path of a profile
    interfaces : of `DESIGNS`
    cpus : that look up the same cgroup at once, for the contention; as many as the machine has at
        most
    n_cgroups, n_keys : the population
    lookups, replicates, seed : of the measurement

    Returns
    -------
    DataFrame, one row per interface: interface, design; `user` whose turn is timed, the lookup with
    what leads to it and a read of the datum: `ns` where each waits for the one before, `cold_ns` of
    one alone after other code has read 1 MiB; `locked` instructions of a lookup
    with its put; `entry_bytes` of one datum of 16 bytes, `cgroup_bytes` in each cgroup besides;
    `cpus`, `contended_ns` of one lookup while so many CPUs look up in the same cgroup; `sleeps`.

    Raises UserError for a bad argument.
    """
    for name in interfaces:
        if name not in DESIGNS:
            raise unknown_name("interface", name, DESIGNS)
    model = load_machine(machine)
    most = min(cpus, model.n_cpus)
    chosen = sorted({DESIGNS[name] for name in interfaces})
    memory = memory_cost(chosen, possible_cpus=model.n_cpus, n_keys=n_keys)
    memory = memory.drop_duplicates("design").set_index("design")
    fought = contention(
        model, chosen, cpus=[most], uses=["read"], replicates=replicates, seed=seed
    ).groupby("design")
    options: dict[str, Any] = {
        "n_cgroups": n_cgroups, "n_keys": n_keys, "replicates": replicates, "seed": seed,
    }  # fmt: skip
    warm = {
        design: _mean_ns(
            lookup_cost(design, model, modes=["dependent"], lookups=lookups, **options)
        )
        for design in chosen
    }
    options |= {"lookups": max(10, lookups // 10), "footprint_bytes": COLD_BYTES}
    cold = {
        # of the modes, only this one has other code read before each lookup
        design: _mean_ns(lookup_cost(design, model, modes=["isolated"], **options))
        for design in chosen
    }
    rows = []
    for name in interfaces:
        design = DESIGNS[name]
        bytes_of: Any = memory.loc[design]
        rows.append(
            {
                "interface": name,
                "design": design,
                "user": first_user(get_design(design)).name,
                "ns": warm[design],
                "cold_ns": cold[design],
                "locked": float(fought["locked"].mean()[design]),
                "entry_bytes": float(bytes_of["entry_bytes"]),
                "cgroup_bytes": float(bytes_of["cgroup_bytes"] + bytes_of["field_bytes"]),
                "cpus": most,
                "contended_ns": float(fought["ns"].mean()[design]),
                "sleeps": bool(fought["sleeps"].any()[design]),
            }
        )
    return pd.DataFrame(rows)


def _mean_ns(costs: pd.DataFrame) -> float:
    return float(costs["ns"].mean())
