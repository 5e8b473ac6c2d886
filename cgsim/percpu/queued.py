"""The kernel's queued spinlock in simulated time: each waiter spins on a line of its own.

Mirrors kernel/locking/qspinlock.c of Linux 6.12 without the pending bit, which spares the second
CPU the queue: a lock word with the locked byte and the tail of the queue, and a percpu node that
links to the next waiter. The head of the queue spins on the lock word, all others on their node.

A CPU that would see nothing but its own cached copy until another one writes is parked: it takes no
turns until that CPU wakes it (`cgsim.percpu.many_cpus`). That changes no time, only the host's
work.
"""

from typing import NamedTuple

from cgsim.compile.intrinsics import peek_i64, poke_i64
from cgsim.compile.jit import njit
from cgsim.core.space import atomic_add, branch, compare_exchange, load, peek, poke, store, work

HOLDS = 3
"""The phase in which a CPU has the lock."""
PARKED = 64
"""Added to the phase of a CPU that waits to be woken."""
WAKE = 3
"""The scratch word of whom to wake: CPU + 1."""

_QUEUED, _HEAD = 1, 2
_TAIL = 1 << 16
_NODE_BYTES = 64
_SITE = 0x3600


class Lock(NamedTuple):
    """`word`: address of locked + tail * 65536, where the tail is CPU + 1, and behind it, free of
    cost, the CPU + 1 that spins on it; `nodes`: CPU n's (next, ready) at `nodes` + 64 * n."""

    word: int
    nodes: int


def new_lock(memory, word):
    """A free lock whose word stands at an address with 16 zero bytes."""
    return Lock(word, memory.words("mcs nodes", _NODE_BYTES * memory.slots))


@njit
def _wait(phase):
    return phase + PARKED


@njit
def lock_step(space, lock, cpu, phase, scratch):
    """One turn of taking the lock in phases 0 .. HOLDS - 1; returns the next phase."""
    node = lock.nodes + _NODE_BYTES * cpu
    if phase == 0:
        word, token = compare_exchange(space, lock.word, 8, 0, 1, 0)
        branch(space, _SITE, word == 0, token)
        if word == 0:
            return HOLDS
        previous = word // _TAIL
        store(space, node, 8, 0, 0, 0)
        store(space, node + 8, 8, 0, 0, 0)
        work(space, 10, 3)
        # xchg of the tail
        atomic_add(space, lock.word, 8, (cpu + 1 - previous) * _TAIL, 0)
        if previous == 0:
            poke(space, lock.word + 8, 8, cpu + 1)
            return _wait(_HEAD)
        store(space, lock.nodes + _NODE_BYTES * (previous - 1), 8, cpu + 1, 0, 0)
        return _wait(_QUEUED)
    if phase == _QUEUED:
        ready, token = load(space, node + 8, 8, 0)
        branch(space, _SITE + 1, ready != 0, token)
        if ready == 0:
            return _wait(_QUEUED)
        poke(space, lock.word + 8, 8, cpu + 1)
    word, token = load(space, lock.word, 8, 0)
    locked = word % _TAIL
    branch(space, _SITE + 2, locked == 0, token)
    if locked != 0:
        return _wait(_HEAD)
    poke(space, lock.word + 8, 8, 0)
    if word // _TAIL == cpu + 1:
        compare_exchange(space, lock.word, 8, word, 1, token)
        return HOLDS
    store(space, lock.word, 8, word + 1, token, 0)
    following, token = load(space, node, 8, 0)
    store(space, lock.nodes + _NODE_BYTES * (following - 1) + 8, 8, 1, token, 0)
    poke_i64(scratch + 8 * WAKE, following)
    return HOLDS


@njit
def unlock(space, lock, scratch):
    """Release the lock: a store of the locked byte; wakes the head of the queue."""
    word = peek(space, lock.word, 8)
    store(space, lock.word, 8, word - 1, 0, 0)
    head = peek(space, lock.word + 8, 8)
    if head != 0:
        poke_i64(scratch + 8 * WAKE, head)


@njit
def take_wake(scratch):
    """The CPU + 1 that the last turn woke, once; 0 for none."""
    woken = peek_i64(scratch + 8 * WAKE)
    if woken != 0:
        poke_i64(scratch + 8 * WAKE, 0)
    return woken
