"""The timed reading: what the primitives of `cgsim.core.space` do to a CPU of the machine.

Most accesses hit L1, lie on the page used last and meet no line, page walk or store in flight. They
take a short way that is compiled into the design; it gives what the long way
(`cgsim.core.window.read`) would. Instructions that touch nothing and branches that are predicted
right only count; the next access dispatches and retires them.

The engine proper is compiled once, as one piece, and called through addresses that the CPU block
holds, so that a design's lookup compiles in a fraction of a second instead of taking the engine in.
"""

from functools import cache

import numpy as np

from cgsim.compile.block_access import add, add_element, fixed, get, put
from cgsim.compile.intrinsics import call_i64_4, call_i64_5, function_address, peek_u32, unlikely
from cgsim.compile.jit import inlined, njit
from cgsim.core import background, hierarchy, other_code, window
from cgsim.core.block_fields import (
    C_ACCESSES,
    C_AHEAD,
    C_ALU,
    C_BRANCHES,
    C_CAUSES,
    C_CHAIN,
    C_DISPATCH,
    C_FORWARDING,
    C_FRONT_CAUSE,
    C_INDEXED,
    C_INSTRUCTIONS,
    C_L1_INTERVAL,
    C_L1_LATENCY,
    C_L1_MASK,
    C_L1_ROWS,
    C_LAST_PAGE,
    C_LAST_SHIFT,
    C_LOADED,
    C_MULTIPLY,
    C_NEXT_LEVEL,
    C_PACE,
    C_PENDING,
    C_QUIET,
    C_RESTART,
    C_RETIRE,
    C_TESTS,
    C_WIDTH,
    C_YOUNGEST,
    E_MISPREDICT,
    E_PAUSE,
    E_READ,
    E_RUN_OTHER_CODE,
    E_SETTLE,
    E_TOUCH,
    E_TRANSLATE,
    E_TRANSLATE_PAGES,
    E_WRITE,
    ENTRY_POINTS,
    LEVEL_1,
    WORK,
)
from cgsim.core.host_memory import address_of
from cgsim.core.predictor import predict_and_train
from cgsim.core.recency import NAME_MASK, find_16, to_front_16
from cgsim.core.rob import enter, leave
from cgsim.core.scheduler import AGU_ENTRY, binds, entries_of, is_crowded, loaded, take
from cgsim.core.window import may_forward


@inlined
def _read(cpu, address, token, unused):
    return window.read(cpu, address, token)


@inlined
def _write(cpu, address, kind, token, value_token):
    return window.write(cpu, address, kind, token, value_token)


@inlined
def _mispredict(cpu, token, unused, unused_too):
    window.mispredict(cpu, token)
    return 0


@inlined
def _translate(cpu, address, dispatched, start):
    window.translated(cpu, address, dispatched, start)
    return 0


@inlined
def _settle(cpu, unused, unused_too, unused_also):
    window.settle(cpu)
    return get(cpu, C_RETIRE)


@inlined
def _pause(cpu, ticks, fenced, history):
    if fenced != 0:
        window.fence(cpu)
    else:
        window.pause(cpu, ticks)
        window.forget_history(cpu, history)
    return 0


@inlined
def _touch(cpu, first, lines, writes):
    background.touch(cpu, first, lines, writes != 0)
    return 0


@inlined
def _miss(cpu, line, writes, dispatched, start):
    return hierarchy.miss(cpu, line, writes != 0, dispatched, start)


@inlined
def _catch_up(level, index, unused, unused_too):
    other_code.catch_up(level, index)
    return 0


@inlined
def _run_other_code(cpu, first_hot, hot_lines, cold_lines):
    other_code.run(cpu, first_hot, hot_lines, cold_lines)
    return 0


@inlined
def _translate_pages(cpu, first, lines, unused):
    other_code.translate_pages(cpu, first, lines)
    return 0


