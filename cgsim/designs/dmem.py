"""Dmem: a list of pools, and a lookup that takes a reference.

Mirrors `get_cg_pool_unlocked` (kernel/cgroup/dmem.c): the pools of a dmem cgroup, one per memory
region of a device, found by comparing region pointers under RCU. The lookup returns a pool only
with a reference, so whoever looked up has to `put`; a removed pool is freed by the last one. The
datum is the pool's page counter.

A pool is on two lists, its cgroup's and its region's, and holds a reference to the region. A device
that goes unregisters its region, which empties the region's list (`drop`): no lookup answers for
it any more, and its address is not given again while a pool is left.

6.12 has no dmem controller: with its offsets, the objects and the code are still those of 7.3.4.
The region's offsets are those of its source (dmem.c at 34f3e2599253); the device stands for it.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core import references
from cgsim.core.calls import call_and_return
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock, spin_lock, spin_unlock
from cgsim.core.space import load, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.list_walk import find, unlink
from cgsim.designs.objects import (
    cgroup_cache,
    device_cache,
    field_offset,
    running_task,
    stack_guard,
)
from cgsim.kernel import load_kernel

POOL = "dmem_cgroup_pool_state"
_RECORDED = "7.3.4"
_POOL_BYTES = 320  # its page_counter is aligned to a cache line
_LIST_BYTES = 16
_REGION_NODE = 16  # from a pool's node in its cgroup's list to that in its region's
_REGION_REFERENCE, _REGION_POOLS = 0, 40
# Instructions of get_cg_pool_unlocked besides its accesses, its RCU calls and two branches per
# entry, and branches, from the recorded counts: 91 for the first entry and 6 for each further one.
# How they fall on before and after the walk was not recorded, nor was a miss.
_ENTRY_WORK, _ENTRY_BRANCHES = 20, 1
_EXIT_WORK, _EXIT_BRANCHES = 44, 6


class Dmem(NamedTuple):
    """Parameters of the dmem design: caches, addresses and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    device_cache: int
    head_offset: int
    key_offset: int
    node_offset: int
    inited_offset: int
    reference_offset: int
    owner_offset: int  # from a pool to the object that owns the list
    datum_offset: int
    lock: int  # simulated address of the one lock of all pools
    task: Task
    guard: int


def prepare(heap, kernel, *, owner="cgroup", value_bytes=16):
    """`owner`: 'cgroup' (list head in struct cgroup) or 'dmem' (the mirrored code's objects)."""
    facts = load_kernel(_RECORDED)
    if owner == "dmem":
        head = facts.offset("dmemcg_state", "pools.next")
        owners = heap.add_cache("dmemcg_state", head + _LIST_BYTES)
    else:
        head = field_offset(kernel)
        owners = cgroup_cache(heap, kernel, _LIST_BYTES)
    counter = facts.offset(POOL, "cnt.usage.counter")
    fits = value_bytes <= facts.size("page_counter")
    return Dmem(
        owners,
        heap.add_cache(POOL, _POOL_BYTES if fits else _POOL_BYTES + value_bytes),
        device_cache(heap),
        head,
        facts.offset(POOL, "region"),
        facts.offset(POOL, "css_node.next"),
        facts.offset(POOL, "inited"),
        facts.offset(POOL, "ref.refs.counter"),
        facts.offset(POOL, "cs"),
        counter if fits else _POOL_BYTES,
        heap.place("global:dmemcg_lock", 64),
        running_task(heap, kernel),
        stack_guard(heap, kernel),
    )


@njit
def register(space, design):
    """The key is the address of the device's memory region, which has no pools yet."""
    region, token = allocate(space, design.device_cache, 0)
    if region != 0:
        pools = region + _REGION_POOLS
        store(space, region + _REGION_REFERENCE, 4, 1, token, 0)
        store(space, pools, 8, pools, token, token)
        store(space, pools + 8, 8, pools, token, token)
    return region


@njit
def create(space, design):
    """A cgroup without pools: the list's head points to itself."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    if cgroup != 0:
        head = cgroup + design.head_offset
        store(space, head, 8, head, token, token)
        store(space, head + 8, 8, head, token, token)
    return cgroup


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of a region, with a reference to its pool: 1 + n dependent loads for the n-th."""
    work(space, _ENTRY_WORK, _ENTRY_BRANCHES)
    rcu_read_lock(space, design.task)
    node, node_token = find(space, design, cgroup, key, token)
    pool = node - design.node_offset
    if node != 0:
        inited, _ = load(space, pool + design.inited_offset, 1, node_token)
        if inited == 0 or not references.get_unless_zero(
            space, pool + design.reference_offset, node_token
        ):
            node = 0
    rcu_read_unlock(space, design.task)
    call_and_return(space)  # a third call, whose frame has the stack guard
    load(space, design.guard, 8, 0)
    work(space, _EXIT_WORK, _EXIT_BRANCHES)
    load(space, design.guard, 8, 0)
    if node == 0:
        return 0, 0  # a constant: what leads here is control
    return pool + design.datum_offset, node_token


