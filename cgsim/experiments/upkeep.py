"""What a design's users pay besides lookups: install, remove, teardown, and a key that goes.

`upkeep` plays these operations one by one in the traced reading, for what they do (locked
operations and on whose words, who can wait for whom, objects allocated and freed, bytes copied,
memory that waits for a grace period), and in the timed one, each on its own after other code has
run, for what that costs.

==============  =================================================================================
create          a new cgroup, struct cgroup itself included
first install   the first datum of a new cgroup
install         each further one, growth included
remove          one datum, then memory waits for a grace period
teardown        a cgroup with all its data, struct cgroup itself included
drop key        a key that goes (device unplugged, map freed), once, for all cgroups
==============  =================================================================================

Where the owner of a key has a list of its data (`Design.keeps_list`: dmem's region, a map's
buckets, the posted i915 user's list), `drop key` walks that; with v4 it is `destroykey`, which does
not reach what lies below the root's children (`left`). For the others it walks all cgroups as
css_for_each_descendant_pre does and removes from each.

Times are as good as what is known of the code. `evidence` says what is recorded of an operation's
own function; allocation, freeing and the call chain above it are not recorded for any design, so
times are lower bounds of a whole system call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.designs.base import Design
from cgsim.errors import out_of_range, unknown_name
from cgsim.experiments.effects import (
    TRACED_CGROUPS,
    averaged,
    trace_drop,
    trace_drop_by_list,
    trace_lives,
)
from cgsim.experiments.estimate import check_estimate
from cgsim.experiments.evidence import evidence
from cgsim.experiments.footprint import DATA, holding
from cgsim.experiments.operation_times import summed, time_drop, time_drop_by_list, time_lives
from cgsim.experiments.operations import OPERATIONS, Stand, new_stand
from cgsim.experiments.replicates import run_replicates
from cgsim.machines import Machine, load_machine
from cgsim.stage.population import MAX_CGROUPS, design_of

if TYPE_CHECKING:
    import pandas as pd

MAX_FOOTPRINT_BYTES = 1 << 28
SAMPLES = 32
"""Cgroups that come and go, wherever nothing else is asked for: tables agree on every page."""


def upkeep(
    design: str | Design,
    machine: str | Machine,
    *,
    n_cgroups: int = 1000,
    n_keys: int = 8,
    data: str = "regular",
    footprint_bytes: int = 0,
    samples: int = SAMPLES,
    replicates: int = 3,
    seed: int = 1,
    kernel: str = "7.3.4",
    threads: int = 1,
) -> pd.DataFrame:
    """What install, remove, teardown and the end of a key cost with a design.

    Parameters
    ----------
    design : name, or a `Design`
    machine : name, path of a profile, or a `Machine`
    n_cgroups, n_keys : the population; every cgroup has a datum for every key
    data : "regular", or "percpu": the datum is a pointer to an area with a copy of 16 bytes for
        each CPU of the machine, which install zeroes. A design that has percpu areas of its own
        knows "percpu" only; its areas stand for this CPU's copy, the others are not zeroed.
    footprint_bytes : memory that other code walks through before each operation
    samples : cgroups that come and go, measured per replicate, after as many that only warm
    replicates : with seeds seed, seed + 1, ...
    threads : host threads over replicates; the result does not depend on it

    Returns
    -------
    DataFrame, one row per operation (`OPERATIONS`; no "install" with a single key, no "drop key"
    with data that are pointers to percpu areas) and replicate:

    ===================================  ======================================================
    design, machine, kernel, data,       what was played
    n_cgroups, n_keys, operation,
    footprint_bytes, replicate, seed
    evidence                             what is recorded of its code: `cgsim.experiments.evidence`
    locked, atomics, locks               locked instructions, those that take no lock among them;
                                         the structs whose locks are taken, "(mutex)" if it sleeps
    blocks                               who can wait for those locks
    allocated, allocated_bytes           objects and bytes taken from slab, as slab rounds them
    freed_bytes                          bytes given back at once
    retired, waiting_bytes               objects and bytes that wait for a grace period
    copied_bytes                         read out of memory that the operation then retires
    left                                 data of a key that went which nobody took away
    operations                           how many were timed
    ns, cycles                           mean of an operation
    p50_ns, p99_ns, max_ns               over operations
    drained_ns                           mean until the stores have left the store buffer too
    <cause>_cycles                       CPI stack: mean cycles by cause
    instructions, accesses               per operation
    deferred_ns                          freeing what waited, after the grace period
    ===================================  ======================================================

    Raises UserError for a bad argument.
    """
    chosen = design_of(design)
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    if data not in DATA:
        raise unknown_name("data", data, DATA)
    chosen = holding(chosen, data)
    limits = {
        "n_cgroups": (n_cgroups, 1, MAX_CGROUPS // 2),
        "n_keys": (n_keys, 1, chosen.max_keys),
        "footprint_bytes": (footprint_bytes, 0, MAX_FOOTPRINT_BYTES),
        "samples": (samples, 1, 10_000),
        "replicates": (replicates, 1, 10_000),
        "threads": (threads, 1, 1024),
        "seed": (seed, 0, 1 << 62),
    }
    for name, (value, low, high) in limits.items():
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or not low <= value <= high:
            raise out_of_range("upkeep", name, value, f"a whole number of {low}..{high}")
    check_estimate(
        "upkeep", chosen, kernel, n_cgroups=2 * n_cgroups, n_keys=n_keys,
        at_once=min(threads, replicates),
    )  # fmt: skip

    def fresh(played: Design, own_seed: int) -> Stand:
        return new_stand(
            played, model, kernel, n_cgroups, n_keys, data, footprint_bytes // 64, samples, own_seed
        )

    def resident(played: Design, own_seed: int) -> Stand:
        stand = fresh(played, own_seed)
        stand.vacate(stand.population.native)
        return stand

    def one(replicate: int) -> list[dict[str, Any]]:
        own_seed = seed + replicate
        stand = fresh(chosen, own_seed)
        facts = {
            "design": chosen.name,
            "machine": model.name,
            "kernel": kernel,
            "data": data,
            "n_cgroups": n_cgroups,
            "n_keys": n_keys,
            "footprint_bytes": footprint_bytes,
            "replicate": replicate,
            "seed": own_seed,
        }
        effects = trace_lives(stand, min(samples, TRACED_CGROUPS))
        times = time_lives(stand, model, samples)
        key = own_seed % n_keys
        if chosen.keeps_list and data == "regular":
            # who goes is gone: each reading has a population of its own
            listing = replace(chosen, options=chosen.options | chosen.drop_options)
            effects["drop key"] = [trace_drop_by_list(resident(listing, own_seed), key)]
            times["drop key"] = time_drop_by_list(resident(listing, own_seed), model, key)
        elif stand.percpu.cpus == 0:
            effects["drop key"] = [trace_drop(stand, key)]
            times["drop key"] = time_drop(stand, model, key)
        return [
            facts
            | {"operation": operation}
            | {"evidence": evidence(chosen, operation)}
            | averaged(effects[operation])
            | summed(times[operation], model)
            for operation in OPERATIONS
            if operation in times
        ]

    return run_replicates(one, replicates, threads)
