"""The space: a flat simulated memory with three readings, and the primitives that touch it.

A structure is written once with these primitives. The type of the space decides what they do:

=========  ======================================  ==================================
space      a primitive                             a token
=========  ======================================  ==================================
`Native`   is the bare access                      0
`Traced`   also records it (`cgsim.core.traced`)   the set of accesses it depends on
`Timed`    also drives the machine                 the tick at which the value is
           (`cgsim.core.timed`)                    ready
`OnCpu`    likewise, one of several CPUs           likewise
`Scout`    reads, writes nothing, and warms the    0
           host's caches (`cgsim.core.scout`)
=========  ======================================  ==================================

Give and return a token with each value: `value, token = load(space, address, 8, token)`. The token
handed in is that of the *address*. A chain of loads passes its token on; independent loads start
from the same one, and overlap in the timed reading. `join` is the token of a value computed from
two others.

Addresses are int64 byte addresses in the simulated memory; 0 is NULL and never allocated.
Primitives count instructions: a load, a store, a read-modify-write and a branch are one each,
`work` is everything else, so that a function's total is the compiled function's.
"""

import inspect
from typing import NamedTuple

from numba.extending import overload

from cgsim.compile.block_access import get
from cgsim.compile.intrinsics import (
    peek_i64,
    peek_u8,
    peek_u16,
    peek_u32,
    poke_i64,
    poke_u8,
    poke_u16,
    poke_u32,
)
from cgsim.compile.jit import JIT_DISABLED, PART, njit
from cgsim.core import scout, timed, traced

_PAGE_SHIFT = 12
_PAGE_MASK = (1 << _PAGE_SHIFT) - 1


class Native(NamedTuple):
    """The native reading. `mem`: raw address of the memory; `heap`: of the allocator's block."""

    mem: int
    heap: int


class Traced(NamedTuple):
    """The traced reading; `log`: raw address of the log's block (`cgsim.core.traced`)."""

    mem: int
    heap: int
    log: int


class Timed(NamedTuple):
    """The timed reading; `cpu`: raw address of the block of the CPU that executes."""

    mem: int
    heap: int
    cpu: int


class OnCpu(NamedTuple):
    """The timed reading on one of several CPUs, with memory of its own where a place is percpu.

    cpu : raw address of the CPU's block. table : raw address of int64[pages], for each page of the
    simulated memory the number of its copy, from 1, or 0 if there is one for all. copies :
    simulated address of the CPU's copies. What is read and written is the page itself; the machine
    sees the copy (`cgsim.experiments.contention`).
    """

    mem: int
    heap: int
    cpu: int
    table: int
    pages: int
    copies: int


class Glance(NamedTuple):
    """What `glance_of` makes of the timed reading: it looks ahead at the simulated memory."""

    mem: int
    heap: int


class Scout(NamedTuple):
    """What `scout_of` makes of the timed reading: it looks ahead at the machine's tables too."""

    mem: int
    heap: int
    cpu: int


@njit(forceinline=True)
def glance_of(space):
    """The glance of a timed space."""
    return Glance(space.mem, space.heap)


@njit(forceinline=True)
def scout_of(space):
    """The scout of a timed space."""
    return Scout(space.mem, space.heap, space.cpu)


@njit(forceinline=True)
def peek(space, address, size):
    """The bare read of `size` (1, 2, 4, 8) bytes: for set-up and for answers, never timed."""
    where = space.mem + address
    if size == 8:
        return peek_i64(where)
    if size == 4:
        return peek_u32(where)
    if size == 2:
        return peek_u16(where)
    return peek_u8(where)


@njit(forceinline=True)
def poke(space, address, size, value):
    """The bare write of `size` (1, 2, 4, 8) bytes: for set-up, never timed."""
    where = space.mem + address
    if size == 8:
        poke_i64(where, value)
    elif size == 4:
        poke_u32(where, value)
    elif size == 2:
        poke_u16(where, value)
    else:
        poke_u8(where, value)


def _native_load(space, address, size, token):
    return peek(space, address, size), 0


def _traced_load(space, address, size, token):
    return peek(space, address, size), traced.record(space.log, traced.READ, address, size, token)


def _timed_load(space, address, size, token):
    return peek(space, address, size), timed.load(space.cpu, address, token)


def _scout_load(space, address, size, token):
    scout.announce(space.cpu, address)
    return peek(space, address, size), 0


def _glance_add(space, address, size, amount, token):
    return peek(space, address, size) + amount, 0


def _glance_atomic(space, address, size, amount, token):
    return peek(space, address, size), 0


def _glance_exchange(space, address, size, expected, desired, token):
    return peek(space, address, size), 0


def _glance_store(space, address, size, value, token, value_token):
    pass


def _scout_add(space, address, size, amount, token):
    scout.announce(space.cpu, address)
    return peek(space, address, size) + amount, 0


def _scout_atomic(space, address, size, amount, token):
    scout.announce(space.cpu, address)
    return peek(space, address, size), 0


