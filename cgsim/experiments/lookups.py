"""Lookups as a micro-benchmark makes them, to a tidy table.

By the caller of a place of use (`cgsim.stage.callers`): back to back and independent
("throughput"), each waiting for the one before ("dependent"), or each alone after other code has
walked through a footprint of memory ("isolated"). `ns` is a turn of the caller, `bare_ns` the
lookup without one. A row is one replicate. Times are of the machine's clock; `cgsim.summarise`
makes means and confidence intervals of replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.core.rng import random_integers
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.designs.base import Design
from cgsim.errors import out_of_range
from cgsim.experiments.estimate import check_estimate
from cgsim.experiments.places_of_use import (
    IN_KERNEL,
    calls,
    for_user,
    get_user,
    own_programs,
)
from cgsim.experiments.replicates import run_replicates
from cgsim.limits import check_choice, check_common, check_switches
from cgsim.machines import Machine
from cgsim.stage.callers import (
    BEHIND_DISPATCH,
    IGNORE_DATUM,
    IN_HAND,
    NO_CALLER,
)
from cgsim.stage.loops import (
    DEPENDENT,
    STREAM_COLUMNS,
    THROUGHPUT,
    Harness,
    run_lookups,
)
from cgsim.stage.population import Population
from cgsim.stage.surroundings import HeapSurroundings

if TYPE_CHECKING:
    pass
from cgsim.experiments.points import (
    NO_HARNESS,
    cost_columns,
    counters_of,
    facts_of,
    first_user,
    kernel_of,
    memory_columns,
    play_stream,
    populate_for,
    resolve,
    warm_machine,
)

MODES = ("throughput", "dependent", "isolated")
_MODE_NUMBERS = {"throughput": THROUGHPUT, "dependent": DEPENDENT}
_WARM_ISOLATED = 4
_LEAST_STREAM, _MAX_STREAM = 1024, 1 << 20
_LOOP = Harness(instructions=4, ticks=0, chain=0)
"""A caller's loop: count, compare, step, and the branch back."""


def lookup_cost(
    design: str | Design,
    machine: str | Machine,
    *,
    user: str | None = None,
    n_cgroups: int = 1000,
    n_keys: int = 8,
    modes: Sequence[str] = ("throughput", "dependent"),
    footprint_bytes: int = 0,
    lookups: int = 10_000,
    replicates: int = 3,
    seed: int = 1,
    kernel: str = "7.3.4",
    aged: bool = True,
    prefetch_next_line: bool = False,
    threads: int = 1,
) -> pd.DataFrame:
    """Cost of a design's lookups by one caller, of uniformly random cgroups and keys.

    Parameters
    ----------
    design : name, or a `Design`
    machine : name, path of a profile, or a `Machine`
    user : who calls, "driver", "packet-hook", "counter" or "bpf-map"; None: the first of them that
        can use the design
    n_cgroups, n_keys : of the population; every cgroup has a datum for every key
    modes : of "throughput", "dependent", "isolated"; each on a machine of its own, once
    footprint_bytes : memory other code walks through before each isolated lookup
    lookups : measured per replicate, after as many that only warm
    replicates : with seeds seed, seed + 1, ...
    kernel : a recorded one, whose offsets and code
    aged : objects come from slabs in random order, as after a long uptime; else from fresh slabs
    prefetch_next_line : a miss beyond L2 also brings the next line of its page
    threads : host threads over replicates; the result does not depend on it

    Returns
    -------
    DataFrame with one row per mode and replicate, columns as `simulate`, and `bare_ns`: the lookup
    alone, without caller and without a use of the datum, which no user can have. Quantiles only for
    "isolated", where each lookup's own time is known.

    Raises UserError for a bad argument.
    """
    chosen, model = resolve(design, machine)
    wanted = _distinct_modes(modes)
    check_common(
        "lookup_cost", n_cgroups=n_cgroups, n_keys=n_keys, footprint_bytes=footprint_bytes,
        lookups=lookups, replicates=replicates, seed=seed, threads=threads,
    )  # fmt: skip
    check_switches("lookup_cost", aged=aged, prefetch_next_line=prefetch_next_line)

    check_estimate(
        "lookup_cost", chosen, kernel, n_cgroups=n_cgroups, n_keys=n_keys, lookups=lookups,
        at_once=min(threads, replicates),
    )  # fmt: skip

    who = get_user(user) if user is not None else first_user(chosen)
    chosen, use = for_user(chosen, who.name)
    place = IN_HAND if who.family == IN_KERNEL else BEHIND_DISPATCH
    prefetch = prefetch_next_line

    def one(replicate: int) -> list[dict[str, Any]]:
        own_seed = seed + replicate
        facts = facts_of(chosen, model, kernel, n_cgroups, n_keys, replicate, own_seed, lookups)
        facts |= {"workload": "lookups alone", "user": who.name}
        stage = HeapSurroundings(
            kernel_of(kernel), place, use, calls(chosen), 64, footprint_bytes,
            stream_entries=min(max(lookups, _LEAST_STREAM), _MAX_STREAM),
            own_programs=own_programs(chosen),
        )  # fmt: skip
        population = populate_for(chosen, model, kernel, n_cgroups, n_keys, own_seed, aged, stage)
        everyone = np.arange(n_cgroups)
        sockets = stage.furnish(population, everyone, own_seed)
        actors = population.cgroups if place == IN_HAND else sockets
        rows = []
        for mode in wanted:
            if mode == "isolated":
                row = _isolated(
                    population, model, stage, actors, facts, lookups, footprint_bytes, prefetch
                )
            else:
                # a machine of its own, so that a row says the same whatever else is asked for
                machine = warm_machine(population, model, own_seed, prefetch, stage, actors)
                row = _back_to_back(
                    population, model, stage, actors, *machine, facts, lookups, mode
                )
            rows.append(row)
        return rows

    return run_replicates(one, replicates, threads)


