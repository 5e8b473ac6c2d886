"""What one lookup touches: its traced reading, with objects and fields named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgsim.core import traced
from cgsim.core.host_memory import address_of
from cgsim.core.space import Traced
from cgsim.designs.base import Design
from cgsim.kernel_fields import field_name
from cgsim.stage.loops import READ_DATUM, THROUGHPUT, Harness, run_lookups
from cgsim.stage.population import Population, build_population, design_of

LINE_BYTES = 64
_ACCESSES = 4096
_NO_HARNESS = Harness(instructions=0, ticks=0, chain=0)


@dataclass(frozen=True)
class Object:
    """An object that a lookup touches. `address`: simulated; `size_bytes`: of the C struct."""

    struct: str
    address: int
    size_bytes: int


@dataclass(frozen=True)
class Touch:
    """One access, in program order.

    owner : index of the object. offset, size : bytes in it. line : number of the cache line,
    address // 64. field : its name, "" if none is known. deps : indices of the touches whose value
    forms the address.
    """

    operation: str
    owner: int
    offset: int
    size: int
    line: int
    field: str
    deps: tuple[int, ...]


@dataclass(frozen=True)
class Anatomy:
    """One lookup and the read of the datum it finds, which is the last touch."""

    design: Design
    n_keys: int
    objects: tuple[Object, ...]
    touches: tuple[Touch, ...]

    @property
    def lines(self) -> int:
        """Different cache lines touched, the datum's included."""
        return len({touch.line for touch in self.touches})

    def depths(self) -> tuple[int, ...]:
        """For each touch, how many dependent accesses lead to it, itself included."""
        depths: list[int] = []
        for touch in self.touches:
            depths.append(1 + max((depths[d] for d in touch.deps), default=0))
        return tuple(depths)

    @property
    def chain(self) -> int:
        """Dependent loads from the start to the datum, the datum's included."""
        return self.depths()[-1]


def anatomy(
    design: str | Design, *, n_keys: int = 4, kernel: str = "7.3.4", seed: int = 1
) -> Anatomy:
    """Record a lookup of each of `n_keys` keys in one cgroup; the median one by accesses.

    Raises UserError for an unknown design or kernel, or too many keys for the design.
    """
    chosen = design_of(design)
    population = build_population(
        chosen, n_cgroups=1, n_keys=n_keys, seed=seed, kernel=kernel, cpus=1, aged=False
    )
    records = [_record(population, key) for key in range(n_keys)]
    records.sort(key=lambda record: len(record.accesses))
    return _resolve(population, records[n_keys // 2], n_keys)


def _record(population: Population, key: int) -> traced.Record:
    """One lookup of the key's number, and a read of the datum, in the traced reading."""
    log = traced.new_log(_ACCESSES)
    space = Traced(population.heap.mem, population.heap.block, address_of(log))
    order = np.array([[0, key]], dtype=np.int64)
    arguments = (order, THROUGHPUT, READ_DATUM, _NO_HARNESS)
    run_lookups(space, population.parameters, population.cgroups, population.keys, *arguments)
    return traced.parse(log)


def _resolve(population: Population, record: traced.Record, n_keys: int) -> Anatomy:
    """Name the objects and fields of a record, objects in the order of their first touch."""
    heap = population.heap
    objects: dict[int, Object] = {}
    numbers: dict[int, int] = {}
    touches = []
    last = len(record.accesses) - 1
    for index, access in enumerate(record.accesses):
        cache, number, slab, offset = heap.resolve(access.address)
        facts = heap.caches[cache]
        start = slab + number * facts.stride_bytes
        if start not in objects:
            numbers[start] = len(objects)
            objects[start] = Object(facts.struct, start, facts.object_bytes)
        name = field_name(population.kernel, facts.struct, offset, access.size) or ""
        touches.append(
            Touch(
                operation=access.operation,
                owner=numbers[start],
                offset=offset,
                size=access.size,
                line=access.address // LINE_BYTES,
                field="datum" if index == last else name,
                deps=access.deps,
            )
        )
    return Anatomy(population.design, n_keys, tuple(objects.values()), tuple(touches))
