"""What a design's users pay besides lookups: install, remove, teardown, and a key that goes.

`upkeep` plays these operations one by one in the timed reading, each on its own after other code
has run, and in the traced reading for what they do: locked operations and on whose words, objects
allocated and freed, bytes copied, memory that waits for a grace period. `memory` accounts for what
stays.

==============  =================================================================================
create          a new cgroup, struct cgroup itself included
first install   the first datum of a new cgroup
install         each further one, growth included
remove          one datum, then memory waits for a grace period
teardown        a cgroup with all its data, struct cgroup itself included
drop key        a key that goes (device unplugged, map freed): its datum is removed from every
                cgroup in turn; one operation is all cgroups
==============  =================================================================================

No design keeps a list of the cgroups that have a key, so `drop key` walks all cgroups as
css_for_each_descendant_pre does and removes from each. (BPF maps do keep one and free the map at
once; they are played the same way, which is what a driver without such a list would pay.)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cgsim.compile.jit import njit
from cgsim.core import traced
from cgsim.core.block_fields import C_ACCESSES, C_DRAIN, C_INSTRUCTIONS, C_RETIRE, CAUSES, TICKS
from cgsim.core.heap import grace_period
from cgsim.core.host_memory import address_of
from cgsim.core.percpu_areas import NO_AREAS, Percpu, add_areas, give_area, take_area
from cgsim.core.rng import random_bits, random_permutation
from cgsim.core.space import Timed, Traced, load, pause, store, touch_lines
from cgsim.core.system import System
from cgsim.designs.base import (
    Design,
    create,
    get_design,
    insert,
    lookup,
    put,
    remove,
    teardown,
)
from cgsim.errors import UserError, out_of_range, unknown_name
from cgsim.experiments.footprint import DATA, VALUE_BYTES, holding, own_areas
from cgsim.experiments.replicates import run_replicates
from cgsim.machines import Machine, load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.loops import compiled_for
from cgsim.stage.population import MAX_CGROUPS, build_population

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cgsim.core.heap import Heap
    from cgsim.stage.population import Population

OPERATIONS = ("create", "first install", "install", "remove", "teardown", "drop key")
MAX_FOOTPRINT_BYTES = 1 << 28
_CREATE, _INSTALL, _REMOVE, _TEARDOWN, _GRACE = range(5)
_TRACED_CGROUPS = 4
_DROPPED_CGROUPS = 32


@njit
def _operate(space, design, what, cgroups, first, last, key, link):
    """One operation on each of cgroups[first:last], which `_CREATE` overwrites.

    link : offset of the word through which the next cgroup is found, -1 if none is looked for.
    Returns the last cgroup created or datum installed, 0 for want of simulated memory.
    """
    token = 0
    answer = 1
    for i in range(first, last):
        if link >= 0:
            _, token = load(space, cgroups[i] + link, 8, token)
        if what == _CREATE:
            answer = cgroups[i] = create(space, design)
        elif what == _INSTALL:
            answer = insert(space, design, cgroups[i], key, token)
        elif what == _REMOVE:
            remove(space, design, cgroups[i], key, token)
        else:
            teardown(space, design, cgroups[i], token)
    return answer


@njit
def _fill_areas(space, percpu, datum):
    """Make a datum a pointer to a new percpu area; returns the area."""
    area, area_token = take_area(space, percpu, 0)
    store(space, datum, 8, area, 0, area_token)
    return area


@njit
def _empty_areas(space, design, percpu, cgroup, keys, first, last):
    """Give the areas back to which the data of keys[first:last] point."""
    for k in range(first, last):
        datum, datum_token = lookup(space, design, cgroup, keys[k], 0, 0)
        area, area_token = load(space, datum, 8, datum_token)
        give_area(space, percpu, area, area_token)
        put(space, design, datum, datum_token)


@njit
def _other_code(space, ring, lines, history):
    """Other code walks through `lines` cache lines; the window is empty afterwards."""
    touch_lines(space, ring, lines, 0)
    pause(space, 0, history)


@njit
def _grace(space, caches):
    """A grace period ends: free what waited in all caches."""
    for cache in range(caches):
        grace_period(space, cache)


class _Step(NamedTuple):
    """One operation on one cgroup and key; `what` is `_GRACE` for the end of a grace period, which
    frees what the operations of that name left waiting."""

    operation: str
    what: int
    cgroup: int = 0
    key: int = 0


def _lives(cgroups: int, n_keys: int, seed: int) -> Iterator[_Step]:
    """The lives of some cgroups: created, filled, one datum replaced, torn down."""
    orders = [random_permutation(n_keys, seed, c).tolist() for c in range(cgroups)]
    for c, order in enumerate(orders):
        yield _Step("create", _CREATE, c)
        for i, key in enumerate(order):
            yield _Step("install" if i else "first install", _INSTALL, c, key)
    yield _Step("install" if n_keys > 1 else "first install", _GRACE)
    for c, order in enumerate(orders):
        yield _Step("remove", _REMOVE, c, order[n_keys // 2])
    yield _Step("remove", _GRACE)
    for c, order in enumerate(orders):
        yield _Step("install" if n_keys > 1 else "first install", _INSTALL, c, order[n_keys // 2])
    for c in range(cgroups):
        yield _Step("teardown", _TEARDOWN, c)
    yield _Step("teardown", _GRACE)


class _Stand:
    """A population, part of which stays (`residents`) while the rest come and go (`cgroups`)."""

    def __init__(
        self, population: Population, samples: int, ring: int, lines: int, percpu: Percpu, seed: int
    ) -> None:
        self.population = population
        self.heap = population.heap
        self.residents = population.cgroups[:-samples]
        self.cgroups = population.cgroups[-samples:].copy()
        self.percpu = percpu
        self.ring, self.lines, self.seed = ring, lines, seed
        self.steps = 0
        # css_tryget reads the count of references, beside the link to the next cgroup
        self.link = population.kernel.offset("cgroup", "self.refcnt.percpu_count_ptr")
        self.kernel = compiled_for(_operate, type(population.parameters))

    def play(self, space: Any, step: _Step) -> None:
        """One step."""
        if step.what == _GRACE:
            _grace(space, len(self.heap.caches))
            return
        pointers = self.percpu.cpus != 0
        if pointers and step.what in (_REMOVE, _TEARDOWN):
            self._empty_areas(space, step)
        key = int(self.population.keys[step.key])
        datum = self._operate(space, step.what, self.cgroups, step.cgroup, step.cgroup + 1, key)
        if pointers and step.what == _INSTALL:
            _fill_areas(space, self.percpu, datum)

    def _empty_areas(self, space: Any, step: _Step) -> None:
        keys = self.population.keys
        first, last = (step.key, step.key + 1) if step.what == _REMOVE else (0, keys.size)
        parameters = self.population.parameters
        kernel = compiled_for(_empty_areas, type(parameters))
        kernel(space, parameters, self.percpu, self.cgroups[step.cgroup], keys, first, last)

    def drop(self, space: Any, first: int, last: int, key: int) -> None:
        """Remove a key's data from some cgroups of the population, one after the other."""
        key = int(self.population.keys[key])
        self._operate(space, _REMOVE, self.residents, first, last, key, self.link)

    def vacate(self, space: Any) -> None:
        """Tear down the cgroups that come and go: they were built to make room for them."""
        for number in range(self.cgroups.size):
            self._operate(space, _TEARDOWN, self.cgroups, number, number + 1, 0)
        _grace(space, len(self.heap.caches))

    def restore(self, space: Any, cgroup: int, key: int) -> None:
        """Install a key's datum again in a cgroup of the population."""
        key = int(self.population.keys[key])
        self._operate(space, _INSTALL, self.residents, cgroup, cgroup + 1, key)

    def _operate(
        self,
        space: Any,
        what: int,
        cgroups: np.ndarray,
        first: int,
        last: int,
        key: int,
        link: int = -1,
    ) -> int:
        arguments = (self.population.parameters, what, cgroups, first, last, key, link)
        answer = int(self.kernel(space, *arguments))
        if answer == 0:
            raise UserError(
                f"design {self.population.design.name}: the simulated memory is exhausted with "
                f"{self.cgroups.size} more cgroups"
            )
        return answer

    def other_code(self, space: Any) -> None:
        """What runs before an operation."""
        self.steps += 1
        _other_code(space, self.ring, self.lines, random_bits(self.seed, 1, self.steps))


