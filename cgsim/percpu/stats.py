"""u64_stats: percpu words under a percpu sequence counter, as 32-bit kernels need them.

Mirrors u64_stats_update_begin/end and u64_stats_fetch_begin/retry (include/linux/u64_stats_sync.h).
On 64-bit kernels the sequence counter is empty and the layout is `percpu`.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, branch, load, work
from cgsim.percpu.base import Layout, Shape, add_layout, no_error
from cgsim.percpu.copies import peek_copies, reset_copies

_SITE = 0x3400
COPY_BYTES = 16


class Stats(NamedTuple):
    """CPU n's (count, sequence) stands at `base` + n * `stride`."""

    base: int
    stride: int
    slots: int


def prepare(memory):
    base, stride = memory.percpu(COPY_BYTES)
    return Stats(base, stride, memory.slots)


@njit
def step(space, layout, cpu, scratch, phase, amount, token):
    """Phase 0 opens the write section, 1 counts in it, 2 closes it: a reader may see it open."""
    copy = layout.base + cpu * layout.stride
    if phase == 1:
        add_in_place(space, copy, 8, amount, token)
        return 2
    add_in_place(space, copy + 8, 4, 1, token)
    return 1 if phase == 0 else 0


@njit
def read(space, layout):
    """A copy whose write section is open is read again: here as it stands, since its CPU waits."""
    total = 0
    for cpu in range(layout.slots):
        copy = layout.base + cpu * layout.stride
        before, token = load(space, copy + 8, 4, 1)
        branch(space, _SITE, before & 1 != 0, token)
        value, token = load(space, copy, 8, token)
        after, token = load(space, copy + 8, 4, token)
        branch(space, _SITE + 1, after != before, token)
        work(space, 5, 1)
        total += value
    return total


@njit
def peek_sum(space, layout):
    return peek_copies(space, layout.base, layout.stride, layout.slots)


@njit
def reset(space, layout):
    reset_copies(space, layout.base, layout.stride, layout.slots)


STATS = add_layout(
    Layout(
        "u64-stats", "u64_stats with a sequence counter", "u64_stats_update_begin", Stats, prepare,
        step, read, peek_sum, reset,
        lambda machine, possible: Shape(percpu=(COPY_BYTES,)), no_error, interrupts="off",
    )
)  # fmt: skip
