"""The instruction window: when an instruction starts, and what its wait is charged to.

Two clocks per CPU. The front end dispatches in order, `width` instructions a cycle, and never more
than the reorder buffer holds beyond what has retired. Retirement is in order too; its clock is the
CPU's time. In between, an instruction starts when it is dispatched and its operands' tokens are
due, so independent chains overlap as far as the reorder buffer reaches, and dependent ones do not.

After a mispredicted branch the front end starts anew when the outcome is known; what it had asked
for until then is the business of `cgsim.core.wrong_paths`.

Every tick of the retirement clock is charged to one cause: the slot of the instruction itself to
work, waiting for a value to the level that served it (or TLB, coherence), waiting for the front end
to what held it back (a mispredicted branch, a locked operation). The charges add up to the clock.

Idea: interval and instruction-window-centric models (Eyerman, Eeckhout, Karkhanis and Smith, ACM
TOCS 27 (2009); Carlson, Heirman, Eyerman, Hur and Eeckhout, ACM TACO 11 (2014)); CPI stacks counted
at retirement.
"""

from cgsim.compile.block_access import add, add_element, element, fixed, get, put, put_element
from cgsim.compile.intrinsics import peek_u32, poke_u32, unlikely
from cgsim.compile.jit import inlined, internal
from cgsim.core import rob, wrong_paths
from cgsim.core.attribution import attribute
from cgsim.core.block_fields import (
    BRANCH,
    C_ACCESSES,
    C_AHEAD,
    C_AHEAD_UNTIL,
    C_ALU,
    C_CAUSES,
    C_DISPATCH,
    C_DRAIN,
    C_FILL,
    C_FILL_ENTRIES,
    C_FILLS,
    C_FLIGHT,
    C_FORWARD,
    C_FORWARDING,
    C_FRONT_CAUSE,
    C_HISTORY,
    C_INSTRUCTIONS,
    C_L1_LATENCY,
    C_LAST_PAGE,
    C_LAST_SHIFT,
    C_LEVELS,
    C_MISPREDICTS,
    C_NEXT_LEVEL,
    C_PAGE_READY,
    C_PAUSED,
    C_PENDING,
    C_QUIET,
    C_RESTART,
    C_RETIRE,
    C_SAME_PLACE,
    C_SLOTS,
    C_STORE_ENTRIES,
    C_STORE_INTERVAL,
    C_STORE_RING,
    C_STORED,
    C_STORES,
    C_SYSTEM,
    C_TESTS,
    C_WIDTH,
    COHERENCE,
    FLIGHT_ENTRIES,
    FORWARD_ENTRIES,
    FORWARD_FIELDS,
    FORWARD_REACH,
    K_INTERVAL,
    K_LATENCY,
    K_MISSES,
    K_WAYS,
    LEVEL_1,
    LOCK,
    MAX_LEVELS,
    MEMORY,
    PAGE_LINES,
    S_DIRECTORY,
    S_FENCE,
    S_FORWARD,
    S_LOCKED,
    S_MEMORY_INTERVAL,
    S_MISPREDICT,
    S_PLACES,
    S_RENAMED,
    S_SAME_PLACE,
    S_SIBLING,
    T_LINE,
    T_LOCKED_UNTIL,
    T_LOCKER,
    T_READY,
    T_STORED,
    T_UNTIL,
    TICKS,
    TLB,
    WORK,
)
from cgsim.core.cache_sets import LINE_SHIFT, bring_in, row_of
from cgsim.core.directory import tenure_of, tenured, upgrade
from cgsim.core.recency import DIRTY, NAME_MASK, OWNED, find, to_front
from cgsim.core.scheduler import AGU_ENTRY, hold, loaded
from cgsim.core.translation import translate

WRITE, RMW, LOCKED = range(3)
_SHARING_TICKS = 64 * TICKS


