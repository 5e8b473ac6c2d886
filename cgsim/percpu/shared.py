"""One shared word: plain (it loses updates), atomic, under a spinlock."""

from typing import NamedTuple

from cgsim.compile.block_access import get, put
from cgsim.compile.jit import njit
from cgsim.core.space import atomic_add, compute, load, peek, store, work
from cgsim.percpu.base import Layout, Shape, add_layout, no_error
from cgsim.percpu.queued import HOLDS, Lock, lock_step, new_lock, unlock


class SharedPlain(NamedTuple):
    """A load, an addition and a store, as READ_ONCE and WRITE_ONCE compile. `word`: its address."""

    word: int


class SharedAtomic(NamedTuple):
    """A locked addition. `word`: its address."""

    word: int


class SharedLocked(NamedTuple):
    """A plain addition under a spinlock on the same line. `word`: address; `lock`, `nodes`: of the
    spinlock (`cgsim.percpu.queued`)."""

    word: int
    lock: int
    nodes: int


def prepare_plain(memory):
    return SharedPlain(memory.words("counter", 64))


def prepare_atomic(memory):
    return SharedAtomic(memory.words("counter", 64))


def prepare_locked(memory):
    base = memory.words("counter", 64)
    lock = new_lock(memory, base)
    return SharedLocked(base + 16, lock.word, lock.nodes)


@njit
def step_plain(space, layout, cpu, scratch, phase, amount, token):
    """Phase 0 loads, phase 1 stores: another CPU's store in between is overwritten."""
    if phase == 0:
        value, value_token = load(space, layout.word, 8, token)
        put(scratch, 0, value)
        put(scratch, 1, value_token)
        put(scratch, 2, token)
        return 1
    value = get(scratch, 0)
    value_token = compute(space, get(scratch, 1), 1, 0, 0)
    work(space, 1, 0)
    store(space, layout.word, 8, value + amount, get(scratch, 2), value_token)
    return 0


@njit
def step_atomic(space, layout, cpu, scratch, phase, amount, token):
    atomic_add(space, layout.word, 8, amount, token)
    return 0


@njit
def step_locked(space, layout, cpu, scratch, phase, amount, token):
    lock = Lock(layout.lock, layout.nodes)
    if phase < HOLDS:
        return lock_step(space, lock, cpu, phase, scratch)
    value, value_token = load(space, layout.word, 8, 0)
    work(space, 1, 0)
    store(space, layout.word, 8, value + amount, 0, compute(space, value_token, 1, 0, 0))
    unlock(space, lock, scratch)
    return 0


@njit
def read_word(space, layout):
    value, _ = load(space, layout.word, 8, 0)
    return value


@njit
def peek_word(space, layout):
    return peek(space, layout.word, 8)


@njit
def reset_word(space, layout):
    store(space, layout.word, 8, 0, 0, 0)


def _one_word(machine, possible):
    return Shape(slab=(8,))


PLAIN = add_layout(
    Layout(
        "shared-plain", "one shared word, plain", "WRITE_ONCE(x, READ_ONCE(x) + 1)", SharedPlain,
        prepare_plain, step_plain, read_word, peek_word, reset_word, _one_word, no_error,
        exact=False, interrupts="lost", migrates=True,
    )
)  # fmt: skip
ATOMIC = add_layout(
    Layout(
        "shared-atomic", "one shared word, atomic", "atomic64_inc", SharedAtomic,
        prepare_atomic, step_atomic, read_word, peek_word, reset_word, _one_word, no_error,
    )
)  # fmt: skip
LOCKED = add_layout(
    Layout(
        "shared-lock", "one shared word under a spinlock", "spin_lock_irqsave, x++, unlock",
        SharedLocked, prepare_locked, step_locked, read_word, peek_word, reset_word,
        lambda machine, possible: Shape(slab=(16,)), no_error, interrupts="off",
    )
)  # fmt: skip
