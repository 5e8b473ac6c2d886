"""percpu_counter: a percpu word that goes to a global one under a lock when a batch is full.

Mirrors percpu_counter_add_batch (lib/percpu_counter.c of Linux 6.12): batch = max(32, 2 * online
CPUs); a read of the global word is off by at most batch * CPUs; percpu_counter_sum adds all words.
"""

from typing import NamedTuple

from cgsim.compile.block_access import get, put
from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, branch, join, load, peek, store, work
from cgsim.percpu.base import Layout, Shape, add_layout
from cgsim.percpu.queued import HOLDS, Lock, lock_step, new_lock, unlock

_SITE = 0x3000
STRUCT_BYTES = 40  # lock, count, list_head, counters


class Batched(NamedTuple):
    """`total`: the global word's address; `lock`, `nodes`: `queued.Lock`; else as
    `word_per_cpu.Rows`."""

    total: int
    lock: int
    nodes: int
    base: int
    stride: int
    slots: int
    batch: int


@njit
def signed(value):
    """The value of an s32."""
    return value - ((value & 1 << 31) << 1)


def batch_of(cpus):
    """The kernel's percpu_counter_batch."""
    return max(32, 2 * cpus)


def prepare(memory):
    head = memory.words("percpu_counter", 64)
    lock = new_lock(memory, head)
    base, stride = memory.percpu(4)
    total = head + 16
    return Batched(total, lock.word, lock.nodes, base, stride, memory.slots, batch_of(memory.cpus))


@njit
def step(space, layout, cpu, scratch, phase, amount, token):
    """Phase 0: the percpu addition; the others take a full batch to the global word."""
    word = layout.base + cpu * layout.stride
    lock = Lock(layout.lock, layout.nodes)
    if phase == 0:
        value, value_token = load(space, word, 4, token)
        value = signed(value)
        work(space, 4, 0)
        full = abs(value + amount) >= layout.batch
        branch(space, _SITE, full, value_token)
        if not full:
            add_in_place(space, word, 4, amount, token)
            return 0
        put(scratch, 0, amount)
    if phase < HOLDS:
        return lock_step(space, lock, cpu, phase, scratch)
    held, held_token = load(space, word, 4, 0)
    held = signed(held)
    count, count_token = load(space, layout.total, 8, 0)
    work(space, 4, 0)
    amount = get(scratch, 0)
    store(space, layout.total, 8, count + held + amount, 0, join(space, held_token, count_token))
    add_in_place(space, word, 4, -held, 0)
    unlock(space, lock, scratch)
    return 0


@njit
def read(space, layout):
    """percpu_counter_sum without its lock: the global word and all percpu ones."""
    total, ready = load(space, layout.total, 8, 0)
    for cpu in range(layout.slots):
        value, token = load(space, layout.base + cpu * layout.stride, 4, 1)
        work(space, 3, 1)
        ready = join(space, ready, token)
        total += signed(value)
    return total


@njit
def peek_sum(space, layout):
    total = peek(space, layout.total, 8)
    for cpu in range(layout.slots):
        total += signed(peek(space, layout.base + cpu * layout.stride, 4))
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
        lambda machine, possible: Shape(slab=(STRUCT_BYTES,), percpu=(4,)),
        lambda cpus: batch_of(cpus) * cpus, interrupts="off",
    )
)  # fmt: skip
