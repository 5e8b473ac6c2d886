"""A population: cgroups with their data, installed by a design on a simulated heap."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.core.heap import Heap, grace_period, prefill
from cgsim.core.space import Native
from cgsim.designs.base import Design, get_design
from cgsim.designs.objects import CGROUP, field_offset
from cgsim.errors import UserError, out_of_range
from cgsim.kernel import Kernel, load_kernel
from cgsim.limits import COMMON, check_common
from cgsim.stage.loops import populate

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CGROUPS = int(COMMON["n_cgroups"].high)
_SAMPLE_CGROUPS = 32
_SAMPLE_KEYS = 1024
_SPARE_BYTES = 1 << 28
_LARGEST_BYTES = 1 << 35
_OF_THE_DISPATCHER = ("bpf_prog_array",)  # there for every program, whatever its data
_NOT_OF_THE_DESIGN = ("device", "kernfs_node", "request_queue", "task_struct")


@dataclass(frozen=True)
class Memory:
    """What a design's data cost, as slab rounds them (bytes, averages).

    field_bytes : the design's own fields inside struct cgroup. cgroup_bytes : what a cgroup takes
    more than without the design, apart from its entries. entry_bytes : per datum. fixed_bytes :
    once for the system.
    """

    field_bytes: int
    cgroup_bytes: float
    entry_bytes: float
    fixed_bytes: int

    def per_cgroup(self, n_keys: int) -> float:
        """Bytes of one cgroup with `n_keys` data."""
        return self.cgroup_bytes + n_keys * self.entry_bytes


@dataclass(frozen=True, eq=False)
class Population:
    """cgroups and data in place: `keys` and `cgroups` are simulated keys and addresses."""

    design: Design
    kernel: Kernel
    heap: Heap
    parameters: Any
    keys: np.ndarray
    cgroups: np.ndarray
    memory: Memory

    @property
    def native(self) -> Native:
        """The native space on this population."""
        return Native(self.heap.mem, self.heap.block)


def design_of(design: object) -> Design:
    """A design itself, or the one of that name; UserError for anything else."""
    if isinstance(design, Design):
        return design
    if not isinstance(design, str):
        raise out_of_range("design", "design", design, "the name of a design, or a Design")
    return get_design(design)


def build_population(
    design: str | Design,
    *,
    n_cgroups: int,
    n_keys: int,
    seed: int,
    kernel: str = "7.3.4",
    cpus: int = 64,
    aged: bool = True,
    prepare: Callable[[Heap], object] | None = None,
) -> Population:
    """Create cgroups, register keys and install a datum for each pair.

    Parameters
    ----------
    design : name of a design, or the design
    n_cgroups, n_keys : how many; every cgroup has a datum for every key
    seed : decides the order of installs and the place of objects in slabs
    kernel : whose offsets and code
    cpus : of the machine, by which slab sizes its slabs
    aged : objects come from slabs in random order, as after a long uptime; else from fresh slabs
    prepare : called with the heap before anything is allocated, to add caches of its own

    Raises UserError for a number out of range or a design that cannot hold so many keys.
    """
    chosen = design_of(design)
    _check(chosen, n_cgroups, n_keys)
    facts = load_kernel(kernel)
    sampled = min(n_cgroups, _SAMPLE_CGROUPS)
    objects = _objects(chosen, facts, sampled, n_keys, cpus)
    memory_bytes = _memory_bytes(_bytes_needed(chosen, facts, objects, n_cgroups, n_keys, cpus))
    heap = Heap(memory_bytes, seed=seed, cpus=cpus)
    parameters = chosen.new(heap, facts, n_keys, n_cgroups)
    if prepare is not None:
        prepare(heap)
    native = Native(heap.mem, heap.block)
    placed = [heap.live(cache) for cache in range(len(heap.caches))]
    if aged:
        for cache, (per_cgroup, _) in objects.items():
            if per_cgroup > 0:
                prefill(native, cache, math.ceil(per_cgroup * n_cgroups), seed)
    keys = np.zeros(n_keys, dtype=np.int64)
    cgroups = np.zeros(n_cgroups, dtype=np.int64)
    failed = populate(native, parameters, keys, cgroups, seed)
    if failed:
        raise UserError(
            f"design {chosen.name}: {failed} of {n_cgroups * n_keys} installs failed with "
            f"{n_cgroups} cgroups and {n_keys} keys"
        )
    for cache in range(len(heap.caches)):
        grace_period(native, cache)
    growing = {cache for cache, (per_cgroup, _) in objects.items() if per_cgroup > 0}
    memory = _account(facts, heap, parameters, placed, growing, n_cgroups, n_keys)
    return Population(chosen, facts, heap, parameters, keys, cgroups, memory)


def population_bytes(
    design: Design, *, n_cgroups: int, n_keys: int, kernel: str = "7.3.4", cpus: int = 64
) -> float:
    """About how many bytes the objects of such a population take; none is built.

    Many keys are counted by fewer, in proportion. Raises UserError as `build_population`.
    """
    _check(design, n_cgroups, n_keys)
    facts = load_kernel(kernel)
    counted = min(n_keys, _SAMPLE_KEYS)
    objects = _objects(design, facts, min(n_cgroups, _SAMPLE_CGROUPS), counted, cpus)
    needed = _bytes_needed(design, facts, objects, n_cgroups, counted, cpus)
    return needed * (n_keys / counted)


def _check(design: Design, n_cgroups: int, n_keys: int) -> None:
    check_common("population", n_cgroups=n_cgroups)
    if not 1 <= n_keys <= design.max_keys:
        raise out_of_range(
            f"design {design.name}", "n_keys", n_keys, f"1..{design.max_keys} ({design.title})"
        )


@functools.lru_cache(maxsize=256)
def _objects(
    design: Design, kernel_facts: Kernel, sampled: int, n_keys: int, cpus: int
) -> dict[int, tuple[float, int]]:
    """Cache number -> (live objects per cgroup, and besides those), from two small populations.

    What has less than one object more for each cgroup more, as a table that all share, is besides.
    """
    counts = []
    for cgroups in (sampled, 2 * sampled):
        heap = Heap(1 << 32, seed=0, cpus=cpus)
        parameters = design.new(heap, kernel_facts, n_keys, cgroups)
        before = [heap.live(cache) for cache in range(len(heap.caches))]
        addresses = np.zeros(cgroups, dtype=np.int64)
        populate(
            Native(heap.mem, heap.block), parameters, np.zeros(n_keys, dtype=np.int64), addresses, 0
        )
        counts.append([heap.live(cache) - live for cache, live in enumerate(before)])
    found = {}
    for cache, (fewer, more) in enumerate(zip(*counts, strict=True)):
        per_cgroup = (more - fewer) / sampled if more - fewer >= sampled else 0.0
        if more > 0 and heap.caches[cache].struct not in _NOT_OF_THE_DESIGN:
            found[cache] = (per_cgroup, max(fewer - round(per_cgroup * sampled), 0))
    return found


def _bytes_needed(
    design: Design,
    kernel_facts: Kernel,
    objects: dict[int, tuple[float, int]],
    n_cgroups: int,
    n_keys: int,
    cpus: int,
) -> float:
    """Bytes of a population's objects; the strides are those of the caches for so many cgroups."""
    heap = Heap(1 << 32, seed=0, cpus=cpus)
    design.new(heap, kernel_facts, n_keys, n_cgroups)
    return sum(
        (per_cgroup * n_cgroups + besides)
        * heap.caches[cache].slab_bytes
        / heap.caches[cache].objects_per_slab
        for cache, (per_cgroup, besides) in objects.items()
    )


