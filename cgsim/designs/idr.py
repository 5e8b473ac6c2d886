"""Idr: each cgroup has an idr from the driver's integer id to its datum.

Mirrors `idr_find` (lib/idr.c, lib/radix-tree.c): a radix tree of 64-slot nodes, grown in height
as ids need it. Each level is two dependent loads, the node's shift and its slot; slots start at
byte 40 of a 576-byte node, so most of them lie on another cache line than the shift.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import spin_lock, spin_unlock
from cgsim.core.space import compute, join, load, peek, poke, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.idr_update import idr_alloc, idr_init, idr_remove
from cgsim.designs.ids import new_id
from cgsim.designs.objects import cgroup_cache, field_offset, node_cache, stack_guard

# Instructions of idr_find besides its accesses, and branches, from the recorded counts:
# an entry in the root; for deeper trees a fixed part and one per level.
_CODE = {
    "7.3": (42, 4, 48, 5, 17, 4),
    "6.12": (33, 4, 37, 4, 15, 3),
}
UNTAG, INDEX = 1, 2  # ALU operations on the chain: node & ~3; (id >> shift) & 63
NODE_TAG, TAG_MASK = 2, 3
SHIFT, _OFFSET, _COUNT, _PARENT, SLOTS = 0, 1, 2, 8, 40
BITS, SLOT_MASK = 6, 63


class Idr(NamedTuple):
    """Parameters of the idr design: caches, offsets in bytes, instruction counts.

    The last ones are what idr_alloc and idr_remove take; a tree that is no idr has none of them.
    """

    cgroup_cache: int
    value_cache: int
    node_cache: int
    ids: int
    idr_offset: int
    head_offset: int  # of the root entry, in the cgroup
    base_offset: int
    lock_offset: int
    datum_offset: int
    root_work: int
    root_branches: int
    fixed_work: int
    fixed_branches: int
    level_work: int
    level_branches: int
    root_offset: int = 0
    old: int = 0  # 1 for 6.12
    guard: int = 0
    zero: int = 0  # simulated address of a constant that both read
    cachep: int = 0  # of the pointer to the nodes' slab cache
    spare: int = 0  # of a pointer into an array of nodes put aside; 0: nodes are allocated


def idr_at(heap, kernel, start, owner_cache, value_cache):
    """The parameters of an idr that begins at byte `start` of its owner."""
    head = start + kernel.offset("idr", "idr_rt") + kernel.offset("xarray", "xa_head")
    base = start + kernel.offset("idr", "idr_base")
    ids = heap.place("global:ids", 64)
    code = _CODE[kernel.series]
    nodes = node_cache(heap)
    return Idr(
        owner_cache, value_cache, nodes, ids, start, head, base, start, 0, *code,
        start + kernel.offset("idr", "idr_rt"), int(kernel.series == "6.12"),
        stack_guard(heap, kernel), heap.place("unknown", 64),
        heap.place("global:radix_tree_node_cachep", 64),
    )  # fmt: skip


def prepare(heap, kernel, *, owner="cgroup", value_bytes=16):
    """`owner`: 'cgroup' (the idr at the end of struct cgroup) or 'idr' (a bare struct idr)."""
    if owner == "idr":
        start = 0
        owners = heap.add_cache("idr", kernel.size("idr"))
    else:
        start = field_offset(kernel)
        owners = cgroup_cache(heap, kernel, kernel.size("idr"))
    values = heap.add_cache("datum", value_bytes)
    return idr_at(heap, kernel, start, owners, values)


@njit
def register(space, design):
    """The key is the next free integer from a global ida, from 0."""
    return new_id(space, design.ids)


@njit
def create(space, design):
    """A cgroup with an empty idr."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    if cgroup != 0 and design.cachep != 0:
        idr_init(space, design, cgroup, token)
    return cgroup


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of an id: 1 + 2 * depth dependent loads."""
    base, base_token = load(space, cgroup + design.base_offset, 4, token)
    entry, entry_token = load(space, cgroup + design.head_offset, 8, token)
    index = key - base
    index_token = join(space, base_token, key_token)
    if entry & TAG_MASK != NODE_TAG:
        work(space, design.root_work, design.root_branches)
        return (entry if index == 0 else 0), entry_token
    node = entry - NODE_TAG
    node_token = compute(space, entry_token, UNTAG, 0, 0)
    top, _ = load(space, node + SHIFT, 1, node_token)
    work(space, design.fixed_work, design.fixed_branches)
    if index >> (top + BITS) != 0:
        return 0, node_token
    while True:
        shift, shift_token = load(space, node + SHIFT, 1, node_token)
        slot = node + SLOTS + 8 * (index >> shift & SLOT_MASK)
        slot_token = join(space, join(space, index_token, node_token), shift_token)
        entry, entry_token = load(space, slot, 8, compute(space, slot_token, INDEX, 0, 1))
        work(space, design.level_work, design.level_branches)
        if shift == 0 or entry & TAG_MASK != NODE_TAG:
            return entry, entry_token
        node = entry - NODE_TAG
        node_token = compute(space, entry_token, UNTAG, 0, 0)


@njit
def _new_node(space, design, shift, offset, parent, token):
    node, node_token = allocate(space, design.node_cache, token)
    if node != 0:
        store(space, node + SHIFT, 1, shift, node_token, 0)
        store(space, node + _OFFSET, 1, offset, node_token, 0)
        store(space, node + _PARENT, 8, parent, node_token, 0)
    return node, node_token


@njit
def _count_slot(space, node, amount, token):
    count, count_token = load(space, node + _COUNT, 1, token)
    store(space, node + _COUNT, 1, count + amount, token, count_token)
    return count + amount


@njit
def link(space, design, cgroup, key, datum, token, datum_token):
    """idr_alloc at the driver's id under the lock; of a tree that is no idr, radix_tree_insert.

    False without memory, or if the id is taken (-ENOSPC, -EEXIST).
    """
    head = cgroup + design.head_offset
    spin_lock(space, cgroup + design.lock_offset, token)
    if design.cachep != 0:
        number = idr_alloc(space, design, cgroup, key, key, datum, token, datum_token)
        spin_unlock(space, cgroup + design.lock_offset, token)
        return number == key
    # not recorded; idr_alloc executes 287 to 390, xa_store 324 to 362
    work(space, 250, 30)
    entry, entry_token = load(space, head, 8, token)
    if entry == 0:
        height = 0
        while key >> (height + BITS) != 0:
            height += BITS
        entry, entry_token = _new_node(space, design, height, 0, 0, token)
        if entry == 0:
            return False
        entry += NODE_TAG
        store(space, head, 8, entry, token, entry_token)
    node, node_token = entry - NODE_TAG, entry_token
    shift, _ = load(space, node + SHIFT, 1, node_token)
    while key >> (shift + BITS) != 0:
        taller, taller_token = _new_node(space, design, shift + BITS, 0, 0, token)
        if taller == 0:
            return False
        store(space, taller + SLOTS, 8, node + NODE_TAG, taller_token, node_token)
        _count_slot(space, taller, 1, taller_token)
        store(space, node + _PARENT, 8, taller, node_token, taller_token)
        store(space, head, 8, taller + NODE_TAG, token, taller_token)
        node, node_token = taller, taller_token
        shift += BITS
    while shift > 0:
        offset = key >> shift & SLOT_MASK
        slot = node + SLOTS + 8 * offset
        child, child_token = load(space, slot, 8, node_token)
        if child == 0:
            child, child_token = _new_node(space, design, shift - BITS, offset, node, token)
            if child == 0:
                return False
            child += NODE_TAG
            store(space, slot, 8, child, node_token, child_token)
            _count_slot(space, node, 1, node_token)
        node, node_token = child - NODE_TAG, child_token
        shift -= BITS
    slot = node + SLOTS + 8 * (key & SLOT_MASK)
    taken, _ = load(space, slot, 8, node_token)
    if taken == 0:
        store(space, slot, 8, datum, node_token, datum_token)
        _count_slot(space, node, 1, node_token)
    spin_unlock(space, cgroup + design.lock_offset, token)
    return taken == 0


@njit
def insert(space, design, cgroup, key, token):
    """Allocate a datum and link it at the driver's id; 0 if that is taken."""
    datum, datum_token = allocate(space, design.value_cache, token)
    if datum == 0:
        return 0
    if not link(space, design, cgroup, key, datum, token, datum_token):
        release(space, design.value_cache, datum, datum_token)
        return 0
    return datum


