"""Cgroup storage: what BPF then shipped. Attach ties a buffer per cgroup to the program.

Mirrors `bpf_get_local_storage` (kernel/bpf/cgroup.c) for BPF_MAP_TYPE_CGROUP_STORAGE, shared or
percpu: the dispatcher leaves the program's array item in the run context, from there storage,
buffer, data. No search, but a chain of five loads that starts at the running task. `percpu` adds
this CPU's offset to the buffer's.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release, retire
from cgsim.core.space import compute, join, load, peek, poke, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import new_id
from cgsim.designs.objects import cgroup_cache, running_task

_MAX_PROGRAMS = 64  # BPF_CGROUP_MAX_PROGS
# bpf_get_local_storage: 11 instructions, 6 of them loads (percpu: 7), 1 a branch.
_INSTRUCTIONS, _BRANCHES = 11, 1


class CgroupStorage(NamedTuple):
    """Parameters of the cgroup storage design: caches, addresses and offsets in bytes."""

    cgroup_cache: int
    storage_cache: int
    value_cache: int
    array_cache: int
    current: int
    map: int
    map_type_offset: int
    context_offset: int
    run_context: int
    effective_offset: int
    items_offset: int
    item_bytes: int
    item_storage_offset: int
    data_offset: int
    cpu_offset: int  # simulated address of percpu this_cpu_off; 0: shared
    ids: int
    programs: int
    datum_offset: int


def prepare(heap, kernel, *, percpu=False, value_bytes=16, keys=_MAX_PROGRAMS):
    """The caches of storages and buffers, the run context and the map of one program type.

    `keys`: programs attached to a cgroup; its array of effective programs has a NULL item behind.
    """
    task = running_task(heap, kernel)
    item = kernel.size("bpf_prog_array_item")
    run_context = heap.place("bpf_cg_run_ctx", kernel.size("bpf_cg_run_ctx"))
    heap.write(task.task + kernel.offset("task_struct", "bpf_ctx"), run_context)
    header = 0 if percpu else kernel.size("bpf_storage_buffer")
    buffers = "percpu:cgroup_storage" if percpu else "bpf_storage_buffer"
    array = kernel.size("bpf_prog_array") + item * (keys + 1)
    return CgroupStorage(
        cgroup_cache(heap, kernel, 0),
        heap.add_cache("bpf_cgroup_storage", kernel.size("bpf_cgroup_storage")),
        heap.add_cache(buffers, header + value_bytes),
        heap.add_cache("bpf_prog_array", array),
        task.current,
        heap.place("bpf_cgroup_storage_map", 512),
        kernel.offset("bpf_map", "map_type"),
        kernel.offset("task_struct", "bpf_ctx"),
        run_context,
        kernel.offset("cgroup", "bpf.effective"),
        kernel.offset("bpf_prog_array", "items"),
        item,
        kernel.offset("bpf_prog_array_item", "cgroup_storage") + (8 if percpu else 0),
        # percpu data has no header; the buffer stands for this CPU's copy
        header,
        heap.place("percpu:this_cpu_off", 64) if percpu else 0,
        heap.place("global:ids", 64),
        keys,
        0,
    )


@njit
def register(space, design):
    """The key is the program's place in the array of effective programs."""
    return new_id(space, design.ids)


@njit
def create(space, design):
    """A cgroup with an empty array of programs."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    if cgroup == 0:
        return 0
    array, array_token = allocate(space, design.array_cache, token)
    if array == 0:
        return 0
    store(space, cgroup + design.effective_offset, 8, array, token, array_token)
    return cgroup


@njit(forceinline=True)
def _item(space, design, cgroup, key):
    array = peek(space, cgroup + design.effective_offset, 8)
    return array + design.items_offset + design.item_bytes * key


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of the running program: task, run context, item, storage, buffer."""
    # the dispatcher has stored the item it runs, as part of running the program
    poke(space, design.run_context, 8, _item(space, design, cgroup, key))
    task, task_token = load(space, design.current, 8, 0)
    load(space, design.map + design.map_type_offset, 4, key_token)
    context, context_token = load(space, task + design.context_offset, 8, task_token)
    item, item_token = load(space, context, 8, context_token)
    storage, storage_token = load(space, item + design.item_storage_offset, 8, item_token)
    loads = 6 if design.cpu_offset == 0 else 7
    work(space, _INSTRUCTIONS - loads, _BRANCHES)
    if storage == 0:
        return 0, storage_token
    buffer, buffer_token = load(space, storage, 8, storage_token)
    if design.cpu_offset != 0:
        offset, offset_token = load(space, design.cpu_offset, 8, 0)
        return buffer + offset, compute(space, join(space, buffer_token, offset_token), 1, 0, 0)
    return buffer + design.data_offset, compute(space, buffer_token, 1, 0, 0)


@njit
def insert(space, design, cgroup, key, token):
    """Attach: storage and buffer are allocated and tied to the program's array item.

    A storage that is there already is used again (bpf_cgroup_storages_alloc).
    """
    if key >= design.programs:
        return 0
    array, array_token = load(space, cgroup + design.effective_offset, 8, token)
    item = array + design.items_offset + design.item_bytes * key
    storage, storage_token = load(space, item + design.item_storage_offset, 8, array_token)
    if storage != 0:
        return load(space, storage, 8, storage_token)[0] + design.data_offset
    storage, storage_token = allocate(space, design.storage_cache, token)
    if storage == 0:
        return 0
    buffer, buffer_token = allocate(space, design.value_cache, token)
    if buffer == 0:
        return 0
    store(space, storage, 8, buffer, storage_token, buffer_token)
    store(space, item + design.item_storage_offset, 8, storage, array_token, storage_token)
    return buffer + design.data_offset


@njit
def remove(space, design, cgroup, key, token):
    """Detach: the item loses its storage, which is freed after a grace period."""
    if key >= design.programs:
        return False
    array, array_token = load(space, cgroup + design.effective_offset, 8, token)
    item = array + design.items_offset + design.item_bytes * key
    where = item + design.item_storage_offset
    storage, storage_token = load(space, where, 8, array_token)
    if storage == 0:
        return False
    store(space, where, 8, 0, array_token, 0)
    buffer, buffer_token = load(space, storage, 8, storage_token)
    retire(space, design.value_cache, buffer, buffer_token)
    retire(space, design.storage_cache, storage, storage_token)
    return True


@njit
def teardown(space, design, cgroup, token):
    """Free every program's storage, the array and the cgroup."""
    array, array_token = load(space, cgroup + design.effective_offset, 8, token)
    for key in range(design.programs):
        item = array + design.items_offset + design.item_bytes * key
        storage, storage_token = load(space, item + design.item_storage_offset, 8, array_token)
        if storage != 0:
            buffer, buffer_token = load(space, storage, 8, storage_token)
            release(space, design.value_cache, buffer, buffer_token)
            release(space, design.storage_cache, storage, storage_token)
    release(space, design.array_cache, array, array_token)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="cgroup-storage",
        title="BPF cgroup storage",
        mirrors="bpf_get_local_storage, kernel/bpf/cgroup.c",
        parameters=CgroupStorage,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        reader_side="none",
        max_keys=_MAX_PROGRAMS,
        sized_by_keys=True,
        needs_cgroup=False,
        loads_to_datum="current -> run_ctx -> prog_array_item -> storage -> buffer -> datum",
    )
)
