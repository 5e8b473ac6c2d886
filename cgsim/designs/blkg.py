"""Blkg: what the kernel has for (cgroup, device) already, a hint and then a radix tree.

Mirrors `blkg_lookup` (block/blk-cgroup.h): the block cgroup remembers one blkg as a hint; where
that is another queue's, or there is none, the queue's id is looked up in the cgroup's radix tree.
The hint is written only by a lookup under the queue's lock (`remember`), never by the fast path.
Each blkg counts its references by CPU.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import spin_lock, spin_unlock
from cgsim.core.space import branch, load, store, work
from cgsim.designs import idr
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import new_id
from cgsim.designs.objects import cgroup_cache, field_offset
from cgsim.designs.xarray import tree_at, walk

_QUEUE_BYTES = 2048  # request_queue: its id was recorded, its size was not
_HINT_BYTES, _LIST_BYTES = 8, 8
# Instructions of blkg_lookup besides its accesses, radix_tree_lookup and one branch, and branches:
# the hint hits; the tree is asked. Only their sums with the calling function were recorded.
_HIT_WORK, _HIT_BRANCHES = 3, 1
_TREE_CODE = {"7.3": (9, 3), "6.12": (10, 3)}
_SITE_HINT = 0x700


class Blkg(NamedTuple):
    """Parameters of the blkg design: caches and offsets in bytes, counts."""

    cgroup_cache: int
    value_cache: int
    device_cache: int  # request queues
    count_cache: int  # percpu reference counts
    tree: idr.Idr
    hint_offset: int  # the two of the block cgroup
    list_offset: int
    id_offset: int  # of a queue
    queue_offset: int  # the four of a blkg
    node_offset: int
    owner_offset: int
    reference_offset: int
    datum_offset: int
    tree_work: int
    tree_branches: int


def prepare(heap, kernel, *, owner="cgroup", value_bytes=16):
    """`owner`: 'cgroup' (tree, hint and list in struct cgroup) or 'blkcg' (as mirrored)."""
    if owner == "blkcg":
        owners = heap.add_cache("blkcg", kernel.size("blkcg"))
        start = kernel.offset("blkcg", "blkg_tree")
        hint = kernel.offset("blkcg", "blkg_hint")
        blkgs = kernel.offset("blkcg", "blkg_list")
    else:
        start = field_offset(kernel)
        hint = start + kernel.size("xarray")
        blkgs = hint + _HINT_BYTES
        owners = cgroup_cache(heap, kernel, blkgs + _LIST_BYTES - start)
    datum = kernel.size("blkcg_gq")
    values = heap.add_cache("blkcg_gq", datum + value_bytes)
    return Blkg(
        owners,
        values,
        heap.add_cache("request_queue", _QUEUE_BYTES),
        heap.add_cache("percpu_refcnt", 8),
        tree_at(heap, kernel, "radix", start, owners, values),
        hint,
        blkgs,
        kernel.offset("request_queue", "id"),
        kernel.offset("blkcg_gq", "q"),
        kernel.offset("blkcg_gq", "blkcg_node"),
        kernel.offset("blkcg_gq", "blkcg"),
        kernel.offset("blkcg_gq", "refcnt"),
        datum,
        *_TREE_CODE[kernel.series],
    )


@njit
def register(space, design):
    """The key is the address of the device's request queue, which has an id from a global ida."""
    queue, token = allocate(space, design.device_cache, 0)
    if queue != 0:
        store(space, queue + design.id_offset, 4, new_id(space, design.tree.ids), token, 0)
    return queue


@njit
def create(space, design):
    """A block cgroup without blkgs."""
    return allocate(space, design.cgroup_cache, 0)[0]


