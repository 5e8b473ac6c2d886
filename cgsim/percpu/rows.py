"""One word per CPU: packed (false sharing), a line each, and the kernel's percpu chunks.

The owner updates its word with one unlocked instruction (`this_cpu_add`: the address is a constant
off %gs); a reader loads all words.
"""

from typing import NamedTuple

from cgsim.core.jit import njit
from cgsim.core.space import add_in_place, join, load, peek, store, work
from cgsim.percpu.base import Layout, add_layout, no_error
from cgsim.percpu.place import (
    FIRST_UNIT_BYTES,
    LATER_UNIT_BYTES,
    LINE_BYTES,
    MIN_ALLOCATION_BYTES,
)


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


def prepare_packed(place):
    return PackedRows(place.words("counters", 8 * place.slots), 8, place.slots)


def prepare_padded(place):
    return Rows(place.words("counters", LINE_BYTES * place.slots), LINE_BYTES, place.slots)


def prepare_first(place, offset=4096):
    base = place.words("percpu first chunk", FIRST_UNIT_BYTES * place.slots)
    return FirstChunk(base + offset, FIRST_UNIT_BYTES, place.slots)


def prepare_later(place, offset=4096):
    base = place.words("percpu chunk", LATER_UNIT_BYTES * place.slots, huge=False)
    return LaterChunk(base + offset, LATER_UNIT_BYTES, place.slots)


@njit
def step(space, layout, cpu, scratch, phase, amount):
    add_in_place(space, layout.base + cpu * layout.stride, 8, amount, 0)
    return 0


@njit
def read(space, layout):
    """Three instructions per word besides the load, and a well predicted branch."""
    total = 0
    ready = 0
    for cpu in range(layout.slots):
        value, token = load(space, layout.base + cpu * layout.stride, 8, 1)
        work(space, 3, 1)
        ready = join(space, ready, token)
        total += value
    return total


@njit
def peek_sum(space, layout):
    total = 0
    for cpu in range(layout.slots):
        total += peek(space, layout.base + cpu * layout.stride, 8)
    return total


@njit
def reset(space, layout):
    """Write 0 to every CPU's word; updates in flight are lost, as in the kernel."""
    for cpu in range(layout.slots):
        store(space, layout.base + cpu * layout.stride, 8, 0, 0, 0)
        work(space, 3, 1)


def _percpu_bytes(machine, possible):
    return MIN_ALLOCATION_BYTES * possible


PACKED = add_layout(
    Layout(
        "packed", "array of CPUs, packed", "u64 count[NR_CPUS]", PackedRows, prepare_packed, step,
        read, peek_sum, reset, _percpu_bytes, no_error,
    )
)  # fmt: skip
PADDED = add_layout(
    Layout(
        "padded", "array of CPUs, a line each", "____cacheline_aligned", Rows, prepare_padded, step,
        read, peek_sum, reset, lambda machine, possible: LINE_BYTES * possible, no_error,
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
