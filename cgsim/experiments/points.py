"""What the experiments on lookups share: a point's facts, its population, a warmed machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.core.block_fields import C_RETIRE, CAUSES, TICKS
from cgsim.core.rng import random_permutation
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.designs.base import Design
from cgsim.errors import out_of_range
from cgsim.experiments.places_of_use import (
    USERS,
    User,
    fit,
    get_user,
    user_of,
)
from cgsim.machines import Machine, load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.callers import (
    NO_CALLER,
)
from cgsim.stage.loops import (
    THROUGHPUT,
    Harness,
    Scene,
    run_lookups,
    run_stream,
)
from cgsim.stage.population import Population, build_population, design_of
from cgsim.stage.surroundings import HeapSurroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.workloads import AnyWorkload

NO_HARNESS = Harness(instructions=0, ticks=0, chain=0)
_QUANTILES = {"p50_ns": 0.5, "p99_ns": 0.99, "p999_ns": 0.999}
_MAX_WARM_PAIRS, _MAX_WARM_OTHERS = 1 << 21, 1 << 15


def user_for(workload: AnyWorkload, user: str | None) -> str:
    """The name of the user who makes a workload's lookups; raises UserError if it cannot."""
    if user is None:
        return user_of(workload.reach).name
    if get_user(user).reach != workload.reach:
        able = [name for name, other in USERS.items() if other.reach == workload.reach]
        raise out_of_range(f"workload {workload.name}", "user", user, ", ".join(able))
    return user


def first_user(design: Design) -> User:
    """The first of the users who can use a design."""
    return next(user for name, user in USERS.items() if fit(design, name).usable)


def resolve(design: str | Design, machine: str | Machine) -> tuple[Design, Machine]:
    """The design and the machine."""
    chosen = design_of(design)
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    return chosen, model


def kernel_of(version: str) -> Any:
    """Facts of a recorded kernel."""
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
    """The columns that say what was simulated."""
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


def populate_for(
    design: Design,
    machine: Machine,
    kernel: str,
    n_cgroups: int,
    n_keys: int,
    seed: int,
    aged: bool,
    stage: HeapSurroundings,
) -> Population:
    """A population of the design on the machine, with what surrounds it."""
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


def warm_machine(
    population: Population,
    machine: Machine,
    seed: int,
    prefetch: bool,
    stage: HeapSurroundings,
    actors: np.ndarray | None = None,
    asked: np.ndarray | None = None,
    places: bool = False,
    cpus: int = 1,
    log: np.ndarray | None = None,
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
    if log is not None:
        system.record(log)
    space = Timed(population.heap.mem, population.heap.block, system.cpu())
    what = (population.parameters, population.cgroups, population.keys)
    caller, step = NO_CALLER._replace(cpu_offset=stage.cpu_offset), len(order)
    if actors is not None:
        caller, step = stage.caller(population), stage.stream_entries
    for first in range(0, len(order), step):
        part = order[first : first + step]
        if actors is not None:
            stage.fill_stream(population, actors, part)
        run_lookups(space, *what, part, THROUGHPUT, stage.use, NO_HARNESS, caller)
    return system, space


def memory_columns(population: Population) -> dict[str, Any]:
    """What a population takes, in bytes."""
    memory = population.memory
    return {
        "field_bytes": memory.field_bytes,
        "cgroup_bytes": memory.cgroup_bytes,
        "entry_bytes": memory.entry_bytes,
        "fixed_bytes": memory.fixed_bytes,
    }


def counters_of(system: System) -> np.ndarray:
    """int64[4]: ticks, instructions, accesses and mispredicts so far."""
    names = ("instructions", "accesses", "mispredicts")
    total = np.zeros(4, dtype=np.int64)
    for cpu in range(system.cpu_row().size):
        counts = system.counters(cpu)
        total += [system.field(C_RETIRE, cpu), *(counts[n] for n in names)]
    return total


def play_stream(
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
    before = counters_of(system)
    run_stream(space, *arguments, rows[warm:], scene, costs[warm:], causes)
    counted = counters_of(system) - before
    measured = costs[warm:]
    counted[0] = measured.sum()
    row = facts | cost_columns(machine, counted, causes, measured.size)
    for name, quantile in _QUANTILES.items():
        row[name] = float(np.quantile(measured, quantile)) / TICKS / machine.ghz
    return row | memory_columns(population)


def cost_columns(
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
