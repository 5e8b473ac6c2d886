"""The memory hierarchy: what a miss costs, and what it moves.

All functions take the raw block of the CPU that accesses. They say how long a line takes; when the
access may start is the window's business (`cgsim.core.window`).

Order of events, as in Dinero IV: the demand fill reaches the lower level before the victim's
write-back. A full-line write-back allocates below without a fetch. Private levels are looked up in
turn and filled on the way up; levels between them and the last may be shared by the cores of a
cluster; the last is shared by a cluster or a socket and either non-inclusive (`NINE`), `INCLUSIVE`
(its victims leave the private levels too) or `VICTIM` (filled by what leaves the level above,
emptied by what hits).
"""

from cgsim.compile.block_access import add, element, fixed, get, put, put_element
from cgsim.compile.intrinsics import peek_u32, poke_u32, unlikely
from cgsim.compile.jit import inlined, internal
from cgsim.core.block_fields import (
    C_CORE,
    C_DISPATCH,
    C_LEVELS,
    C_NEXT_LEVEL,
    C_NODE,
    C_RETIRE,
    C_SYSTEM,
    COHERENCE,
    D_OWNER,
    INCLUSIVE,
    K_HITS,
    K_INCLUSION,
    K_INTERVAL,
    K_LATENCY,
    K_MISSES,
    K_RANDOM,
    K_WAYS,
    LEVEL_1,
    MAX_LEVELS,
    MEMORY,
    S_DIRECTORY,
    S_ENTERED,
    S_LEVELS,
    S_LINK_INTERVAL,
    S_MEMORY,
    S_MEMORY_INTERVAL,
    S_NODE_INTERVAL,
    S_NODE_RINGS,
    S_NODES,
    S_PAGE_MAP,
    S_PREFETCH,
    S_PRIVATE,
    S_RETENTION,
    S_WRITEBACKS,
    VICTIM,
    WINDOW_LINES,
    WINDOWS,
)
from cgsim.core.cache_sets import CAUSE_BITS, LINE_SHIFT, bring_in, row_of
from cgsim.core.directory import (
    drop_copies,
    from_other_core,
    grant,
    note_sharer,
    record_of,
    upgrade,
)
from cgsim.core.recency import (
    DIRTY,
    NAME_MASK,
    OTHERS,
    OWNED,
    STATE_MASK,
    find,
    insert,
    remove,
    to_front,
)
from cgsim.core.retention import DRAW_BITS, is_left, share_left
from cgsim.core.rng import mix64, random_bits
from cgsim.core.translation import translate

_DRAW = (1 << 31) - 1


@inlined
def insert_entry(cache, row, entry):
    """Put an entry into its set; returns what falls out (0: the set had an empty way).

    A level that replaces at random keeps its rows in order too, which only moves the empty ways to
    their ends. Nothing but the level's own counts decides the draw.
    """
    ways = fixed(cache, K_WAYS)
    if get(cache, K_RANDOM) != 0 and peek_u32(row + 4 * (ways - 1)) != 0:
        add(cache, K_RANDOM, 1)
        way = (mix64(get(cache, K_RANDOM)) & _DRAW) * ways >> 31
        victim = peek_u32(row + 4 * way)
        to_front(row, ways, way, entry)
        return victim
    return insert(row, ways, entry)


@internal
def _back_invalidate(cpu, line):
    """An inclusive last level lost a line: it leaves the private levels above. True if dirty."""
    system = fixed(cpu, C_SYSTEM)
    if fixed(system, S_DIRECTORY) != 0:
        dirty = drop_copies(system, line, -1)
        put(record_of(system, line), D_OWNER, 0)
        return dirty
    dirty = False
    for level in range(fixed(system, S_PRIVATE)):
        cache = fixed(cpu, C_LEVELS + level)
        gone = remove(row_of(cache, line), fixed(cache, K_WAYS), line)
        dirty = dirty or gone & DIRTY != 0
    return dirty


@inlined
def _enter(cpu, line):
    """Note that a line enters the last level, or is used there."""
    entered = fixed(fixed(cpu, C_SYSTEM), S_ENTERED)
    if unlikely(entered != 0):
        put_element(entered, line, get(cpu, C_RETIRE))


@internal
def _replaced(cpu, line):
    """Whether strangers have replaced a line of the last level since it entered."""
    system = fixed(cpu, C_SYSTEM)
    entered = element(fixed(system, S_ENTERED), line)
    age = max(get(cpu, C_RETIRE) - entered, 0)
    draw = random_bits(line, entered, 0) >> 63 - DRAW_BITS
    return not is_left(share_left(age, fixed(system, S_RETENTION)), draw)


@internal
def _fill_last(cpu, level, entry):
    """Put a line into the last level; its victim goes to memory."""
    cache = fixed(cpu, C_LEVELS + level)
    _enter(cpu, entry & NAME_MASK)
    victim = insert_entry(cache, row_of(cache, entry & NAME_MASK), entry)
    if victim != 0 and victim & NAME_MASK < OTHERS:
        left_last(cpu, cache, victim)


