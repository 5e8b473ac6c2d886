"""List: each cgroup has a list of its entries; a lookup walks it until the key matches.

Mirrors `get_cg_rpool_locked` (kernel/cgroup/rdma.c): the pools of an rdma cgroup, one per device,
found by comparing device pointers. With `owner="rdma"` the objects are exactly those; with
`owner="cgroup"` the list head stands at the end of struct cgroup and an entry holds key, list node
and data, as a list version of the 2018 patch would.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import spin_lock, spin_unlock
from cgsim.core.space import branch, compute, load, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.objects import cgroup_cache, device_cache, field_offset

# Instructions of get_cg_rpool_locked besides its accesses and its two branches per entry, read off
# the recorded counts: 29 for the first entry and 6 for each further one, in both kernels.
_ENTRY_WORK, _ENTRY_BRANCHES = 14, 1
_EXIT_WORK = 11
_STEP_WORK = 2
_SITE_END, _SITE_MATCH = 0x100, 0x101


class ListWalk(NamedTuple):
    """Parameters of the list design: caches and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    device_cache: int
    head_offset: int
    key_offset: int
    node_offset: int
    datum_offset: int
    lock_offset: int


def prepare(heap, kernel, *, owner="cgroup", value_bytes=16):
    """`owner`: 'cgroup' (head in struct cgroup) or 'rdma' (the objects of the mirrored code)."""
    if owner == "rdma":
        head = kernel.offset("rdma_cgroup", "rpools")
        owners = heap.add_cache("rdma_cgroup", kernel.size("rdma_cgroup"))
        entry_bytes = kernel.size("rdmacg_resource_pool")
        value_cache = heap.add_cache("rdmacg_resource_pool", entry_bytes)
        node = kernel.offset("rdmacg_resource_pool", "cg_node")
        datum = kernel.offset("rdmacg_resource_pool", "dev_node") + 16
        lock = 0
    else:
        head = field_offset(kernel)
        lock = head + 16
        owners = cgroup_cache(heap, kernel, 24)
        node, datum = 8, 24
        value_cache = heap.add_cache("list_entry", datum + value_bytes)
    return ListWalk(owners, value_cache, device_cache(heap), head, 0, node, datum, lock)


@njit
def register(space, design):
    """The key is the address of the driver's device."""
    return allocate(space, design.device_cache, 0)[0]


@njit
def create(space, design):
    """A cgroup with an empty list: the head points to itself."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    if cgroup != 0:
        head = cgroup + design.head_offset
        store(space, head, 8, head, token, token)
        store(space, head + 8, 8, head, token, token)
    return cgroup


@njit
def find(space, design, cgroup, key, token):
    """Walk to the entry of a key; returns (its list node or 0, token).

    design : any with `head_offset`, `node_offset` and `key_offset`.
    """
    head = cgroup + design.head_offset
    node, node_token = load(space, head, 8, token)
    node_token = compute(space, node_token, 1, 0, 0)  # container_of
    branch(space, _SITE_END, node == head, node_token)
    while node != head:
        entry = node - design.node_offset
        found, found_token = load(space, entry + design.key_offset, 8, node_token)
        branch(space, _SITE_MATCH, found == key, found_token)
        if found == key:
            return node, node_token
        node, node_token = load(space, node, 8, node_token)
        node_token = compute(space, node_token, 1, 0, 0)
        branch(space, _SITE_END, node == head, node_token)
        work(space, _STEP_WORK, 0)
    return 0, node_token


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of a key; 1 + n dependent loads for the n-th entry."""
    work(space, _ENTRY_WORK, _ENTRY_BRANCHES)
    node, node_token = find(space, design, cgroup, key, token)
    work(space, _EXIT_WORK, 0)
    if node == 0:
        return 0, 0  # a constant: what leads here is control
    return node - design.node_offset + design.datum_offset, node_token


@njit
def insert(space, design, cgroup, key, token):
    """Allocate an entry, then list_add_rcu at the head under the cgroup's spinlock."""
    entry, entry_token = allocate(space, design.value_cache, token)
    if entry == 0:
        return 0
    node = entry + design.node_offset
    head = cgroup + design.head_offset
    store(space, entry + design.key_offset, 8, key, entry_token, 0)
    if design.lock_offset != 0:
        spin_lock(space, cgroup + design.lock_offset, token)
    first, first_token = load(space, head, 8, token)
    store(space, node, 8, first, entry_token, first_token)
    store(space, node + 8, 8, head, entry_token, token)
    store(space, head, 8, node, token, entry_token)
    store(space, first + 8, 8, node, first_token, entry_token)
    if design.lock_offset != 0:
        spin_unlock(space, cgroup + design.lock_offset, token)
    return entry + design.datum_offset


@njit
def unlink(space, node, token):
    """list_del_rcu: the neighbours point to each other, the node keeps its way on."""
    following, following_token = load(space, node, 8, token)
    previous, previous_token = load(space, node + 8, 8, token)
    store(space, following + 8, 8, previous, following_token, previous_token)
    store(space, previous, 8, following, previous_token, following_token)


@njit
def remove(space, design, cgroup, key, token):
    """Find, list_del_rcu under the lock, kfree_rcu."""
    if design.lock_offset != 0:
        spin_lock(space, cgroup + design.lock_offset, token)
    node, node_token = find(space, design, cgroup, key, token)
    if node != 0:
        unlink(space, node, node_token)
    if design.lock_offset != 0:
        spin_unlock(space, cgroup + design.lock_offset, token)
    if node == 0:
        return False
    retire(space, design.value_cache, node - design.node_offset, node_token)
    return True


@njit
def teardown(space, design, cgroup, token):
    """The cgroup is offline, nobody looks up: free every entry, then the cgroup."""
    head = cgroup + design.head_offset
    node, node_token = load(space, head, 8, token)
    while node != head:
        following, following_token = load(space, node, 8, node_token)
        release(space, design.value_cache, node - design.node_offset, node_token)
        node, node_token = following, following_token
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="list",
        title="list walk",
        mirrors="the list of get_cg_rpool_locked (under rdmacg_mutex), kernel/cgroup/rdma.c, read "
        "under RCU",
        parameters=ListWalk,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        reader_side="rcu",
        max_keys=1 << 20,
        loads_to_datum="cgroup.head -> entry.next ... (1 per entry before the match)",
    )
)
