"""The scout: a lookup played ahead of its turn, so that the host has its memory at hand.

A large population and the machine's larger tables do not fit the host's caches. Played in order,
each simulated miss waits for the host's memory. So the next lookups are played ahead twice: a
glance only reads what they will read, with so few instructions that the host overlaps several
lookups; then the scout, which finds all that at hand, asks for the rows they map to. Neither writes
anything or costs simulated time, so they cannot change a result: lookups that run back to back have
no other code between them, of which a set that is asked for would be told.
"""

from cgsim.compile.block_access import fixed
from cgsim.compile.intrinsics import peek_u32
from cgsim.compile.jit import njit
from cgsim.core.block_fields import (
    C_LEVELS,
    C_SYSTEM,
    K_INCLUSION,
    K_WAYS,
    S_LEVELS,
    S_PAGE_MAP,
    VICTIM,
)
from cgsim.core.cache_sets import LINE_SHIFT, row_of
from cgsim.core.recency import NAME_MASK
from cgsim.core.replay.lru_vector import prefetch


@njit(forceinline=True)
def announce(cpu, address):
    """Ask the host for the rows and the page map's entry that an access to `address` reads."""
    system = fixed(cpu, C_SYSTEM)
    line = address >> LINE_SHIFT
    last = fixed(system, S_LEVELS) - 1
    shared = fixed(cpu, C_LEVELS + last)
    prefetch(row_of(shared, line))
    if fixed(shared, K_INCLUSION) == VICTIM:
        # what the line will push out of the level above goes there too
        above = fixed(cpu, C_LEVELS + last - 1)
        oldest = peek_u32(row_of(above, line) + 4 * (fixed(above, K_WAYS) - 1)) & NAME_MASK
        prefetch(row_of(shared, oldest))
    prefetch(fixed(system, S_PAGE_MAP) + 8 * (address >> 12))
