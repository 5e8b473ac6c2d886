"""percpu_counter: a percpu word that goes to a global one under a lock when a batch is full.

Mirrors percpu_counter_add_batch (lib/percpu_counter.c of Linux 6.12): batch = max(32, 2 * online
CPUs); a read of the global word is off by at most batch * CPUs; percpu_counter_sum adds all words.
"""

from typing import NamedTuple

from cgsim.core.jit import njit
from cgsim.core.raw import peek_i64, poke_i64
from cgsim.core.space import (
    add_in_place,
    branch,
    join,
    load,
    peek,
    store,
    work,
)
from cgsim.percpu.base import Layout, add_layout
from cgsim.percpu.place import LATER_UNIT_BYTES, MIN_ALLOCATION_BYTES
from cgsim.percpu.ticket import acquire, enter, release

_SITE = 0x3000
STRUCT_BYTES = 40  # lock, count, list_head, counters


class Batched(NamedTuple):
    """`total`, `lock`: addresses of the global word and its lock; the rest as `rows.Rows`."""

    total: int
    lock: int
    base: int
    stride: int
    slots: int
    batch: int


def batch_of(cpus):
    """The kernel's percpu_counter_batch."""
    return max(32, 2 * cpus)


def prepare(place):
    head = place.words("percpu_counter", 64)
    base = place.words("percpu chunk", LATER_UNIT_BYTES * place.slots, huge=False)
    return Batched(
        head + 16,
        head,
        base + 4096,
        LATER_UNIT_BYTES,
        place.slots,
        batch_of(place.cpus),
    )


@njit
def step(space, layout, cpu, scratch, phase, amount):
    """Phase 0: the percpu addition; phases 1 and 2 take a full batch to the global word."""
    word = layout.base + cpu * layout.stride
    if phase == 0:
        value, token = load(space, word, 4, 0)
        work(space, 4, 0)
        full = value + amount >= layout.batch
        branch(space, _SITE, full, token)
        if not full:
            add_in_place(space, word, 4, amount, 0)
            return 0
        poke_i64(scratch, amount)
        return enter(space, layout.lock, scratch)
    if phase == 1:
        return acquire(space, layout.lock, scratch)
    held, token = load(space, word, 4, 0)
    count, count_token = load(space, layout.total, 8, 0)
    work(space, 4, 0)
    amount = peek_i64(scratch)
    store(space, layout.total, 8, count + held + amount, 0, join(space, token, count_token))
    add_in_place(space, word, 4, -held, 0)
    release(space, layout.lock)
    return 0


@njit
def read(space, layout):
    """percpu_counter_sum without its lock: the global word and all percpu ones."""
    total, ready = load(space, layout.total, 8, 0)
    for cpu in range(layout.slots):
        value, token = load(space, layout.base + cpu * layout.stride, 4, 1)
        work(space, 3, 1)
        ready = join(space, ready, token)
        total += value
    return total


@njit
def peek_sum(space, layout):
    total = peek(space, layout.total, 8)
    for cpu in range(layout.slots):
        total += peek(space, layout.base + cpu * layout.stride, 4)
    return total


@njit
def reset(space, layout):
    store(space, layout.total, 8, 0, 0, 0)
    for cpu in range(layout.slots):
        store(space, layout.base + cpu * layout.stride, 4, 0, 0, 0)
        work(space, 3, 1)


BATCHED = add_layout(
    Layout(
        "percpu-counter", "percpu_counter", "percpu_counter_add_batch, lib/percpu_counter.c",
        Batched, prepare, step, read, peek_sum, reset,
        lambda machine, possible: STRUCT_BYTES + MIN_ALLOCATION_BYTES * possible,
        lambda cpus: batch_of(cpus) * cpus,
    )
)  # fmt: skip
