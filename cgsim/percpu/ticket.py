"""A fair spinlock in simulated time: take a ticket, wait until it is served.

Two words: the next ticket and the ticket being served. A CPU that waits looks again after as long
as the CPUs ahead of it will need at least (backoff in proportion, Mellor-Crummey and Scott, ACM
TOCS 9 (1991)), so that a long queue does not keep the lock's line away from its holder. The
kernel's queued spinlock, where each CPU waits on a line of its own, suffers less where many CPUs
wait on several sockets: what contends for this lock is an upper bound for it.
"""

from cgsim.core.blocks import TICKS
from cgsim.core.jit import njit
from cgsim.core.raw import peek_i64, poke_i64
from cgsim.core.space import atomic_add, load, pause, store, work

_BACKOFF = 50 * TICKS


@njit
def enter(space, lock, scratch):
    """Phase 0: take a ticket; returns the next phase, 1."""
    ticket, _ = atomic_add(space, lock, 8, 1, 0)
    work(space, 2, 1)
    poke_i64(scratch + 16, ticket)
    return 1


@njit
def acquire(space, lock, scratch):
    """Phase 1: returns 2 if it is this CPU's turn, 1 to look again."""
    ahead = peek_i64(scratch + 16) - load(space, lock + 8, 8, 0)[0]
    work(space, 2, 1)
    if ahead == 0:
        return 2
    pause(space, ahead * _BACKOFF, 0)
    return 1


@njit
def release(space, lock):
    """Serve the next ticket."""
    served, token = load(space, lock + 8, 8, 0)
    work(space, 1, 0)
    store(space, lock + 8, 8, served + 1, 0, token)