@njit
def _leaf(space, design, cgroup, key, token):
    """The leaf node for an id; returns (node or 0, token)."""
    entry, entry_token = load(space, cgroup + design.head_offset, 8, token)
    if entry == 0:
        return 0, entry_token
    node, node_token = entry - NODE_TAG, entry_token
    shift, _ = load(space, node + SHIFT, 1, node_token)
    if key >> (shift + BITS) != 0:
        return 0, node_token
    while shift > 0:
        slot = node + SLOTS + 8 * (key >> shift & SLOT_MASK)
        entry, entry_token = load(space, slot, 8, node_token)
        if entry == 0:
            return 0, entry_token
        node, node_token = entry - NODE_TAG, entry_token
        shift -= BITS
    return node, node_token


@njit
def unlink(space, design, cgroup, key, token):
    """idr_remove under the lock; of a tree that is no idr, radix_tree_delete.

    Clears the slot and frees the nodes that became empty; returns (datum or 0, token).
    """
    spin_lock(space, cgroup + design.lock_offset, token)
    if design.cachep != 0:
        datum, datum_token = idr_remove(space, design, cgroup, key, token)
        spin_unlock(space, cgroup + design.lock_offset, token)
        return datum, datum_token
    # not recorded; idr_remove executes 179 to 199 at depth 2, xa_erase 336 to 419
    work(space, 150, 20)
    node, node_token = _leaf(space, design, cgroup, key, token)
    datum, datum_token = 0, token
    if node != 0:
        slot = node + SLOTS + 8 * (key & SLOT_MASK)
        datum, datum_token = load(space, slot, 8, node_token)
    if datum != 0:
        store(space, slot, 8, 0, node_token, 0)
        count = _count_slot(space, node, -1, node_token)
        while count == 0 and node != 0:
            parent, parent_token = load(space, node + _PARENT, 8, node_token)
            offset, _ = load(space, node + _OFFSET, 1, node_token)
            retire(space, design.node_cache, node, node_token)
            if parent == 0:
                store(space, cgroup + design.head_offset, 8, 0, token, 0)
                node = 0
            else:
                store(space, parent + SLOTS + 8 * offset, 8, 0, parent_token, 0)
                count = _count_slot(space, parent, -1, parent_token)
                node, node_token = parent, parent_token
    spin_unlock(space, cgroup + design.lock_offset, token)
    return datum, datum_token


