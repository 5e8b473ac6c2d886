"""Xarray and radix: the idr's tree without the idr, keyed by an unsigned long.

Mirrors `xa_load` (lib/xarray.c), which takes rcu_read_lock itself and reads a node's shift again
after each step, and `radix_tree_lookup` (lib/radix-tree.c), which leaves RCU to its caller. Tree,
nodes, install, remove and teardown are those of `cgsim.designs.idr`.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import compute, join, load, work
from cgsim.designs import idr
from cgsim.designs.base import Design, add_design
from cgsim.designs.objects import cgroup_cache, field_offset, node_cache, running_task, stack_guard

# Instructions besides the accesses and the RCU calls, and branches, from the recorded counts: an
# entry in the root; for deeper trees a fixed part and one per level.
_CODE = {
    ("xarray", "7.3"): (67, 8, 67, 8, 25, 7),
    ("xarray", "6.12"): (51, 8, 48, 7, 23, 6),
    ("radix", "7.3"): (39, 4, 45, 5, 17, 4),
    ("radix", "6.12"): (30, 4, 34, 4, 15, 3),
}


class Xarray(NamedTuple):
    """Parameters of the xarray and radix designs: the idr's, and what the lookup adds."""

    cgroup_cache: int
    value_cache: int
    tree: idr.Idr
    takes_rcu: int
    task: Task
    guard: int
    datum_offset: int


def tree_at(heap, kernel, kind, start, owner_cache, value_cache):
    """The parameters of a tree whose struct xarray begins at byte `start` of its owner."""
    head = start + kernel.offset("xarray", "xa_head")
    lock = start + kernel.offset("xarray", "xa_lock")
    ids = heap.place("global:ids", 64)
    code = _CODE[kind, kernel.series]
    nodes = node_cache(heap)
    return idr.Idr(owner_cache, value_cache, nodes, ids, start, head, 0, lock, 0, *code)


def prepare(heap, kernel, *, kind="xarray", owner="cgroup", value_bytes=16):
    """`kind`: 'xarray' or 'radix'; `owner`: 'cgroup' or 'xarray' (a bare struct xarray)."""
    size = kernel.size("xarray")
    if owner == "xarray":
        start = 0
        owners = heap.add_cache("xarray", size)
    else:
        start = field_offset(kernel)
        owners = cgroup_cache(heap, kernel, size)
    values = heap.add_cache("datum", value_bytes)
    tree = tree_at(heap, kernel, kind, start, owners, values)
    task = running_task(heap, kernel)
    return Xarray(owners, values, tree, int(kind == "xarray"), task, stack_guard(heap, kernel), 0)


@njit
def register(space, design):
    """The key is the next free integer, from 0."""
    return idr.register(space, design.tree)


@njit
def create(space, design):
    """A cgroup with an empty tree."""
    return idr.create(space, design.tree)


@njit
def walk(space, tree, rereads, cgroup, key, token, key_token):
    """radix_tree_lookup; xas_load too, which reads a node's shift again (`rereads`).

    tree : `idr.Idr`, its `base_offset` unused. Returns (entry or 0, token).
    """
    entry, entry_token = load(space, cgroup + tree.head_offset, 8, token)
    if entry & idr.TAG_MASK != idr.NODE_TAG:
        work(space, tree.root_work, tree.root_branches)
        return (entry if key == 0 else 0), entry_token
    node = entry - idr.NODE_TAG
    node_token = compute(space, entry_token, idr.UNTAG, 0, 0)
    top, _ = load(space, node + idr.SHIFT, 1, node_token)
    work(space, tree.fixed_work, tree.fixed_branches)
    if key >> (top + idr.BITS) != 0:
        return 0, node_token
    while True:
        shift, shift_token = load(space, node + idr.SHIFT, 1, node_token)
        slot = node + idr.SLOTS + 8 * (key >> shift & idr.SLOT_MASK)
        slot_token = join(space, join(space, key_token, node_token), shift_token)
        entry, entry_token = load(space, slot, 8, compute(space, slot_token, idr.INDEX, 0, 1))
        work(space, tree.level_work, tree.level_branches)
        if rereads != 0:
            load(space, node + idr.SHIFT, 1, node_token)
        if shift == 0 or entry & idr.TAG_MASK != idr.NODE_TAG:
            return entry, entry_token
        node = entry - idr.NODE_TAG
        node_token = compute(space, entry_token, idr.UNTAG, 0, 0)


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of an index: 1 + 2 * depth dependent loads."""
    if design.takes_rcu == 0:
        return walk(space, design.tree, 0, cgroup, key, token, key_token)
    load(space, design.guard, 8, 0)
    rcu_read_lock(space, design.task)
    call_and_return(space)  # xas_load
    call_and_return(space)  # xas_start
    datum, datum_token = walk(space, design.tree, 1, cgroup, key, token, key_token)
    rcu_read_unlock(space, design.task)
    load(space, design.guard, 8, 0)
    return datum, datum_token


@njit
def insert(space, design, cgroup, key, token):
    """Allocate a datum and store it: grow the tree, add the nodes missing."""
    return idr.insert(space, design.tree, cgroup, key, token)


@njit
def remove(space, design, cgroup, key, token):
    """Clear the slot, free the nodes that became empty, kfree_rcu the datum."""
    return idr.remove(space, design.tree, cgroup, key, token)


@njit
def teardown(space, design, cgroup, token):
    """Free all data and nodes, then the cgroup."""
    idr.teardown(space, design.tree, cgroup, token)


def _variant(name, title, mirrors, reader_side):
    return add_design(
        Design(
            name=name,
            title=title,
            mirrors=mirrors,
            parameters=Xarray,
            prepare=prepare,
            register=register,
            create=create,
            insert=insert,
            lookup=lookup,
            remove=remove,
            teardown=teardown,
            reader_side=reader_side,
            max_keys=1 << 20,
            options={"kind": name},
            loads_to_datum="cgroup.xa_head -> (node.shift -> node.slots[index]) per level -> datum",
        )
    )


DESIGN = _variant("xarray", "xarray per cgroup", "xa_load, lib/xarray.c (takes RCU itself)", "rcu")
RADIX = _variant("radix", "radix tree per cgroup", "radix_tree_lookup, lib/radix-tree.c", "rcu")