@njit
def _write_addresses(table):
    """Write the addresses of all entry points to the raw address `table`."""
    put(table, 0, function_address(_read))
    put(table, 1, function_address(_write))
    put(table, 2, function_address(_mispredict))
    put(table, 3, function_address(_translate))
    put(table, 4, function_address(_settle))
    put(table, 5, function_address(_pause))
    put(table, 6, function_address(_touch))
    put(table, 7, function_address(_miss))
    put(table, 8, function_address(_catch_up))
    put(table, 9, function_address(_run_other_code))
    put(table, 10, function_address(_translate_pages))


@cache
def entry_points():
    """Addresses of the engine's functions, int64, in the order of `blocks.ENTRY_POINTS`."""
    addresses = np.zeros(len(ENTRY_POINTS), dtype=np.int64)
    _write_addresses(address_of(addresses))
    return addresses


@inlined
def _restate(cpu):
    """After a call of the engine nothing is pending: so that the compiler knows."""
    put(cpu, C_PENDING, 0)
    put(cpu, C_TESTS, 0)


@inlined
def load(cpu, address, token):
    """A read; returns the tick at which its value is ready."""
    pending = get(cpu, C_PENDING)
    tests = get(cpu, C_TESTS)
    count = pending + 1
    number = get(cpu, C_INSTRUCTIONS) + count
    slots = count * fixed(cpu, C_WIDTH)
    dispatched = enter(cpu, number, get(cpu, C_DISPATCH) + slots)
    port = max(get(cpu, C_NEXT_LEVEL), dispatched)
    start = max(port, token)
    if unlikely(address >> get(cpu, C_LAST_SHIFT) != get(cpu, C_LAST_PAGE)):
        call_i64_4(fixed(cpu, E_TRANSLATE), cpu, address, dispatched, max(dispatched, token))
    line = address >> 6
    row = fixed(cpu, C_L1_ROWS) + (address & fixed(cpu, C_L1_MASK))
    entries = entries_of(pending - tests, tests)
    long_way = (
        start < get(cpu, C_QUIET)
        or is_crowded(cpu, dispatched, entries + AGU_ENTRY)
        or (number < get(cpu, C_FORWARDING) and may_forward(cpu, address))
    )
    if unlikely(not long_way and peek_u32(row) & NAME_MASK != line):
        way = find_16(row, line)
        if way < 0:
            long_way = True
        else:
            to_front_16(row, way, peek_u32(row + 4 * way))
    if unlikely(long_way):
        ready = call_i64_4(fixed(cpu, E_READ), cpu, address, token, 0)
        _restate(cpu)
        return ready
    if unlikely(0 < token < get(cpu, C_RESTART)):
        put(cpu, C_AHEAD, 0)  # as in `wrong_paths.fetched_ahead`
    latency = fixed(cpu, C_L1_LATENCY)
    ready = start + latency
    if binds(cpu):
        take(cpu, dispatched, token, entries, AGU_ENTRY)
        loaded(cpu, ready)
    add(cpu, C_ACCESSES, 1)
    free = get(cpu, C_RETIRE) + slots
    begin = max(free, dispatched)
    clock = max(begin, ready)
    cause = get(cpu, C_FRONT_CAUSE)
    if unlikely(cause != WORK):  # which has no counter
        add_element(cpu, C_CAUSES + cause, begin - free)
    add_element(cpu, C_CAUSES + LEVEL_1, min(clock - begin, latency))
    leave(cpu, number, clock)
    # last, so that the compiler finds them when the next access asks
    put(cpu, C_NEXT_LEVEL, port + fixed(cpu, C_L1_INTERVAL))
    put(cpu, C_RETIRE, clock)
    put(cpu, C_INSTRUCTIONS, number)
    put(cpu, C_DISPATCH, dispatched)
    put(cpu, C_PENDING, 0)
    put(cpu, C_TESTS, 0)
    return ready


@inlined
def read_modify_write(cpu, address, token):
    """An unlocked read-modify-write; returns the tick at which the new value is ready."""
    return call_i64_5(fixed(cpu, E_WRITE), cpu, address, window.RMW, token, 0)


