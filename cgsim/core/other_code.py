"""Other code between lookups: lines that push the lookups' own out, and do no more.

A driver, a network stack or a process touches thousands of lines that no lookup touches. What they
take, their time is said to hold; what lookups meet of them is that their own lines are older. So
these lines have numbers instead of addresses, and a set is told of them when something next looks
into it: how many came meanwhile follows from how many there were in all, since consecutive lines
take the sets in turn. A point then costs what its lookups do, not what the code between them does.

Cold lines are a ring that the code streams through, so a set gets `K_RING` of them in turn. Hot
lines are the same at each event; those that L1 lacks become the newest of their set in L2. L1 is
kept up to date. A line that these push out of the level above a last one filled by victims is put
there as of the time at which it left.

Where levels replace the oldest line, the clean lines of lookups in L1 and L2 are those that
addresses in the same sets would leave (`tests/core/test_other_code.py`). Assumed: that a dirty line
that L1 loses meanwhile comes to L2 before the event's cold lines; that the lines in L2 are not in a
last level filled by victims, which gets a cold line once L2's lines are newer; that hot lines are
in L1 or L2; that all that a CPU streams through is one ring, as long as all together, of no fewer
lines than a level has sets; and that a copy in another core's L2, which nothing asks for there, has
not been pushed out into the last level.
"""

from cgsim.compile.block_access import add, element, fixed, get, put, put_element
from cgsim.compile.intrinsics import peek_u32, poke_u32, unlikely
from cgsim.compile.jit import inlined, internal
from cgsim.core import hierarchy
from cgsim.core.block_fields import (
    C_FIRST_HOT,
    C_LEVELS,
    C_RETIRE,
    C_SYSTEM,
    EVENTS,
    K_CLOCK,
    K_CPU,
    K_EVENT,
    K_EVENTS,
    K_HOT,
    K_HOT_LINES,
    K_INCLUSION,
    K_LAG,
    K_NUMBER,
    K_RANDOM,
    K_RING,
    K_ROW_BYTES,
    K_ROWS,
    K_SEEN,
    K_SETS,
    K_STREAMED,
    K_WAYS,
    PAGE_LINES,
    S_ENTERED,
    S_LEVELS,
    S_WRITEBACKS,
    VICTIM,
)
from cgsim.core.cache_sets import LINE_SHIFT, index_of, row_of
from cgsim.core.recency import COLD, DIRTY, HOT, NAME_MASK, OTHERS, find, to_front
from cgsim.core.translation import translate

_COLD_MASK = NAME_MASK - COLD
_COMES_ROUND_SOON = 8


@inlined
def _count(level, index, streamed):
    """How many of the first `streamed` cold lines a set gets."""
    return (streamed + fixed(level, K_SETS) - 1 - index) // fixed(level, K_SETS)


@internal
def _into_last(cpu, above, victim, position):
    """A lookups' line fell out of the level above, when the cold line of that position came."""
    system = fixed(cpu, C_SYSTEM)
    last = fixed(cpu, C_LEVELS + fixed(system, S_LEVELS) - 1)
    name = victim & NAME_MASK
    row = row_of(last, name)
    # the event that the position belongs to, of those that are remembered
    low = max(get(above, K_EVENT) - EVENTS, 0)
    high = get(above, K_EVENT) - 1
    while low < high:
        middle = (low + high + 1) >> 1
        if element(fixed(above, K_EVENTS) + 24 * (middle & EVENTS - 1), 0) <= position:
            low = middle
        else:
            high = middle - 1
    event = fixed(above, K_EVENTS) + 24 * (low & EVENTS - 1)
    entered = fixed(system, S_ENTERED)
    ways = fixed(last, K_WAYS)
    entry = name | victim & DIRTY
    index = index_of(last, name)
    lag = fixed(last, K_LAG)
    before = element(event, 2) + max(position - lag, 0) - max(element(event, 0) - lag, 0)
    newer = _count(last, index, get(last, K_STREAMED)) - _count(last, index, before)
    # what a hot line pushes out leaves before the cold line of that position has come
    newer = min(max(newer, 0), fixed(last, K_RING))
    way = find(row, ways, name)
    if way >= 0:
        # another core has used it there meanwhile
        entry |= peek_u32(row + 4 * way) & DIRTY
        newer = min(newer, way)
        if entered != 0:
            put_element(entered, name, max(element(entered, name), element(event, 1)))
    else:
        way = ways - 1
        out = peek_u32(row + 4 * way) if newer < ways else entry
        if out & DIRTY != 0:
            add(system, S_WRITEBACKS, 1)
        if entered != 0:
            put_element(entered, name, element(event, 1))
    if newer < ways:
        for older in range(way, newer, -1):
            poke_u32(row + 4 * older, peek_u32(row + 4 * (older - 1)))
        poke_u32(row + 4 * newer, entry)


@internal
def _leaves(level, index, victim, rank):
    """The cold line of this rank pushed an entry out of a set."""
    if victim & NAME_MASK >= OTHERS or victim == 0:
        return
    cpu = fixed(level, K_CPU)
    number = fixed(level, K_NUMBER)
    last = fixed(fixed(cpu, C_SYSTEM), S_LEVELS) - 1
    if number == last:
        hierarchy.left_last(cpu, level, victim)
    elif number + 1 == last and fixed(fixed(cpu, C_LEVELS + last), K_INCLUSION) == VICTIM:
        _into_last(cpu, level, victim, rank * fixed(level, K_SETS) + index)
    else:
        hierarchy.write_back(cpu, number + 1, victim)