@internal
def left_last(cpu, cache, victim):
    """A line fell out of the last level."""
    dirty = victim & DIRTY != 0
    if fixed(cache, K_INCLUSION) == INCLUSIVE:
        dirty = _back_invalidate(cpu, victim & NAME_MASK) or dirty
    if dirty:
        add(fixed(cpu, C_SYSTEM), S_WRITEBACKS, 1)


@inlined
def write_back(cpu, level, victim):
    """A line fell out of private level `level - 1`: what of it reaches `level` and below."""
    last = fixed(fixed(cpu, C_SYSTEM), S_LEVELS) - 1
    private = fixed(fixed(cpu, C_SYSTEM), S_PRIVATE)
    while True:
        name = victim & NAME_MASK
        cache = fixed(cpu, C_LEVELS + level)
        state = STATE_MASK if level < private else DIRTY
        is_victim_cache = level == last and fixed(cache, K_INCLUSION) == VICTIM
        if (victim & DIRTY == 0 and not is_victim_cache) or unlikely(name >= OTHERS):
            return
        row = row_of(cache, name)
        way = find(row, fixed(cache, K_WAYS), name)
        if way >= 0:
            entry = peek_u32(row + 4 * way) | victim & state
            to_front(row, fixed(cache, K_WAYS), way, entry)
            if level == last:
                _enter(cpu, name)
            return
        if level == last:
            _fill_last(cpu, level, name | victim & DIRTY)
            return
        victim = insert_entry(cache, row, name | victim & state)
        if victim == 0:
            return
        level += 1


@inlined
def _fill(cpu, upto, entry):
    """Put a line into levels `upto` .. 0 (L1 last), with what falls out of each."""
    private = fixed(fixed(cpu, C_SYSTEM), S_PRIVATE)
    for level in range(upto, -1, -1):
        cache = fixed(cpu, C_LEVELS + level)
        # the right to write is a core's
        own = entry if level < private else entry & ~OWNED
        victim = insert_entry(cache, row_of(cache, entry & NAME_MASK), own)
        if victim != 0:
            write_back(cpu, level + 1, victim)
        entry &= ~DIRTY  # one copy carries the dirty data


@internal
def _prefetch_next(cpu, line):
    """The next-line prefetcher: line + 1, if on the same 4 KiB page, comes into L2 and the last.

    It asks no other core: a line that one owns is left alone.
    """
    following = line + 1
    if following & 63 == 0:
        return
    system = fixed(cpu, C_SYSTEM)
    if fixed(system, S_PRIVATE) < 2:
        return
    cache = fixed(cpu, C_LEVELS + 1)
    row = row_of(cache, following)
    if find(row, fixed(cache, K_WAYS), following) >= 0:
        return
    state = OWNED
    if fixed(system, S_DIRECTORY) != 0:
        record = record_of(system, following)
        if get(record, D_OWNER) != 0:
            return
        note_sharer(record, fixed(cpu, C_CORE))
        state = 0
    last = fixed(system, S_LEVELS) - 1
    shared = fixed(cpu, C_LEVELS + last)
    if fixed(shared, K_INCLUSION) != VICTIM:
        shared_row = row_of(shared, following)
        if find(shared_row, fixed(shared, K_WAYS), following) < 0:
            _fill_last(cpu, last, following)
    victim = insert_entry(cache, row, following | state)
    if victim != 0:
        write_back(cpu, 2, victim)


@inlined
def _paced(cpu, slot, interval, dispatch, start):
    """When a level that delivers one line per `interval` can deliver to this CPU."""
    ready = max(get(cpu, C_NEXT_LEVEL + slot), dispatch)
    put(cpu, C_NEXT_LEVEL + slot, ready + interval)
    return max(start, ready)


@internal
def _room(ring, window, start):
    """The first tick from `start` on whose window of time has room for one more line."""
    number = start // window
    at = start
    while True:
        entry = ring + 16 * (number & (WINDOWS - 1))
        if get(entry, 0) != number:
            put(entry, 0, number)
            put(entry, 1, 0)
        if get(entry, 1) < WINDOW_LINES:
            add(entry, 1, 1)
            return at
        number += 1
        at = number * window


@internal
def _shared_memory(system, home, node, start):
    """When a node's memory, and its links to other nodes, can serve one more line.

    Lines are counted by windows of time, since CPUs do not ask in the order of time: each runs
    ahead of the others within its turn.
    """
    interval = fixed(system, S_NODE_INTERVAL)
    if interval == 0:
        return start
    rings = fixed(system, S_NODE_RINGS) + 32 * WINDOWS * home
    begin = _room(rings, WINDOW_LINES * interval, start)
    if node != home:
        link = WINDOW_LINES * fixed(system, S_LINK_INTERVAL)
        begin = max(begin, _room(rings + 16 * WINDOWS, link, start))
    return begin


