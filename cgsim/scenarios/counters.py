"""Scenarios of counters, array maps, and trees without an idr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.heap import allocate
from cgsim.designs import array_map, xarray
from cgsim.scenarios.base import KEY, NEITHER, OWNER, Call, add_scenario
from cgsim.scenarios.counter_ops import PageCounter, PercpuCounter
from cgsim.scenarios.lookups import filled, id_of_depth, registered

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel


def write_field(heap: Heap, address: int, size: int, value: int) -> None:
    """Write an aligned field of `size` < 8 bytes, for set-up."""
    shift = 8 * (address & 7)
    word = heap.read(address & ~7) & ~((1 << 8 * size) - 1 << shift)
    heap.write(address & ~7, word | value << shift)


def preempt_count(heap: Heap, kernel: Kernel) -> tuple[int, int]:
    """The address of this CPU's preemption count and the bytes of an access to it."""
    if kernel.series == "6.12":
        return heap.place("percpu:pcpu_hot", 64) + 8, 4
    return heap.place("percpu:__preempt_count", 64), 8


def page_counter_fields(kernel: Kernel) -> PageCounter:
    """The offsets and counts of page_counter_try_charge."""
    old = kernel.series == "6.12"
    return PageCounter(
        -1 if old else 129,
        192 if old else 128,
        kernel.offset("page_counter", "max"),
        kernel.offset("page_counter", "local_watermark"),
        kernel.offset("page_counter", "watermark"),
        kernel.offset("page_counter", "parent"),
        23 if old else 26,
        11,
    )


# --- xarray, radix tree --------------------------------------------------------------------------


def _tree(kind: str, heap: Heap, space: Native, kernel: Kernel, depth: int) -> Call:
    design = xarray.prepare(heap, kernel, kind=kind, owner="xarray")
    if depth > 0:
        key = id_of_depth(depth)
        return Call(design, filled(space, design, np.array([key])), key, OWNER)
    # a single entry at index 0 stands in the root itself
    owner = filled(space, design, np.zeros(0, dtype=np.int64))
    heap.write(owner + design.tree.head_offset, int(allocate(space, design.value_cache, 0)[0]))
    return Call(design, owner, 0, OWNER)


for _kind, _function in (("xarray", "xa_load"), ("radix", "radix_tree_lookup")):
    add_scenario(
        pattern=f"{_kind}/depth=N",
        explanation=f"{_kind}, N levels deep (0: a single entry in the root)",
        mirrors=f"{_function}, lib/{'xarray' if _kind == 'xarray' else 'radix-tree'}.c",
        build=lambda heap, space, kernel, number, kind=_kind: _tree(
            kind, heap, space, kernel, number
        ),
        functions=_function,
        rows=f"{_function} (hit |on the tree .*)depth{{n}}",
        smallest=0,
        largest=10,
    )

# --- array maps ----------------------------------------------------------------------------------

_INDEX, _ENTRIES, _ELEMENT_BYTES = 40, 64, 64


def _array(heap: Heap, space: Native, kernel: Kernel, percpu: bool) -> Call:
    design = array_map.prepare(
        heap, kernel, percpu=percpu, inlined=False, entries=_ENTRIES, value_bytes=_ELEMENT_BYTES
    )
    table = registered(space, design, 1)
    cgroup = filled(space, design, np.zeros(0, dtype=np.int64))
    write_field(heap, cgroup + design.id_offset, 4, _INDEX)
    return Call(design, cgroup, int(table[0]), KEY)


add_scenario(
    pattern="array",
    explanation="BPF array map: the element's address is computed from the map's header",
    mirrors="array_map_lookup_elem, kernel/bpf/arraymap.c",
    build=lambda heap, space, kernel, number: _array(heap, space, kernel, False),
    functions="array_map_lookup_elem",
    rows="hit$",
)
add_scenario(
    pattern="percpu-array",
    explanation="BPF percpu array map: the slot's percpu pointer and this CPU's offset",
    mirrors="percpu_array_map_lookup_elem, kernel/bpf/arraymap.c",
    build=lambda heap, space, kernel, number: _array(heap, space, kernel, True),
    functions="percpu_array_map_lookup_elem",
    rows="hit$",
)

# --- counters ------------------------------------------------------------------------------------

_BATCH = 32


def _percpu_counter(heap: Heap, kernel: Kernel, amount: int) -> Call:
    counter = heap.place("percpu_counter", kernel.size("percpu_counter"))
    counters = kernel.offset("percpu_counter", "counters")
    heap.write(counter + counters, heap.place("percpu_s32", 64))
    old = kernel.series == "6.12"
    parameters = PercpuCounter(
        _BATCH,
        *preempt_count(heap, kernel),
        kernel.offset("percpu_counter", "count"),
        counters,
        int(old),
        19 if old else 20,
        47 if old else 48,
    )
    return Call(parameters, counter, amount, NEITHER)


for _name, _amount, _text, _row in (
    ("below", 0, "below the batch: one addition to this CPU's part", "below batch"),
    (
        "at-batch",
        _BATCH,
        "at the batch: fold into the shared count under its lock",
        "reaches batch",
    ),
):
    add_scenario(
        pattern=f"percpu-counter/{_name}",
        explanation=f"percpu counter {_text}",
        mirrors="percpu_counter_add_batch, lib/percpu_counter.c",
        build=lambda heap, space, kernel, number, amount=_amount: _percpu_counter(
            heap, kernel, amount
        ),
        functions="percpu_counter_add_batch",
        rows=_row,
    )


def _page_counter(heap: Heap, space: Native, kernel: Kernel, levels: int) -> Call:
    cache = heap.add_cache("page_counter", kernel.size("page_counter"))
    parent = kernel.offset("page_counter", "parent")
    counter = 0
    for _ in range(levels):
        child = int(allocate(space, cache, 0)[0])
        if child == 0:
            raise MemoryError("the simulated memory is exhausted")
        heap.write(child + parent, counter)
        heap.write(child + kernel.offset("page_counter", "max"), (1 << 63) - 1)
        counter = child
    return Call(page_counter_fields(kernel), counter, 1, NEITHER)


add_scenario(
    pattern="page-counter/levels=N",
    explanation="charge one page to a counter and its ancestors, N levels in all",
    mirrors="page_counter_try_charge, mm/page_counter.c",
    build=_page_counter,
    functions="page_counter_try_charge",
    rows="try_charge, {n} levels",
)