@inlined
def _dispatch(cpu, count):
    """Advance the front end by `count` instructions; returns its clock."""
    clock = get(cpu, C_DISPATCH) + count * fixed(cpu, C_WIDTH)
    slots = fixed(cpu, C_SLOTS)
    if unlikely(slots != 0):
        # The hardware threads of a core share its front end. What one leaves unused, the other has
        # within the reach of the reorder buffer.
        used = max(get(slots, 0), clock - _SHARING_TICKS) + count * fixed(cpu, C_WIDTH)
        put(slots, 0, used)
        clock = max(clock, used)
    number = get(cpu, C_INSTRUCTIONS) + count
    put(cpu, C_INSTRUCTIONS, number)
    clock = rob.enter(cpu, number, clock)
    put(cpu, C_DISPATCH, clock)
    return clock


@inlined
def _retire(cpu, count, dispatched, complete, cause, cause_ticks, tlb_ticks):
    """Retire `count` instructions of which the last completes at `complete`; charge the wait.

    Work is what no other cause explains, so it has no counter: `cgsim.core.block_fields`. Returns
    the ticks charged for the wait.
    """
    clock = get(cpu, C_RETIRE) + count * fixed(cpu, C_WIDTH)
    if dispatched > clock:
        add_element(cpu, C_CAUSES + get(cpu, C_FRONT_CAUSE), dispatched - clock)
        clock = dispatched
    charged = 0
    wait = complete - clock
    if wait > 0:
        clock = complete
        charged = min(wait, cause_ticks)
        add_element(cpu, C_CAUSES + cause, charged)
        if wait > cause_ticks:
            for_tlb = min(wait - cause_ticks, tlb_ticks)
            add_element(cpu, C_CAUSES + TLB, for_tlb)
            charged += for_tlb
    put(cpu, C_RETIRE, clock)
    rob.leave(cpu, get(cpu, C_INSTRUCTIONS), clock)
    return charged


@internal
def settle(cpu):
    """Dispatch and retire what is pending."""
    count = get(cpu, C_PENDING)
    if count != 0:
        tests = get(cpu, C_TESTS)
        put(cpu, C_PENDING, 0)
        put(cpu, C_TESTS, 0)
        dispatched = _dispatch(cpu, count)
        _retire(cpu, count, dispatched, dispatched, WORK, 0, 0)
        hold(cpu, count - tests, tests, dispatched, 0, 0)


@inlined
def _arrive(cpu, token, agu):
    """(Instructions, clock of the front end) of an access and of what was pending before it.

    `token`: of its address, `agu`: the scheduler's entry that it takes.
    """
    count = get(cpu, C_PENDING)
    tests = get(cpu, C_TESTS)
    put(cpu, C_PENDING, 0)
    put(cpu, C_TESTS, 0)
    dispatched = _dispatch(cpu, count + 1)
    hold(cpu, count - tests, tests, dispatched, token, agu)
    return count + 1, dispatched


@internal
def mispredict(cpu, token):
    """A branch went the other way: the front end starts anew when its outcome is known."""
    add(cpu, C_TESTS, 1)
    count, dispatched = _arrive(cpu, token, 0)
    outcome = max(dispatched, token) + TICKS
    _retire(cpu, count, dispatched, dispatched, WORK, 0, 0)
    add(cpu, C_MISPREDICTS, 1)
    restart = outcome + fixed(fixed(cpu, C_SYSTEM), S_MISPREDICT)
    put(cpu, C_DISPATCH, restart)
    put(cpu, C_FRONT_CAUSE, BRANCH)
    put(cpu, C_RESTART, restart)
    wrong_paths.note(cpu, outcome - dispatched)


@internal
def fence(cpu):
    """Nothing after it starts before everything before it has retired (lfence)."""
    count, dispatched = _arrive(cpu, 0, 0)
    _retire(cpu, count, dispatched, dispatched, WORK, 0, 0)
    after = max(get(cpu, C_RETIRE), dispatched) + fixed(fixed(cpu, C_SYSTEM), S_FENCE)
    put(cpu, C_DISPATCH, after)
    put(cpu, C_FRONT_CAUSE, WORK)
    wrong_paths.forget(cpu)


