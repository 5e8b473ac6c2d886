"""Dmem: a list of pools, and a lookup that takes a reference.

Mirrors `get_cg_pool_unlocked` (kernel/cgroup/dmem.c): the pools of a dmem cgroup, one per memory
region of a device, found by comparing region pointers under RCU. The lookup returns a pool only
with a reference, so whoever looked up has to `put`; a removed pool is freed by the last one. The
datum is the pool's page counter.

6.12 has no dmem controller: with its offsets, the objects and the code are still those of 7.3.4.
Of a pool's two lists the one of its region is left out: no lookup touches it.
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
    """The key is the address of the device's memory region."""
    return allocate(space, design.device_cache, 0)[0]


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
def put(space, design, datum, token):
    """dmemcg_pool_put: drop the reference; the last one frees the pool after a grace period."""
    pool = datum - design.datum_offset
    work(space, 2, 1)
    if references.put(space, pool + design.reference_offset, token):
        retire(space, design.value_cache, pool, token)


@njit
def insert(space, design, cgroup, key, token):
    """Allocate a pool with its first reference, then list_add_tail_rcu under the lock of all."""
    pool, pool_token = allocate(space, design.value_cache, token)
    if pool == 0:
        return 0
    head = cgroup + design.head_offset
    node = pool + design.node_offset
    store(space, pool + design.key_offset, 8, key, pool_token, 0)
    store(space, pool + design.owner_offset, 8, cgroup, pool_token, token)
    store(space, pool + design.reference_offset, 4, 1, pool_token, 0)
    spin_lock(space, design.lock, 0)
    last, last_token = load(space, head + 8, 8, token)
    store(space, node, 8, head, pool_token, token)
    store(space, node + 8, 8, last, pool_token, last_token)
    store(space, head + 8, 8, node, token, pool_token)
    store(space, last, 8, node, last_token, pool_token)
    # published first, then made ready
    store(space, pool + design.inited_offset, 1, 1, pool_token, 0)
    spin_unlock(space, design.lock, 0)
    return pool + design.datum_offset


@njit
def remove(space, design, cgroup, key, token):
    """Unlink under the lock of all, then drop the list's reference."""
    spin_lock(space, design.lock, 0)
    node, node_token = find(space, design, cgroup, key, token)
    if node != 0:
        unlink(space, node, node_token)
    spin_unlock(space, design.lock, 0)
    if node == 0:
        return False
    put(space, design, node - design.node_offset + design.datum_offset, node_token)
    return True


@njit
def teardown(space, design, cgroup, token):
    """Unlink every pool and drop the list's references, then free the cgroup."""
    head = cgroup + design.head_offset
    spin_lock(space, design.lock, 0)
    node, node_token = load(space, head, 8, token)
    while node != head:
        following, following_token = load(space, node, 8, node_token)
        unlink(space, node, node_token)
        put(space, design, node - design.node_offset + design.datum_offset, node_token)
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
        reader_side="none",
        max_keys=1 << 20,
        loads_to_datum="cgroup.pools -> pool (+1 per entry passed) -> reference -> datum",
    )
)
