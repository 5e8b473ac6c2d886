"""One point: a machine, a design and a workload, or lookups alone, to a tidy table.

Two experiments, both on the timed reading:

`lookup_cost`
    lookups as a micro-benchmark makes them, by the caller of a place of use
    (`cgsim.stage.callers`): back to back and independent ("throughput"), each waiting for the one
    before ("dependent"), or each alone after other code has walked through a footprint of memory
    ("isolated"). `ns` is a turn of the caller, `bare_ns` the lookup without one.
`simulate`
    a workload: from the packet or the running task to the cgroup, the lookup, a use of the datum,
    with the workload's other code in between.

A row is one replicate. Times are of the machine's clock; `cgsim.summarise` makes means and
confidence intervals of replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cgsim.core.block_fields import C_RETIRE, CAUSES, S_TRANSFERS, TICKS
from cgsim.core.rng import random_integers, random_permutation
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.designs.base import Design
from cgsim.errors import UserError, out_of_range
from cgsim.experiments.estimate import check_estimate
from cgsim.experiments.places_of_use import (
    IN_KERNEL,
    USERS,
    User,
    calls,
    fit,
    for_user,
    get_user,
    own_programs,
    user_of,
)
from cgsim.experiments.replicates import run_replicates
from cgsim.limits import check_choice, check_common, check_switches
from cgsim.machines import Machine, load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.percpu.turns import clock_keys, meet
from cgsim.stage.callers import (
    BEHIND_DISPATCH,
    IGNORE_DATUM,
    IN_HAND,
    NO_CALLER,
    NO_LOOKUP,
    OF_TASK,
    visit,
)
from cgsim.stage.loops import (
    DEPENDENT,
    STREAM_COLUMNS,
    THROUGHPUT,
    Harness,
    Scene,
    run_lookups,
    run_stream,
)
from cgsim.stage.population import Population, build_population, design_of
from cgsim.stage.streams import COLUMNS, Surroundings, run_rows
from cgsim.stage.surroundings import Stage
from cgsim.workloads import Feeds, load_workload
from cgsim.workloads.acts import LOOKUP, OPERATION_SHIFT, REACH_MASK, REACHES_AN_EVENT
from cgsim.workloads.base import LINE_BYTES, Workload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cgsim.workloads import AnyWorkload, Stream

MODES = ("throughput", "dependent", "isolated")
_MODE_NUMBERS = {"throughput": THROUGHPUT, "dependent": DEPENDENT}
_QUANTILES = {"p50_ns": 0.5, "p99_ns": 0.99, "p999_ns": 0.999}
_MAX_WARM_PAIRS, _MAX_WARM_OTHERS = 1 << 21, 1 << 15
_MAX_VISITS = 1 << 18
_WARM_ISOLATED = 4
_LEAST_STREAM, _MAX_STREAM = 1024, 1 << 20
_NO_HARNESS = Harness(instructions=0, ticks=0, chain=0)
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
    modes : of "throughput", "dependent", "isolated"; each on a machine of its own, once
    footprint_bytes : memory other code walks through before each isolated lookup
    lookups : measured per replicate, after as many that only warm
    replicates : with seeds seed, seed + 1, ...
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

    who = get_user(user) if user is not None else _first_user(chosen)
    chosen, use = for_user(chosen, who.name)
    place = IN_HAND if who.family == IN_KERNEL else BEHIND_DISPATCH
    prefetch = prefetch_next_line

    def one(replicate: int) -> list[dict[str, Any]]:
        own_seed = seed + replicate
        facts = facts_of(chosen, model, kernel, n_cgroups, n_keys, replicate, own_seed, lookups)
        facts |= {"workload": "lookups alone", "user": who.name}
        stage = Stage(
            _kernel(kernel), place, use, calls(chosen), 64, footprint_bytes,
            stream_entries=min(max(lookups, _LEAST_STREAM), _MAX_STREAM),
            own_programs=own_programs(chosen),
        )  # fmt: skip
        population = _populate(chosen, model, kernel, n_cgroups, n_keys, own_seed, aged, stage)
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
                machine = _timed(population, model, own_seed, prefetch, stage, actors)
                row = _back_to_back(
                    population, model, stage, actors, *machine, facts, lookups, mode
                )
            rows.append(row)
        return rows

    return run_replicates(one, replicates, threads)


def simulate(
    design: str | Design,
    machine: str | Machine,
    workload: str | Path | AnyWorkload,
    *,
    user: str | None = None,
    footprint_bytes: int = 0,
    lookups: int = 4000,
    replicates: int = 3,
    seed: int = 1,
    kernel: str = "7.3.4",
    aged: bool = True,
    prefetch_next_line: bool = False,
    threads: int = 1,
    without_lookup: bool = False,
    **parameters: Any,
) -> pd.DataFrame:
    """Cost of a design's lookups in a workload.

    Parameters
    ----------
    design : name, or a `Design`
    machine : name, path of a profile, or a `Machine`
    workload : name (`cgsim.list_workloads`), file, or a workload
    user : who looks up, of `cgsim.experiments.places_of_use`; None: the first whose workloads reach
        the cgroup as this one does
    lookups : measured per replicate over all CPUs, after as many that only warm
    replicates : with seeds seed, seed + 1, ...
    prefetch_next_line : a miss beyond L2 also brings the next line of its page
    threads : host threads over replicates; the result does not depend on it
    without_lookup : leave out lookup and datum: what the place of use costs anyway
    parameters : values that replace the workload's own, by field name (`n_cgroups`, `n_keys`, ...)

    Returns
    -------
    DataFrame, one row per replicate:

    ==================================  =======================================================
    design, machine, kernel, workload   what was simulated
    user                                who looks up
    n_cgroups, n_keys                   size of the population
    mode, footprint_bytes               how lookups follow each other
    replicate, seed, lookups            the replicate
    ns, cycles                          mean time of a lookup
    p50_ns, p99_ns, p999_ns             quantiles over lookups
    <cause>_cycles                      CPI stack: mean cycles by cause; they add up to `cycles`
    instructions, accesses, mispredicts per lookup
    field_bytes, cgroup_bytes,          memory (`cgsim.stage.population.Memory`)
    entry_bytes, fixed_bytes
    rate_per_s, cpus                    lookups a second of a CPU; CPUs that play it at once
    between_bytes                       what other code touches before a packet or ioctl
    event_ns, lookups_per_event         mean time of a packet or ioctl: all its lookups together
    transfers                           lines that came from another core, per lookup
    changes, change_ns, change_p99_ns   installs, removes, containers that start or stop: how many,
                                        and their times, which `ns` and the CPI stack leave out
    waiting_bytes                       of them, that wait for a grace period if none ends
    ==================================  =======================================================

    Raises UserError for a bad argument.
    """
    if isinstance(workload, Workload):
        scenario = workload
        if parameters:
            raise UserError("workload parameters go with a workload's name, not with a workload")
    else:
        scenario = load_workload(workload, **parameters)
    chosen, model = resolve(design, machine)
    check_common(
        "simulate", footprint_bytes=footprint_bytes, lookups=lookups, replicates=replicates,
        seed=seed, threads=threads,
    )  # fmt: skip
    check_switches(
        "simulate", aged=aged, prefetch_next_line=prefetch_next_line, without_lookup=without_lookup
    )
    who = user_for(scenario, user)
    check_estimate(
        "simulate", chosen, kernel, n_cgroups=scenario.n_cgroups, n_keys=scenario.n_keys,
        lookups=lookups, at_once=min(threads, replicates),
    )  # fmt: skip

    def one(replicate: int) -> list[dict[str, Any]]:
        own_seed = seed + replicate
        facts = facts_of(
            chosen, model, kernel, scenario.n_cgroups, scenario.n_keys, replicate, own_seed, lookups
        )
        facts |= {
            "workload": scenario.name,
            "mode": "workload",
            "user": who,
            "footprint_bytes": footprint_bytes,
        }
        row, _, _ = play_workload(
            chosen, model, scenario, kernel, facts,
            aged=aged, prefetch=prefetch_next_line, without_lookup=without_lookup,
        )  # fmt: skip
        return [row]

    return run_replicates(one, replicates, threads)


def user_for(scenario: AnyWorkload, user: str | None) -> str:
    """The name of the user who makes a workload's lookups; raises UserError if it cannot."""
    if user is None:
        return user_of(scenario.reach).name
    if get_user(user).reach != scenario.reach:
        able = [name for name, other in USERS.items() if other.reach == scenario.reach]
        raise out_of_range(f"workload {scenario.name}", "user", user, ", ".join(able))
    return user


