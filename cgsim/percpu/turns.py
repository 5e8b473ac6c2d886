"""Whose turn it is: a heap of the CPUs' clocks, the smallest first, ties to the lower number."""

import numpy as np

from cgsim.compile.block_access import get
from cgsim.compile.jit import njit
from cgsim.core.block_fields import C_RETIRE
from cgsim.core.space import pause

CPU_BITS = 12
"""A key of the heap is clock << CPU_BITS | CPU."""
CPU_MASK = (1 << CPU_BITS) - 1
MAX_CPUS = 1 << CPU_BITS


@njit
def sift(keys, size):
    """Restore the heap after its first key grew."""
    key = keys[0]
    at = 0
    child = 1
    while child < size:
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[at] = keys[child]
        at = child
        child = 2 * at + 1
    keys[at] = key


@njit
def leave(keys, size):
    """Take the first key out of the heap; returns the new size."""
    keys[0] = keys[size - 1]
    if size > 1:
        sift(keys, size - 1)
    return size - 1


@njit
def enter(keys, size, key):
    """Put a key into the heap; returns the new size."""
    at = size
    while at > 0 and keys[(at - 1) // 2] > key:
        keys[at] = keys[(at - 1) // 2]
        at = (at - 1) // 2
    keys[at] = key
    return size + 1


@njit
def _fill_keys(blocks, keys):
    for cpu in range(blocks.size):
        keys[cpu] = get(blocks[cpu], C_RETIRE) << CPU_BITS | cpu


def clock_keys(blocks):
    """The heap of the clocks of CPUs by the raw addresses of their blocks: int64[cpus]."""
    keys = np.empty(blocks.size, dtype=np.int64)
    _fill_keys(blocks, keys)
    return np.sort(keys)  # numba would compile a sort


@njit
def idle(space, ticks):
    """The CPU does something else for `ticks`."""
    pause(space, ticks, 0)


def meet(space, blocks, later=0):
    """All CPUs wait for the last one, and `later` ticks more."""
    keys = clock_keys(blocks)
    latest = (int(keys.max()) >> CPU_BITS) + later
    for key in keys:
        clock, cpu = divmod(int(key), MAX_CPUS)
        idle(space._replace(cpu=int(blocks[cpu])), latest - clock)