@internal
def _from_last(cpu, line, coherent):
    """Look a line up in the last level: (whether it is there, DIRTY if its data come along)."""
    last = fixed(fixed(cpu, C_SYSTEM), S_LEVELS) - 1
    shared = fixed(cpu, C_LEVELS + last)
    inclusion = fixed(shared, K_INCLUSION)
    row = row_of(shared, line)
    way = find(row, fixed(shared, K_WAYS), line)
    if way >= 0 and unlikely(fixed(fixed(cpu, C_SYSTEM), S_ENTERED) != 0):
        if _replaced(cpu, line):
            remove(row, fixed(shared, K_WAYS), line)
            way = -1
        else:
            _enter(cpu, line)
    if way < 0:
        add(shared, K_MISSES, 1)
        if inclusion != VICTIM:
            _fill_last(cpu, last, line)
        return False, 0
    add(shared, K_HITS, 1)
    entry = peek_u32(row + 4 * way)
    if inclusion == VICTIM and not coherent:
        remove(row, fixed(shared, K_WAYS), line)
        return True, entry & DIRTY
    to_front(row, fixed(shared, K_WAYS), way, entry)
    return True, 0


@inlined
def delivered(cpu, line, level, dispatch, start):
    """Ticks from `start` until a level, or memory below the last one, has delivered a line."""
    system = fixed(cpu, C_SYSTEM)
    if level < fixed(system, S_LEVELS):
        cache = fixed(cpu, C_LEVELS + level)
        begin = _paced(cpu, level, fixed(cache, K_INTERVAL), dispatch, start)
        return begin - start + fixed(cache, K_LATENCY)
    begin = _paced(cpu, MAX_LEVELS, fixed(system, S_MEMORY_INTERVAL), dispatch, start)
    home = get(fixed(system, S_PAGE_MAP), line >> 6) >> 8 & 0xFF
    node = fixed(cpu, C_NODE)
    begin = _shared_memory(system, home, node, begin)
    row = fixed(system, S_MEMORY) + 8 * node * fixed(system, S_NODES)
    return begin - start + get(row, home)


@inlined
def miss(cpu, line, writes, dispatch, start):
    """A line that L1 lacks: bring it in. Returns ticks from `start` << 4 | cause.

    `dispatch`: clock of the front end, from which the levels' bandwidth is counted.
    """
    system = fixed(cpu, C_SYSTEM)
    last = fixed(system, S_LEVELS) - 1
    private = fixed(system, S_PRIVATE)
    for level in range(1, private):
        cache = fixed(cpu, C_LEVELS + level)
        row = row_of(cache, line)
        way = find(row, fixed(cache, K_WAYS), line)
        if way >= 0:
            entry = peek_u32(row + 4 * way)
            # the right to write and the dirty data move up with the line
            to_front(row, fixed(cache, K_WAYS), way, entry & ~DIRTY)
            add(cache, K_HITS, 1)
            _fill(cpu, level - 1, entry)
            return delivered(cpu, line, level, dispatch, start) << CAUSE_BITS | (LEVEL_1 + level)
        add(cache, K_MISSES, 1)

    state = OWNED
    ticks = 0
    transferred = False
    coherent = fixed(system, S_DIRECTORY) != 0
    if unlikely(coherent):
        # what other code did to the last level may take the line from here: before it is granted
        row_of(fixed(cpu, C_LEVELS + last), line)
        ticks, transferred = from_other_core(cpu, line, writes, start)
        state = grant(cpu, line, writes)

    found = private
    while found < last:
        # a level that the cores of a cluster share
        cache = fixed(cpu, C_LEVELS + found)
        row = row_of(cache, line)
        way = find(row, fixed(cache, K_WAYS), line)
        if way >= 0:
            to_front(row, fixed(cache, K_WAYS), way, peek_u32(row + 4 * way))
            add(cache, K_HITS, 1)
            break
        add(cache, K_MISSES, 1)
        found += 1
    upto = found - 1
    if found == last:
        there, dirty = _from_last(cpu, line, coherent)
        state |= dirty
        if not there:
            found += 1

    cause = COHERENCE
    if not transferred:
        served = delivered(cpu, line, found, dispatch, start)
        if served >= ticks:
            ticks = served
            cause = LEVEL_1 + found if found <= last else MEMORY
    _fill(cpu, upto, line | state)
    if unlikely(fixed(system, S_PREFETCH) != 0):
        _prefetch_next(cpu, line)
    return ticks << CAUSE_BITS | cause


@internal
def touch(cpu, address, writes):
    """An access of background code: it moves lines and pages, and takes no time here.

    A prefetch among lookups asks when the front end comes to it, not when all before is retired.
    """
    now = get(cpu, C_DISPATCH)
    translate(cpu, address, now, now)
    line = address >> LINE_SHIFT
    level = fixed(cpu, C_LEVELS)
    row = row_of(level, line)
    way = find(row, fixed(level, K_WAYS), line)
    if way >= 0:
        to_front(row, fixed(level, K_WAYS), way, peek_u32(row + 4 * way))
    else:
        add(level, K_MISSES, 1)
        bring_in(cpu, line, writes, now, now)
    if writes:
        if peek_u32(row) & OWNED == 0:
            upgrade(cpu, line, now)
        poke_u32(row, peek_u32(row) | OWNED | DIRTY)
