"""The operations of a design's upkeep, and the lives in which they are played.

Some cgroups stay (residents) while others are created, filled, change a datum and are torn down. A
step is one operation on one cgroup and key, in any reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.heap import grace_period
from cgsim.core.percpu_areas import NO_AREAS, Percpu, add_areas, give_area, take_area
from cgsim.core.rng import random_bits, random_permutation
from cgsim.core.space import load, pause, store, touch_lines
from cgsim.designs.base import Design, create, drop, insert, lookup, put, remove, teardown
from cgsim.errors import UserError
from cgsim.experiments.footprint import VALUE_BYTES, own_areas
from cgsim.stage.loops import compiled_for
from cgsim.stage.population import build_population

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cgsim.core.heap import Heap
    from cgsim.machines import Machine
    from cgsim.stage.population import Population

OPERATIONS = ("create", "first install", "install", "remove", "teardown", "drop key")
CREATE, INSTALL, REMOVE, TEARDOWN, GRACE = range(5)


@njit
def _operate(space, design, what, cgroups, first, last, key, link):
    """One operation on each of cgroups[first:last], which `CREATE` overwrites.

    link : offset of the word through which the next cgroup is found, -1 if none is looked for.
    Returns the last cgroup created or datum installed, 0 for want of simulated memory.
    """
    token = 0
    answer = 1
    for i in range(first, last):
        if link >= 0:
            _, token = load(space, cgroups[i] + link, 8, token)
        if what == CREATE:
            answer = cgroups[i] = create(space, design)
        elif what == INSTALL:
            answer = insert(space, design, cgroups[i], key, token)
        elif what == REMOVE:
            remove(space, design, cgroups[i], key, token)
        else:
            teardown(space, design, cgroups[i], token)
    return answer


@njit
def _drop(space, design, key):
    """The owner of a key goes; returns how many data its list led to."""
    return drop(space, design, key, 0)


@njit
def _visit(space, design, cgroups, key):
    """Look a key up in each of some cgroups."""
    for c in range(cgroups.size):
        datum, token = lookup(space, design, cgroups[c], key, 0, 0)
        put(space, design, datum, token)


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


class Step(NamedTuple):
    """One operation on one cgroup and key; `what` is `GRACE` for the end of a grace period, which
    frees what the operations of that name left waiting."""

    operation: str
    what: int
    cgroup: int = 0
    key: int = 0


def lives(cgroups: int, n_keys: int, seed: int) -> Iterator[Step]:
    """The lives of some cgroups: created, filled, one datum replaced, torn down."""
    orders = [random_permutation(n_keys, seed, c).tolist() for c in range(cgroups)]
    for c, order in enumerate(orders):
        yield Step("create", CREATE, c)
        for i, key in enumerate(order):
            yield Step("install" if i else "first install", INSTALL, c, key)
    yield Step("install" if n_keys > 1 else "first install", GRACE)
    for c, order in enumerate(orders):
        yield Step("remove", REMOVE, c, order[n_keys // 2])
    yield Step("remove", GRACE)
    for c, order in enumerate(orders):
        yield Step("install" if n_keys > 1 else "first install", INSTALL, c, order[n_keys // 2])
    for c in range(cgroups):
        yield Step("teardown", TEARDOWN, c)
    yield Step("teardown", GRACE)


class Stand:
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
        self.operate = compiled_for(_operate, type(population.parameters))

    def play(self, space: Any, step: Step) -> None:
        """One step."""
        if step.what == GRACE:
            _grace(space, len(self.heap.caches))
            return
        pointers = self.percpu.cpus != 0
        if pointers and step.what in (REMOVE, TEARDOWN):
            self._empty_areas(space, step)
        key = int(self.population.keys[step.key])
        datum = self._operate(space, step.what, self.cgroups, step.cgroup, step.cgroup + 1, key)
        if pointers and step.what == INSTALL:
            _fill_areas(space, self.percpu, datum)

    def _empty_areas(self, space: Any, step: Step) -> None:
        keys = self.population.keys
        first, last = (step.key, step.key + 1) if step.what == REMOVE else (0, keys.size)
        parameters = self.population.parameters
        loop = compiled_for(_empty_areas, type(parameters))
        loop(space, parameters, self.percpu, self.cgroups[step.cgroup], keys, first, last)

    def drop(self, space: Any, first: int, last: int, key: int) -> None:
        """Remove a key's data from some cgroups of the population, one after the other."""
        key = int(self.population.keys[key])
        self._operate(space, REMOVE, self.residents, first, last, key, self.link)

    def drop_by_list(self, space: Any, key: int) -> int:
        """The owner of a key takes away what its list leads to; returns how many data."""
        loop = compiled_for(_drop, type(self.population.parameters))
        return int(loop(space, self.population.parameters, int(self.population.keys[key])))

    def visit(self, space: Any, key: int) -> None:
        """Look a key up in every cgroup of the population."""
        loop = compiled_for(_visit, type(self.population.parameters))
        key = int(self.population.keys[key])
        loop(space, self.population.parameters, self.residents, key)

    def vacate(self, space: Any) -> None:
        """Tear down the cgroups that come and go: they were built to make room for them."""
        for number in range(self.cgroups.size):
            self._operate(space, TEARDOWN, self.cgroups, number, number + 1, 0)
        _grace(space, len(self.heap.caches))

    def restore(self, space: Any, cgroup: int, key: int) -> None:
        """Install a key's datum again in a cgroup of the population."""
        key = int(self.population.keys[key])
        self._operate(space, INSTALL, self.residents, cgroup, cgroup + 1, key)

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
        answer = int(self.operate(space, *arguments))
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


def new_stand(
    design: Design,
    machine: Machine,
    kernel: str,
    n_cgroups: int,
    n_keys: int,
    data: str,
    lines: int,
    samples: int,
    seed: int,
) -> Stand:
    """A design with residents, and `samples` more cgroups that come and go.

    data : "regular" or "percpu". lines : cache lines that other code walks through before a step.
    """
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
    return Stand(population, samples, places["ring"], lines, places["percpu"], seed)
