"""Other code's lines: many in a row, touched in bulk.

Between two lookups a driver, a network stack or a process touches thousands of consecutive lines.
They take no simulated time, so all happen at one tick. What `hierarchy.touch` does line by line is
done here for up to `CHUNK` lines at once: pages are translated and counts added once, the host
brings in the last level's sets while the levels above are played, and what strangers left of the
last level is worked out once for all lines of the same age. Every count, clock and row is what it
would be line by line (`tests/core/test_background.py`).

It is for machines of three levels, the last one filled by victims, as all profiles are:
`System._touches_in_bulk`.
"""

from cgsim.compile.block_access import add, element, fixed, get, put, put_element
from cgsim.compile.intrinsics import (
    peek_u32,
    poke_u32,
    put_real,
    real,
    unlikely,
    wrapping_product,
)
from cgsim.compile.jit import inlined, internal
from cgsim.core import hierarchy
from cgsim.core.block_fields import (
    C_CORE,
    C_DISPATCH,
    C_LEVELS,
    C_NEXT_LEVEL,
    C_RETIRE,
    C_SYSTEM,
    CHUNK,
    D_OWNER,
    D_SHARERS,
    K_HITS,
    K_INTERVAL,
    K_MASK,
    K_MISSES,
    K_ROWS,
    K_WAYS,
    MAX_LEVELS,
    QUEUED_WORDS,
    S_BULK,
    S_DIRECTORY,
    S_ENTERED,
    S_MEMORY_INTERVAL,
    S_NODE_INTERVAL,
    S_QUEUE,
    S_RETENTION,
    S_SHARES,
    S_WRITEBACKS,
    SHARES,
)
from cgsim.core.cache_sets import LINE_SHIFT, bring_in, row_of
from cgsim.core.directory import record_of
from cgsim.core.recency import (
    DIRTY,
    DIRTY_BIT,
    NAME_MASK,
    OTHERS,
    OWNED,
    close_16,
    find,
    find_16,
    to_front,
    to_front_16,
)
from cgsim.core.replay.lru_vector import prefetch
from cgsim.core.retention import DRAW_BITS, is_left, share_left
from cgsim.core.rng import random_bits
from cgsim.core.translation import translate

_SPREAD = 0x9E3779B97F4A7C15 - (1 << 64)

# What is queued of a line that L2 lacks: it, its set in the last level and in L2, what it pushed
# out of L2 and that one's set in the last level.
(_LINE, _ROW, _ABOVE, _VICTIM, _VICTIM_ROW) = range(QUEUED_WORDS)
_QUEUED = 8 * QUEUED_WORDS


@inlined
def _is_left(system, line, age, since):
    """Whether strangers have left a line of the last level that entered it at `since`."""
    share = fixed(system, S_SHARES) + 16 * (wrapping_product(age, _SPREAD) >> 58 & SHARES - 1)
    if unlikely(element(share, 0) != age):
        put_element(share, 0, age)
        put_real(share, 1, share_left(age, fixed(system, S_RETENTION)))
    return is_left(real(share, 1), random_bits(line, since, 0) >> 63 - DRAW_BITS)


@inlined
def _pace(cpu, slot, interval, lines):
    """A level delivers so many lines to this CPU, one per `interval`."""
    if lines > 0:
        begin = max(get(cpu, C_NEXT_LEVEL + slot), get(cpu, C_DISPATCH))
        put(cpu, C_NEXT_LEVEL + slot, begin + lines * interval)


@internal
def _finish(cpu, queued, now):
    """The last level's part of what the queued lines do; returns 0, as they are queued no more."""
    system = fixed(cpu, C_SYSTEM)
    last = fixed(cpu, C_LEVELS + 2)
    oldest = fixed(last, K_WAYS) - 1
    coherent = fixed(system, S_DIRECTORY) != 0
    entered = fixed(system, S_ENTERED)
    shared_memory = fixed(system, S_NODE_INTERVAL) != 0
    hits = 0
    written = 0
    queue = fixed(system, S_QUEUE)
    for at in range(queue, queue + queued * _QUEUED, _QUEUED):
        line = element(at, _LINE)
        row = element(at, _ROW)
        way = find_16(row, line)
        if way >= 0 and entered != 0:
            since = element(entered, line)
            if _is_left(system, line, max(now - since, 0), since):
                put_element(entered, line, now)
            else:
                close_16(row, way)
                way = -1
        if way >= 0:
            hits += 1
            entry = peek_u32(row + 4 * way)
            if coherent:
                to_front_16(row, way, entry)
            else:
                close_16(row, way)
                if entry & DIRTY != 0:
                    # the data came along; the line is still the newest of its set in L2
                    above = element(at, _ABOVE)
                    poke_u32(above, peek_u32(above) | DIRTY)
        elif unlikely(shared_memory):
            dispatched = get(cpu, C_DISPATCH)
            hierarchy.delivered(cpu, line, 3, dispatched, dispatched)
        victim = element(at, _VICTIM)
        if victim != 0:
            name = victim & NAME_MASK
            row = element(at, _VICTIM_ROW)
            if entered != 0:
                put_element(entered, name, now)
            way = find_16(row, name)
            if unlikely(way >= 0):
                to_front_16(row, way, peek_u32(row + 4 * way) | victim & DIRTY)
            else:
                written += peek_u32(row + 4 * oldest) >> DIRTY_BIT & 1
                to_front_16(row, oldest, name | victim & DIRTY)
    add(last, K_HITS, hits)
    add(last, K_MISSES, queued - hits)
    add(system, S_WRITEBACKS, written)
    _pace(cpu, 2, fixed(last, K_INTERVAL), hits)
    if not shared_memory:
        _pace(cpu, MAX_LEVELS, fixed(system, S_MEMORY_INTERVAL), queued - hits)
    return 0


