"""Counters of a hierarchy: an update is charged to the cgroup and to every ancestor.

Mirrors page_counter_try_charge (mm/page_counter.c of Linux 6.12), which adds atomically to the word
of each level and compares with its limit, and memcg's stock (consume_stock and refill_stock of
mm/memcontrol.c), which takes MEMCG_CHARGE_BATCH at a time and hands it out on its CPU: a plain read
is then off by what the CPUs have in stock. `levels`: the cgroup and its ancestors, each on a line
of its own.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, atomic_add, branch, join, load, peek, store, work
from cgsim.percpu.base import Layout, Shape, add_layout, no_error
from cgsim.percpu.copies import peek_copies, reset_copies
from cgsim.percpu.counter_memory import LINE_BYTES

_SITE = 0x3700
STOCK_BATCH = 64
"""MEMCG_CHARGE_BATCH since 5.20 (commit 1813e51eece0: 32 before)."""
LEVELS = 4


class Charged(NamedTuple):
    """The word of the ancestor `level` up: `base` + 64 * level; its limit 8 bytes further."""

    base: int
    levels: int


class Stocked(NamedTuple):
    """As `Charged`; CPU n's stock stands at `stock` + n * `stride`."""

    base: int
    levels: int
    stock: int
    stride: int
    slots: int


def prepare_charged(memory, levels=LEVELS):
    return Charged(memory.words("page_counter", LINE_BYTES * levels), levels)


def prepare_stocked(memory, levels=LEVELS):
    base = memory.words("page_counter", LINE_BYTES * levels)
    stock, stride = memory.percpu(8)
    return Stocked(base, levels, stock, stride, memory.slots)


@njit
def _charge(space, layout, amount, token):
    """Add to every level, compare with its limit, and follow the parent's pointer."""
    for level in range(layout.levels):
        word = layout.base + LINE_BYTES * level
        _, charged = atomic_add(space, word, 8, amount, token)
        _, limit = load(space, word + 8, 8, token)
        work(space, 6, 1)
        branch(space, _SITE, False, join(space, charged, limit))
        _, token = load(space, word + 16, 8, token)


@njit
def step_charged(space, layout, cpu, scratch, phase, amount, token):
    _charge(space, layout, amount, token)
    return 0


@njit
def step_stocked(space, layout, cpu, scratch, phase, amount, token):
    """From the CPU's stock, which is refilled from the hierarchy when it is empty."""
    stock = layout.stock + cpu * layout.stride
    left, left_token = load(space, stock, 8, token)
    work(space, 4, 0)
    enough = left >= amount
    branch(space, _SITE + 1, enough, left_token)
    if enough:
        add_in_place(space, stock, 8, -amount, token)
        return 0
    _charge(space, layout, STOCK_BATCH + amount, token)
    add_in_place(space, stock, 8, STOCK_BATCH, token)
    return 0


@njit
def read(space, layout):
    """The cgroup's own word, as a plain read sees it."""
    value, _ = load(space, layout.base, 8, 0)
    return value


@njit
def peek_charged(space, layout):
    return peek(space, layout.base, 8)


@njit
def peek_stocked(space, layout):
    """What was charged, without what is in stock."""
    total = peek(space, layout.base, 8)
    return total - peek_copies(space, layout.stock, layout.stride, layout.slots)


@njit
def reset_charged(space, layout):
    for level in range(layout.levels):
        store(space, layout.base + LINE_BYTES * level, 8, 0, 0, 0)


@njit
def reset_stocked(space, layout):
    reset_charged(space, layout)
    reset_copies(space, layout.stock, layout.stride, layout.slots)


CHARGED = add_layout(
    Layout(
        "page-counter", "atomic words up the hierarchy", "page_counter_try_charge", Charged,
        prepare_charged, step_charged, read, peek_charged, reset_charged,
        lambda machine, possible: Shape(slab=(LINE_BYTES,) * LEVELS), no_error,
    )
)  # fmt: skip
STOCKED = add_layout(
    Layout(
        "page-counter-stock", "a percpu stock, refilled from words up the hierarchy",
        "consume_stock, refill_stock", Stocked, prepare_stocked, step_stocked, read, peek_stocked,
        reset_stocked,
        lambda machine, possible: Shape(slab=(LINE_BYTES,) * LEVELS, percpu=(8,)),
        lambda cpus: float(STOCK_BATCH * cpus), interrupts="off",
    )
)  # fmt: skip
