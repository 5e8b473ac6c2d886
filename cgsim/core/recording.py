"""A log of what a timed machine's CPUs ask for: an address trace, as `cgsim replay` reads.

The engine is called through addresses in the CPU blocks; a machine that records is given others
there, which note the access and go on. The short way is closed, so that every access comes by. Page
walks, which read their entries by themselves, and prefetches are not noted.
"""

from functools import cache

import numpy as np

from cgsim.compile.block_access import add, fixed, get, put, put_element
from cgsim.compile.intrinsics import call_i64_4, call_i64_5, function_address
from cgsim.compile.jit import inlined, njit
from cgsim.core.block_fields import (
    C_CORE,
    C_QUIET,
    C_SYSTEM,
    E_READ,
    E_TOUCH,
    E_WRITE,
    NEVER,
    S_LOG,
)
from cgsim.core.host_memory import address_of, reserve
from cgsim.core.timed import entry_points
from cgsim.core.window import LOCKED

READ, WRITE, ATOMIC = range(3)
"""What is noted of an access; an unlocked read-modify-write is a write."""

_COUNT, _CAPACITY, _READ, _WRITE, _TOUCH, _HEADER = range(6)
_OPERATION_SHIFT, _CPU_SHIFT = 48, 50
_ADDRESS_MASK = (1 << _OPERATION_SHIFT) - 1


def new_log(capacity):
    """A log for so many accesses, which takes memory only as far as it is filled."""
    log = reserve(8 * (_HEADER + capacity), huge=False)
    log[_CAPACITY] = capacity
    engine = entry_points()
    log[_READ], log[_WRITE], log[_TOUCH] = (
        engine[place - E_READ] for place in (E_READ, E_WRITE, E_TOUCH)
    )
    return log


def count(log):
    """Accesses so far, those that it has no room for included."""
    return int(log[_COUNT])


def columns(log):
    """The accesses in order: (address, operation, core), int64[n] each; as many as it has room."""
    words = log[_HEADER : _HEADER + min(count(log), int(log[_CAPACITY]))]
    return words & _ADDRESS_MASK, words >> _OPERATION_SHIFT & 3, words >> _CPU_SHIFT


def install(log, system, blocks):
    """Let a machine, given by its system block and its CPUs', note its accesses in a log."""
    system[S_LOG] = address_of(log)
    for block in blocks:
        block[E_READ], block[E_WRITE], block[E_TOUCH] = _recording_points()
        block[C_QUIET] = NEVER


@inlined
def _note(cpu, address, operation):
    log = fixed(fixed(cpu, C_SYSTEM), S_LOG)
    number = get(log, _COUNT)
    if number < get(log, _CAPACITY):
        word = address | operation << _OPERATION_SHIFT | fixed(cpu, C_CORE) << _CPU_SHIFT
        put_element(log, _HEADER + number, word)
    add(log, _COUNT, 1)


@inlined
def _read(cpu, address, token, unused):
    _note(cpu, address, READ)
    log = fixed(fixed(cpu, C_SYSTEM), S_LOG)
    return call_i64_4(get(log, _READ), cpu, address, token, unused)


@inlined
def _write(cpu, address, kind, token, value_token):
    _note(cpu, address, ATOMIC if kind == LOCKED else WRITE)
    log = fixed(fixed(cpu, C_SYSTEM), S_LOG)
    return call_i64_5(get(log, _WRITE), cpu, address, kind, token, value_token)


@inlined
def _touch(cpu, first, lines, writes):
    for line in range(lines):
        _note(cpu, first + 64 * line, WRITE if writes != 0 else READ)
    log = fixed(fixed(cpu, C_SYSTEM), S_LOG)
    return call_i64_4(get(log, _TOUCH), cpu, first, lines, writes)


@njit
def _write_addresses(table):
    put(table, 0, function_address(_read))
    put(table, 1, function_address(_write))
    put(table, 2, function_address(_touch))


@cache
def _recording_points():
    addresses = np.zeros(3, dtype=np.int64)
    _write_addresses(address_of(addresses))
    return addresses
