"""A per-thread limit counter: a thread counts in a share of its own, then asks globally.

Mirrors add_count and sub_count of perfbook's CodeSamples/count/count_lim_app.c: fast path while the
thread's count stays below its maximum (at most 100), else the global count under a lock.
"""

from typing import NamedTuple

from cgsim.compile.block_access import get, put
from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, branch, join, load, peek, store, work
from cgsim.percpu.base import Layout, Shape, add_layout
from cgsim.percpu.copies import peek_copies, reset_copies
from cgsim.percpu.counter_memory import LINE_BYTES
from cgsim.percpu.queued import HOLDS, Lock, lock_step, new_lock, unlock

_SITE = 0x3200
MAX_SHARE = 100


class Limit(NamedTuple):
    """A CPU's line at `base` + 64 * n holds (count, maximum); `lock` and `nodes`
    (`queued.Lock`), `total`: the global ones."""

    lock: int
    nodes: int
    total: int
    base: int
    slots: int


def prepare(memory):
    head = memory.words("global count", 64)
    base = memory.words("thread counts", LINE_BYTES * memory.slots)
    for cpu in range(memory.slots):
        memory.heap.write(base + LINE_BYTES * cpu + 8, MAX_SHARE)
    lock = new_lock(memory, head)
    return Limit(lock.word, lock.nodes, head + 16, base, memory.slots)


@njit
def step(space, layout, cpu, scratch, phase, amount, token):
    """`amount` may be negative. Phase 0: the fast path; the others: the global count, locked."""
    lock = Lock(layout.lock, layout.nodes)
    own = layout.base + LINE_BYTES * cpu
    if phase == 0:
        count, count_token = load(space, own, 8, token)
        if amount >= 0:
            share, share_token = load(space, own + 8, 8, token)
            count_token = join(space, count_token, share_token)
            fits = share - count >= amount
        else:
            fits = count >= -amount
        branch(space, _SITE, fits, count_token)
        if fits:
            add_in_place(space, own, 8, amount, token)
            return 0
        put(scratch, 0, amount)
    if phase < HOLDS:
        return lock_step(space, lock, cpu, phase, scratch)
    # globalize, count, and start again from the middle of the share
    count, count_token = load(space, own, 8, 0)
    total, total_token = load(space, layout.total, 8, 0)
    work(space, 15, 2)
    half = MAX_SHARE // 2
    total += count + get(scratch, 0) - half
    store(space, layout.total, 8, total, 0, join(space, count_token, total_token))
    store(space, own, 8, half, 0, 0)
    unlock(space, lock, scratch)
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
    return total + peek_copies(space, layout.base, LINE_BYTES, layout.slots)


@njit
def reset(space, layout):
    store(space, layout.total, 8, 0, 0, 0)
    reset_copies(space, layout.base, LINE_BYTES, layout.slots)


LIMIT = add_layout(
    Layout(
        "limit", "per-thread limit counter", "count_lim_app.c of perfbook", Limit, prepare, step,
        read, peek_sum, reset,
        lambda machine, possible: Shape(slab=(32, LINE_BYTES * possible)),
        lambda cpus: float(MAX_SHARE * cpus), interrupts="off", per_task=True,
    )
)  # fmt: skip