@njit
def find(space, design, cgroup, queue, token, queue_token):
    """blkg_lookup; returns (blkg or 0, token)."""
    hint, hint_token = load(space, cgroup + design.hint_offset, 8, token)
    if hint != 0:
        other, other_token = load(space, hint + design.queue_offset, 8, hint_token)
        branch(space, _SITE_HINT, other == queue, other_token)
        if other == queue:
            work(space, _HIT_WORK, _HIT_BRANCHES)
            return hint, hint_token
    work(space, design.tree_work, design.tree_branches)
    number, number_token = load(space, queue + design.id_offset, 4, queue_token)
    call_and_return(space)  # radix_tree_lookup
    blkg, blkg_token = walk(space, design.tree, 0, cgroup, number, token, number_token)
    if blkg == 0:
        return 0, blkg_token
    other, _ = load(space, blkg + design.queue_offset, 8, blkg_token)
    if other != queue:
        return 0, blkg_token
    return blkg, blkg_token


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of a queue: by the hint, or 1 + 2 * depth dependent loads."""
    blkg, blkg_token = find(space, design, cgroup, key, token, key_token)
    if blkg == 0:
        return 0, blkg_token
    return blkg + design.datum_offset, blkg_token


@njit
def remember(space, design, cgroup, key, token):
    """What blkg_lookup_create does where its lookup under the queue's lock finds the blkg."""
    spin_lock(space, key, 0)
    blkg, blkg_token = find(space, design, cgroup, key, token, 0)
    if blkg != 0:
        store(space, cgroup + design.hint_offset, 8, blkg, token, blkg_token)
    spin_unlock(space, key, 0)


@njit
def insert(space, design, cgroup, key, token):
    """blkg_create: a blkg with its percpu count, into the tree and onto the cgroup's list."""
    blkg, blkg_token = allocate(space, design.value_cache, token)
    count, count_token = allocate(space, design.count_cache, token)
    if blkg == 0 or count == 0:
        return 0
    store(space, blkg + design.queue_offset, 8, key, blkg_token, 0)
    store(space, blkg + design.owner_offset, 8, cgroup, blkg_token, token)
    store(space, blkg + design.reference_offset, 8, count, blkg_token, count_token)
    number, _ = load(space, key + design.id_offset, 4, 0)
    spin_lock(space, key, 0)  # the queue's lock; the first word stands for it
    linked = idr.link(space, design.tree, cgroup, number, blkg, token, blkg_token)
    if linked:
        head = cgroup + design.list_offset
        node = blkg + design.node_offset
        first, first_token = load(space, head, 8, token)
        store(space, node, 8, first, blkg_token, first_token)
        store(space, node + 8, 8, head, blkg_token, token)
        if first != 0:
            store(space, first + 8, 8, node, first_token, blkg_token)
        store(space, head, 8, node, token, blkg_token)
    spin_unlock(space, key, 0)
    if not linked:
        release(space, design.count_cache, count, count_token)
        release(space, design.value_cache, blkg, blkg_token)
        return 0
    return blkg + design.datum_offset


@njit
def remove(space, design, cgroup, key, token):
    """blkg_destroy: out of tree and list, the hint cleared, freed after a grace period."""
    number, number_token = load(space, key + design.id_offset, 4, 0)
    spin_lock(space, key, 0)
    found, _ = walk(space, design.tree, 0, cgroup, number, token, number_token)
    if found == 0:
        spin_unlock(space, key, 0)
        return False
    blkg, blkg_token = idr.unlink(space, design.tree, cgroup, number, token)
    node = blkg + design.node_offset
    following, following_token = load(space, node, 8, blkg_token)
    pointer, pointer_token = load(space, node + 8, 8, blkg_token)
    store(space, pointer, 8, following, pointer_token, following_token)
    if following != 0:
        store(space, following + 8, 8, pointer, following_token, pointer_token)
    hint, _ = load(space, cgroup + design.hint_offset, 8, token)
    if hint == blkg:
        store(space, cgroup + design.hint_offset, 8, 0, token, 0)
    spin_unlock(space, key, 0)
    count, count_token = load(space, blkg + design.reference_offset, 8, blkg_token)
    retire(space, design.count_cache, count, count_token)
    retire(space, design.value_cache, blkg, blkg_token)
    return True


@njit
def teardown(space, design, cgroup, token):
    """blkcg_destroy_blkgs: destroy the blkgs on the list one by one, then free the cgroup."""
    node, node_token = load(space, cgroup + design.list_offset, 8, token)
    while node != 0:
        blkg = node - design.node_offset
        queue, _ = load(space, blkg + design.queue_offset, 8, node_token)
        remove(space, design, cgroup, queue, token)
        node, node_token = load(space, cgroup + design.list_offset, 8, token)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="blkg",
        title="hint, then radix tree",
        mirrors="blkg_lookup, block/blk-cgroup.h",
        parameters=Blkg,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        reader_side="rcu",
        max_keys=1 << 20,
        loads_to_datum="cgroup.hint, or queue.id, root -> (shift -> slots[id]) per level -> datum",
    )
)
