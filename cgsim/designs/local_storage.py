"""Storage: bpf_local_storage, BPF's per-object data, for cgroups, tasks and sockets.

Mirrors `bpf_cgrp_storage_get`, `bpf_task_storage_get` and `bpf_sk_storage_get` (kernel/bpf). The
owner points to a storage with 16 cache slots and a list of elements, one per map. A map has one
of the slots, the least used one when it was made. A lookup tries the slot, then walks the list; a
walk that finds its element takes the storage's lock and rewrites the slot. With more than 16 maps
two of them share a slot and evict each other.

6.12 pins the task to its CPU and counts a percpu busy counter around the lookup for cgroups and
tasks, and a helper that finds it counted already, in a program that interrupted another, returns
NULL; 7.3 does neither, and its lock notes what it holds in a percpu table.

An element is also in one of its map's buckets, by its own address, each with a list and a lock:
install and remove take both locks, and a map that is freed empties its buckets (`drop`).
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.heap import allocate, release, retire
from cgsim.core.space import (
    add_in_place,
    branch,
    compute,
    join,
    load,
    peek,
    poke,
    store,
    work,
)
from cgsim.designs.base import Design, add_design
from cgsim.designs.objects import cgroup_cache, running_task, stack_guard
from cgsim.designs.storage_lists import (
    BUCKET_BYTES,
    MAP_NODE,
    link_map,
    lock,
    unhash,
    unlink_map,
    unlock,
)

_SLOTS = 16
_LOCAL_STORAGE = 32  # bpf_local_storage_elem.local_storage
_SITE_SLOT, _SITE_MATCH = 0x400, 0x401
# Instructions besides accesses and the two branches below, and branches, from the recorded
# counts: slot hit; element found first in the list; miss; what an empty list adds to a miss;
# calls of hit and miss, of a walk that finds.
_CODE = {
    ("cgroup", "7.3"): (33, 6, 99, 18, 35, 8, 0, 0, 0, 1),
    ("sock", "7.3"): (37, 7, 103, 19, 40, 9, 0, 0, 0, 1),
    ("task", "7.3"): (31, 5, 97, 17, 34, 7, 0, 0, 0, 1),
    ("cgroup", "6.12"): (75, 9, 132, 15, 75, 10, 3, 1, 2, 4),
    ("task", "6.12"): (87, 7, 147, 14, 91, 8, 3, 1, 3, 5),
    ("sock", "6.12"): (33, 5, 91, 11, 37, 6, 3, 1, 0, 2),
}
_ELEMENT_WORK, _ELEMENT_BRANCHES = 6, 2
_CONFLICT_WORK, _CONFLICT_BRANCHES = 1, 0


class LocalStorage(NamedTuple):
    """Parameters of the storage designs: caches, addresses and offsets in bytes, counts."""

    cgroup_cache: int
    value_cache: int
    storage_cache: int
    map_cache: int
    bucket_cache: int  # all buckets of a map
    bucket_bits: int
    buckets_offset: int
    owner_offset: int  # of a storage, to what it belongs to
    usage: int  # simulated address of the use counts of the 16 slots
    pointer_offset: int  # from the owner to its storage
    state_offset: int  # of a socket's state; -1: no socket
    refcount_offset: int  # of the owner's reference count; -1: not read
    refcount_bytes: int
    list_offset: int
    lock_offset: int
    index_offset: int  # of a map's cache_idx
    node_offset: int
    smap_offset: int
    datum_offset: int
    current: int
    migration_offset: int
    busy: int  # simulated address of the percpu busy counter; 0: none
    guard: int
    preempt: int
    preempt_bytes: int
    held: int  # simulated address of the percpu table of held locks; 0: none
    cpu_offset: int
    hit_work: int
    hit_branches: int
    found_work: int
    found_branches: int
    miss_work: int
    miss_branches: int
    empty_work: int
    empty_branches: int
    calls: int
    found_calls: int


def prepare(heap, kernel, *, owner="cgroup", value_bytes=16):
    """`owner`: 'cgroup', 'task' or 'sock'."""
    state = refcount = -1
    refcount_bytes = 1
    if owner == "sock":
        owners = heap.add_cache("sock", kernel.size("sock"))
        pointer = kernel.offset("sock", "sk_bpf_storage")
        state = kernel.offset("sock", "__sk_common.skc_state")
    elif owner == "task":
        owners = heap.add_cache("task_struct", kernel.size("task_struct"))
        pointer = kernel.offset("task_struct", "bpf_storage")
        refcount = kernel.offset("task_struct", "usage.refs.counter")
        refcount_bytes = 4
    else:
        owners = cgroup_cache(heap, kernel, 0)
        pointer = kernel.offset("cgroup", "bpf_cgrp_storage")
        refcount = kernel.offset("cgroup", "self.refcnt.percpu_count_ptr")
    old = kernel.series == "6.12"
    task = running_task(heap, kernel)
    busy = held = cpu_offset = 0
    if old:
        preempt = task.current + 8  # pcpu_hot.preempt_count
        if owner != "sock":
            name = "cgrp" if owner == "cgroup" else owner
            busy = heap.place(f"percpu:bpf_{name}_storage_busy", 64)
    else:
        preempt = heap.place("percpu:__preempt_count", 64)
        held = heap.place("percpu:rqspinlock_held_locks", 256)
        cpu_offset = heap.place("percpu:this_cpu_off", 64)
    data = kernel.offset("bpf_local_storage_elem", "sdata.data")
    element = max(kernel.size("bpf_local_storage_elem"), data + value_bytes)
    # bpf_local_storage_map_alloc: at least two buckets, as many as possible CPUs
    bits = max((heap.cpus - 1).bit_length(), 1)
    return LocalStorage(
        owners,
        heap.add_cache("bpf_local_storage_elem", element),
        heap.add_cache("bpf_local_storage", kernel.size("bpf_local_storage")),
        heap.add_cache("bpf_local_storage_map", kernel.size("bpf_local_storage_map")),
        heap.add_cache("bpf_local_storage_map_bucket", BUCKET_BYTES << bits),
        bits,
        kernel.offset("bpf_local_storage_map", "buckets"),
        kernel.offset("bpf_local_storage", "owner"),
        heap.place("global:cache_idx_usage_counts", 8 * _SLOTS),
        pointer,
        state,
        refcount,
        refcount_bytes,
        kernel.offset("bpf_local_storage", "list"),
        kernel.offset("bpf_local_storage", "lock"),
        kernel.offset("bpf_local_storage_map", "cache_idx"),
        kernel.offset("bpf_local_storage_elem", "snode"),
        kernel.offset("bpf_local_storage_elem", "sdata.smap"),
        data,
        task.current,
        kernel.offset("task_struct", "migration_disabled"),
        busy,
        stack_guard(heap, kernel) if old else 0,
        preempt,
        4 if old else 8,
        held,
        cpu_offset,
        *_CODE[owner, kernel.series],
    )


@njit
def register(space, design):
    """The key is the address of a new map, which takes the least used cache slot."""
    smap, token = allocate(space, design.map_cache, 0)
    if smap == 0:
        return 0
    buckets, buckets_token = allocate(space, design.bucket_cache, token)
    if buckets == 0:
        return 0
    store(space, smap + design.buckets_offset, 8, buckets, token, buckets_token)
    best = 0
    for slot in range(1, _SLOTS):
        if peek(space, design.usage + 8 * slot, 8) < peek(space, design.usage + 8 * best, 8):
            best = slot
    poke(space, design.usage + 8 * best, 8, peek(space, design.usage + 8 * best, 8) + 1)
    poke(space, smap + design.index_offset, 2, best)
    return smap


@njit
def create(space, design):
    """An owner without a storage; a socket is established."""
    owner, token = allocate(space, design.cgroup_cache, 0)
    if owner != 0 and design.state_offset >= 0:
        store(space, owner + design.state_offset, 1, 1, token, 0)
    return owner


@njit
def _pin(space, design):
    """6.12: migrate_disable, then count the busy counter up; False if it was counted already."""
    current, token = load(space, design.current, 8, 0)
    where = current + design.migration_offset
    count, count_token = load(space, where, 2, token)
    store(space, where, 2, count + 1, token, count_token)
    busy, _ = add_in_place(space, design.busy, 4, 1, 0)
    return busy == 1


@njit
def _unpin(space, design):
    """6.12: count the busy counter down, then migrate_enable, which has a stack guard."""
    add_in_place(space, design.busy, 4, -1, 0)
    current, token = load(space, design.current, 8, 0)
    where = current + design.migration_offset
    load(space, design.guard, 8, 0)
    count, count_token = load(space, where, 2, token)
    store(space, where, 2, count - 1, token, count_token)
    load(space, design.guard, 8, 0)


@njit
def _slot(space, design, storage, smap, token, map_token):
    """The address of a map's cache slot in a storage, and its token."""
    index, index_token = load(space, smap + design.index_offset, 2, map_token)
    return storage + 8 * index, compute(space, join(space, token, index_token), 0, 0, 1)