def _memory_bytes(needed: float) -> int:
    memory_bytes = _SPARE_BYTES + int(1.5 * needed)
    if memory_bytes > _LARGEST_BYTES:
        raise UserError(
            f"the population needs {needed / 2**30:.1f} GiB of simulated memory; "
            f"allowed: {_LARGEST_BYTES / 1.5 / 2**30:.0f} GiB"
        )
    return memory_bytes + (1 << 32)


def _account(
    kernel: Kernel,
    heap: Heap,
    parameters: Any,
    placed: list[int],
    growing: set[int],
    n_cgroups: int,
    n_keys: int,
) -> Memory:
    """The design's share of the heap, by cache.

    placed : live objects by cache before there was a cgroup. growing : the caches with objects for
    each cgroup; what is in others is there once.
    """
    bare = Heap(1 << 26, seed=0, cpus=heap.cpus)
    bare_stride = bare.caches[bare.add_cache(CGROUP, field_offset(kernel))].stride_bytes
    per_cgroup = 0.0
    entry = 0.0
    field = 0
    fixed = sum(
        cache.object_bytes
        for cache in heap.caches
        if cache.struct.startswith("global:") and cache.struct != "global:ids"
    )
    for number, cache in enumerate(heap.caches):
        live = heap.live(number) - placed[number]
        if cache.struct in (*_NOT_OF_THE_DESIGN, *_OF_THE_DISPATCHER) or live == 0:
            continue
        if cache.struct.startswith("percpu:"):
            continue
        if number == parameters.value_cache:
            entry += live * cache.stride_bytes / (n_cgroups * n_keys)
        elif cache.struct == CGROUP:
            field = max(cache.object_bytes - field_offset(kernel), 0)
            per_cgroup += cache.stride_bytes - bare_stride
        elif number in growing:
            per_cgroup += live * cache.stride_bytes / n_cgroups
        else:
            fixed += live * cache.stride_bytes
    return Memory(field, per_cgroup, entry, fixed)
