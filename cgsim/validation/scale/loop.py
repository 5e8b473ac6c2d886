"""The loops of the measurements at scale: calls in a random order, as the native ones made them."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import redirect
from cgsim.core.space import begin_chain, compute, fence, load, now, pause, store, touch_lines, work
from cgsim.scenarios.play import play
from cgsim.stage.loops import DEPENDENT, SERIALIZED, THROUGHPUT, Harness

_AHEAD = 4  # lines that the prefetcher is ahead in the sequence of arguments
# A call that starts alone returns 8 cycles later at the earliest: its return address comes through
# the store buffer, which takes 7 where the pair is not predicted (store_forward_8B_store_4B_load),
# 4 of them the load, and a branch goes there.
_RETURN_ALU = 4
_FORGETFUL = 64  # branches that the global history holds


class Caller(NamedTuple):
    """The loop around the calls; addresses in bytes.

    sequence : of the precomputed arguments, 8 bytes a call, `entries` of them. buffer, lines : what
    is read before each call of the polluted loop. stack : a line of the loop's own.
    """

    harness: Harness
    sequence: int
    entries: int
    buffer: int
    lines: int
    stack: int


@njit
def _return(space, caller):
    """A call's return, where nothing hides it."""
    load(space, caller.stack, 8, compute(space, 0, _RETURN_ALU, 0, 0))


@njit
def _argument(space, caller, number):
    """Load a call's arguments: the sequence is read ahead; returns the token of the first one."""
    at = caller.sequence + 8 * (number % caller.entries)
    if at & 63 == 0:
        touch_lines(space, at + 64 * _AHEAD, 1, 0)
    _, token = load(space, at, 8, 0)
    return compute(space, token, 1, 0, 0)


@njit
def run_calls(space, parameters, owners, keys, order, first, mode, reads, caller):
    """Calls back to back; returns the sum of the values.

    order : int64[n, 2], indices of owner and key. first : number of the first call in the sequence.
    mode : `THROUGHPUT`, `DEPENDENT`, `SERIALIZED`. reads : 1 if 8 bytes of the value are read.
    """
    total = 0
    token = 0
    pause(space, 0, 0)
    for i in range(order.shape[0]):
        if mode == SERIALIZED:
            fence(space)
        redirect(space, caller.harness.ticks)
        ready = _argument(space, caller, first + i)
        work(space, caller.harness.instructions, 1)
        if mode == SERIALIZED:
            _return(space, caller)
        elif mode == THROUGHPUT:
            begin_chain(space)
        elif mode == DEPENDENT:
            ready = token  # the sequence is read ahead
        value, found = play(space, parameters, owners[order[i, 0]], keys[order[i, 1]], ready, ready)
        if reads != 0:
            _, found = load(space, value, 8, found)
        total += value
        if mode == DEPENDENT:
            token = compute(space, found, caller.harness.chain, 0, 0)
    return total


@njit
def run_isolated(space, parameters, owners, keys, order, first, reads, caller):
    """Ticks of calls, each alone between fences after a sequential read of the buffer."""
    total = 0
    pause(space, 0, 0)
    for i in range(order.shape[0]):
        touch_lines(space, caller.buffer, caller.lines, 0)
        touch_lines(space, caller.stack, 1, 1)
        if caller.lines > _FORGETFUL:
            pause(space, 0, -1)  # the branches of the reading loop, all taken
        ready = _argument(space, caller, first + i)
        fence(space)
        begin = now(space)
        redirect(space, caller.harness.ticks)
        work(space, caller.harness.instructions, 1)
        value, found = play(space, parameters, owners[order[i, 0]], keys[order[i, 1]], ready, ready)
        if reads != 0:
            _, found = load(space, value, 8, found)
        store(space, caller.stack + 8, 8, value, 0, found)
        _return(space, caller)
        fence(space)
        total += now(space) - begin
    return total
