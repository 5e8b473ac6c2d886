"""One shared word: plain (it loses updates), atomic, under a spinlock."""

from typing import NamedTuple

from cgsim.core.fields import get, put
from cgsim.core.jit import njit
from cgsim.core.space import atomic_add, compute, load, peek, store, work
from cgsim.percpu.base import Layout, add_layout, no_error
from cgsim.percpu.ticket import acquire, enter, release


class SharedPlain(NamedTuple):
    """A load, an addition and a store, as READ_ONCE and WRITE_ONCE compile. `word`: its address."""

    word: int


class SharedAtomic(NamedTuple):
    """A locked addition. `word`: its address."""

    word: int


class SharedLocked(NamedTuple):
    """A plain addition under a spinlock on the same line. `word`, `lock`: addresses."""

    word: int
    lock: int


def prepare_plain(place):
    return SharedPlain(place.words("counter", 64))


def prepare_atomic(place):
    return SharedAtomic(place.words("counter", 64))


def prepare_locked(place):
    base = place.words("counter", 64)
    return SharedLocked(base + 16, base)


@njit
def step_plain(space, layout, cpu, scratch, phase, amount):
    """Phase 0 loads, phase 1 stores: another CPU's store in between is overwritten."""
    if phase == 0:
        value, token = load(space, layout.word, 8, 0)
        put(scratch, 0, value)
        put(scratch, 1, token)
        return 1
    value = get(scratch, 0)
    token = compute(space, get(scratch, 1), 1, 0, 0)
    work(space, 1, 0)
    store(space, layout.word, 8, value + amount, 0, token)
    return 0


@njit
def step_atomic(space, layout, cpu, scratch, phase, amount):
    atomic_add(space, layout.word, 8, amount, 0)
    return 0


@njit
def step_locked(space, layout, cpu, scratch, phase, amount):
    if phase == 0:
        return enter(space, layout.lock, scratch)
    if phase == 1:
        return acquire(space, layout.lock, scratch)
    value, token = load(space, layout.word, 8, 0)
    work(space, 1, 0)
    store(space, layout.word, 8, value + amount, 0, compute(space, token, 1, 0, 0))
    release(space, layout.lock)
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
    return 8


PLAIN = add_layout(
    Layout(
        "shared-plain", "one shared word, plain", "WRITE_ONCE(x, READ_ONCE(x) + 1)", SharedPlain,
        prepare_plain, step_plain, read_word, peek_word, reset_word, _one_word, no_error,
        exact=False,
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
        "shared-lock", "one shared word under a ticket spinlock", "spin_lock, x++, spin_unlock",
        SharedLocked, prepare_locked, step_locked, read_word, peek_word, reset_word,
        lambda machine, possible: 16, no_error,
    )
)  # fmt: skip
