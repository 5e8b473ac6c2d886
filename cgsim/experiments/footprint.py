"""What a design's data take, with regular and with percpu data.

A percpu datum is a pointer, in the place of the datum, to an area with a copy for every possible
CPU. Designs that are percpu by themselves (a percpu hash map) have areas of their own.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.core.heap import Heap
from cgsim.core.space import Native
from cgsim.designs.base import Design, get_design
from cgsim.errors import UserError
from cgsim.kernel import load_kernel
from cgsim.limits import COMMON
from cgsim.stage.loops import populate
from cgsim.stage.population import build_population

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = ("regular", "percpu")
VALUE_BYTES, POINTER_BYTES = 16, 8
_DEVICE = "device"
_SMALLEST_AREA_BYTES = 8


def own_areas(design: Design, kernel: str = "7.3.4") -> list[int]:
    """Numbers of the slab caches that stand for a design's own percpu areas; [] if it has none."""
    heap = Heap(1 << 28, seed=0)
    design.new(heap, load_kernel(kernel))
    return [
        number
        for number, cache in enumerate(heap.caches)
        # a percpu variable is placed by itself and lives from the start
        if cache.struct.startswith("percpu:") and number > 0 and heap.live(number) == 0
    ]


def ways(design: Design) -> tuple[str, ...]:
    """Which of `DATA` a design can hold."""
    if own_areas(design):
        return ("percpu",)
    return DATA if "value_bytes" in inspect.signature(design.prepare).parameters else ("regular",)


def holding(design: Design, data: str) -> Design:
    """The design with data of that kind.

    Raises UserError if it cannot hold them.
    """
    if data not in (allowed := ways(design)):
        raise UserError(
            f"design {design.name}: data = {data!r} is not allowed; allowed: {', '.join(allowed)}"
        )
    if data == "regular" or own_areas(design):
        return design
    return replace(design, options={**design.options, "value_bytes": POINTER_BYTES})


def memory_cost(
    designs: Sequence[str | Design],
    *,
    possible_cpus: int,
    n_keys: int = 8,
    kernel: str = "7.3.4",
) -> pd.DataFrame:
    """Bytes of data of 16 bytes each, as slab rounds them, with each design.

    Parameters
    ----------
    designs : names, or `Design`s; each must hold `n_keys` keys
    possible_cpus : nr_possible_cpus, 1 to 8192: copies of a percpu datum
    n_keys : data of each cgroup
    kernel : whose offsets

    Returns
    -------
    DataFrame, one row per design and kind of data: design, data, possible_cpus, n_keys,
    `field_bytes` in struct cgroup itself; `cgroup_bytes` that a cgroup takes more than without the
    design, but for its entries; `entry_bytes` per datum, `percpu_bytes` of a datum's copies on all
    CPUs; `key_bytes` once per key; `fixed_bytes` once for the system; `total_bytes` of a cgroup
    with all its data.

    Raises UserError for a bad argument.
    """
    COMMON["cpus"].check("memory_cost", "possible_cpus", possible_cpus)
    chosen = [get_design(given) if isinstance(given, str) else given for given in designs]
    return pd.DataFrame(
        [
            _row(holding(design, data), data, possible_cpus, n_keys, kernel)
            for design in chosen
            for data in ways(design)
        ]
    )


def _row(design: Design, data: str, cpus: int, n_keys: int, kernel: str) -> dict[str, Any]:
    population = build_population(
        design,
        # so many that what there is once per key is not taken for something of each cgroup
        n_cgroups=2 * n_keys + 32,
        n_keys=n_keys,
        seed=1,
        kernel=kernel,
        cpus=cpus,
        aged=False,
    )
    memory = population.memory
    areas = 0.0
    if data == "percpu":
        sizes = [population.heap.caches[number].object_bytes for number in own_areas(design)]
        area = sum(sizes) or VALUE_BYTES
        areas = float(cpus * max(-(-area // 8) * 8, _SMALLEST_AREA_BYTES))
    return {
        "design": design.name,
        "data": data,
        "possible_cpus": cpus,
        "n_keys": n_keys,
        "field_bytes": memory.field_bytes,
        "cgroup_bytes": memory.cgroup_bytes,
        "entry_bytes": memory.entry_bytes,
        "percpu_bytes": areas,
        "key_bytes": _key_bytes(design, n_keys, kernel, cpus),
        "fixed_bytes": memory.fixed_bytes,
        "total_bytes": memory.per_cgroup(n_keys) + n_keys * areas,
    }


def _key_bytes(design: Design, n_keys: int, kernel: str, cpus: int) -> float:
    """What the design allocates when a key is registered.

    Left out are the driver's own device, and data that are there from then on (an array's).
    """
    heap = Heap(1 << 32, seed=0, cpus=cpus)
    parameters = design.new(heap, load_kernel(kernel), n_keys)
    numbers = range(len(heap.caches))
    before = [heap.live(number) for number in numbers]
    none = np.zeros(0, dtype=np.int64)
    populate(Native(heap.mem, heap.block), parameters, np.zeros(n_keys, dtype=np.int64), none, 0)
    data = {parameters.value_cache, *own_areas(design, kernel)}
    grown = sum(
        (heap.live(number) - before[number]) * heap.caches[number].stride_bytes
        for number in numbers
        if heap.caches[number].struct != _DEVICE and number not in data
    )
    return grown / n_keys