@njit
def _put_region(space, design, region, token):
    """kref_put of a region; the last one frees it after a grace period."""
    if references.put(space, region + _REGION_REFERENCE, token):
        retire(space, design.device_cache, region, token)


@njit
def put(space, design, datum, token):
    """dmemcg_pool_put: drop the reference; the last one frees the pool after a grace period."""
    pool = datum - design.datum_offset
    work(space, 2, 1)
    if references.put(space, pool + design.reference_offset, token):
        region, region_token = load(space, pool + design.key_offset, 8, token)
        retire(space, design.value_cache, pool, token)
        _put_region(space, design, region, region_token)


@njit
def _add_tail(space, head, node, token, node_token):
    """list_add_tail_rcu."""
    last, last_token = load(space, head + 8, 8, token)
    store(space, node, 8, head, node_token, token)
    store(space, node + 8, 8, last, node_token, last_token)
    store(space, head + 8, 8, node, token, node_token)
    store(space, last, 8, node, last_token, node_token)


@njit
def insert(space, design, cgroup, key, token):
    """Allocate a pool with its first reference, add it to both lists under the lock of all."""
    pool, pool_token = allocate(space, design.value_cache, token)
    if pool == 0:
        return 0
    node = pool + design.node_offset
    store(space, pool + design.key_offset, 8, key, pool_token, 0)
    store(space, pool + design.owner_offset, 8, cgroup, pool_token, token)
    store(space, pool + design.reference_offset, 4, 1, pool_token, 0)
    spin_lock(space, design.lock, 0)
    references.get(space, key + _REGION_REFERENCE, 0)
    _add_tail(space, cgroup + design.head_offset, node, token, pool_token)
    _add_tail(space, key + _REGION_POOLS, node + _REGION_NODE, 0, pool_token)
    # published first, then made ready
    store(space, pool + design.inited_offset, 1, 1, pool_token, 0)
    spin_unlock(space, design.lock, 0)
    return pool + design.datum_offset


@njit
def _take_out(space, design, node, token):
    """Off both lists, and the lists' reference dropped; the lock is held."""
    unlink(space, node, token)
    unlink(space, node + _REGION_NODE, token)
    put(space, design, node - design.node_offset + design.datum_offset, token)


@njit
def remove(space, design, cgroup, key, token):
    """Find a pool and take it out under the lock of all."""
    spin_lock(space, design.lock, 0)
    node, node_token = find(space, design, cgroup, key, token)
    if node != 0:
        _take_out(space, design, node, node_token)
    spin_unlock(space, design.lock, 0)
    return node != 0


@njit
def drop(space, design, key, token):
    """dmem_cgroup_unregister_region: take out every pool of the region's list under the lock."""
    dropped = 0
    head = key + _REGION_POOLS
    spin_lock(space, design.lock, 0)
    node, node_token = load(space, head, 8, token)
    while node != head:
        following, following_token = load(space, node, 8, node_token)
        _take_out(space, design, node - _REGION_NODE, node_token)
        node, node_token = following, following_token
        dropped += 1
    spin_unlock(space, design.lock, 0)
    _put_region(space, design, key, token)
    return dropped


@njit
def teardown(space, design, cgroup, token):
    """Take every pool out, then free the cgroup."""
    head = cgroup + design.head_offset
    spin_lock(space, design.lock, 0)
    node, node_token = load(space, head, 8, token)
    while node != head:
        following, following_token = load(space, node, 8, node_token)
        _take_out(space, design, node, node_token)
        node, node_token = following, following_token
    spin_unlock(space, design.lock, 0)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="dmem",
        title="list walk that takes a reference",
        mirrors="get_cg_pool_unlocked, kernel/cgroup/dmem.c",
        parameters=Dmem,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        put=put,
        drop=drop,
        reader_side="none",
        max_keys=1 << 20,
        loads_to_datum="cgroup.pools -> pool (+1 per entry passed) -> reference -> datum",
    )
)