@inlined
def _newest(level, index, row, name, rank):
    """A line of other code becomes the newest of its set, after `rank` cold ones."""
    way = find(row, fixed(level, K_WAYS), name)
    if way >= 0:
        to_front(row, fixed(level, K_WAYS), way, name)
        return
    victim = hierarchy.insert_entry(level, row, name)
    if unlikely(victim & NAME_MASK < OTHERS):
        _leaves(level, index, victim, rank)


@internal
def _stream(level, index, row, done, upto):
    """A set gets the cold lines of ranks `done` to `upto` - 1; returns the rank that is next."""
    ring = fixed(level, K_RING)
    ways = fixed(level, K_WAYS)
    if ring == 0 or upto <= done:
        return max(done, upto)
    if upto - done >= ways and ring >= ways and get(level, K_RANDOM) == 0:
        # nothing else is left
        number = (upto - 1) % ring
        for way in range(ways):
            oldest = ways - 1 - way
            _leaves(level, index, peek_u32(row + 4 * oldest), done + way)
        for way in range(ways):
            poke_u32(row + 4 * way, COLD + (number & _COLD_MASK))
            number = number - 1 if number > 0 else ring - 1
        return upto
    others = 0  # that are no cold lines
    for way in range(ways):
        if peek_u32(row + 4 * way) & NAME_MASK < COLD:
            others += 1
    while done < upto:
        if others == 0 and ring > _COMES_ROUND_SOON * ways:
            return upto  # which of them the set has is all the same
        name = COLD + (done % ring & _COLD_MASK)
        way = find(row, ways, name)
        if way >= 0:
            to_front(row, ways, way, name)
        else:
            victim = hierarchy.insert_entry(level, row, name)
            others -= 1 if victim & NAME_MASK < COLD else 0
            _leaves(level, index, victim, done)
        done += 1
    return upto


@inlined
def catch_up(level, index):
    """Tell a set of the lines that other code has touched since something last looked into it."""
    seen = fixed(level, K_SEEN) + 16 * index
    since = element(seen, 0)
    done = element(seen, 1)
    upto = _count(level, index, get(level, K_STREAMED))
    put_element(seen, 0, get(level, K_CLOCK))
    put_element(seen, 1, upto)
    row = fixed(level, K_ROWS) + index * fixed(level, K_ROW_BYTES)
    hot = fixed(level, K_HOT)
    if hot != 0:
        for number in range(index, fixed(level, K_HOT_LINES), fixed(level, K_SETS)):
            if element(hot, 2 * number) > since:
                rank = _count(level, index, element(hot, 2 * number + 1))
                done = _stream(level, index, row, done, rank)
                _newest(level, index, row, HOT + number, done)
    _stream(level, index, row, done, upto)


@inlined
def _touch_hot(cpu, first, lines):
    """The hot lines from `first` on, in L1; L2 is told later of those that L1 lacks."""
    one, two = fixed(cpu, C_LEVELS), fixed(cpu, C_LEVELS + 1)
    sets = fixed(one, K_SETS)
    clock = get(two, K_CLOCK)
    streamed = get(two, K_STREAMED)
    first += fixed(cpu, C_FIRST_HOT)
    index = first % sets
    rank = _count(one, index, get(one, K_STREAMED))
    for number in range(first, min(first + lines, fixed(two, K_HOT_LINES))):
        row = fixed(one, K_ROWS) + index * fixed(one, K_ROW_BYTES)
        if find(row, fixed(one, K_WAYS), HOT + number) < 0:
            # before what it pushes out of L1 is written back
            clock += 1
            hot = fixed(two, K_HOT) + 16 * number
            put_element(hot, 0, clock)
            put_element(hot, 1, streamed)
            put(two, K_CLOCK, clock)
        _newest(one, index, row, HOT + number, rank)
        index = index + 1 if index + 1 < sets else 0


@inlined
def run(cpu, first_hot, hot_lines, cold_lines):
    """An event's other code: hot lines from number `first_hot` on, then the next cold ones.

    Nothing on a machine that keeps none (`System.surround`).
    """
    system = fixed(cpu, C_SYSTEM)
    last = fixed(system, S_LEVELS) - 1
    above = fixed(cpu, C_LEVELS + last - 1)
    if fixed(above, K_EVENTS) == 0:
        return
    event = fixed(above, K_EVENTS) + 24 * (get(above, K_EVENT) & EVENTS - 1)
    put_element(event, 0, get(above, K_STREAMED))
    put_element(event, 1, get(cpu, C_RETIRE))
    put_element(event, 2, get(fixed(cpu, C_LEVELS + last), K_STREAMED))
    add(above, K_EVENT, 1)
    _touch_hot(cpu, first_hot, hot_lines)
    one = fixed(cpu, C_LEVELS)
    old = get(one, K_STREAMED)
    new = old + cold_lines
    put(one, K_STREAMED, new)
    sets = fixed(one, K_SETS)
    index = old % sets
    for _ in range(min(cold_lines, sets)):
        row = fixed(one, K_ROWS) + index * fixed(one, K_ROW_BYTES)
        _stream(one, index, row, _count(one, index, old), _count(one, index, new))
        index = index + 1 if index + 1 < sets else 0
    for number in range(1, last + 1):
        level = fixed(cpu, C_LEVELS + number)
        lag = fixed(level, K_LAG)
        add(level, K_CLOCK, 1)
        add(level, K_STREAMED, max(new - lag, 0) - max(old - lag, 0))


@internal
def translate_pages(cpu, first, lines):
    """Other code's pages of consecutive lines from address `first` on pass through the TLB."""
    now = get(cpu, C_RETIRE)
    line = first >> LINE_SHIFT
    stop = line + lines
    while line < stop:
        translate(cpu, line << LINE_SHIFT, now, now)
        line = (line | PAGE_LINES - 1) + 1