@internal
def _touch_chunk(cpu, first, end, now):
    """Touch lines from `first` up to `end`, of one aligned block of CHUNK: each has its L2 set."""
    system = fixed(cpu, C_SYSTEM)
    one, two = fixed(cpu, C_LEVELS), fixed(cpu, C_LEVELS + 1)
    last = fixed(cpu, C_LEVELS + 2)
    oldest, ways = fixed(one, K_WAYS) - 1, fixed(two, K_WAYS)
    coherent = fixed(system, S_DIRECTORY) != 0
    entered = fixed(system, S_ENTERED)
    core = fixed(cpu, C_CORE)
    at = fixed(system, S_QUEUE)
    missed_1 = missed_2 = hit_2 = queued = 0
    for line in range(first, end):
        row = fixed(one, K_ROWS) + ((line & fixed(one, K_MASK)) << LINE_SHIFT)
        way = find_16(row, line)
        if way >= 0:
            to_front_16(row, way, peek_u32(row + 4 * way))
            continue
        missed_1 += 1
        above = row_of(two, line)
        way = find(above, ways, line)
        if way >= 0:
            hit_2 += 1
            entry = peek_u32(above + 4 * way)
            to_front(above, ways, way, entry & ~DIRTY)
        else:
            if unlikely(coherent):
                record = record_of(system, line)
                if get(record, D_SHARERS) & ~(1 << core) != 0:
                    # another core has it, or had it: an owner is among the sharers
                    queued = _finish(cpu, queued, now)
                    dispatched = get(cpu, C_DISPATCH)
                    bring_in(cpu, line, False, dispatched, dispatched)
                    continue
                put(record, D_OWNER, core + 1)
                put(record, D_SHARERS, 1 << core)
            missed_2 += 1
            entry = line | OWNED
            below = row_of(last, line)
            victim = hierarchy.insert_entry(two, above, entry)
            if unlikely(victim & NAME_MASK >= OTHERS):
                victim = 0
            name = victim & NAME_MASK
            victim_row = row_of(last, name)
            prefetch(below)
            prefetch(victim_row)
            if entered != 0:
                prefetch(entered + 8 * line)
                prefetch(entered + 8 * name)
            place = at + _QUEUED * queued
            put_element(place, _LINE, line)
            put_element(place, _ROW, below)
            put_element(place, _ABOVE, above)
            put_element(place, _VICTIM, victim)
            put_element(place, _VICTIM_ROW, victim_row)
            queued += 1
        victim = peek_u32(row + 4 * oldest)
        to_front_16(row, oldest, entry)
        if unlikely(victim & DIRTY != 0):
            queued = _finish(cpu, queued, now)
            hierarchy.write_back(cpu, 1, victim)
    _finish(cpu, queued, now)
    add(one, K_MISSES, missed_1)
    add(two, K_MISSES, missed_2)
    add(two, K_HITS, hit_2)
    _pace(cpu, 1, fixed(two, K_INTERVAL), hit_2)


@inlined
def touch(cpu, first, lines, writes):
    """Background code touches `lines` consecutive lines from address `first` on."""
    if writes or fixed(fixed(cpu, C_SYSTEM), S_BULK) == 0:
        for number in range(lines):
            hierarchy.touch(cpu, first + (number << LINE_SHIFT), writes)
        return
    now = get(cpu, C_RETIRE)
    line = first >> LINE_SHIFT
    stop = line + lines
    while line < stop:
        dispatched = get(cpu, C_DISPATCH)
        translate(cpu, line << LINE_SHIFT, dispatched, dispatched)
        end = min(stop, (line | CHUNK - 1) + 1)
        _touch_chunk(cpu, line, end, now)
        line = end
