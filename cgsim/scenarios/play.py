"""Playing a call in a reading: a design's lookup, or an operation that is no lookup.

An operation is a NamedTuple of parameters and a function of a lookup's shape,
(space, parameters, owner, key, token, key_token) -> (value, token).
"""

import inspect

from numba.extending import overload

from cgsim.compile.jit import JIT_DISABLED, PART, njit
from cgsim.core.calls import redirect
from cgsim.core.space import compute, pause, peek, poke, work
from cgsim.designs.base import create, insert, lookup, register
from cgsim.scenarios.base import KEY, OWNER

_OPERATIONS: dict = {}


def add_operation(parameters, function):
    """Let `play` call `function` for parameters of this type."""
    _OPERATIONS[parameters] = function


def _lookup(space, parameters, owner, key, token, key_token):
    return lookup(space, parameters, owner, key, token, key_token)


def play(space, parameters, owner, key, token, key_token):
    """The call that the type of `parameters` stands for; returns (value, token)."""
    operation = _OPERATIONS.get(type(parameters), _lookup)
    return operation(space, parameters, owner, key, token, key_token)


if not JIT_DISABLED:

    def _resolve(space, parameters, owner, key, token, key_token):
        operation = _OPERATIONS.get(getattr(parameters, "instance_class", None))
        return _lookup if operation is None else operation.py_func

    _resolve.__signature__ = inspect.signature(play)  # type: ignore[attr-defined]
    overload(play, jit_options=PART)(_resolve)


@njit
def play_once(space, parameters, owner, key):
    """One call, its arguments depending on nothing; returns its value."""
    return play(space, parameters, owner, key, 0, 0)[0]


@njit
def play_loop(space, parameters, owner, key, calls, dependent, first, harness, reset):
    """`calls` calls with the same arguments, as the recorded native loops do.

    dependent : nonzero if the next call's first argument waits for the result. first : which
    argument that is (`OWNER`, `KEY`). harness : `cgsim.stage.loops.Harness`, the loop's own cost.
    reset : `cgsim.scenarios.base.words_to_reset`, 0 for none. Returns the sum of the values.
    """
    token = 0
    total = 0
    pause(space, 0, 0)  # what ran before is done: the first call starts with an empty window
    for _ in range(calls):
        if reset != 0:
            for i in range(peek(space, reset, 8)):
                word = peek(space, reset + 8 + 16 * i, 8)
                poke(space, word, 8, peek(space, reset + 16 + 16 * i, 8))
        redirect(space, harness.ticks)
        work(space, harness.instructions, 1)
        owner_token = token if first == OWNER else 0
        key_token = token if first == KEY else 0
        result, found = play(space, parameters, owner, key, owner_token, key_token)
        total += result
        if dependent != 0:
            token = compute(space, found, harness.chain, 0, 0)
    return total


@njit
def create_owner(space, design):
    """A new owner (cgroup, task, socket) of the design; 0 if memory is exhausted."""
    return create(space, design)


@njit
def install_all(space, design, owner, keys):
    """Install a datum for every key of int64[n], the last one first; returns how many failed."""
    failed = 0
    for i in range(keys.size - 1, -1, -1):
        if insert(space, design, owner, keys[i], 0) == 0:
            failed += 1
    return failed


@njit
def register_all(space, design, keys):
    """Overwrite int64[n] with keys that the design gives to drivers."""
    for i in range(keys.size):
        keys[i] = register(space, design)


@njit
def look_up(space, design, owner, key):
    """One lookup, for what it leaves behind; returns the datum."""
    return lookup(space, design, owner, key, 0, 0)[0]
