"""rstat: percpu counts in a tree of cgroups; an update notes which cgroups changed, a read flushes.

Mirrors css_rstat_updated and css_rstat_flush (kernel/cgroup/rstat.c of Linux 6.12): an update adds
to its CPU's copy and, once per flush, links the cgroup and its ancestors into that CPU's list of
updated ones; a flush walks the lists of all CPUs and adds each copy to the parent's. `levels` is
the depth of the cgroup under the root.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, branch, compare_exchange, load, peek, store, work
from cgsim.percpu.base import Layout, Shape, add_layout

_SITE = 0x3300
_LOCK = 24  # the CPU's lock; in the kernel a percpu variable of its own
COPY_BYTES = 64  # updated_children, updated_next, the count and what was flushed of it


class Rstat(NamedTuple):
    """CPU n's copy for the ancestor `level` up: `base` + n * `stride` + 64 * level.

    A copy holds (count, flushed, updated). `total`: the global count's address.
    """

    total: int
    base: int
    stride: int
    slots: int
    levels: int


def prepare(memory, levels=3):
    total = memory.words("rstat total", 64)
    base, stride = memory.percpu(COPY_BYTES * levels)
    return Rstat(total, base, stride, memory.slots, levels)


@njit
def step(space, layout, cpu, scratch, phase, amount, token):
    copy = layout.base + cpu * layout.stride
    add_in_place(space, copy, 8, amount, token)
    updated, token = load(space, copy + 16, 8, token)
    work(space, 6, 1)
    branch(space, _SITE, updated != 0, token)
    if updated == 0:
        # under the CPU's own lock: link this cgroup and every ancestor not yet linked
        compare_exchange(space, copy + _LOCK, 4, 0, 1, token)
        for level in range(layout.levels):
            linked, token = load(space, copy + COPY_BYTES * level + 16, 8, token)
            work(space, 12, 2)
            if linked == 0:
                store(space, copy + COPY_BYTES * level + 16, 8, 1, token, 0)
        store(space, copy + _LOCK, 4, 0, 0, 0)
    return 0


@njit
def read(space, layout):
    """Flush, then read the global count."""
    gained = 0
    for cpu in range(layout.slots):
        copy = layout.base + cpu * layout.stride
        # cgroup_rstat_flush_locked takes each possible CPU's lock, updated or not
        compare_exchange(space, copy + _LOCK, 4, 0, 1, 0)
        updated, token = load(space, copy + 16, 8, 1)
        work(space, 12, 2)
        store(space, copy + _LOCK, 4, 0, 0, 0)
        branch(space, _SITE + 1, updated != 0, token)
        if updated == 0:
            continue
        count, _ = load(space, copy, 8, token)
        flushed, token = load(space, copy + 8, 8, token)
        work(space, 10, 1)
        store(space, copy + 8, 8, count, token, token)
        for level in range(layout.levels):
            store(space, copy + COPY_BYTES * level + 16, 8, 0, token, 0)
        gained += count - flushed
    total, _ = add_in_place(space, layout.total, 8, gained, 0)
    return total


@njit
def peek_sum(space, layout):
    """What a flush would find: the global count and what was not flushed yet."""
    total = peek(space, layout.total, 8)
    for cpu in range(layout.slots):
        copy = layout.base + cpu * layout.stride
        total += peek(space, copy, 8) - peek(space, copy + 8, 8)
    return total


@njit
def reset(space, layout):
    store(space, layout.total, 8, 0, 0, 0)
    for cpu in range(layout.slots):
        copy = layout.base + cpu * layout.stride
        for word in range(3):
            store(space, copy + 8 * word, 8, 0, 0, 0)
        work(space, 3, 1)


RSTAT = add_layout(
    Layout(
        "rstat", "rstat: percpu tree, flushed by readers", "css_rstat_updated, css_rstat_flush",
        Rstat, prepare, step, read, peek_sum, reset,

        lambda machine, possible: Shape(slab=(64,), percpu=(COPY_BYTES,)),
        lambda cpus: float("inf"), interrupts="off", teardown_reads=True,
    )
)  # fmt: skip
