"""Array: BPF array maps, one map per key, an element for every cgroup; plain and percpu.

Mirrors `array_map_lookup_elem` and `percpu_array_map_lookup_elem` (kernel/bpf/arraymap.c), and what
the verifier puts in their place (`inlined`: array_map_gen_lookup, percpu_array_map_gen_lookup),
where all of the map's header that a lookup needs is a constant of the program. The index is the id
of the cgroup's css, which an idr keeps small and gives to the next cgroup once it is free: nothing
clears the elements then but user space, as teardown does here. The map is allocated whole when it
is made (`entries`), and nothing is ever absent: a lookup in range answers with an element.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release
from cgsim.core.space import compute, join, load, peek, poke, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import free_id, reused_id
from cgsim.designs.objects import cgroup_cache

MAX_MAPS = 64
# Instructions besides accesses, and branches, by (percpu, inlined): those of the functions are
# recorded, those of the inlined forms counted from the instructions that the verifier emits.
_CODE = {(0, 0): (6, 1), (1, 0): (4, 1), (0, 1): (7, 1), (1, 1): (7, 1)}


class ArrayMap(NamedTuple):
    """Parameters of the array designs: caches, addresses and offsets in bytes, counts."""

    cgroup_cache: int
    value_cache: int  # the map with its elements; percpu: an element
    map_cache: int
    maps: int  # simulated address of a count and the maps' addresses
    ids: int
    css_ids: int
    entries: int
    element_bytes: int
    key_buffer: int
    cpu_offset: int  # simulated address of percpu this_cpu_off; 0: the shared form
    id_offset: int  # of the css' id in the cgroup
    reads_id: int  # the program's reading of the id is part of a lookup
    max_entries_offset: int
    elem_size_offset: int
    index_mask_offset: int
    elements_offset: int
    datum_offset: int
    inlined: int
    work: int
    branches: int


def prepare(heap, kernel, *, percpu=False, inlined=True, entries=128, value_bytes=16):
    """`entries`: cgroups that a map has room for.

    inlined : as the verifier has it, in a program that reads the cgroup's id itself; False: the
    mirrored function alone, the id in the caller's key buffer.
    """
    elements = kernel.offset("bpf_array", "value")
    stride = -(-value_bytes // 8) * 8
    size = elements + entries * (8 if percpu else stride)
    maps = heap.add_cache("bpf_array", size)
    return ArrayMap(
        cgroup_cache(heap, kernel, 0),
        heap.add_cache("percpu:array_value", stride) if percpu else maps,
        maps,
        heap.place("global:map_idr", 8 * (MAX_MAPS + 1)),
        heap.place("global:ids", 64),
        heap.place("global:ids", 8 * (entries + 2)),
        entries,
        stride,
        heap.place("keybuf", 64),
        heap.place("percpu:this_cpu_off", 64) if percpu else 0,
        kernel.offset("cgroup", "self.id"),
        int(inlined),
        kernel.offset("bpf_map", "max_entries"),
        kernel.offset("bpf_array", "elem_size"),
        kernel.offset("bpf_array", "index_mask"),
        elements,
        0,
        int(inlined),
        *_CODE[int(percpu), int(inlined)],
    )


@njit
def register(space, design):
    """The key is the address of a new map; percpu maps get all their elements with it."""
    count = peek(space, design.maps, 8)
    if count == MAX_MAPS:
        return 0
    table, _ = allocate(space, design.map_cache, 0)
    if table == 0:
        return 0
    poke(space, design.maps, 8, count + 1)
    poke(space, design.maps + 8 * (count + 1), 8, table)
    mask = 1
    while mask < design.entries:
        mask *= 2
    poke(space, table + design.max_entries_offset, 4, design.entries)
    poke(space, table + design.elem_size_offset, 4, design.element_bytes)
    poke(space, table + design.index_mask_offset, 4, mask - 1)
    if design.cpu_offset != 0:
        for index in range(design.entries):
            element, _ = allocate(space, design.value_cache, 0)
            if element == 0:
                return 0
            poke(space, table + design.elements_offset + 8 * index, 8, element)
    return table


@njit
def create(space, design):
    """A cgroup whose css has an id."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    if cgroup != 0:
        store(space, cgroup + design.id_offset, 4, reused_id(space, design.css_ids), token, 0)
    return cgroup


