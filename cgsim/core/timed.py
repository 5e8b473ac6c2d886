"""The timed reading: what the primitives of `cgsim.core.space` do to a CPU of the machine.

The engine is compiled once and called through addresses that the CPU block holds, so that a
design's lookup compiles in a fraction of a second instead of taking the engine in.
"""

from numba import cfunc, int64

from cgsim.core import hierarchy, window
from cgsim.core.blocks import (
    C_RETIRE,
    E_BRANCH,
    E_MODIFY,
    E_PAUSE,
    E_READ,
    E_STORE,
    E_TOUCH,
    E_WORK,
)
from cgsim.core.fields import get
from cgsim.core.jit import JIT_DISABLED, njit
from cgsim.core.raw import call_i64_4, function_address


def _read(cpu, address, token, unused):
    return window.read(cpu, address, token)


def _modify(cpu, address, kind, token):
    return window.write(cpu, address, kind, token, 0)


def _store(cpu, address, token, value_token):
    return window.write(cpu, address, window.WRITE, token, value_token)


def _work(cpu, instructions, unused, unused_too):
    window.work(cpu, instructions)
    return 0


def _branch(cpu, site, taken, token):
    window.branch(cpu, site, taken != 0, token)
    return 0


def _pause(cpu, ticks, fenced, history):
    if fenced != 0:
        window.fence(cpu)
    else:
        window.pause(cpu, ticks)
        window.forget_history(cpu, history)
    return 0


def _touch(cpu, first, lines, writes):
    for line in range(lines):
        hierarchy.touch(cpu, first + 64 * line, writes != 0)
    return 0


def _miss(cpu, line, writes, dispatched, start):
    return hierarchy.miss(cpu, line, writes != 0, dispatched, start)


_compiled = None


def _compile(function):
    arguments = function.__code__.co_argcount
    return cfunc(int64(*[int64] * arguments), cache=True)(function)


def entry_points():
    """Addresses of the engine's functions, in the order of `cgsim.core.blocks.ENTRY_POINTS`."""
    global _compiled
    if _compiled is None:
        functions = (_read, _modify, _store, _work, _branch, _pause, _touch, _miss)
        if JIT_DISABLED:
            _compiled = [(function, None) for function in functions]
        else:
            _compiled = [(function, _compile(function)) for function in functions]
    return [function_address(function, compiled) for function, compiled in _compiled]


@njit(inline="always")
def load(cpu, address, token):
    """A read; returns the tick at which its value is ready."""
    return call_i64_4(get(cpu, E_READ), cpu, address, token, 0)


@njit(inline="always")
def read_modify_write(cpu, address, token):
    """An unlocked read-modify-write; returns the tick at which the new value is ready."""
    return call_i64_4(get(cpu, E_MODIFY), cpu, address, window.RMW, token)


@njit(inline="always")
def locked(cpu, address, token):
    """A locked read-modify-write; returns the tick at which it is done."""
    return call_i64_4(get(cpu, E_MODIFY), cpu, address, window.LOCKED, token)


@njit(inline="always")
def store(cpu, address, token, value_token):
    """A write."""
    call_i64_4(get(cpu, E_STORE), cpu, address, token, value_token)


@njit(inline="always")
def work(cpu, instructions):
    """Instructions that touch no object."""
    call_i64_4(get(cpu, E_WORK), cpu, instructions, 0, 0)


@njit(inline="always")
def branch(cpu, site, taken, token):
    """A conditional branch."""
    call_i64_4(get(cpu, E_BRANCH), cpu, site, 1 if taken else 0, token)


@njit(inline="always")
def compute(cpu, token, operations, multiplies, indexed):
    """The token of a value computed from one with `token`."""
    return window.computed(cpu, token, operations, multiplies, indexed)


@njit(inline="always")
def pace(cpu, ticks):
    """The front end passes this point at most once per `ticks`."""
    window.pace(cpu, ticks)


@njit(inline="always")
def pause(cpu, ticks, history):
    """Other code runs: the window drains, `ticks` pass, `history` is its branches' outcomes."""
    call_i64_4(get(cpu, E_PAUSE), cpu, ticks, 0, history)


@njit(inline="always")
def fence(cpu):
    """Nothing after it starts before everything before it is done."""
    call_i64_4(get(cpu, E_PAUSE), cpu, 0, 1, 0)


@njit(inline="always")
def touch(cpu, first, lines, writes):
    """Background code touches consecutive lines from `first`: caches move, no time passes."""
    call_i64_4(get(cpu, E_TOUCH), cpu, first, lines, writes)


@njit(inline="always")
def now(cpu):
    """The CPU's time in ticks: the clock of retirement."""
    return get(cpu, C_RETIRE)