def _scout_exchange(space, address, size, expected, desired, token):
    scout.announce(space.cpu, address)
    return peek(space, address, size), 0


def _native_store(space, address, size, value, token, value_token):
    poke(space, address, size, value)


def _traced_store(space, address, size, value, token, value_token):
    poke(space, address, size, value)
    traced.record(space.log, traced.WRITE, address, size, token)


def _timed_store(space, address, size, value, token, value_token):
    poke(space, address, size, value)
    timed.store(space.cpu, address, token, value_token)


def _native_add(space, address, size, amount, token):
    value = peek(space, address, size) + amount
    poke(space, address, size, value)
    return value, 0


def _traced_add(space, address, size, amount, token):
    value = peek(space, address, size) + amount
    poke(space, address, size, value)
    return value, traced.record(space.log, traced.RMW, address, size, token)


def _timed_add(space, address, size, amount, token):
    value = peek(space, address, size) + amount
    poke(space, address, size, value)
    return value, timed.read_modify_write(space.cpu, address, token)


def _native_exchange(space, address, size, expected, desired, token):
    value = peek(space, address, size)
    if value == expected:
        poke(space, address, size, desired)
    return value, 0


def _traced_exchange(space, address, size, expected, desired, token):
    value = peek(space, address, size)
    if value == expected:
        poke(space, address, size, desired)
    return value, traced.record(space.log, traced.LOCKED, address, size, token)


def _timed_exchange(space, address, size, expected, desired, token):
    value = peek(space, address, size)
    if value == expected:
        poke(space, address, size, desired)
    return value, timed.locked(space.cpu, address, token)


def _native_atomic(space, address, size, amount, token):
    value = peek(space, address, size)
    poke(space, address, size, value + amount)
    return value, 0


def _traced_atomic(space, address, size, amount, token):
    value = peek(space, address, size)
    poke(space, address, size, value + amount)
    return value, traced.record(space.log, traced.LOCKED, address, size, token)


def _timed_atomic(space, address, size, amount, token):
    value = peek(space, address, size)
    poke(space, address, size, value + amount)
    return value, timed.locked(space.cpu, address, token)


@njit(forceinline=True)
def own_address(space, address):
    """Where the machine sees an address that a CPU may have a copy of."""
    page = address >> _PAGE_SHIFT
    if page < space.pages:
        number = get(space.table, page)
        if number != 0:
            return space.copies + ((number - 1) << _PAGE_SHIFT) + (address & _PAGE_MASK)
    return address


def _own_load(space, address, size, token):
    return peek(space, address, size), timed.load(space.cpu, own_address(space, address), token)


def _own_store(space, address, size, value, token, value_token):
    poke(space, address, size, value)
    timed.store(space.cpu, own_address(space, address), token, value_token)


def _own_add(space, address, size, amount, token):
    value = peek(space, address, size) + amount
    poke(space, address, size, value)
    return value, timed.read_modify_write(space.cpu, own_address(space, address), token)


def _own_exchange(space, address, size, expected, desired, token):
    value = peek(space, address, size)
    if value == expected:
        poke(space, address, size, desired)
    return value, timed.locked(space.cpu, own_address(space, address), token)


def _own_atomic(space, address, size, amount, token):
    value = peek(space, address, size)
    poke(space, address, size, value + amount)
    return value, timed.locked(space.cpu, own_address(space, address), token)


def _native_work(space, instructions, branches):
    pass


def _traced_work(space, instructions, branches):
    traced.count(space.log, instructions, branches)


def _timed_work(space, instructions, branches):
    timed.work(space.cpu, instructions)


def _native_branch(space, site, taken, token):
    pass


def _traced_branch(space, site, taken, token):
    traced.count(space.log, 1, 1)


def _timed_branch(space, site, taken, token):
    timed.branch(space.cpu, site, taken, token)


def _no_note(space, what):
    pass


def _traced_note(space, what):
    traced.note(space.log, what)


def _native_compute(space, token, operations, multiplies, indexed):
    return token


def _timed_compute(space, token, operations, multiplies, indexed):
    return timed.compute(space.cpu, token, operations, multiplies, indexed)


def _untimed_pace(space, ticks):
    pass


def _timed_pace(space, ticks):
    timed.pace(space.cpu, ticks)


def _untimed_begin_chain(space):
    pass


def _timed_begin_chain(space):
    timed.begin_chain(space.cpu)


def _native_join(space, first, second):
    return 0


def _traced_join(space, first, second):
    return traced.join(space.log, first, second)


def _timed_join(space, first, second):
    return max(first, second)


def _untimed_pause(space, ticks, history):
    pass


def _timed_pause(space, ticks, history):
    timed.pause(space.cpu, ticks, history)


def _untimed_fence(space):
    pass


def _timed_fence(space):
    timed.fence(space.cpu)


def _untimed_touch(space, first, lines, writes):
    pass


def _timed_touch(space, first, lines, writes):
    timed.touch(space.cpu, first, lines, writes)


def _untimed_other_code(space, first_hot, hot_lines, cold_lines):
    pass


