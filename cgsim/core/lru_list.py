"""A fully associative set in recency order, of any size, in constant time per access.

A doubly linked ring of slots with a sentinel in slot 0, and a table from a name to its slot. Names
must be small integers (page numbers): the table has an entry for each. Same answers as a row of
`cgsim.core.recency` of as many ways.
"""

import numpy as np

from cgsim.compile.block_access import get, put
from cgsim.compile.intrinsics import peek_u16, poke_u16
from cgsim.compile.jit import inlined, internal
from cgsim.core.host_memory import address_of, reserve

_SLOT_OF, _LINKS, _FIELDS = range(3)
_NEXT, _PREVIOUS, _NAME = range(3)  # int64 of a slot
_SLOT_WORDS = 4


def new_list(entries, names):
    """(Raw address of an empty list of `entries` for names below `names`, what to keep alive)."""
    header = np.zeros(_FIELDS, dtype=np.int64)
    slot_of = reserve(2 * names, huge=False)
    links = np.zeros((entries + 1, _SLOT_WORDS), dtype=np.int64)
    slots = np.arange(entries + 1)
    links[:, _NEXT] = np.roll(slots, -1)
    links[:, _PREVIOUS] = np.roll(slots, 1)
    header[_SLOT_OF] = address_of(slot_of)
    header[_LINKS] = address_of(links)
    return address_of(header), (header, slot_of, links)


@inlined
def _slot(links, number):
    return links + 8 * _SLOT_WORDS * number


@internal
def touch(header, name):
    """Make `name` the most recent; True if it was there, else the least recent one leaves."""
    where = get(header, _SLOT_OF) + 2 * name
    links = get(header, _LINKS)
    number = peek_u16(where)
    hit = number != 0
    if not hit:
        number = get(links, _PREVIOUS)
        victim = get(_slot(links, number), _NAME)
        if victim != 0:
            poke_u16(get(header, _SLOT_OF) + 2 * victim, 0)
        put(_slot(links, number), _NAME, name)
        poke_u16(where, number)
    first = get(links, _NEXT)
    if number != first:
        entry = _slot(links, number)
        before, after = get(entry, _PREVIOUS), get(entry, _NEXT)
        put(_slot(links, before), _NEXT, after)
        put(_slot(links, after), _PREVIOUS, before)
        put(entry, _NEXT, first)
        put(entry, _PREVIOUS, 0)
        put(_slot(links, first), _PREVIOUS, number)
        put(links, _NEXT, number)
    return hit