@inlined
def locked(cpu, address, token):
    """A locked read-modify-write; returns the tick at which it is done."""
    return call_i64_5(fixed(cpu, E_WRITE), cpu, address, window.LOCKED, token, 0)


@inlined
def store(cpu, address, token, value_token):
    """A write."""
    call_i64_5(fixed(cpu, E_WRITE), cpu, address, window.WRITE, token, value_token)


@inlined
def work(cpu, instructions):
    """Instructions that touch no object."""
    add(cpu, C_PENDING, instructions)


@inlined
def branch(cpu, site, taken, token):
    """A conditional branch."""
    add(cpu, C_BRANCHES, 1)
    # read here, where the compiler mostly knows them
    pending = get(cpu, C_PENDING)
    tests = get(cpu, C_TESTS)
    if unlikely(not predict_and_train(cpu, site, taken)):
        call_i64_4(fixed(cpu, E_MISPREDICT), cpu, token, 0, 0)
        _restate(cpu)
    else:
        put(cpu, C_PENDING, pending + 1)
        put(cpu, C_TESTS, tests + 1)


@inlined
def _front(cpu):
    """The front end's clock after all instructions so far."""
    return get(cpu, C_DISPATCH) + get(cpu, C_PENDING) * fixed(cpu, C_WIDTH)


@inlined
def compute(cpu, token, operations, multiplies, indexed):
    """The token of a value computed from one with `token`: the latency, not the instructions."""
    if 0 < token < get(cpu, C_RESTART):
        put(cpu, C_AHEAD, 0)  # as in `wrong_paths.fetched_ahead`
    return (
        max(token, _front(cpu))
        + operations * fixed(cpu, C_ALU)
        + multiplies * fixed(cpu, C_MULTIPLY)
        + indexed * fixed(cpu, C_INDEXED)
    )


@inlined
def pace(cpu, ticks):
    """The front end passes this point at most once per `ticks`, as a chain of calls does.

    What comes next belongs to another function, which has loaded nothing yet.
    """
    clock = _front(cpu)
    if ticks > 0:
        put(cpu, C_LOADED, 0)
        put(cpu, C_YOUNGEST, 0)
        held = max(get(cpu, C_PACE) + ticks - clock, 0)
        add(cpu, C_DISPATCH, held)
        clock += held
    put(cpu, C_PACE, clock)
    put(cpu, C_FRONT_CAUSE, WORK)


@inlined
def begin_chain(cpu):
    """What comes next hangs on no value from before."""
    put(cpu, C_CHAIN, 1)


@inlined
def pause(cpu, ticks, history):
    """Other code runs: the window drains, `ticks` pass, `history` is its branches' outcomes."""
    call_i64_4(fixed(cpu, E_PAUSE), cpu, ticks, 0, history)


@inlined
def fence(cpu):
    """Nothing after it starts before everything before it is done."""
    call_i64_4(fixed(cpu, E_PAUSE), cpu, 0, 1, 0)


@inlined
def touch(cpu, first, lines, writes):
    """Background code touches consecutive lines from `first`: caches move, no time passes."""
    call_i64_4(fixed(cpu, E_TOUCH), cpu, first, lines, writes)


@inlined
def run_other_code(cpu, first_hot, hot_lines, cold_lines):
    """Other code's own lines push others out (`cgsim.core.other_code`); no time passes."""
    call_i64_4(fixed(cpu, E_RUN_OTHER_CODE), cpu, first_hot, hot_lines, cold_lines)


@inlined
def translate_pages(cpu, first, lines):
    """Other code's pages of consecutive lines pass through the TLB; no time passes."""
    call_i64_4(fixed(cpu, E_TRANSLATE_PAGES), cpu, first, lines, 0)


@njit(forceinline=True)
def now(cpu):
    """The CPU's time in ticks, the clock of retirement, after all instructions so far."""
    return call_i64_4(fixed(cpu, E_SETTLE), cpu, 0, 0, 0)