@njit
def look_up(space, design, table, index, token):
    """The element of the index that stands in the caller's key buffer."""
    _, index_token = load(space, design.key_buffer, 4, 0)
    work(space, design.work, design.branches)
    slots = table + design.elements_offset
    mask_token = token
    size_token = token
    if design.inlined == 0:
        entries, _ = load(space, table + design.max_entries_offset, 4, token)
        if design.cpu_offset == 0:
            _, size_token = load(space, table + design.elem_size_offset, 4, token)
        _, mask_token = load(space, table + design.index_mask_offset, 4, token)
    else:
        entries = design.entries
    if index >= entries:
        return 0, 0
    where = join(space, index_token, mask_token)
    if design.cpu_offset == 0:
        where = compute(space, where, 1, 0, 0)
        where = compute(space, join(space, where, size_token), 1, 1 - design.inlined, 0)
        return slots + index * design.element_bytes, where
    where = compute(space, where, 1, 0, 1)
    element, element_token = load(space, slots + 8 * index, 8, where)
    offset, offset_token = load(space, design.cpu_offset, 8, 0)
    return element + offset, compute(space, join(space, element_token, offset_token), 1, 0, 0)


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The cgroup's element of the map `key`."""
    if design.reads_id != 0:
        index, index_token = load(space, cgroup + design.id_offset, 4, token)
        store(space, design.key_buffer, 4, index, 0, index_token)
    else:
        index = peek(space, cgroup + design.id_offset, 4)
        poke(space, design.key_buffer, 4, index)
    return look_up(space, design, key, index, key_token)


@njit
def _element(space, design, table, index):
    if design.cpu_offset == 0:
        return table + design.elements_offset + index * design.element_bytes
    return peek(space, table + design.elements_offset + 8 * index, 8)


@njit
def insert(space, design, cgroup, key, token):
    """Update: the element is there, its value is copied; 0 if the map has none for the cgroup."""
    index = peek(space, cgroup + design.id_offset, 4)
    if index >= design.entries:
        return 0
    element = _element(space, design, key, index)
    work(space, 30, 4)
    for offset in range(0, design.element_bytes, 8):
        store(space, element + offset, 8, 0, token, 0)
    return element


@njit
def remove(space, design, cgroup, key, token):
    """An array cannot delete: the element is cleared and stays."""
    return insert(space, design, cgroup, key, token) != 0


@njit
def teardown(space, design, cgroup, token):
    """Clear the cgroup's element in every map, give its id back, free the cgroup."""
    for i in range(peek(space, design.maps, 8)):
        remove(space, design, cgroup, peek(space, design.maps + 8 * (i + 1), 8), token)
    index = peek(space, cgroup + design.id_offset, 4)
    if index < design.entries:
        free_id(space, design.css_ids, index)
    release(space, design.cgroup_cache, cgroup, token)


def _variant(name, title, mirrors, chain, percpu):
    return add_design(
        Design(
            name=name,
            title=title,
            mirrors=mirrors,
            parameters=ArrayMap,
            prepare=prepare,
            register=register,
            create=create,
            insert=insert,
            lookup=lookup,
            remove=remove,
            teardown=teardown,
            reader_side="none",
            max_keys=MAX_MAPS,
            checks_presence=False,
            sized_by_cgroups=True,
            options={"percpu": percpu},
            loads_to_datum=chain,
        )
    )


DESIGN = _variant(
    "array",
    "BPF array map, one element per cgroup",
    "array_map_gen_lookup, kernel/bpf/arraymap.c",
    "cgroup.id -> datum (its address is computed)",
    False,
)
PERCPU = _variant(
    "percpu-array",
    "BPF percpu array map",
    "percpu_array_map_gen_lookup, kernel/bpf/arraymap.c",
    "cgroup.id -> map.pptrs[id] -> datum (this CPU's)",
    True,
)
