"""A workload on a design and a machine, to a tidy table.

From the packet or the running task to the cgroup, the lookup, a use of the datum, with the
workload's other code in between. A row is one replicate. Times are of the machine's clock;
`cgsim.summarise` makes means and confidence intervals of replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cgsim.core.block_fields import CAUSES, S_TRANSFERS, TICKS
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.designs.base import Design
from cgsim.errors import UserError
from cgsim.experiments.estimate import check_estimate
from cgsim.experiments.places_of_use import (
    calls,
    for_user,
    own_programs,
)
from cgsim.experiments.replicates import run_replicates
from cgsim.limits import check_common, check_switches
from cgsim.machines import Machine
from cgsim.percpu.turns import clock_keys, meet
from cgsim.stage.callers import (
    BEHIND_DISPATCH,
    NO_LOOKUP,
    OF_TASK,
    Caller,
    visit,
)
from cgsim.stage.population import Population
from cgsim.stage.streams import COLUMNS, Surroundings, run_rows
from cgsim.stage.surroundings import HeapSurroundings
from cgsim.workloads import Feeds, load_workload
from cgsim.workloads.acts import LOOKUP, OPERATION_SHIFT, PASS, REACH_MASK, REACHES_AN_EVENT
from cgsim.workloads.base import LINE_BYTES, Second, Workload

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cgsim.workloads import AnyWorkload, Stream
from cgsim.experiments.points import (
    cost_columns,
    counters_of,
    facts_of,
    kernel_of,
    memory_columns,
    populate_for,
    resolve,
    user_for,
    warm_machine,
)

_QUANTILES = {"p50_ns": 0.5, "p99_ns": 0.99, "p999_ns": 0.999}
_MAX_VISITS = 1 << 18


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
    lookups : measured per replicate over all CPUs, after as many that only warm; about as many
        where what looks nothing up comes between
    replicates : with seeds seed, seed + 1, ...
    kernel : a recorded one, whose offsets and code
    aged : objects come from slabs in random order, as after a long uptime; else from fresh slabs
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
        loaded = workload
        if parameters:
            raise UserError("workload parameters go with a workload's name, not with a workload")
    else:
        loaded = load_workload(workload, **parameters)
    chosen, model = resolve(design, machine)
    check_common(
        "simulate", footprint_bytes=footprint_bytes, lookups=lookups, replicates=replicates,
        seed=seed, threads=threads,
    )  # fmt: skip
    check_switches(
        "simulate", aged=aged, prefetch_next_line=prefetch_next_line, without_lookup=without_lookup
    )
    who = user_for(loaded, user)
    check_estimate(
        "simulate", chosen, kernel, n_cgroups=loaded.n_cgroups, n_keys=loaded.n_keys,
        lookups=lookups, at_once=min(threads, replicates),
    )  # fmt: skip

    def one(replicate: int) -> list[dict[str, Any]]:
        own_seed = seed + replicate
        facts = facts_of(
            chosen, model, kernel, loaded.n_cgroups, loaded.n_keys, replicate, own_seed, lookups
        )
        facts |= {
            "workload": loaded.name,
            "mode": "workload",
            "user": who,
            "footprint_bytes": footprint_bytes,
        }
        row, _, _ = play_workload(
            chosen, model, loaded, kernel, facts,
            aged=aged, prefetch=prefetch_next_line, without_lookup=without_lookup,
        )  # fmt: skip
        return [row]

    return run_replicates(one, replicates, threads)


def play_workload(
    chosen: Design,
    model: Machine,
    workload: AnyWorkload,
    kernel: str,
    facts: dict[str, Any],
    *,
    aged: bool,
    prefetch: bool,
    places: bool = False,
    without_lookup: bool = False,
    each: list[np.ndarray] | None = None,
    log: np.ndarray | None = None,
    when_warm: Callable[[], object] | None = None,
) -> tuple[dict[str, Any], System, np.ndarray | None]:
    """One replicate of a workload: (its row, the machine, the places' counts of its warm part).

    facts : the row's first columns, among them `user`, `seed` and `lookups`. each : gets the ticks
    of every measured row. log : of all accesses (`cgsim.core.recording`). when_warm : is called
    before the measured part.
    """
    cpus = workload.cpus
    chosen, use = for_user(chosen, facts["user"])
    feeds = Feeds(workload, facts["seed"])
    around = feeds.surrounding
    footprint = facts["footprint_bytes"]
    sizes = around.hot_bytes, max(around.ring_bytes, footprint)
    hot, ring = (-(-max(size, 64) // 64) * 64 for size in sizes)
    stage = HeapSurroundings(
        kernel_of(kernel), BEHIND_DISPATCH if workload.reach == "skb" else OF_TASK, use,
        calls(chosen), hot * cpus, ring * cpus, own_programs=own_programs(chosen), cpus=cpus,
        second=around.second,
    )  # fmt: skip
    population = populate_for(
        chosen, model, kernel, workload.n_cgroups, workload.n_keys, facts["seed"], aged, stage
    )
    n_rows = workload.rows_for(facts["lookups"])
    parts = tuple(rows_of(feeds.take(n_rows), workload, model, footprint) for _ in range(2))
    actors = stage.furnish(population, around.actors, facts["seed"])
    scene = stage.surroundings(
        population, actors, around.parents, (hot, ring), rcu_held=workload.rcu_held,
        seed=facts["seed"], numbered=log is None,
    )  # fmt: skip
    if without_lookup:
        caller = scene.caller._replace(use=NO_LOOKUP, calls=0)
        scene = scene._replace(caller=caller, read_lock=0)
    system, space = warm_machine(
        population,
        model,
        facts["seed"],
        prefetch,
        stage,
        asked=_asked(parts),
        places=places,
        cpus=cpus,
        log=log,
    )
    if log is None:
        system.surround(hot // LINE_BYTES, ring // LINE_BYTES)
    _visit(space, scene.caller, actors, around.second)
    counts: list[np.ndarray] = []

    def once_warm() -> None:
        if system.places is not None:
            counts.append(system.places.counts.copy())
        if when_warm is not None:
            when_warm()

    changes = 1 if workload.changes_cgroups else None
    row = _play_rows(
        system, space, population, model, scene, facts, parts, changes, once_warm, each
    )
    del actors, around  # the scene points into them until here
    between = parts[-1].rows[:, [COLUMNS.index(name) for name in ("hot_lines", "cold_lines")]]
    rows = np.count_nonzero(_operations(parts[-1]) != PASS)
    lines = between.sum() / rows * row["lookups_per_event"]
    row["between_bytes"] = float(LINE_BYTES * lines)
    return row, system, counts[0] if counts else None


def _visit(space: Timed, caller: Caller, actors: np.ndarray, second: Second | None) -> None:
    """Let sockets and tasks come to their cgroups, so that no first touch is left."""
    if second is None:
        visit(space, caller, actors, _MAX_VISITS)
        return
    first = second.first_actor
    for place, some in ((BEHIND_DISPATCH, actors[:first]), (OF_TASK, actors[first:])):
        visit(space, caller._replace(place=place), some, _MAX_VISITS)


def _operations(part: Rows) -> np.ndarray:
    """What the rows do, of `cgsim.workloads.acts.OPERATIONS`."""
    return part.rows[:, COLUMNS.index("act")] >> OPERATION_SHIFT


def _asked(parts: Sequence[Rows]) -> np.ndarray:
    """int64[n, 2]: the cgroups and keys that rows ask for."""
    columns = [COLUMNS.index(name) for name in ("cgroup", "key")]
    return np.concatenate([part.rows[_operations(part) != PASS][:, columns] for part in parts])


class EventCosts(NamedTuple):
    """Times of the packets or ioctls of a workload, float64[n] each: lookups, and all else."""

    design: str
    machine: str
    hook_ns: np.ndarray
    other_ns: np.ndarray


def event_costs(
    design: str | Design,
    machine: str | Machine,
    workload: AnyWorkload,
    *,
    lookups: int,
    seed: int,
    kernel: str = "7.3.4",
) -> EventCosts:
    """What each event of a workload costs: its lookups, simulated, and its other work, as said."""
    chosen, model = resolve(design, machine)
    facts = facts_of(
        chosen, model, kernel, workload.n_cgroups, workload.n_keys, 0, seed, lookups
    ) | {"workload": workload.name, "mode": "workload", "user": user_for(workload, None)}
    each: list[np.ndarray] = []
    play_workload(chosen, model, workload, kernel, facts, aged=True, prefetch=False, each=each)
    feeds = Feeds(workload, seed)
    feeds.take(workload.rows_for(lookups))
    stream = feeds.take(workload.rows_for(lookups))
    act = stream.column("act")
    looked = act >> OPERATION_SHIFT != PASS
    begins = np.flatnonzero(act[looked] & REACH_MASK >= REACHES_AN_EVENT)
    hook = np.add.reduceat(each[0][looked], begins) / TICKS / model.ghz
    instructions = stream.column("instructions")[looked]
    other = np.add.reduceat(instructions, begins) / workload.instructions_per_ns
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
    costs, passed = np.zeros(0, dtype=np.int64), np.zeros(3, dtype=np.int64)
    before, transfers = np.zeros(4, dtype=np.int64), 0
    for number, part in enumerate(parts):
        if number == 1:
            once_warm()
            before, transfers = counters_of(system), system.system_field(S_TRANSFERS)
        costs = np.zeros(part.rows.shape[0], dtype=np.int64)
        if blocks.size > 1:
            meet(space, blocks)
        run_rows(
            space, population.parameters, population.cgroups, population.keys, part.rows,
            part.begins, part.ends, blocks, clock_keys(blocks), scene, changes, costs, causes,
            passed,
        )  # fmt: skip
    if each is not None:
        each.append(costs)
    acts, operations = parts[-1].rows[:, COLUMNS.index("act")], _operations(parts[-1])
    counted = counters_of(system) - before
    counted[1:] -= passed
    changed = costs[(operations != LOOKUP) & (operations != PASS)] / TICKS / machine.ghz
    costs = costs[operations == LOOKUP]
    if costs.size == 0:
        raise UserError(
            f"workload {facts['workload']}: lookups = {facts['lookups']} is not allowed; allowed: "
            "more, these are installs and removes only"
        )
    counted[0] = costs.sum()
    row = facts | cost_columns(machine, counted, causes, costs.size)
    for name, quantile in _QUANTILES.items():
        row[name] = float(np.quantile(costs, quantile)) / TICKS / machine.ghz
    looked = acts[operations == LOOKUP]
    events = max(int((looked & REACH_MASK >= REACHES_AN_EVENT).sum()), 1)
    row |= memory_columns(population)
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
