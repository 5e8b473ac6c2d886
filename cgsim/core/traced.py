"""The traced reading: a log of accesses with their dependences.

The log is a raw block: a header, then one record per access, then one per join. A token is an
int64: 0 depends on nothing, k > 0 on access k-1, -j < 0 on both parents of join j-1. `parse` turns
it into plain tuples on the host.
"""

from typing import NamedTuple

import numpy as np

from cgsim.compile.block_access import add, get, put
from cgsim.compile.jit import njit

READ, WRITE, RMW, LOCKED = range(4)
OPERATIONS = ("R", "W", "RMW", "RMW!")

_INSTRUCTIONS, _BRANCHES, _ACCESSES, _JOINS, _CAPACITY, _NOTE = range(6)
_HEADER = 8
_RECORD = 4  # operation, address, size, token


class Access(NamedTuple):
    """One recorded access; `deps`: sorted indices of the accesses whose value forms its address."""

    operation: str
    address: int
    size: int
    deps: tuple[int, ...]


class Record(NamedTuple):
    """What one traced run recorded."""

    instructions: int
    branches: int
    accesses: tuple[Access, ...]


def new_log(capacity):
    """A log for `capacity` accesses and as many joins; its address is what `Traced.log` takes."""
    log = np.zeros(_HEADER + capacity * (_RECORD + 2), dtype=np.int64)
    log[_CAPACITY] = capacity
    return log


def clear(log):
    """Forget what was recorded; the capacity stays."""
    log[:_CAPACITY] = 0
    log[_NOTE] = 0


def is_full(log):
    """True if accesses or joins may have been dropped."""
    return log[_ACCESSES] >= log[_CAPACITY] or log[_JOINS] >= log[_CAPACITY]


@njit
def record(log, operation, address, size, token):
    """Append an access (an instruction); returns the token of the value it gives."""
    index = get(log, _ACCESSES)
    add(log, _INSTRUCTIONS, 1)
    if index < get(log, _CAPACITY):
        at = _HEADER + _RECORD * index
        put(log, at, operation)
        put(log, at + 1, address)
        put(log, at + 2, size)
        put(log, at + 3, token)
        put(log, _ACCESSES, index + 1)
    return index + 1


@njit
def count(log, instructions, branches):
    """Count instructions that touch no object."""
    add(log, _INSTRUCTIONS, instructions)
    add(log, _BRANCHES, branches)


@njit
def note(log, what):
    """Keep the largest of the numbers noted."""
    put(log, _NOTE, max(get(log, _NOTE), what))


def noted(log):
    """The largest number noted, 0 if there is none."""
    return int(log[_NOTE])


@njit
def join(log, first, second):
    """The token of a value that depends on two others."""
    if first == second or second == 0:
        return first
    if first == 0:
        return second
    index = get(log, _JOINS)
    if index < get(log, _CAPACITY):
        at = _HEADER + _RECORD * get(log, _CAPACITY) + 2 * index
        put(log, at, first)
        put(log, at + 1, second)
        put(log, _JOINS, index + 1)
    return -(index + 1)


def parse(log):
    """The log as a `Record`; raises ValueError if it overflowed."""
    if is_full(log):
        raise ValueError(f"the trace has more than {int(log[_CAPACITY])} accesses")
    capacity, joins = int(log[_CAPACITY]), int(log[_JOINS])
    parents = log[_HEADER + _RECORD * capacity :][: 2 * joins].reshape(-1, 2).tolist()

    def leaves(token):
        found, open_tokens = set(), [token]
        while open_tokens:
            current = open_tokens.pop()
            if current > 0:
                found.add(current - 1)
            elif current < 0:
                open_tokens.extend(parents[-current - 1])
        return tuple(sorted(found))

    rows = log[_HEADER : _HEADER + _RECORD * int(log[_ACCESSES])].reshape(-1, _RECORD).tolist()
    accesses = tuple(
        Access(OPERATIONS[operation], address, size, leaves(token))
        for operation, address, size, token in rows
    )
    return Record(int(log[_INSTRUCTIONS]), int(log[_BRANCHES]), accesses)
