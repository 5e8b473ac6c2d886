"""Scenarios of what updates do to an idr: an id is given, an id goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate
from cgsim.designs import idr
from cgsim.designs.idr_update import FREE, SLOTS, idr_alloc, idr_remove
from cgsim.scenarios.base import NEITHER, Call, add_scenario, words_to_reset
from cgsim.scenarios.lookups import filled
from cgsim.scenarios.play import add_operation, create_owner

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel

_LAST_ID = (1 << 31) - 1
_SPARE_NODES = 4  # a taller tree, and a node at each level below


class IdrAlloc(NamedTuple):
    """Parameters of idr_alloc: the tree, and the datum to store."""

    tree: idr.Idr
    datum: int


class IdrRemove(NamedTuple):
    """Parameters of idr_remove: the tree."""

    tree: idr.Idr
    unused: int


@njit
def give_id(space, parameters, owner, key, token, key_token):
    """The first free id."""
    return idr_alloc(space, parameters.tree, owner, 0, key, parameters.datum, token, 0), 0


@njit
def take_id(space, parameters, owner, key, token, key_token):
    """An id goes."""
    return idr_remove(space, parameters.tree, owner, key, token)


add_operation(IdrAlloc, give_id)
add_operation(IdrRemove, take_id)


def _words(heap: Heap, tree: idr.Idr, owner: int, number: int) -> list[int]:
    """What an update of an id changes, of nodes that are there: counts, slot, free bits, flags."""
    entry = heap.read(owner + tree.head_offset)
    words = [owner + tree.root_offset, owner + tree.head_offset]
    while entry & idr.TAG_MASK == idr.NODE_TAG:
        node = entry - idr.NODE_TAG
        slot = node + SLOTS + 8 * (number >> (heap.read(node) & 0xFF) & idr.SLOT_MASK)
        words += [node, node + FREE, slot]
        entry = heap.read(slot)
    return words


def _alloc(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    """Ids 0..N-1 are taken; the nodes that the next one may need lie ready."""
    tree = idr.prepare(heap, kernel, owner="idr")
    keys = np.arange(number, dtype=np.int64)
    owner = filled(space, tree, keys) if number else int(create_owner(space, tree))
    spare = heap.place("global:spare", 64)
    heap.write(spare, spare + 8)
    for i in range(_SPARE_NODES):
        heap.write(spare + 8 + 8 * i, int(allocate(space, tree.node_cache, 0)[0]))
    datum = int(allocate(space, tree.value_cache, 0)[0])
    reset = words_to_reset(heap, [*_words(heap, tree, owner, number), spare])
    return Call(IdrAlloc(tree._replace(spare=spare), datum), owner, _LAST_ID, NEITHER, reset)


def _remove(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    """Ids 0..N are taken, the last one goes."""
    tree = idr.prepare(heap, kernel, owner="idr")
    owner = filled(space, tree, np.arange(number + 1, dtype=np.int64))
    reset = words_to_reset(heap, _words(heap, tree, owner, number))
    return Call(IdrRemove(tree, 0), owner, number, NEITHER, reset)


add_scenario(
    pattern="idr-alloc=N",
    explanation="an idr with ids 0 to N-1 gives the next one; a node that it needs lies ready",
    mirrors="idr_alloc, lib/idr.c",
    build=_alloc,
    functions="idr_alloc",
    rows="idr_alloc #{n} ",
    smallest=0,
    largest=4095,
)
add_scenario(
    pattern="idr-remove=N",
    explanation="an idr with ids 0 to N loses the last one, whose node keeps others",
    mirrors="idr_remove, lib/idr.c",
    build=_remove,
    functions="idr_remove",
    rows="idr_remove id {n}$",
    smallest=1,
    largest=4095,
)