def _distinct_modes(modes: Sequence[str]) -> tuple[str, ...]:
    """Each mode that is asked for, once; UserError for anything but a list of modes."""
    if isinstance(modes, str) or not isinstance(modes, Sequence) or not modes:
        raise out_of_range("lookup_cost", "modes", modes, f"a list of {', '.join(MODES)}")
    for mode in modes:
        check_choice("lookup_cost", "modes", mode, MODES)
    return tuple(dict.fromkeys(modes))


def _first_user(design: Design) -> User:
    return next(user for name, user in USERS.items() if fit(design, name).usable)


def resolve(design: str | Design, machine: str | Machine) -> tuple[Design, Machine]:
    """The design and the machine."""
    chosen = design_of(design)
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    return chosen, model


def _kernel(version: str) -> Any:
    from cgsim.kernel import load_kernel

    return load_kernel(version)


def facts_of(
    design: Design,
    machine: Machine,
    kernel: str,
    n_cgroups: int,
    n_keys: int,
    replicate: int,
    seed: int,
    lookups: int,
) -> dict[str, Any]:
    return {
        "design": design.name,
        "machine": machine.name,
        "kernel": kernel,
        "workload": "",
        "user": "",
        "n_cgroups": n_cgroups,
        "n_keys": n_keys,
        "mode": "",
        "footprint_bytes": 0,
        "replicate": replicate,
        "seed": seed,
        "lookups": lookups,
    }


