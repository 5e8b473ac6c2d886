"""Loops of lookups that lie alone: the native one, the same for the engine, and with cold code."""

from cgsim.compile.intrinsics import opaque, peek_i64
from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.space import fence, now, pause, touch_lines, work
from cgsim.designs.base import lookup, put
from cgsim.stage.callers import (
    BARE,
    BEHIND_DISPATCH,
    NO_LOOKUP,
    dispatch,
    fetch,
    use_datum,
)
from cgsim.validation.host.instructions import (
    barrier,
    far_jump,
    flush_line,
    here,
    retpoline,
    stamp,
)


@njit
def turn(space, design, cgroup, key, number, i, caller):
    """One turn of a caller, as `cgsim.stage.loops.run_lookups` has it; returns the datum.

    cgroup, key : of a lookup without a caller. number : of the key. i : place in the stream.
    """
    ready, key_ready = 0, 0
    if caller.place != BARE:
        cgroup, key, ready, key_ready = fetch(space, caller, i, 0)
        if caller.place == BEHIND_DISPATCH:
            cgroup, ready = dispatch(space, caller, cgroup, ready, number)
        if caller.calls != 0:
            call_and_return(space)
    datum = 0
    if caller.use != NO_LOOKUP:
        datum, found = lookup(space, design, cgroup, key, ready, key_ready)
        found = use_datum(space, caller, datum, found)
        if datum != 0:
            put(space, design, datum, found)
    return datum


@njit
def native_alone(space, design, cgroups, keys, order, caller, ring, lines, stamps):
    """Time-stamp ticks of each turn, after a read of `lines` lines from raw address `ring`.

    stamps : int64[n], overwritten.
    """
    total = 0
    for i in range(order.shape[0]):
        for line in range(lines):
            total += peek_i64(ring + 64 * line)
        total = opaque(total)
        # a lookup without a caller has its arguments in registers
        number = opaque(order[i, 1])
        cgroup, key = opaque(cgroups[order[i, 0]]), opaque(keys[number])
        begin = stamp()
        # nothing of the turn moves before the stamp
        place, cgroup, key = opaque(i), opaque(cgroup), opaque(key)
        total += opaque(turn(space, design, cgroup, key, number, place, caller))
        stamps[i] = stamp() - begin
    return total


@njit
def timed_alone(
    space, design, cgroups, keys, order, caller, ring, lines, pace, rest, more, ticks
):  # fmt: skip
    """The engine's ticks of each turn, after other code touches `lines` lines from `ring`.

    pace : ticks that it takes for a line. rest : ticks before the first turn in which nothing is
    used. more : instructions that a turn has and the engine does not count. ticks : int64[n],
    overwritten.
    """
    total = 0
    pause(space, rest, 0)
    for i in range(order.shape[0]):
        touch_lines(space, ring, lines, 0)
        pause(space, lines * pace, 0)
        fence(space)
        begin = now(space)
        work(space, more, 0)
        number = order[i, 1]
        cgroup, key = cgroups[order[i, 0]], keys[number]
        total += turn(space, design, cgroup, key, number, i, caller)
        fence(space)
        ticks[i] = now(space) - begin
    return total


@njit
def cold_alone(space, design, cgroups, keys, order, flushed, end, again, stamps):
    """Time-stamp ticks of lookups alone; returns the address of one of its instructions.

    flushed, end : addresses of what is put out of the caches before each. again : 1: and read
    again as data. stamps : int64[n], overwritten.
    """
    total = 0
    at = 0
    for i in range(order.shape[0]):
        for address in range(flushed, end, 64):
            flush_line(address)
        barrier()
        if again != 0:
            for address in range(flushed, end, 64):
                total += peek_i64(address)
            barrier()
        cgroup, key = opaque(cgroups[order[i, 0]]), opaque(keys[order[i, 1]])
        begin = stamp()
        retpoline()  # or the code behind it would be fetched while the stamp is taken
        far_jump()
        at = here()
        # nothing of the lookup moves before the stamp
        datum, _ = lookup(space, design, opaque(cgroup), opaque(key), 0, 0)
        total += opaque(datum)
        far_jump()
        stamps[i] = stamp() - begin
    opaque(total)
    return at


@njit
def take_stamps(stamps):
    """Overwrite int64[n] with stamps one after another."""
    for i in range(stamps.size):
        stamps[i] = stamp()