@internal
def pause(cpu, ticks):
    """Other code runs for `ticks`: the window and the store buffer drain, the clocks move on."""
    settle(cpu)
    clock = max(get(cpu, C_RETIRE), get(cpu, C_DISPATCH), get(cpu, C_DRAIN)) + ticks
    add(cpu, C_PAUSED, clock - get(cpu, C_RETIRE))
    put(cpu, C_RETIRE, clock)
    put(cpu, C_DISPATCH, clock)
    put(cpu, C_STORED, get(cpu, C_INSTRUCTIONS))
    wrong_paths.forget(cpu)
    # what background code fetched (`hierarchy.touch`) took no time, so no level is busy with it
    for level in range(MAX_LEVELS + 1):
        put(cpu, C_NEXT_LEVEL + level, clock)


@internal
def forget_history(cpu, bits):
    """Other code's branches stand in the global history now."""
    put(cpu, C_HISTORY, bits)


@inlined
def may_forward(cpu, address):
    """Whether a store to the same word is the last one noted in its place."""
    word = address >> 3
    entry = fixed(cpu, C_FORWARD) + 8 * FORWARD_FIELDS * (word & (FORWARD_ENTRIES - 1))
    return get(entry, 0) == word


@inlined
def _forwarded(cpu, address):
    """When a store in flight hands its value to a load of the same word; -1 if none does."""
    word = address >> 3
    entry = fixed(cpu, C_FORWARD) + 8 * FORWARD_FIELDS * (word & (FORWARD_ENTRIES - 1))
    if get(entry, 0) != word:
        return -1
    stored = get(entry, 2)
    if stored <= get(cpu, C_STORED) or get(cpu, C_INSTRUCTIONS) - stored >= FORWARD_REACH:
        put(entry, 0, -1)
        return -1
    return get(entry, 1)


@inlined
def _note_store(cpu, address, ready):
    word = address >> 3
    entry = fixed(cpu, C_FORWARD) + 8 * FORWARD_FIELDS * (word & (FORWARD_ENTRIES - 1))
    put(entry, 0, word)
    put(entry, 1, ready)
    put(entry, 2, get(cpu, C_INSTRUCTIONS))
    put(cpu, C_FORWARDING, get(cpu, C_INSTRUCTIONS) + FORWARD_REACH)


@inlined
def _queued(cpu, interval, line, cause, dispatched, begin):
    """Ticks more that a line waits for others at the same place of their pages.

    Lines that differ in the page's number alone share a set of L1, and sets, slices and banks of
    what lies below: they come one after the other. The wait for the level's bandwidth, which has
    been counted, passes meanwhile.
    """
    clock = fixed(cpu, C_SAME_PLACE) + 8 * (PAGE_LINES * cause + (line & (PAGE_LINES - 1)))
    free = max(element(clock, 0), dispatched)
    put_element(clock, 0, free + interval)
    if cause == MEMORY:
        paced = get(cpu, C_NEXT_LEVEL + MAX_LEVELS)
        paced -= fixed(fixed(cpu, C_SYSTEM), S_MEMORY_INTERVAL)
    else:
        number = cause - LEVEL_1
        paced = get(cpu, C_NEXT_LEVEL + number)
        paced -= fixed(fixed(cpu, C_LEVELS + number), K_INTERVAL)
    return max(free - max(begin, paced), 0)


@inlined
def _fetch(cpu, line, row, writes, dispatched, start):
    """An L1 miss: waits for a line-fill buffer; returns (ticks from start << 4 | cause)."""
    add(fixed(cpu, C_LEVELS), K_MISSES, 1)
    number = get(cpu, C_FILL)
    entries = fixed(cpu, C_FILL_ENTRIES)
    slot = fixed(cpu, C_FILLS) + 8 * number
    begin = max(start, get(slot, 0))
    packed = bring_in(cpu, line, writes, dispatched, begin)
    ticks = (packed >> 4) + begin - start
    intervals = fixed(fixed(cpu, C_SYSTEM), S_SAME_PLACE)
    if intervals != 0:
        interval = element(intervals, packed & 15)
        if interval != 0:
            ticks += _queued(cpu, interval, line, packed & 15, dispatched, begin)
    put(slot, 0, start + ticks)
    put(cpu, C_FILL, number + 1 if number + 1 < entries else 0)
    flight = fixed(cpu, C_FLIGHT) + 16 * (line & (FLIGHT_ENTRIES - 1))
    put(flight, 0, line)
    put(flight, 1, (start + ticks) << 4 | packed & 15)
    put(cpu, C_QUIET, max(get(cpu, C_QUIET), start + ticks - fixed(cpu, C_L1_LATENCY)))
    return ticks << 4 | packed & 15


