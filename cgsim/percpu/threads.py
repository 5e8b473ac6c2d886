"""Per-thread variables of a program: through the thread's number, or thread-local.

Mirrors perfbook's CodeSamples/count: count_stat.c (an array of per-thread lines, found through
smp_thread_id(), which calls pthread_getspecific) and count_end.c (a `__thread` variable, a constant
offset off %fs).
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.block_fields import TICKS
from cgsim.core.calls import redirect
from cgsim.core.space import compute, join, load, store, work
from cgsim.percpu.base import Layout, Shape, add_layout, no_error
from cgsim.percpu.copies import peek_copies, reset_copies
from cgsim.percpu.counter_memory import LINE_BYTES


class ThreadArray(NamedTuple):
    """Thread n's line at `base` + 64 * n; `ids`: lines that hold the threads' numbers.

    call_ticks : that a call and its return hold the front end up, besides their instructions.
    """

    base: int
    slots: int
    ids: int
    call_ticks: int


class ThreadLocal(NamedTuple):
    """Thread n's variable stands at `base` + 64 * n; `pointers`: row of addresses, by thread."""

    base: int
    slots: int
    pointers: int


def prepare_array(memory):
    base = memory.words("per-thread array", LINE_BYTES * memory.slots)
    ids = memory.words("thread data", LINE_BYTES * memory.slots)
    # a loop around an empty call: its instructions take one of the cycles
    cycles = max((memory.machine.window.call_return_cycles or 1.0) - 1.0, 0.0)
    return ThreadArray(base, memory.slots, ids, round(cycles * TICKS))


def prepare_local(memory):
    base = memory.words("thread-local data", LINE_BYTES * memory.slots)
    pointers = memory.words("pointers", 8 * memory.slots)
    for cpu in range(memory.slots):
        memory.heap.write(pointers + 8 * cpu, base + LINE_BYTES * cpu)
    return ThreadLocal(base, memory.slots, pointers)


@njit
def step_array(space, layout, cpu, scratch, phase, amount, token):
    """pthread_getspecific through the PLT, as gcc 12 and glibc 2.36 compile it: 28 instructions."""
    redirect(space, layout.call_ticks)
    work(space, 20, 4)
    data = layout.ids + LINE_BYTES * cpu
    load(space, data + 8, 8, token)
    load(space, data + 16, 8, token)
    load(space, data + 24, 8, token)
    load(space, data + 32, 8, token)
    _, number_token = load(space, data, 8, token)
    address_token = compute(space, number_token, 3, 0, 1)
    word = layout.base + LINE_BYTES * cpu
    value, value_token = load(space, word, 8, address_token)
    work(space, 1, 0)
    value_token = compute(space, value_token, 1, 0, 0)
    store(space, word, 8, value + amount, address_token, value_token)
    return 0


@njit
def step_local(space, layout, cpu, scratch, phase, amount, token):
    word = layout.base + LINE_BYTES * cpu
    value, value_token = load(space, word, 8, token)
    work(space, 1, 0)
    store(space, word, 8, value + amount, token, compute(space, value_token, 1, 0, 0))
    return 0


@njit
def read_array(space, layout):
    """Add every thread's word; gcc -O3 computes each address anew: five instructions and a test."""
    total = 0
    ready = 0
    for thread in range(layout.slots):
        value, token = load(space, layout.base + LINE_BYTES * thread, 8, 1)
        work(space, 6, 1)
        ready = join(space, ready, token)
        total += value
    return total


@njit
def read_local(space, layout):
    """Through the row of pointers, NULL for threads that have left."""
    total = 0
    ready = 0
    for thread in range(layout.slots):
        word, pointer_token = load(space, layout.pointers + 8 * thread, 8, 1)
        value, token = load(space, word, 8, pointer_token)
        work(space, 4, 2)
        ready = join(space, ready, token)
        total += value
    return total


@njit
def peek_sum(space, layout):
    return peek_copies(space, layout.base, LINE_BYTES, layout.slots)


@njit
def reset(space, layout):
    reset_copies(space, layout.base, LINE_BYTES, layout.slots)


ARRAY = add_layout(
    Layout(
        "thread-array", "array of per-thread lines", "count_stat.c of perfbook", ThreadArray,
        prepare_array, step_array, read_array, peek_sum, reset,
        lambda machine, possible: Shape(slab=(LINE_BYTES * possible,)), no_error, per_task=True,
    )
)  # fmt: skip
LOCAL = add_layout(
    Layout(
        "thread-local", "thread-local variable", "count_end.c of perfbook", ThreadLocal,
        prepare_local, step_local, read_local, peek_sum, reset,
        lambda machine, possible: Shape(slab=(8 * possible, 8 * possible)), no_error, per_task=True,
    )
)  # fmt: skip
