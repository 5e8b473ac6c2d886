"""percpu_ref: a percpu get and put, against an atomic reference count that does both on one word.

Mirrors percpu_ref_get and percpu_ref_put in percpu mode (include/linux/percpu-refcount.h): each
tests the mode in the pointer's low bits, then one this_cpu operation. The layout counts gets minus
puts plus completed pairs in a second word, so that a test can see that none is lost.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, atomic_add, branch, load, peek, poke, store, work
from cgsim.percpu.base import Layout, Shape, add_layout, no_error
from cgsim.percpu.copies import peek_copies, reset_copies

_SITE = 0x3100


class PercpuRef(NamedTuple):
    """`ref`: address of the struct; the percpu words stand as in
    `word_per_cpu.Rows`."""

    ref: int
    base: int
    stride: int
    slots: int
    pairs: int


class AtomicRef(NamedTuple):
    """`ref`: address of the count; `pairs` as above."""

    ref: int
    base: int
    stride: int
    slots: int
    pairs: int


def _prepare(memory, kind):
    ref = memory.words("percpu_ref", 64)
    base, stride = memory.percpu(8)
    pairs = memory.words("pairs", 64 * memory.slots)
    return kind(ref, base, stride, memory.slots, pairs)


def prepare_percpu(memory):
    return _prepare(memory, PercpuRef)


def prepare_atomic(memory):
    return _prepare(memory, AtomicRef)


@njit
def _note_pair(space, layout, cpu, amount):
    """The account of completed pairs; it costs nothing."""
    where = layout.pairs + 64 * cpu
    poke(space, where, 8, peek(space, where, 8) + amount)


@njit
def step_percpu(space, layout, cpu, scratch, phase, amount, token):
    """Phase 0 gets, phase 1 puts."""
    pointer, pointer_token = load(space, layout.ref, 8, token)
    branch(space, _SITE, pointer & 3 != 0, pointer_token)
    work(space, 3, 0)
    change = amount if phase == 0 else -amount
    add_in_place(space, layout.base + cpu * layout.stride, 8, change, pointer_token)
    if phase == 0:
        return 1
    _note_pair(space, layout, cpu, amount)
    return 0


@njit
def step_atomic(space, layout, cpu, scratch, phase, amount, token):
    atomic_add(space, layout.ref, 8, amount if phase == 0 else -amount, token)
    work(space, 2, 1)
    if phase == 0:
        return 1
    _note_pair(space, layout, cpu, amount)
    return 0


@njit
def read(space, layout):
    """What percpu_ref_kill's switch to atomic mode adds up."""
    total, _ = load(space, layout.ref, 8, 0)
    for cpu in range(layout.slots):
        value, _ = load(space, layout.base + cpu * layout.stride, 8, 1)
        work(space, 3, 1)
        total += value
    return total


@njit
def peek_sum(space, layout):
    """References held, plus the pairs that were completed."""
    held = peek(space, layout.ref, 8)
    held += peek_copies(space, layout.base, layout.stride, layout.slots)
    return held + peek_copies(space, layout.pairs, 64, layout.slots)


@njit
def reset(space, layout):
    store(space, layout.ref, 8, 0, 0, 0)
    reset_copies(space, layout.base, layout.stride, layout.slots)
    for cpu in range(layout.slots):
        poke(space, layout.pairs + 64 * cpu, 8, 0)


PERCPU = add_layout(
    Layout(
        "percpu-ref", "percpu_ref: get and put", "percpu_ref_get, percpu_ref_put", PercpuRef,
        prepare_percpu, step_percpu, read, peek_sum, reset,

        lambda machine, possible: Shape(slab=(16, 64), percpu=(8,)), no_error, teardown_reads=True,
    )
)  # fmt: skip
ATOMIC = add_layout(
    Layout(
        "atomic-ref", "atomic reference count: get and put", "refcount_inc, refcount_dec",
        AtomicRef, prepare_atomic, step_atomic, read, peek_sum, reset,
        lambda machine, possible: Shape(slab=(4,)), no_error,
    )
)  # fmt: skip