def _timed_other_code(space, first_hot, hot_lines, cold_lines):
    timed.run_other_code(space.cpu, first_hot, hot_lines, cold_lines)


def _untimed_pages(space, first, lines):
    pass


def _timed_pages(space, first, lines):
    timed.translate_pages(space.cpu, first, lines)


def _untimed_now(space):
    return 0


def _timed_now(space):
    return timed.now(space.cpu)


def _primitive(native, traced_reading, timed_reading, glance=None, scout_reading=None, own=None):
    """Make the stub it decorates dispatch on the type of its first argument, the space.

    Glance and scout do what the native reading does, unless that writes; `OnCpu` does what the
    timed one does, unless that takes an address.
    """
    readings = {
        Native: native,
        Traced: traced_reading,
        Timed: timed_reading,
        OnCpu: own or timed_reading,
        Glance: glance or native,
        Scout: scout_reading or glance or native,
    }

    def decorate(stub):
        if JIT_DISABLED:

            def dispatch(space, *arguments):
                return readings[type(space)](space, *arguments)

            dispatch.__doc__ = stub.__doc__
            return dispatch

        def resolve(space, *arguments):
            return readings.get(getattr(space, "instance_class", object))

        # numba compares the signature with the reading's
        setattr(resolve, "__signature__", inspect.signature(stub))  # noqa: B010
        overload(stub, jit_options={**PART, "forceinline": True})(resolve)
        return stub

    return decorate


@_primitive(_native_load, _traced_load, _timed_load, scout_reading=_scout_load, own=_own_load)
def load(space, address, size, token):
    """Read `size` bytes; returns (value, token of the value)."""


@_primitive(_native_store, _traced_store, _timed_store, _glance_store, own=_own_store)
def store(space, address, size, value, token, value_token):
    """Write `size` bytes; `token` is the address' one, `value_token` the value's."""


@_primitive(_native_add, _traced_add, _timed_add, _glance_add, _scout_add, _own_add)
def add_in_place(space, address, size, amount, token):
    """One unlocked instruction that adds to memory; returns (new value, its token)."""


@_primitive(
    _native_atomic, _traced_atomic, _timed_atomic, _glance_atomic, _scout_atomic, _own_atomic
)
def atomic_add(space, address, size, amount, token):
    """A locked add; returns (old value, its token)."""


@_primitive(
    _native_exchange, _traced_exchange, _timed_exchange, _glance_exchange, _scout_exchange,
    _own_exchange,
)  # fmt: skip
def compare_exchange(space, address, size, expected, desired, token):
    """A locked compare and exchange; returns (old value, its token)."""


@_primitive(_native_work, _traced_work, _timed_work)
def work(space, instructions, branches):
    """`instructions` that touch no object, `branches` of them conditional and well predicted."""


@_primitive(_no_note, _traced_note, _no_note)
def note(space, what):
    """Something that no access shows: the traced reading keeps the largest of these numbers."""


@_primitive(_native_branch, _traced_branch, _timed_branch)
def branch(space, site, taken, token):
    """A conditional branch at code position `site` whose outcome hangs on a value with `token`."""


@_primitive(_native_compute, _native_compute, _timed_compute)
def compute(space, token, operations, multiplies, indexed):
    """The token of a value computed from another: so many ALU operations, multiplies and indexed
    addresses later on the dependence chain. The instructions themselves are counted by `work`."""


@_primitive(_native_join, _traced_join, _timed_join)
def join(space, first, second):
    """The token of a value computed from two values."""


@_primitive(_untimed_pause, _untimed_pause, _timed_pause)
def pause(space, ticks, history):
    """Other code runs for `ticks`; `history` is what it leaves in the branch history."""


@_primitive(_untimed_fence, _untimed_fence, _timed_fence)
def fence(space):
    """Nothing after it starts before everything before it is done (lfence)."""


@_primitive(_untimed_pace, _untimed_pace, _timed_pace)
def pace(space, ticks):
    """The front end passes this point at most once per `ticks` (a loop of calls)."""


@_primitive(_untimed_begin_chain, _untimed_begin_chain, _timed_begin_chain)
def begin_chain(space):
    """What comes next hangs on no value from before: the next of independent calls."""


@_primitive(_untimed_touch, _untimed_touch, _timed_touch)
def touch_lines(space, first, lines, writes):
    """Other code touches `lines` consecutive cache lines: caches move, no time passes."""


@_primitive(_untimed_other_code, _untimed_other_code, _timed_other_code)
def run_other_code(space, first_hot, hot_lines, cold_lines):
    """Other code touches its hot lines from number `first_hot` on, and the next `cold_lines` of the
    ring that it streams through: lines that no lookup touches. No time passes. Nothing happens on a
    machine that keeps none (`System.surround`)."""


@_primitive(_untimed_pages, _untimed_pages, _timed_pages)
def translate_pages(space, first, lines):
    """Other code's pages of consecutive lines from `first` on pass through the TLB."""


@_primitive(_untimed_now, _untimed_now, _timed_now)
def now(space):
    """The CPU's time in ticks; 0 in the other readings."""