@njit
def remove(space, design, cgroup, key, token):
    """Unlink the datum and kfree_rcu it."""
    datum, datum_token = unlink(space, design, cgroup, key, token)
    if datum == 0:
        return False
    retire(space, design.value_cache, datum, datum_token)
    return True


@njit
def first_key(space, design, cgroup, token):
    """idr_get_next from 0: the smallest key that has an entry, -1 if none has."""
    entry, entry_token = load(space, cgroup + design.head_offset, 8, token)
    if entry == 0:
        return -1
    key = 0
    while True:
        node = entry - NODE_TAG
        shift, _ = load(space, node + SHIFT, 1, entry_token)
        index = 0
        child, child_token = load(space, node + SLOTS, 8, entry_token)
        while child == 0:  # no node is without entries
            index += 1
            work(space, 3, 1)
            child, child_token = load(space, node + SLOTS + 8 * index, 8, entry_token)
        key |= index << shift
        if shift == 0:
            return key
        entry, entry_token = child, child_token


@njit
def teardown(space, design, cgroup, token):
    """idr_for_each to free the data, idr_destroy, then the cgroup."""
    entry, entry_token = load(space, cgroup + design.head_offset, 8, token)
    if entry != 0:
        node = entry - NODE_TAG
        # depth first, from the first slot; a node's count says when it is done
        index = 0
        while node != 0:
            shift = peek(space, node + SHIFT, 1)
            child, child_token = 0, entry_token
            while index <= SLOT_MASK and child == 0:
                child, child_token = load(space, node + SLOTS + 8 * index, 8, entry_token)
                if child == 0:
                    index += 1
            if child == 0:
                parent = peek(space, node + _PARENT, 8)
                index = peek(space, node + _OFFSET, 1) + 1
                release(space, design.node_cache, node, entry_token)
                node = parent
            elif shift == 0:
                release(space, design.value_cache, child, child_token)
                index += 1
            else:
                node = child - NODE_TAG
                index = 0
        poke(space, cgroup + design.head_offset, 8, 0)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="idr",
        title="idr per cgroup",
        mirrors="idr_find, lib/idr.c and lib/radix-tree.c",
        parameters=Idr,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        reader_side="rcu",
        max_keys=1 << 20,
        loads_to_datum="cgroup.idr root -> (node.shift -> node.slots[id]) per level -> datum",
    )
)