def _populate(
    design: Design,
    machine: Machine,
    kernel: str,
    n_cgroups: int,
    n_keys: int,
    seed: int,
    aged: bool,
    stage: Stage,
) -> Population:
    return build_population(
        design,
        n_cgroups=n_cgroups,
        n_keys=n_keys,
        seed=seed,
        kernel=kernel,
        cpus=machine.n_cpus,
        aged=aged,
        prepare=stage.prepare,
    )


def _timed(
    population: Population,
    machine: Machine,
    seed: int,
    prefetch: bool,
    stage: Stage,
    actors: np.ndarray | None = None,
    asked: np.ndarray | None = None,
    places: bool = False,
    cpus: int = 1,
) -> tuple[System, Timed]:
    """A fresh machine whose CPU 0 has looked up and used every datum once, in random order.

    actors : what stands for each cgroup in the stage's stream; None: looked up without a caller.
    asked : int64[n, 2], indices of cgroup and key that will be asked for; None: any may.

    So no first touch is counted; what the caches still hold is their own affair. Of a very large
    population a random part is looked up, larger than any cache; if it is known what will be asked
    for a part that fills a private L2, and then that.
    """
    n_keys = population.keys.size
    pairs = random_permutation(population.cgroups.size * n_keys, seed, 99)
    if asked is None:
        pairs = pairs[:_MAX_WARM_PAIRS]
    elif pairs.size > _MAX_WARM_OTHERS:
        once = np.unique(asked[:, 0] * n_keys + asked[:, 1])
        order = random_permutation(once.size, seed, 98)
        pairs = np.concatenate([pairs[:_MAX_WARM_OTHERS], once[order]])
    order = np.column_stack(np.divmod(pairs, n_keys))
    spec = system_spec(machine, cpus, prefetch_next_line=prefetch)
    system = System(spec, population.heap, places=places)
    space = Timed(population.heap.mem, population.heap.block, system.cpu())
    what = (population.parameters, population.cgroups, population.keys)
    caller, step = NO_CALLER._replace(cpu_offset=stage.cpu_offset), len(order)
    if actors is not None:
        caller, step = stage.caller(population), stage.stream_entries
    for first in range(0, len(order), step):
        part = order[first : first + step]
        if actors is not None:
            stage.fill_stream(population, actors, part)
        run_lookups(space, *what, part, THROUGHPUT, stage.use, _NO_HARNESS, caller)
    return system, space


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
    stage: Stage,
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
    for each, use, harness in ((caller, stage.use, _LOOP), (NO_CALLER, IGNORE_DATUM, _NO_HARNESS)):
        for part in (order[:lookups], order[lookups:]):
            if each is caller:
                stage.fill_stream(population, actors, part[:_MAX_STREAM])
            before, causes = _counted(system), system.causes()
            run_lookups(space, *what, part, number, use, harness, each)
        counted = _counted(system) - before
        cost[each.place] = _costs(machine, counted, system.causes() - causes, lookups)
    row = facts | {"mode": mode} | cost[caller.place]
    row["bare_ns"] = cost[NO_CALLER.place]["ns"]
    return row | _memory_columns(population)