@inlined
def translated(cpu, address, dispatched, start):
    """Ticks from `start` until the address' translation is known."""
    if address >> get(cpu, C_LAST_SHIFT) == get(cpu, C_LAST_PAGE):
        return max(get(cpu, C_PAGE_READY) - start, 0)
    ticks = translate(cpu, address, dispatched, start)
    put(cpu, C_PAGE_READY, start + ticks)
    if ticks > 0:
        put(cpu, C_QUIET, max(get(cpu, C_QUIET), start + ticks))
    return ticks


@inlined
def _port(cpu, first, dispatched, start):
    """When a load or store port is free: one access per interval, counted from dispatch."""
    port = max(get(cpu, C_NEXT_LEVEL), dispatched)
    put(cpu, C_NEXT_LEVEL, port + fixed(first, K_INTERVAL))
    return max(start, port)


@inlined
def _locate(cpu, first, row, line, writes, dispatched, start):
    """Find a line in L1 or bring it in; returns (ticks << 4 | cause).

    It is in front afterwards, unless the core uses it for the last time (`directory.tenured`).
    """
    latency = fixed(first, K_LATENCY)
    entry = peek_u32(row)
    if entry & NAME_MASK != line:
        way = find(row, get(first, K_WAYS), line)
        if way < 0:
            if unlikely(fixed(fixed(cpu, C_SYSTEM), S_DIRECTORY) != 0):
                ticks = tenured(cpu, line, writes, start)
                if ticks >= 0:
                    return max(ticks, latency) << 4 | COHERENCE
            return _fetch(cpu, line, row, writes, dispatched, start)
        to_front(row, get(first, K_WAYS), way, peek_u32(row + 4 * way))
    if get(cpu, C_QUIET) > start:
        # the line may still be on its way for an earlier miss
        flight = fixed(cpu, C_FLIGHT) + 16 * (line & (FLIGHT_ENTRIES - 1))
        arrival = get(flight, 1)
        if get(flight, 0) == line and arrival >> 4 > start + latency:
            return (arrival >> 4) - start << 4 | arrival & 15
    return latency << 4 | LEVEL_1


@inlined
def _loaded(cpu, address, start, latency, token):
    """When a load has its value: from the cache, or from a store in flight.

    An address without a token is a constant or stands in a register that does not change; a
    processor that renames such words (`S_RENAMED`) hands the value over without going through the
    store buffer, unless other CPUs write the line too.
    """
    forwarded = _forwarded(cpu, address)
    if forwarded < 0:
        return start + latency
    system = fixed(cpu, C_SYSTEM)
    line = address >> LINE_SHIFT
    tenure = tenure_of(cpu, line)
    contended = get(tenure, T_LINE) == line and get(tenure, T_UNTIL) != 0
    simple = token == 0 and not contended
    ticks = fixed(system, S_RENAMED) if simple else fixed(system, S_FORWARD)
    return max(start, forwarded) + ticks


@internal
def _from_sibling(cpu, line, kind, start):
    """Extra ticks of a write to a line that the core's other hardware thread wrote last.

    Only a locked one waits: stores leave for the same L1.
    """
    sibling = fixed(fixed(cpu, C_SYSTEM), S_SIBLING)
    entry = tenure_of(cpu, line)
    if get(entry, T_LINE) != line:
        put(entry, T_LINE, line)
        put(entry, T_READY, 0)
        put(entry, T_UNTIL, 0)
        put(entry, T_STORED, 0)
        put(entry, T_LOCKED_UNTIL, 0)
        put(entry, T_LOCKER, cpu)
    begin = start
    if get(entry, T_LOCKER) != cpu:
        put(entry, T_LOCKER, cpu)
        put(entry, T_UNTIL, max(get(entry, T_UNTIL), 1))
        if kind == LOCKED:
            begin = max(start, get(entry, T_LOCKED_UNTIL) + sibling)
    put(entry, T_LOCKED_UNTIL, begin)
    return begin - start


