"""One word per CPU: packed (false sharing), a line each, and the kernel's percpu chunks.

The owner updates its word with one unlocked instruction (`this_cpu_add`: the address is a constant
off %gs); a reader loads all words.
"""

from typing import NamedTuple

from cgsim.compile.block_access import get, put
from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, compute, load, store, work
from cgsim.percpu.base import Layout, Shape, add_layout, no_error
from cgsim.percpu.copies import peek_copies, read_copies, reset_copies
from cgsim.percpu.counter_memory import LINE_BYTES


class Rows(NamedTuple):
    """CPU n's word stands at `base` + n * `stride`; `slots` words exist. Bytes."""

    base: int
    stride: int
    slots: int


class PackedRows(NamedTuple):
    """As `Rows`."""

    base: int
    stride: int
    slots: int


class FirstChunk(NamedTuple):
    """As `Rows`."""

    base: int
    stride: int
    slots: int


class LaterChunk(NamedTuple):
    """As `Rows`."""

    base: int
    stride: int
    slots: int


class Unprotected(NamedTuple):
    """As `Rows`."""

    base: int
    stride: int
    slots: int


def prepare_packed(memory):
    return PackedRows(memory.words("counters", 8 * memory.slots), 8, memory.slots)


def prepare_padded(memory):
    return Rows(memory.words("counters", LINE_BYTES * memory.slots), LINE_BYTES, memory.slots)


def prepare_first(memory):
    base, stride = memory.percpu(8, first=True)
    return FirstChunk(base, stride, memory.slots)


def prepare_later(memory):
    base, stride = memory.percpu(8)
    return LaterChunk(base, stride, memory.slots)


def prepare_unprotected(memory):
    base, stride = memory.percpu(8)
    return Unprotected(base, stride, memory.slots)


@njit
def step(space, layout, cpu, scratch, phase, amount, token):
    add_in_place(space, layout.base + cpu * layout.stride, 8, amount, token)
    return 0


@njit
def step_unprotected(space, layout, cpu, scratch, phase, amount, token):
    """this_cpu_ptr and a load, then the store: an interrupt or a move to another CPU in between
    makes the store overwrite what was counted meanwhile."""
    if phase == 0:
        word = layout.base + cpu * layout.stride
        work(space, 2, 0)
        value, value_token = load(space, word, 8, token)
        put(scratch, 0, value)
        put(scratch, 1, value_token)
        put(scratch, 2, word)
        return 1
    value_token = compute(space, get(scratch, 1), 1, 0, 0)
    work(space, 1, 0)
    store(space, get(scratch, 2), 8, get(scratch, 0) + amount, 0, value_token)
    return 0


@njit
def read(space, layout):
    return read_copies(space, layout.base, layout.stride, layout.slots)


@njit
def peek_sum(space, layout):
    return peek_copies(space, layout.base, layout.stride, layout.slots)


@njit
def reset(space, layout):
    reset_copies(space, layout.base, layout.stride, layout.slots)


def _percpu_bytes(machine, possible):
    return Shape(percpu=(8,))


PACKED = add_layout(
    Layout(
        "packed", "array of CPUs, packed", "u64 count[NR_CPUS]", PackedRows, prepare_packed, step,
        read, peek_sum, reset, lambda machine, possible: Shape(slab=(8 * possible,)), no_error,
    )
)  # fmt: skip
PADDED = add_layout(
    Layout(
        "padded", "array of CPUs, a line each", "____cacheline_aligned", Rows, prepare_padded, step,
        read, peek_sum, reset,
        lambda machine, possible: Shape(slab=(LINE_BYTES * possible,)), no_error,
    )
)  # fmt: skip
FIRST = add_layout(
    Layout(
        "percpu-first", "percpu, first chunk", "DEFINE_PER_CPU, this_cpu_inc", FirstChunk,
        prepare_first, step, read, peek_sum, reset, _percpu_bytes, no_error,
    )
)  # fmt: skip
LATER = add_layout(
    Layout(
        "percpu", "percpu, later chunk", "alloc_percpu, this_cpu_inc", LaterChunk, prepare_later,
        step, read, peek_sum, reset, _percpu_bytes, no_error,
    )
)  # fmt: skip
UNPROTECTED = add_layout(
    Layout(
        "percpu-plain", "percpu, load and store", "*this_cpu_ptr(p) = *this_cpu_ptr(p) + 1",
        Unprotected, prepare_unprotected, step_unprotected, read, peek_sum, reset, _percpu_bytes,
        no_error, interrupts="lost", migrates=True,
    )
)  # fmt: skip