def _isolated(
    population: Population,
    machine: Machine,
    stage: Stage,
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
        system, space = _timed(population, machine, facts["seed"], prefetch, stage, actors)
        row = _play(system, space, population, machine, each, facts, rows, warm)
        ns.append(row["ns"])
    return row | {"bare_ns": ns[0]}


def play_workload(
    chosen: Design,
    model: Machine,
    scenario: AnyWorkload,
    kernel: str,
    facts: dict[str, Any],
    *,
    aged: bool,
    prefetch: bool,
    places: bool = False,
    without_lookup: bool = False,
    each: list[np.ndarray] | None = None,
) -> tuple[dict[str, Any], System, np.ndarray | None]:
    """One replicate of a workload: (its row, the machine, the places' counts of its warm part).

    facts : the row's first columns, among them `user`, `seed` and `lookups`. each : gets the ticks
    of every measured row.
    """
    warm = facts["lookups"]
    cpus = scenario.cpus
    chosen, use = for_user(chosen, facts["user"])
    feeds = Feeds(scenario, facts["seed"])
    around = feeds.surrounding
    footprint = facts["footprint_bytes"]
    sizes = around.hot_bytes, max(around.ring_bytes, footprint)
    hot, ring = (-(-max(size, 64) // 64) * 64 for size in sizes)
    stage = Stage(
        _kernel(kernel), BEHIND_DISPATCH if scenario.reach == "skb" else OF_TASK, use,
        calls(chosen), hot * cpus, ring * cpus, own_programs=own_programs(chosen), cpus=cpus,
    )  # fmt: skip
    population = _populate(
        chosen, model, kernel, scenario.n_cgroups, scenario.n_keys, facts["seed"], aged, stage
    )
    parts = tuple(rows_of(feeds.take(warm), scenario, model, footprint) for _ in range(2))
    actors = stage.furnish(population, around.actors, facts["seed"])
    scene = stage.surroundings(
        population, actors, around.parents, (hot, ring), rcu_held=scenario.rcu_held,
        seed=facts["seed"],
    )  # fmt: skip
    if without_lookup:
        caller = scene.caller._replace(use=NO_LOOKUP, calls=0)
        scene = scene._replace(caller=caller, read_lock=0)
    system, space = _timed(
        population,
        model,
        facts["seed"],
        prefetch,
        stage,
        asked=_asked(parts),
        places=places,
        cpus=cpus,
    )
    visit(space, scene.caller, actors, _MAX_VISITS)
    counts: list[np.ndarray] = []

    def once_warm() -> None:
        if system.places is not None:
            counts.append(system.places.counts.copy())

    changes = 1 if scenario.changes_cgroups else None
    row = _play_rows(
        system, space, population, model, scene, facts, parts, changes, once_warm, each
    )
    del actors, around  # the scene points into them until here
    between = parts[-1].rows[:, [COLUMNS.index(name) for name in ("hot_lines", "cold_lines")]]
    lines = between.sum() / len(between) * row["lookups_per_event"]
    row["between_bytes"] = float(LINE_BYTES * lines)
    return row, system, counts[0] if counts else None


def _asked(parts: Sequence[Rows]) -> np.ndarray:
    """int64[n, 2]: the cgroups and keys of some rows."""
    columns = [COLUMNS.index(name) for name in ("cgroup", "key")]
    return np.concatenate([part.rows[:, columns] for part in parts])


class EventCosts(NamedTuple):
    """Times of the packets or ioctls of a workload, float64[n] each: lookups, and all else."""

    design: str
    machine: str
    hook_ns: np.ndarray
    other_ns: np.ndarray


def event_costs(
    design: str | Design,
    machine: str | Machine,
    scenario: AnyWorkload,
    *,
    lookups: int,
    seed: int,
    kernel: str = "7.3.4",
) -> EventCosts:
    """What each event of a workload costs: its lookups, simulated, and its other work, as said."""
    chosen, model = resolve(design, machine)
    facts = facts_of(
        chosen, model, kernel, scenario.n_cgroups, scenario.n_keys, 0, seed, lookups
    ) | {"workload": scenario.name, "mode": "workload", "user": user_for(scenario, None)}
    each: list[np.ndarray] = []
    play_workload(chosen, model, scenario, kernel, facts, aged=True, prefetch=False, each=each)
    feeds = Feeds(scenario, seed)
    feeds.take(lookups)
    stream = feeds.take(lookups)
    begins = np.flatnonzero(stream.column("act") & REACH_MASK >= REACHES_AN_EVENT)
    hook = np.add.reduceat(each[0], begins) / TICKS / model.ghz
    other = np.add.reduceat(stream.column("instructions"), begins) / scenario.instructions_per_ns
    return EventCosts(chosen.name, model.name, hook, other)


class Rows(NamedTuple):
    """What `run_rows` plays: int64[n, 7], where each CPU's rows begin and end, and their time."""

    rows: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    ns: float


def rows_of(
    stream: Stream,
    workload: AnyWorkload,
    machine: Machine,
    footprint_bytes: int = 0,
) -> Rows:
    """A stream on a machine's clock; before each event a footprint more is walked through."""
    ns = stream.column("instructions") / workload.instructions_per_ns + stream.column("idle_ns")
    ticks = np.rint(ns * machine.ghz * TICKS).astype(np.int64)
    begins = stream.column("act") & REACH_MASK >= REACHES_AN_EVENT
    rows = np.empty((len(stream), len(COLUMNS)), dtype=np.int64)
    for number, name in enumerate(COLUMNS[:-1]):
        rows[:, number] = stream.column(name)
    rows[begins, COLUMNS.index("cold_lines")] += footprint_bytes // 64
    rows[:, -1] = np.where(begins, ticks, stream.column("instructions"))
    return Rows(rows, stream.starts[:-1], stream.starts[1:], float(ns.sum()) / stream.cpus)


def _play_rows(
    system: System,
    space: Timed,
    population: Population,
    machine: Machine,
    scene: Surroundings,
    facts: dict[str, Any],
    parts: Sequence[Rows],
    changes: int | None,
    once_warm: Callable[[], None],
    each: list[np.ndarray] | None,
) -> dict[str, Any]:
    """Run rows on a machine's CPUs: those of the first part only warm; `each` gets their ticks."""
    blocks = system.cpu_row()
    causes = np.zeros(len(CAUSES), dtype=np.int64)
    costs = np.zeros(0, dtype=np.int64)
    before, transfers = np.zeros(4, dtype=np.int64), 0
    for number, part in enumerate(parts):
        if number == 1:
            once_warm()
            before, transfers = _counted(system), system.system_field(S_TRANSFERS)
        costs = np.zeros(part.rows.shape[0], dtype=np.int64)
        if blocks.size > 1:
            meet(space, blocks)
        run_rows(
            space, population.parameters, population.cgroups, population.keys, part.rows,
            part.begins, part.ends, blocks, clock_keys(blocks), scene, changes, costs, causes,
        )  # fmt: skip
    if each is not None:
        each.append(costs)
    acts = parts[-1].rows[:, COLUMNS.index("act")]
    counted = _counted(system) - before
    changed = costs[acts >> OPERATION_SHIFT != LOOKUP] / TICKS / machine.ghz
    costs = costs[acts >> OPERATION_SHIFT == LOOKUP]
    if costs.size == 0:
        raise UserError(
            f"workload {facts['workload']}: lookups = {facts['lookups']} is not allowed; allowed: "
            "more, these are installs and removes only"
        )
    counted[0] = costs.sum()
    row = facts | _costs(machine, counted, causes, costs.size)
    for name, quantile in _QUANTILES.items():
        row[name] = float(np.quantile(costs, quantile)) / TICKS / machine.ghz
    looked = acts[acts >> OPERATION_SHIFT == LOOKUP]
    events = max(int((looked & REACH_MASK >= REACHES_AN_EVENT).sum()), 1)
    row |= _memory_columns(population)
    row["rate_per_s"] = 1e9 * costs.size / max(parts[-1].ns, 1e-9)
    row["cpus"] = blocks.size
    row["event_ns"] = row["ns"] * costs.size / events
    row["lookups_per_event"] = costs.size / events
    row["changes"] = changed.size
    row["change_ns"] = float(changed.mean()) if changed.size else np.nan
    row["change_p99_ns"] = float(np.quantile(changed, 0.99)) if changed.size else np.nan
    row["waiting_bytes"] = population.heap.pending_bytes
    row["transfers"] = (system.system_field(S_TRANSFERS) - transfers) / costs.size
    return row


def _play(
    system: System,
    space: Timed,
    population: Population,
    machine: Machine,
    scene: Scene,
    facts: dict[str, Any],
    rows: np.ndarray,
    warm: int,
    once_warm: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a stream's rows on a machine; the first `warm` of them are not measured."""
    costs = np.zeros(rows.shape[0], dtype=np.int64)
    causes = np.zeros(len(CAUSES), dtype=np.int64)
    arguments = (population.parameters, population.cgroups, population.keys)
    run_stream(space, *arguments, rows[:warm], scene, costs[:warm], causes)
    once_warm()
    before = _counted(system)
    run_stream(space, *arguments, rows[warm:], scene, costs[warm:], causes)
    counted = _counted(system) - before
    measured = costs[warm:]
    counted[0] = measured.sum()
    row = facts | _costs(machine, counted, causes, measured.size)
    for name, quantile in _QUANTILES.items():
        row[name] = float(np.quantile(measured, quantile)) / TICKS / machine.ghz
    return row | _memory_columns(population)


def _counted(system: System) -> np.ndarray:
    """int64[4]: ticks, instructions, accesses and mispredicts so far."""
    names = ("instructions", "accesses", "mispredicts")
    total = np.zeros(4, dtype=np.int64)
    for cpu in range(system.cpu_row().size):
        counts = system.counters(cpu)
        total += [system.field(C_RETIRE, cpu), *(counts[n] for n in names)]
    return total


def _costs(
    machine: Machine, counted: np.ndarray, causes: np.ndarray, lookups: int
) -> dict[str, Any]:
    ticks, instructions, accesses, mispredicts = (float(value) for value in counted)
    cycles = ticks / TICKS / lookups
    row: dict[str, Any] = {"ns": machine.ns(cycles), "cycles": cycles}
    row |= dict.fromkeys(_QUANTILES, np.nan)
    for name, spent in zip(CAUSES, causes, strict=True):
        row[f"{name}_cycles"] = float(spent) / TICKS / lookups
    row["instructions"] = instructions / lookups
    row["accesses"] = accesses / lookups
    row["mispredicts"] = mispredicts / lookups
    return row


def _memory_columns(population: Population) -> dict[str, Any]:
    memory = population.memory
    return {
        "field_bytes": memory.field_bytes,
        "cgroup_bytes": memory.cgroup_bytes,
        "entry_bytes": memory.entry_bytes,
        "fixed_bytes": memory.fixed_bytes,
    }