@inlined
def read(cpu, address, token):
    """A load; returns the tick at which its value is ready. `token`: of the address."""
    count, dispatched = _arrive(cpu, token, AGU_ENTRY)
    add(cpu, C_ACCESSES, 1)
    first = fixed(cpu, C_LEVELS)
    start = max(dispatched, token)
    if unlikely(fixed(fixed(cpu, C_SYSTEM), S_DIRECTORY) != 0) and _forwarded(cpu, address) >= 0:
        # the store buffer has it: whoever owns the line now is not asked
        ready = _loaded(cpu, address, start, 0, token)
        loaded(cpu, ready)
        _retire(cpu, count, dispatched, ready, WORK, 0, 0)
        if unlikely(fixed(fixed(cpu, C_SYSTEM), S_PLACES) != 0):
            attribute(cpu, address, False, LEVEL_1, 0, 0)
        return ready
    tlb_ticks = translated(cpu, address, dispatched, start)
    start = _port(cpu, first, dispatched, start + tlb_ticks)
    line = address >> LINE_SHIFT
    packed = _locate(cpu, first, row_of(first, line), line, False, dispatched, start)
    latency = packed >> 4
    if get(cpu, C_INSTRUCTIONS) < get(cpu, C_AHEAD_UNTIL):
        missed = tlb_ticks + latency - fixed(first, K_LATENCY)
        if missed <= 0:
            if 0 < token < get(cpu, C_RESTART):
                put(cpu, C_AHEAD, 0)  # as in `wrong_paths.fetched_ahead`
        else:
            saved = wrong_paths.fetched_ahead(cpu, token, missed)
            start -= min(saved, tlb_ticks)
            latency -= max(saved - tlb_ticks, 0)
            tlb_ticks -= min(saved, tlb_ticks)
    ready = _loaded(cpu, address, start, latency, token)
    loaded(cpu, ready)
    waited = _retire(cpu, count, dispatched, ready, packed & 15, latency, tlb_ticks)
    if unlikely(fixed(fixed(cpu, C_SYSTEM), S_PLACES) != 0):
        attribute(cpu, address, False, packed & 15, waited, tlb_ticks)
    return ready


