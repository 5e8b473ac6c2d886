"""Locks and RCU as their fast paths touch memory.

A spinlock is one locked compare-and-exchange and one plain store; a mutex two locked exchanges;
both on a word of the object they protect. With several CPUs a lock is taken by operations that
are ordered in simulated time, so the wait shows as the line's transfer. On one CPU a lock that is
taken already belongs to what was interrupted: that is noted (`cgsim.core.space.note`).
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.space import add_in_place, compare_exchange, load, note, store, work

SPINS, SLEEPS = 1, 2
"""What a lock does that is taken already."""


class Task(NamedTuple):
    """The running task and the CPU's pointer to it; addresses and offsets in bytes."""

    current: int  # simulated address of the percpu pointer to the task
    task: int
    nesting_offset: int
    special_offset: int


@njit
def spin_lock(space, lock, token):
    """Take a free spinlock: a locked compare-and-exchange of its word."""
    work(space, 4, 1)
    holder, _ = compare_exchange(space, lock, 4, 0, 1, token)
    if holder != 0:
        note(space, SPINS)


@njit
def spin_unlock(space, lock, token):
    """Release a spinlock: a plain store."""
    work(space, 1, 0)
    store(space, lock, 1, 0, token, 0)


@njit
def mutex_lock(space, mutex, owner, token):
    """mutex_lock without contention: compare-and-exchange of the owner word with the task."""
    work(space, 8, 1)
    holder, _ = compare_exchange(space, mutex, 8, 0, owner, token)
    if holder != 0:
        note(space, SLEEPS)


@njit
def mutex_unlock(space, mutex, owner, token):
    """mutex_unlock without waiters: compare-and-exchange of the owner word back to 0."""
    work(space, 8, 1)
    compare_exchange(space, mutex, 8, owner, 0, token)


@njit
def rcu_read_lock(space, task):
    """PREEMPT_RCU's rcu_read_lock: find the task, then load and store its nesting count.

    Eight instructions with the call, as recorded.
    """
    call_and_return(space)
    work(space, 5, 0)
    current, token = load(space, task.current, 8, 0)
    nesting, nesting_token = load(space, current + task.nesting_offset, 4, token)
    store(space, current + task.nesting_offset, 4, nesting + 1, token, nesting_token)


@njit
def rcu_read_unlock(space, task):
    """PREEMPT_RCU's rcu_read_unlock: one decrement in memory; the last looks for a special exit.

    Ten instructions with the call, seven where another rcu_read_lock is still held, as recorded.
    """
    call_and_return(space)
    current, token = load(space, task.current, 8, 0)
    nesting, _ = add_in_place(space, current + task.nesting_offset, 4, -1, token)
    work(space, 5, 1)
    if nesting == 0:
        work(space, 2, 1)
        load(space, current + task.special_offset, 4, token)