def _distinct_modes(modes: Sequence[str]) -> tuple[str, ...]:
    """Each mode that is asked for, once; UserError for anything but a list of modes."""
    if isinstance(modes, str) or not isinstance(modes, Sequence) or not modes:
        raise out_of_range("lookup_cost", "modes", modes, f"a list of {', '.join(MODES)}")
    for mode in modes:
        check_choice("lookup_cost", "modes", mode, MODES)
    return tuple(dict.fromkeys(modes))


def _random_order(population: Population, lookups: int, seed: int) -> np.ndarray:
    """int64[lookups, 2]: indices of a uniformly random cgroup and key per lookup."""
    n_cgroups, n_keys = population.cgroups.size, population.keys.size
    order = np.empty((lookups, 2), dtype=np.int64)
    for column, bound in enumerate((n_cgroups, n_keys)):
        order[:, column] = random_integers(lookups, seed, 100 + column, bound)
    return order


def _back_to_back(
    population: Population,
    machine: Machine,
    stage: HeapSurroundings,
    actors: np.ndarray,
    system: System,
    space: Timed,
    facts: dict[str, Any],
    lookups: int,
    mode: str,
) -> dict[str, Any]:
    order = _random_order(population, 2 * lookups, facts["seed"])
    number = _MODE_NUMBERS[mode]
    what = (population.parameters, population.cgroups, population.keys)
    caller = stage.caller(population)
    cost = {}
    for each, use, harness in ((caller, stage.use, _LOOP), (NO_CALLER, IGNORE_DATUM, NO_HARNESS)):
        for part in (order[:lookups], order[lookups:]):
            if each is caller:
                stage.fill_stream(population, actors, part[:_MAX_STREAM])
            before, causes = counters_of(system), system.causes()
            run_lookups(space, *what, part, number, use, harness, each)
        counted = counters_of(system) - before
        cost[each.place] = cost_columns(machine, counted, system.causes() - causes, lookups)
    row = facts | {"mode": mode} | cost[caller.place]
    row["bare_ns"] = cost[NO_CALLER.place]["ns"]
    return row | memory_columns(population)


def _isolated(
    population: Population,
    machine: Machine,
    stage: HeapSurroundings,
    actors: np.ndarray,
    facts: dict[str, Any],
    lookups: int,
    footprint_bytes: int,
    prefetch: bool,
) -> dict[str, Any]:
    # each lookup walks the whole footprint, so that a few of them leave the caches as they stay
    warm = min(lookups, _WARM_ISOLATED)
    order = _random_order(population, warm + lookups, facts["seed"])
    rows = np.zeros((warm + lookups, len(STREAM_COLUMNS)), dtype=np.int64)
    rows[:, :2] = order
    rows[:, 2] = order[:, 0]
    rows[:, 4] = footprint_bytes // 64
    facts = facts | {"mode": "isolated", "footprint_bytes": footprint_bytes}
    scene = stage.scene(population, actors, rcu_held=True, seed=facts["seed"])
    bare = scene._replace(caller=NO_CALLER)
    ns = []
    for each in (bare, scene):
        system, space = warm_machine(population, machine, facts["seed"], prefetch, stage, actors)
        row = play_stream(system, space, population, machine, each, facts, rows, warm)
        ns.append(row["ns"])
    return row | {"bare_ns": ns[0]}