def upkeep(
    design: str | Design,
    machine: str | Machine,
    *,
    n_cgroups: int = 1000,
    n_keys: int = 8,
    data: str = "regular",
    footprint_bytes: int = 0,
    samples: int = 32,
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
    operations                           how many were timed
    ns, cycles                           mean of an operation
    p50_ns, p99_ns, max_ns               over operations
    drained_ns                           mean until the stores have left the store buffer too
    <cause>_cycles                       CPI stack: mean cycles by cause
    instructions, accesses               per operation
    deferred_ns                          freeing what waited, after the grace period
    locked, locks                        locked instructions; the structs their words are in
    allocated, allocated_bytes           objects and bytes taken from slab, as slab rounds them
    freed_bytes                          bytes given back at once
    retired, waiting_bytes               objects and bytes that wait for a grace period
    copied_bytes                         read out of memory that the operation then retires
    ===================================  ======================================================

    Raises UserError for a bad argument.
    """
    chosen = get_design(design) if isinstance(design, str) else design
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

    def one(replicate: int) -> list[dict[str, Any]]:
        own_seed = seed + replicate
        stand = _new_stand(
            chosen, model, kernel, n_cgroups, n_keys, data, footprint_bytes // 64, samples, own_seed
        )
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
        effects = _trace_lives(stand, min(samples, _TRACED_CGROUPS))
        times = _time_lives(stand, model, samples)
        if stand.percpu.cpus == 0:
            key = own_seed % n_keys
            effects["drop key"] = [_trace_drop(stand, key)]
            times["drop key"] = _time_drop(stand, model, key)
        return [
            facts
            | {"operation": operation}
            | _summed(times[operation], model)
            | _averaged(effects[operation])
            for operation in OPERATIONS
            if operation in times
        ]

    return run_replicates(one, replicates, threads)


def _new_stand(
    design: Design,
    machine: Machine,
    kernel: str,
    n_cgroups: int,
    n_keys: int,
    data: str,
    lines: int,
    samples: int,
    seed: int,
) -> _Stand:
    places: dict[str, Any] = {"percpu": NO_AREAS}

    def prepare(heap: Heap) -> None:
        places["ring"] = heap.place("other code", max(64 * lines, 64))
        if data == "percpu" and not own_areas(design, kernel):
            areas = (samples + 1) * n_keys
            places["percpu"] = add_areas(heap, areas, VALUE_BYTES, machine.n_cpus)

    population = build_population(
        design,
        # with those that come and go, for designs that are sized by the number of cgroups
        n_cgroups=n_cgroups + samples,
        n_keys=n_keys,
        seed=seed,
        kernel=kernel,
        cpus=machine.n_cpus,
        prepare=prepare,
    )
    return _Stand(population, samples, places["ring"], lines, places["percpu"], seed)


# --- what operations do: the traced reading ------------------------------------------------------


class _Watch:
    """Counts what an operation does to the heap and to locks."""

    def __init__(self, stand: _Stand) -> None:
        self.stand = stand
        heap = stand.heap
        n_keys = stand.population.keys.size
        self.log = traced.new_log(4096 + 32 * n_keys + 4 * n_keys * stand.percpu.cpus)
        self.space = Traced(heap.mem, heap.block, address_of(self.log))

    def effects(self, play: Callable[[Any], None], *, copies: bool) -> dict[str, Any]:
        """The counts of one operation; `copies`: what it retires, it has copied."""
        heap = self.stand.heap
        caches = range(len(heap.caches))
        live = [heap.live(cache) for cache in caches]
        waiting = [set(heap.retired(cache)) for cache in caches]
        traced.clear(self.log)
        play(self.space)
        record = traced.parse(self.log)
        grown = [heap.live(cache) - live[cache] for cache in caches]
        strides = [cache.stride_bytes for cache in heap.caches]
        retired = [
            (address, strides[cache])
            for cache in caches
            for address in heap.retired(cache)
            if address not in waiting[cache]
        ]
        locked = [a.address for a in record.accesses if a.operation == "RMW!"]
        copied = sum(
            access.size
            for access in record.accesses
            if access.operation == "R"
            and any(start <= access.address < start + size for start, size in retired)
        )
        return {
            "locked": len(locked),
            "locks": {heap.caches[heap.resolve(address)[0]].struct for address in locked},
            "allocated": sum(max(n, 0) for n in grown),
            "allocated_bytes": sum(max(n, 0) * strides[i] for i, n in enumerate(grown)),
            "freed_bytes": sum(max(-n, 0) * strides[i] for i, n in enumerate(grown)),
            "retired": len(retired),
            "waiting_bytes": sum(size for _, size in retired),
            "copied_bytes": copied if copies else 0,
        }


def _trace_lives(stand: _Stand, cgroups: int) -> dict[str, list[dict[str, Any]]]:
    """The effects of each step in the lives of some cgroups, by operation."""
    watch = _Watch(stand)
    stand.vacate(watch.space)
    found: dict[str, list[dict[str, Any]]] = {}
    for step in _lives(cgroups, stand.population.keys.size, stand.seed):
        if step.what == _GRACE:
            stand.play(watch.space, step)
            continue
        effects = watch.effects(partial(stand.play, step=step), copies=step.what == _INSTALL)
        if stand.percpu.cpus:
            _add_areas(effects, step, stand)
        found.setdefault(step.operation, []).append(effects)
    return found


def _add_areas(effects: dict[str, Any], step: _Step, stand: _Stand) -> None:
    """The percpu areas' share: taken at once, given back after the grace period."""
    size = stand.percpu.area_bytes * stand.percpu.cpus
    if step.what == _INSTALL:
        effects["allocated"] += 1
        effects["allocated_bytes"] += size
    elif step.what in (_REMOVE, _TEARDOWN):
        count = 1 if step.what == _REMOVE else stand.population.keys.size
        effects["retired"] += count
        effects["waiting_bytes"] += count * size


def _trace_drop(stand: _Stand, key: int) -> dict[str, Any]:
    """The effects of dropping a key: those on a few cgroups, times the number of cgroups."""
    n_cgroups = stand.residents.size
    sampled = min(n_cgroups, _DROPPED_CGROUPS)
    watch = _Watch(stand)
    rows = [
        watch.effects(partial(stand.drop, first=c, last=c + 1, key=key), copies=False)
        for c in range(sampled)
    ]
    stand.play(watch.space, _Step("drop key", _GRACE))
    for c in range(sampled):
        stand.restore(watch.space, c, key)
    mean = _averaged(rows)
    return {
        name: value if name == "locks" else value * n_cgroups
        for name, value in (mean | {"locks": set.union(*(row["locks"] for row in rows))}).items()
    }


def _averaged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means of the counts; the names of all structs locked."""
    mean: dict[str, Any] = {
        name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name != "locks"
    }
    return mean | {"locks": ", ".join(sorted(set.union(*(row["locks"] for row in rows))))}


# --- what operations cost: the timed reading -----------------------------------------------------


class _Clock:
    """A machine that starts cold, and what operations cost on it."""

    def __init__(self, stand: _Stand, machine: Machine) -> None:
        self.stand = stand
        self.system = System(system_spec(machine), stand.heap)
        self.space = Timed(stand.heap.mem, stand.heap.block, self.system.cpu())

    def cost(self, play: Callable[[Any], None]) -> np.ndarray:
        """float64[4 + causes] of one operation after other code.

        Ticks, ticks until its stores are done, instructions, accesses, ticks by cause.
        """
        self.stand.other_code(self.space)
        before = self._read()
        play(self.space)
        after = self._read()
        after[1] = max(self.system.field(C_DRAIN), after[0])
        return after - before

    def _read(self) -> np.ndarray:
        fields = (C_RETIRE, C_RETIRE, C_INSTRUCTIONS, C_ACCESSES)
        counted = [self.system.field(field) for field in fields]
        return np.array([*counted, *self.system.causes()], dtype=float)


class _Times(NamedTuple):
    """Costs of an operation, a row each, and of freeing what all of them left waiting (ticks)."""

    rows: list[np.ndarray]
    deferred: list[float]


def _time_lives(stand: _Stand, machine: Machine, cgroups: int) -> dict[str, _Times]:
    """The cost of each step in the lives of some cgroups; a first round only warms the machine."""
    clock = _Clock(stand, machine)
    n_keys = stand.population.keys.size
    for step in _lives(cgroups, n_keys, stand.seed + 1):
        clock.cost(partial(stand.play, step=step))
    found: dict[str, _Times] = {}
    for step in _lives(cgroups, n_keys, stand.seed + 2):
        cost = clock.cost(partial(stand.play, step=step))
        times = found.setdefault(step.operation, _Times([], []))
        if step.what == _GRACE:
            times.deferred.append(float(cost[0]))
        else:
            times.rows.append(cost)
    return found


def _time_drop(stand: _Stand, machine: Machine, key: int) -> _Times:
    """The cost of dropping a key, on a machine that has walked the cgroups once."""
    clock = _Clock(stand, machine)
    n_cgroups = stand.residents.size
    for warm in (True, False):
        cost = clock.cost(partial(stand.drop, first=0, last=n_cgroups, key=key))
        grace = clock.cost(partial(stand.play, step=_Step("drop key", _GRACE)))
        if warm:
            for c in range(n_cgroups):
                stand.restore(clock.space, c, key)
    return _Times([cost], [float(grace[0])])


def _summed(times: _Times, machine: Machine) -> dict[str, Any]:
    """The columns of an operation's costs."""
    rows = np.array(times.rows)
    cycles = rows[:, 0] / TICKS
    row: dict[str, Any] = {
        "operations": len(rows),
        "ns": machine.ns(float(cycles.mean())),
        "cycles": float(cycles.mean()),
        "p50_ns": machine.ns(float(np.quantile(cycles, 0.5))),
        "p99_ns": machine.ns(float(np.quantile(cycles, 0.99))),
        "max_ns": machine.ns(float(cycles.max())),
        "drained_ns": machine.ns(float(rows[:, 1].mean()) / TICKS),
        "instructions": float(rows[:, 2].mean()),
        "accesses": float(rows[:, 3].mean()),
        "deferred_ns": machine.ns(sum(times.deferred) / TICKS) / len(rows),
    }
    means = rows[:, 4:].mean(axis=0) / TICKS
    return row | {f"{name}_cycles": float(v) for name, v in zip(CAUSES, means, strict=True)}
