"""The life of a cgroup's counter: what its creation and its teardown cost.

Mirrors kzalloc and pcpu_alloc / free_percpu (mm/percpu.c of Linux 6.12): a percpu allocation takes
the allocator's mutex and its irq-safe lock, searches a bitmap, and zeroes the copy of every
possible CPU, online or not; freeing one takes the lock and clears bits, but touches no copy. What
must be summed first (a flush, the switch of a reference count to atomic mode) reads them all. The
code of the allocators is counted, not played: about 250 instructions for a percpu allocation, 150
to free one, 60 and 40 for slab, from memory.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.space import compare_exchange, load, now, pause, store, work
from cgsim.percpu.base import read, reset


class Costs(NamedTuple):
    """`allocator`: address of a page, its locks and bitmaps; slab_lines: lines that kzalloc clears;
    slabs, percpus: how many allocations; reads: 1 if the teardown sums the copies."""

    allocator: int
    slab_lines: int
    slabs: int
    percpus: int
    reads: int


@njit
def _locked(space, word):
    compare_exchange(space, word, 4, 0, 1, 0)
    store(space, word, 4, 0, 0, 0)


@njit
def create(space, layout, costs):
    """Allocate and zero one counter; returns ticks until its last store has left the buffer."""
    pause(space, 0, 0)
    before = now(space)
    for _ in range(costs.slabs):
        work(space, 60, 10)
    for line in range(costs.slab_lines):
        store(space, costs.allocator + 1024 + 64 * (line % 32), 8, 0, 0, 0)
    for _ in range(costs.percpus):
        _locked(space, costs.allocator)
        _locked(space, costs.allocator + 64)
        token = 0
        for line in range(4):
            _, token = load(space, costs.allocator + 128 + 64 * line, 8, token)
        work(space, 250, 40)
    reset(space, layout)
    pause(space, 0, 0)
    return now(space) - before


@njit
def teardown(space, layout, costs):
    """Take one counter away; returns ticks until all is done, without the RCU grace period."""
    pause(space, 0, 0)
    before = now(space)
    if costs.reads != 0:
        read(space, layout)
    for _ in range(costs.slabs):
        work(space, 40, 6)
    for _ in range(costs.percpus):
        _locked(space, costs.allocator + 64)
        work(space, 150, 25)
    pause(space, 0, 0)
    return now(space) - before