@njit
def _get(space, design, owner, smap, token, map_token):
    """Slot, then list; returns (datum or 0, token)."""
    sdata_to_datum = design.datum_offset - design.smap_offset
    storage, storage_token = load(space, owner + design.pointer_offset, 8, token)
    if storage == 0:
        work(space, design.miss_work, design.miss_branches)
        return 0, 0
    slot, slot_token = _slot(space, design, storage, smap, storage_token, map_token)
    cached, cached_token = load(space, slot, 8, slot_token)
    if cached != 0:
        found, found_token = load(space, cached, 8, cached_token)
        branch(space, _SITE_SLOT, found == smap, found_token)
        if found == smap:
            work(space, design.hit_work, design.hit_branches)
            return cached + sdata_to_datum, compute(space, cached_token, 1, 0, 0)
        work(space, _CONFLICT_WORK, _CONFLICT_BRANCHES)
    node, node_token = load(space, storage + design.list_offset, 8, storage_token)
    if node == 0:
        work(space, design.empty_work, design.empty_branches)
    while node != 0:
        element = node - design.node_offset
        element_token = compute(space, node_token, 1, 0, 0)
        found, found_token = load(space, element + design.smap_offset, 8, element_token)
        branch(space, _SITE_MATCH, found == smap, found_token)
        if found == smap:
            work(space, design.found_work, design.found_branches)
            for _ in range(design.found_calls - design.calls):
                call_and_return(space)
            lock(space, design, storage + design.lock_offset, storage_token)
            load(space, node + 8, 8, element_token)  # still on the list?
            slot, slot_token = _slot(space, design, storage, smap, storage_token, map_token)
            store(space, slot, 8, element + design.smap_offset, slot_token, element_token)
            unlock(space, design, storage + design.lock_offset, storage_token)
            return element + design.datum_offset, compute(space, element_token, 1, 0, 0)
        work(space, _ELEMENT_WORK, _ELEMENT_BRANCHES)
        node, node_token = load(space, node, 8, element_token)
    work(space, design.miss_work, design.miss_branches)
    if design.refcount_offset >= 0:
        load(space, owner + design.refcount_offset, design.refcount_bytes, token)
    return 0, 0  # a constant: what leads here is control


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of a map: from its cache slot, or by a walk that rewrites the slot."""
    for _ in range(design.calls):
        call_and_return(space)
    if design.state_offset >= 0:
        load(space, cgroup + design.state_offset, 1, token)
    if design.busy != 0 and not _pin(space, design):
        _unpin(space, design)
        return 0, 0
    datum, datum_token = _get(space, design, cgroup, key, token, key_token)
    if design.busy != 0:
        _unpin(space, design)
    return datum, datum_token


@njit
def add_storage(space, design, owner, token):
    """An empty storage for an owner; returns (storage or 0, token)."""
    storage, storage_token = allocate(space, design.storage_cache, token)
    if storage != 0:
        store(space, storage + design.owner_offset, 8, owner, storage_token, token)
        store(space, owner + design.pointer_offset, 8, storage, token, storage_token)
    return storage, storage_token


@njit
def insert(space, design, cgroup, key, token):
    """Allocate an element, at first also the storage; link it to its map and at the list's head.

    Both under the storage's lock, the map's bucket under its own too.

    An element of the map that is there already is taken out after the new one is in (BPF_ANY).
    """
    element, element_token = allocate(space, design.value_cache, token)
    if element == 0:
        return 0
    storage, storage_token = load(space, cgroup + design.pointer_offset, 8, token)
    if storage == 0:
        storage, storage_token = add_storage(space, design, cgroup, token)
        if storage == 0:
            return 0
    store(space, element + design.smap_offset, 8, key, element_token, 0)
    store(space, element + _LOCAL_STORAGE, 8, storage, element_token, storage_token)
    head = storage + design.list_offset
    node = element + design.node_offset
    work(space, 40, 8)
    lock(space, design, storage + design.lock_offset, storage_token)
    old, old_token = _find(space, design, storage, key, storage_token)
    link_map(space, design, key, element, element_token)
    first, first_token = load(space, head, 8, storage_token)
    store(space, node, 8, first, element_token, first_token)
    store(space, node + 8, 8, head, element_token, storage_token)
    if first != 0:
        store(space, first + 8, 8, node, first_token, element_token)
    store(space, head, 8, node, storage_token, element_token)
    if old != 0:
        unlink_map(space, design, key, old - design.node_offset, old_token)
        _unlink(space, design, storage, old, key, storage_token, old_token)
    unlock(space, design, storage + design.lock_offset, storage_token)
    if old != 0:
        retire(space, design.value_cache, old - design.node_offset, old_token)
    return element + design.datum_offset


@njit
def _find(space, design, storage, key, storage_token):
    """Walk a storage's list to a map's element; returns (its list node or 0, token)."""
    node, node_token = load(space, storage + design.list_offset, 8, storage_token)
    while node != 0:
        found, _ = load(space, node - design.node_offset + design.smap_offset, 8, node_token)
        if found == key:
            break
        node, node_token = load(space, node, 8, node_token)
    return node, node_token


@njit
def _unlink(space, design, storage, node, key, storage_token, node_token):
    """Off the storage's list; the map's cache slot no longer shows the element."""
    unhash(space, node, node_token)
    slot, slot_token = _slot(space, design, storage, key, storage_token, 0)
    cached, _ = load(space, slot, 8, slot_token)
    if cached == node - design.node_offset + design.smap_offset:
        store(space, slot, 8, 0, slot_token, 0)


@njit
def _unlink_element(space, design, storage, node, key, storage_token, node_token):
    """bpf_selem_unlink: off the map's list, then the storage's; the last one takes the storage."""
    word = storage + design.lock_offset
    unlink_map(space, design, key, node - design.node_offset, node_token)
    work(space, 40, 8)
    lock(space, design, word, storage_token)
    _unlink(space, design, storage, node, key, storage_token, node_token)
    unlock(space, design, word, storage_token)
    retire(space, design.value_cache, node - design.node_offset, node_token)
    if peek(space, storage + design.list_offset, 8) == 0:
        owner, owner_token = load(space, storage + design.owner_offset, 8, storage_token)
        store(space, owner + design.pointer_offset, 8, 0, owner_token, 0)
        retire(space, design.storage_cache, storage, storage_token)


@njit
def remove(space, design, cgroup, key, token):
    """Find the map's element in the storage's list and unlink it."""
    storage, storage_token = load(space, cgroup + design.pointer_offset, 8, token)
    if storage == 0:
        return False
    node, node_token = _find(space, design, storage, key, storage_token)
    if node == 0:
        return False
    _unlink_element(space, design, storage, node, key, storage_token, node_token)
    return True


@njit
def drop(space, design, key, token):
    """bpf_local_storage_map_free: empty every bucket, give the slot back, free the map."""
    dropped = 0
    index = peek(space, key + design.index_offset, 2)
    used = design.usage + 8 * index
    poke(space, used, 8, peek(space, used, 8) - 1)
    buckets, buckets_token = load(space, key + design.buckets_offset, 8, token)
    for number in range(1 << design.bucket_bits):
        bucket = buckets + BUCKET_BYTES * number
        node, node_token = load(space, bucket, 8, buckets_token)
        while node != 0:
            element = node - MAP_NODE
            storage, storage_token = load(space, element + _LOCAL_STORAGE, 8, node_token)
            own = element + design.node_offset
            _unlink_element(space, design, storage, own, key, storage_token, node_token)
            node, node_token = load(space, bucket, 8, buckets_token)
            dropped += 1
    retire(space, design.bucket_cache, buckets, buckets_token)
    retire(space, design.map_cache, key, token)
    return dropped


@njit
def teardown(space, design, cgroup, token):
    """The owner is gone: free every element, the storage and the owner."""
    storage, storage_token = load(space, cgroup + design.pointer_offset, 8, token)
    if storage != 0:
        node, node_token = load(space, storage + design.list_offset, 8, storage_token)
        while node != 0:
            following, following_token = load(space, node, 8, node_token)
            element = node - design.node_offset
            smap, _ = load(space, element + design.smap_offset, 8, node_token)
            unlink_map(space, design, smap, element, node_token)
            release(space, design.value_cache, element, node_token)
            node, node_token = following, following_token
        release(space, design.storage_cache, storage, storage_token)
    release(space, design.cgroup_cache, cgroup, token)


def _variant(name, title, mirrors, options, chain):
    return add_design(
        Design(
            name=name,
            title=title,
            mirrors=mirrors,
            parameters=LocalStorage,
            prepare=prepare,
            register=register,
            create=create,
            insert=insert,
            lookup=lookup,
            remove=remove,
            teardown=teardown,
            drop=drop,
            reader_side="rcu",
            max_keys=1 << 12,
            options=options,
            loads_to_datum=chain,
        )
    )


DESIGN = _variant(
    "storage",
    "BPF local storage of the cgroup",
    "bpf_cgrp_storage_get, kernel/bpf/bpf_cgrp_storage.c",
    {},
    "cgroup.storage -> cache[slot] -> datum (walk: list.first -> element.next ...)",
)