@internal
def write(cpu, address, kind, token, value_token):
    """A WRITE, an RMW or a LOCKED one; returns the tick at which its value is ready.

    `token`: of the address, `value_token`: of the value that a WRITE stores.
    """
    system = fixed(cpu, C_SYSTEM)
    count, dispatched = _arrive(cpu, token, AGU_ENTRY)
    add(cpu, C_ACCESSES, 1)
    first = fixed(cpu, C_LEVELS)
    start = max(dispatched, token)
    if kind == LOCKED:
        # all earlier instructions and stores first
        start = max(start, get(cpu, C_RETIRE), get(cpu, C_DRAIN))
    tlb_ticks = translated(cpu, address, dispatched, start)
    start = _port(cpu, first, dispatched, start + tlb_ticks)
    line = address >> LINE_SHIFT
    row = row_of(first, line)
    packed = _locate(cpu, first, row, line, True, dispatched, start)
    latency = packed >> 4
    cause = packed & 15
    if cause == COHERENCE:
        tenure = tenure_of(cpu, line)
        lost = get(tenure, T_UNTIL) if get(tenure, T_LINE) == line else 0
        if 1 < lost < min(get(tenure, T_STORED), start + latency):
            _requeue_stores(cpu, lost, start + latency)
    entry = peek_u32(row)
    if entry & NAME_MASK == line:
        if entry & OWNED == 0:
            extra = upgrade(cpu, line, start)
            if extra > 0:
                latency += extra
                cause = COHERENCE
        poke_u32(row, peek_u32(row) | OWNED | DIRTY)
    if fixed(cpu, C_SLOTS) != 0:
        extra = _from_sibling(cpu, line, kind, start + latency)
        if extra > 0:
            latency += extra
            cause = COHERENCE

    if kind == LOCKED:
        waited = latency - fixed(first, K_LATENCY)
        ready = start + waited + fixed(system, S_LOCKED)
        charged = _retire(cpu, count, dispatched, start + waited, cause, waited, tlb_ticks)
        charged += _retire(cpu, 0, dispatched, ready, LOCK, fixed(system, S_LOCKED), 0)
        if fixed(system, S_PLACES) != 0:
            attribute(cpu, address, True, cause, charged, tlb_ticks)
        put(cpu, C_DRAIN, ready)
        # nothing later starts before it has its line; then the front end goes on while it locks
        put(cpu, C_DISPATCH, max(get(cpu, C_DISPATCH), start + waited))
        put(cpu, C_FRONT_CAUSE, LOCK)
        return ready
    if kind == RMW:
        ready = _loaded(cpu, address, start, latency, token)
        # where the store is renamed, adding is all that an in-place addition takes
        if token != 0 or fixed(system, S_RENAMED) >= fixed(system, S_FORWARD):
            ready += fixed(cpu, C_ALU)
        charged = _retire(cpu, count, dispatched, ready, cause, latency, tlb_ticks)
    else:
        ready = max(start, value_token)
        charged = _retire(cpu, count, dispatched, ready, WORK, 0, tlb_ticks)
    if fixed(system, S_PLACES) != 0:
        attribute(cpu, address, True, cause, charged, tlb_ticks)
    if fixed(cpu, C_SLOTS) == 0:
        _drain(cpu, start + latency)
        if fixed(system, S_DIRECTORY) != 0:
            entry = tenure_of(cpu, line)
            if get(entry, T_LINE) == line:
                put(entry, T_STORED, get(cpu, C_DRAIN))
    else:
        # the hardware threads' stores to a line leave one after the other
        entry = tenure_of(cpu, line)
        _drain(cpu, max(start + latency, get(entry, T_STORED) + fixed(cpu, C_STORE_INTERVAL)))
        put(entry, T_STORED, get(cpu, C_DRAIN))
    _note_store(cpu, address, ready)
    return ready


@internal
def _requeue_stores(cpu, until, back):
    """The line left at `until` with stores still in the buffer: they leave once it is `back`."""
    entries = fixed(cpu, C_STORE_ENTRIES)
    oldest = get(cpu, C_STORES)
    leaves = back
    for i in range(oldest, oldest + entries):
        slot = fixed(cpu, C_STORE_RING) + 8 * (i if i < entries else i - entries)
        if get(slot, 0) > until:
            leaves = max(leaves, get(slot, 0))
            put(slot, 0, leaves)
            leaves += fixed(cpu, C_STORE_INTERVAL)
    put(cpu, C_DRAIN, leaves - fixed(cpu, C_STORE_INTERVAL))


@inlined
def _drain(cpu, owned):
    """A store enters the store buffer; it leaves in order, retired, once its line is here.

    A full buffer holds the front end back until the oldest store has left.
    """
    number = get(cpu, C_STORES)
    slot = fixed(cpu, C_STORE_RING) + 8 * number
    oldest = get(slot, 0)
    if oldest > get(cpu, C_DISPATCH):
        put(cpu, C_DISPATCH, oldest)
        put(cpu, C_FRONT_CAUSE, COHERENCE)
    leaves = max(get(cpu, C_DRAIN) + fixed(cpu, C_STORE_INTERVAL), get(cpu, C_RETIRE), owned)
    put(cpu, C_DRAIN, leaves)
    put(slot, 0, leaves)
    put(cpu, C_STORES, number + 1 if number + 1 < fixed(cpu, C_STORE_ENTRIES) else 0)
