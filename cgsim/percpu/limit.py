"""A per-thread limit counter: a thread counts in a share of its own, then asks globally.

Mirrors add_count and sub_count of perfbook's CodeSamples/count/count_lim_app.c: fast path while the
thread's count stays below its maximum (at most 100), else the global count under a lock.
"""

from typing import NamedTuple

from cgsim.core.jit import njit
from cgsim.core.raw import peek_i64, poke_i64
from cgsim.core.space import add_in_place, branch, join, load, peek, store, work
from cgsim.percpu.base import Layout, add_layout
from cgsim.percpu.place import LINE_BYTES
from cgsim.percpu.ticket import acquire, enter, release

_SITE = 0x3200
MAX_SHARE = 100


class Limit(NamedTuple):
    """A CPU's line at `base` + 64 * n holds (count, maximum); `lock`, `total`: the global ones."""

    lock: int
    total: int
    base: int
    slots: int


def prepare(place):
    head = place.words("global count", 64)
    base = place.words("thread counts", LINE_BYTES * place.slots)
    for cpu in range(place.slots):
        place.heap.write(base + LINE_BYTES * cpu + 8, MAX_SHARE)
    return Limit(head, head + 16, base, place.slots)


@njit
def step(space, layout, cpu, scratch, phase, amount):
    """`amount` may be negative. Phase 0: the fast path; 1 and 2: the global count, locked."""
    own = layout.base + LINE_BYTES * cpu
    if phase == 0:
        count, token = load(space, own, 8, 0)
        if amount >= 0:
            share, share_token = load(space, own + 8, 8, 0)
            token = join(space, token, share_token)
            fits = share - count >= amount
        else:
            fits = count >= -amount
        branch(space, _SITE, fits, token)
        if fits:
            add_in_place(space, own, 8, amount, 0)
            return 0
        poke_i64(scratch, amount)
        return enter(space, layout.lock, scratch)
    if phase == 1:
        return acquire(space, layout.lock, scratch)
    # globalize, count, and start again from the middle of the share
    count, token = load(space, own, 8, 0)
    total, total_token = load(space, layout.total, 8, 0)
    work(space, 15, 2)
    half = MAX_SHARE // 2
    total += count + peek_i64(scratch) - half
    store(space, layout.total, 8, total, 0, join(space, token, total_token))
    store(space, own, 8, half, 0, 0)
    release(space, layout.lock)
    return 0


@njit
def read(space, layout):
    total, ready = load(space, layout.total, 8, 0)
    for cpu in range(layout.slots):
        value, token = load(space, layout.base + LINE_BYTES * cpu, 8, 1)
        work(space, 4, 1)
        ready = join(space, ready, token)
        total += value
    return total


@njit
def peek_sum(space, layout):
    total = peek(space, layout.total, 8)
    for cpu in range(layout.slots):
        total += peek(space, layout.base + LINE_BYTES * cpu, 8)
    return total


@njit
def reset(space, layout):
    store(space, layout.total, 8, 0, 0, 0)
    for cpu in range(layout.slots):
        store(space, layout.base + LINE_BYTES * cpu, 8, 0, 0, 0)
        work(space, 3, 1)


LIMIT = add_layout(
    Layout(
        "limit", "per-thread limit counter", "count_lim_app.c of perfbook", Limit, prepare, step,
        read, peek_sum, reset, lambda machine, possible: 32 + LINE_BYTES * possible,
        lambda cpus: float(MAX_SHARE * cpus),
    )
)  # fmt: skip
