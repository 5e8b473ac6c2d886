"""Scenarios of counters, array maps, and trees without an idr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.heap import allocate
from cgsim.designs import xarray
from cgsim.scenarios.base import NEITHER, OWNER, Call, add_scenario
from cgsim.scenarios.counter_ops import ArrayLookup, PageCounter, PercpuCounter
from cgsim.scenarios.lookups import filled, id_of_depth

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel


def _write_u32(heap: Heap, address: int, value: int) -> None:
    shift = 8 * (address & 4)
    word = heap.read(address & ~7) & ~(0xFFFFFFFF << shift)
    heap.write(address & ~7, word | value << shift)


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
        rows=f"{_function} hit depth{{n}}",
        smallest=0,
        largest=10,
    )

# --- array maps ----------------------------------------------------------------------------------

_INDEX, _ENTRIES, _ELEMENT_BYTES = 40, 64, 64


def _array(heap: Heap, kernel: Kernel, percpu: bool) -> Call:
    value = kernel.offset("bpf_array", "value")
    array = heap.place("bpf_array", value + _ENTRIES * _ELEMENT_BYTES)
    parameters = ArrayLookup(
        heap.place("keybuf", 64),
        heap.place("percpu:this_cpu_off", 64) if percpu else 0,
        kernel.offset("bpf_map", "max_entries"),
        kernel.offset("bpf_array", "elem_size"),
        kernel.offset("bpf_array", "index_mask"),
        value,
    )
    _write_u32(heap, parameters.key_buffer, _INDEX)
    _write_u32(heap, array + parameters.max_entries_offset, _ENTRIES)
    _write_u32(heap, array + parameters.elem_size_offset, _ELEMENT_BYTES)
    _write_u32(heap, array + parameters.index_mask_offset, _ENTRIES - 1)
    if percpu:
        heap.write(array + value + 8 * _INDEX, heap.place("percpu:array_value", 64))
    return Call(parameters, array, 0, OWNER)


add_scenario(
    pattern="array",
    explanation="BPF array map: the element's address is computed from the map's header",
    mirrors="array_map_lookup_elem, kernel/bpf/arraymap.c",
    build=lambda heap, space, kernel, number: _array(heap, kernel, False),
    functions="array_map_lookup_elem",
    rows="hit$",
)
add_scenario(
    pattern="percpu-array",
    explanation="BPF percpu array map: the slot's percpu pointer and this CPU's offset",
    mirrors="percpu_array_map_lookup_elem, kernel/bpf/arraymap.c",
    build=lambda heap, space, kernel, number: _array(heap, kernel, True),
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
    preempt = heap.place("percpu:pcpu_hot" if old else "percpu:__preempt_count", 64)
    parameters = PercpuCounter(
        _BATCH,
        preempt + 8 if old else preempt,
        4 if old else 8,
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
    old = kernel.series == "6.12"
    parameters = PageCounter(
        -1 if old else 129,
        192 if old else 128,
        kernel.offset("page_counter", "max"),
        kernel.offset("page_counter", "local_watermark"),
        kernel.offset("page_counter", "watermark"),
        parent,
        23 if old else 26,
        11,
    )
    return Call(parameters, counter, 1, NEITHER)


add_scenario(
    pattern="page-counter/levels=N",
    explanation="charge one page to a counter and its ancestors, N levels in all",
    mirrors="page_counter_try_charge, mm/page_counter.c",
    build=_page_counter,
    functions="page_counter_try_charge",
    rows="try_charge, {n} levels",
)
