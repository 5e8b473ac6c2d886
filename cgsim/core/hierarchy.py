"""The memory hierarchy: caches, TLBs, and the directory that keeps private caches coherent.

All functions take the raw block of the CPU that accesses. They say how long a line takes; when the
access may start is the window's business (`cgsim.core.window`).

Order of events, as in Dinero IV: the demand fill reaches the lower level before the victim's
write-back. A full-line write-back allocates below without a fetch. Private levels are looked up in
turn and filled on the way up; levels between them and the last may be shared by the cores of a
cluster; the last is shared by a cluster or a socket and either non-inclusive (`NINE`), `INCLUSIVE`
(its victims leave the private levels too) or `VICTIM` (filled by what leaves the level above,
emptied by what hits).

Coherence is MESI over a directory. Its record of a line names the one core that may write it
(Exclusive or Modified), or the cores that may hold a copy (Shared; a superset, since clean victims
leave silently). A write that finds no right to write is an upgrade: all other copies go. A line
that another core owns comes from that core, and for as long as the transfer takes no other core
gets it: that is how contention arises. The core that has waited for a line keeps it for a while
even if others queue for it: the directory tells it to give the line up only when the transfer to it
is done, and the message takes a quarter of the next transfer (request to the directory, message to
the owner, and the data's way back, of the length of both). This tenure is why a contended line
serves several operations per transfer.
"""

from cgsim.compile.block_access import add, fixed, get, put
from cgsim.compile.intrinsics import call_i64_5, peek_u32, poke_u32, unlikely
from cgsim.compile.jit import inlined, internal
from cgsim.core.attribution import lose
from cgsim.core.block_fields import (
    C_CORE,
    C_DRAIN,
    C_LAST_PAGE,
    C_LAST_SHIFT,
    C_LEVELS,
    C_NEXT_LEVEL,
    C_NODE,
    C_RETIRE,
    C_STORE_INTERVAL,
    C_SYSTEM,
    C_TENURE,
    C_TLB_1,
    C_TLB_2,
    C_WALK,
    COHERENCE,
    D_BUSY,
    D_OWNER,
    D_SHARERS,
    E_MISS,
    INCLUSIVE,
    K_FOLD,
    K_HITS,
    K_INCLUSION,
    K_INTERVAL,
    K_LATENCY,
    K_LIST,
    K_MASK,
    K_MISSES,
    K_RANDOM,
    K_ROW_BYTES,
    K_ROWS,
    K_SETS,
    K_WAYS,
    LEVEL_1,
    MAX_LEVELS,
    MEMORY,
    S_CORE_CPU,
    S_CORES,
    S_DIRECTORY,
    S_ENTERED,
    S_GIANT_IN_TLB_2,
    S_HUGE_SHIFT,
    S_INVALIDATE,
    S_INVALIDATIONS,
    S_LEVELS,
    S_LINK_INTERVAL,
    S_MEMORY,
    S_MEMORY_INTERVAL,
    S_NODE_INTERVAL,
    S_NODE_RINGS,
    S_NODES,
    S_PAGE_MAP,
    S_PAGE_TABLE,
    S_PLACES,
    S_PREFETCH,
    S_PRIVATE,
    S_RECORD_WORDS,
    S_RETENTION,
    S_TRANSFER,
    S_TRANSFERS,
    S_UPGRADES,
    S_WRITEBACKS,
    T_LINE,
    T_READY,
    T_STORED,
    T_UNTIL,
    TENURE_ENTRIES,
    TENURE_FIELDS,
    VICTIM,
    WINDOW_LINES,
    WINDOWS,
)
from cgsim.core.lru_list import touch as touch_list
from cgsim.core.recency import (
    DIRTY,
    NAME_MASK,
    OWNED,
    STATE_MASK,
    find,
    insert,
    remove,
    to_front,
)
from cgsim.core.retention import DRAW_BITS, is_left
from cgsim.core.rng import mix64, random_bits

LINE_SHIFT = 6
PAGE_4K, PAGE_2M, PAGE_1G = range(3)
_CAUSE_BITS = 4
_PLAIN_BITS = 4
_DRAW = (1 << 31) - 1


@inlined
def row_of(level, name):
    """Raw address of the set of a cache or TLB level that a line or page maps to.

    A hashed index leaves the lowest bits of the line's number alone, so lines at the same place in
    their pages share a part of the sets. On Zen 5 600 such lines fit a L2 of 1024 sets, 1369 do not
    (data/kernel/zen5_vm_measured.json, same_set_stride_4096): they reach 64 sets.
    """
    fold = fixed(level, K_FOLD)
    mixed = name if fold == 0 else name ^ (name >> fold ^ name >> 2 * fold) << _PLAIN_BITS
    mask = fixed(level, K_MASK)
    index = mixed & mask
    if unlikely(mask < 0):
        index = mixed % fixed(level, K_SETS)
    return fixed(level, K_ROWS) + index * fixed(level, K_ROW_BYTES)


# --- TLB -----------------------------------------------------------------------------------------


@inlined
def _touch_page(level, number, name):
    """Make a page the most recent one of its set; True if it was there."""
    if fixed(level, K_LIST) != 0:
        return touch_list(fixed(level, K_LIST), name)
    row = row_of(level, number)
    way = find(row, fixed(level, K_WAYS), name)
    if way >= 0:
        to_front(row, fixed(level, K_WAYS), way, name)
        return True
    insert(row, fixed(level, K_WAYS), name)
    return False


@inlined
def translate(cpu, address, dispatch, start):
    """Extra ticks from `start` that the address' translation takes; 0 for a hit in the first level.

    `dispatch`: as of `miss`.
    """
    if address >> get(cpu, C_LAST_SHIFT) == get(cpu, C_LAST_PAGE) or fixed(cpu, C_TLB_1) == 0:
        return 0
    system = fixed(cpu, C_SYSTEM)
    entry = get(fixed(system, S_PAGE_MAP), address >> 12)
    size = entry & 3
    shift = 12 if size == PAGE_4K else (fixed(system, S_HUGE_SHIFT) if size == PAGE_2M else 30)
    put(cpu, C_LAST_SHIFT, shift)
    put(cpu, C_LAST_PAGE, address >> shift)
    # the page size is part of the name: a 4 KiB and a 2 MiB page may share a number
    number = (address >> shift) + 1
    name = number << 2 | size
    first = fixed(cpu, C_TLB_1 + size)
    if _touch_page(first, number, name):
        return 0
    add(first, K_MISSES, 1)
    walk = fixed(cpu, C_WALK + size)
    extra = walk
    second = fixed(cpu, C_TLB_2)
    if second != 0 and (size != PAGE_1G or fixed(system, S_GIANT_IN_TLB_2) != 0):
        extra = fixed(second, K_LATENCY)
        if not _touch_page(second, number, name):
            add(second, K_MISSES, 1)
            extra += walk
            if shift == 12 and fixed(system, S_PAGE_TABLE) != 0:
                extra += _entry_of_walk(cpu, address >> 12, dispatch, start + extra)
    return extra


@internal
def _entry_of_walk(cpu, page, dispatch, start):
    """Ticks from `start` that a walk waits for the page's entry beyond L2.

    Upper levels of the table are few and cached by the walker; the walk's own ticks, as profiles
    have them, are those where the entry is in L1 or L2.
    """
    line = (fixed(fixed(cpu, C_SYSTEM), S_PAGE_TABLE) + 8 * page) >> LINE_SHIFT
    level = fixed(cpu, C_LEVELS)
    row = row_of(level, line)
    way = find(row, fixed(level, K_WAYS), line)
    if way >= 0:
        to_front(row, fixed(level, K_WAYS), way, peek_u32(row + 4 * way))
        return 0
    ticks = bring_in(cpu, line, False, dispatch, start) >> _CAUSE_BITS
    return max(ticks - fixed(fixed(cpu, C_LEVELS + 1), K_LATENCY), 0)


# --- directory -----------------------------------------------------------------------------------


@inlined
def _record(system, line):
    return fixed(system, S_DIRECTORY) + 8 * fixed(system, S_RECORD_WORDS) * line


@internal
def _drop_copies(system, line, keeper):
    """Remove a line from the private levels of every core but `keeper`; True if one was dirty."""
    record = _record(system, line)
    dirty = False
    private = fixed(system, S_PRIVATE)
    for word in range((fixed(system, S_CORES) + 61) // 62):
        sharers = get(record, D_SHARERS + word)
        core = 62 * word
        while sharers != 0:
            if sharers & 1 and core != keeper:
                other = get(fixed(system, S_CORE_CPU), core)
                present = False
                for level in range(private):
                    cache = fixed(other, C_LEVELS + level)
                    gone = remove(row_of(cache, line), fixed(cache, K_WAYS), line)
                    if gone != 0:
                        present = True
                        dirty = dirty or gone & DIRTY != 0
                if present:
                    add(system, S_INVALIDATIONS, 1)
                    if fixed(system, S_PLACES) != 0:
                        lose(system, line, core)
            sharers >>= 1
            core += 1
        put(record, D_SHARERS + word, 0)
    return dirty


@internal
def _downgrade(system, owner, line):
    """Take the right to write from a core that keeps its copy; True if it was dirty."""
    other = get(fixed(system, S_CORE_CPU), owner)
    dirty = False
    for level in range(fixed(system, S_PRIVATE)):
        cache = fixed(other, C_LEVELS + level)
        row = row_of(cache, line)
        way = find(row, fixed(cache, K_WAYS), line)
        if way >= 0:
            entry = peek_u32(row + 4 * way)
            dirty = dirty or entry & DIRTY != 0
            poke_u32(row + 4 * way, entry & ~STATE_MASK)
    return dirty


@internal
def _holds(system, owner, line):
    """Whether a core's private levels still have a line that the directory says it owns."""
    other = get(fixed(system, S_CORE_CPU), owner)
    for level in range(fixed(system, S_PRIVATE)):
        cache = fixed(other, C_LEVELS + level)
        if find(row_of(cache, line), fixed(cache, K_WAYS), line) >= 0:
            return True
    return False


@internal
def _farthest_sharer(system, line, core):
    """Ticks to reach the farthest other core that may hold a copy; 0 if there is none."""
    record = _record(system, line)
    ticks = 0
    cores = fixed(system, S_CORES)
    row = fixed(system, S_INVALIDATE) + 8 * core * cores
    for word in range((cores + 61) // 62):
        sharers = get(record, D_SHARERS + word)
        other = 62 * word
        while sharers != 0:
            if sharers & 1 and other != core:
                ticks = max(ticks, get(row, other))
            sharers >>= 1
            other += 1
    return ticks


@inlined
def _note_sharer(record, core):
    word = core // 62
    put(record, D_SHARERS + word, get(record, D_SHARERS + word) | 1 << (core - 62 * word))


@internal
def upgrade(cpu, line, start):
    """Get the right to write a line this core holds shared; returns the ticks that takes."""
    system = fixed(cpu, C_SYSTEM)
    core = fixed(cpu, C_CORE)
    record = _record(system, line)
    if get(record, D_OWNER) == core + 1:
        return 0
    ticks = _farthest_sharer(system, line, core)
    wait = max(get(record, D_BUSY) - start, 0)
    if ticks > 0:
        add(system, S_UPGRADES, 1)
        _drop_copies(system, line, core)
        put(record, D_BUSY, start + wait + ticks)
    put(record, D_OWNER, core + 1)
    _note_sharer(record, core)
    return wait + ticks


@inlined
def tenure_of(cpu, line):
    """Raw address of the entry for a line in the table of the CPU's core."""
    return fixed(cpu, C_TENURE) + 8 * TENURE_FIELDS * (line & (TENURE_ENTRIES - 1))


@internal
def tenured(cpu, line, writes, start):
    """Ticks from start until a line is usable that this core must give up; -1 if it is gone.

    A store counts when it leaves the store buffer.
    """
    entry = tenure_of(cpu, line)
    if get(entry, T_LINE) != line:
        return -1
    begin = max(start, get(entry, T_READY))
    if writes:
        begin = max(begin, get(cpu, C_DRAIN) + fixed(cpu, C_STORE_INTERVAL))
    if begin > get(entry, T_UNTIL):
        return -1
    return max(get(entry, T_READY) - start, 0)


@internal
def _queue(cpu, line, owner, start):
    """Ticks from start until a line arrives that another core owns and others may wait for."""
    system = fixed(cpu, C_SYSTEM)
    core = fixed(cpu, C_CORE)
    record = _record(system, line)
    transfer = get(fixed(system, S_TRANSFER) + 8 * core * fixed(system, S_CORES), owner)
    own = tenure_of(cpu, line)
    request = max(start, get(own, T_UNTIL)) if get(own, T_LINE) == line else start
    busy = get(record, D_BUSY)
    arrival = max(busy, request) + transfer
    put(record, D_BUSY, arrival)
    loser = get(fixed(system, S_CORE_CPU), owner)
    lost = tenure_of(loser, line)
    if get(lost, T_LINE) != line:
        # when its last store to the line leaves is not known: with the last of all, at most
        put(lost, T_STORED, get(loser, C_DRAIN))
        put(lost, T_LINE, line)
    put(lost, T_READY, busy)
    put(lost, T_UNTIL, arrival - transfer + transfer // 4)
    add(system, S_TRANSFERS, 1)
    return arrival - start


@internal
def _from_other_core(cpu, line, writes, start):
    """What coherence costs a miss of the private levels: (ticks, from another core?, dirty?)."""
    system = fixed(cpu, C_SYSTEM)
    core = fixed(cpu, C_CORE)
    record = _record(system, line)
    owner = get(record, D_OWNER) - 1
    ticks = 0
    transferred = False
    if owner >= 0 and owner != core and not _holds(system, owner, line):
        # it left silently, or was written back: the shared level or memory has it
        put(record, D_OWNER, 0)
        owner = -1
    if owner >= 0 and owner != core:
        transferred = True
        ticks = _queue(cpu, line, owner, start)
        if writes:
            _drop_copies(system, line, core)
        else:
            _downgrade(system, owner, line)
            put(record, D_OWNER, 0)
    elif writes:
        ticks = _farthest_sharer(system, line, core)
        if ticks > 0:
            wait = max(get(record, D_BUSY) - start, 0)
            _drop_copies(system, line, core)
            ticks += wait
            put(record, D_BUSY, start + ticks)
    _note_sharer(record, core)
    return ticks, transferred


@internal
def _grant(cpu, line, writes):
    """State bits with which the line enters the private levels; notes the owner."""
    system = fixed(cpu, C_SYSTEM)
    if fixed(system, S_DIRECTORY) == 0:
        return OWNED
    core = fixed(cpu, C_CORE)
    record = _record(system, line)
    alone = True
    if not writes:
        for word in range((fixed(system, S_CORES) + 61) // 62):
            own = 1 << (core - 62 * word) if core // 62 == word else 0
            if get(record, D_SHARERS + word) & ~own != 0:
                alone = False
    if alone:
        put(record, D_OWNER, core + 1)
        return OWNED
    return 0


# --- fills and victims ---------------------------------------------------------------------------


@inlined
def _insert(cache, row, entry):
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
        dirty = _drop_copies(system, line, -1)
        put(_record(system, line), D_OWNER, 0)
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
        put(entered, line, get(cpu, C_RETIRE))


@internal
def _replaced(cpu, line):
    """Whether strangers have replaced a line of the last level since it entered."""
    system = fixed(cpu, C_SYSTEM)
    entered = get(fixed(system, S_ENTERED), line)
    age = max(get(cpu, C_RETIRE) - entered, 0)
    draw = random_bits(line, entered, 0) >> 63 - DRAW_BITS
    return not is_left(age, fixed(system, S_RETENTION), draw)


@internal
def _fill_last(cpu, level, entry):
    """Put a line into the last level; its victim goes to memory."""
    cache = fixed(cpu, C_LEVELS + level)
    _enter(cpu, entry & NAME_MASK)
    victim = _insert(cache, row_of(cache, entry & NAME_MASK), entry)
    if victim == 0:
        return
    dirty = victim & DIRTY != 0
    if fixed(cache, K_INCLUSION) == INCLUSIVE:
        dirty = _back_invalidate(cpu, victim & NAME_MASK) or dirty
    if dirty:
        add(fixed(cpu, C_SYSTEM), S_WRITEBACKS, 1)


@inlined
def _write_back(cpu, level, victim):
    """A line fell out of private level `level - 1`: what of it reaches `level` and below."""
    last = fixed(fixed(cpu, C_SYSTEM), S_LEVELS) - 1
    private = fixed(fixed(cpu, C_SYSTEM), S_PRIVATE)
    while True:
        name = victim & NAME_MASK
        cache = fixed(cpu, C_LEVELS + level)
        state = STATE_MASK if level < private else DIRTY
        is_victim_cache = level == last and fixed(cache, K_INCLUSION) == VICTIM
        if victim & DIRTY == 0 and not is_victim_cache:
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
        victim = _insert(cache, row, name | victim & state)
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
        victim = _insert(cache, row_of(cache, entry & NAME_MASK), own)
        if victim != 0:
            _write_back(cpu, level + 1, victim)
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
        record = _record(system, following)
        if get(record, D_OWNER) != 0:
            return
        _note_sharer(record, fixed(cpu, C_CORE))
        state = 0
    last = fixed(system, S_LEVELS) - 1
    shared = fixed(cpu, C_LEVELS + last)
    if fixed(shared, K_INCLUSION) != VICTIM:
        shared_row = row_of(shared, following)
        if find(shared_row, fixed(shared, K_WAYS), following) < 0:
            _fill_last(cpu, last, following)
    victim = _insert(cache, row, following | state)
    if victim != 0:
        _write_back(cpu, 2, victim)


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
def _served(cpu, line, level, dispatch, start):
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
            return _served(cpu, line, level, dispatch, start) << _CAUSE_BITS | (LEVEL_1 + level)
        add(cache, K_MISSES, 1)

    state = OWNED
    ticks = 0
    transferred = False
    coherent = fixed(system, S_DIRECTORY) != 0
    if unlikely(coherent):
        ticks, transferred = _from_other_core(cpu, line, writes, start)
        state = _grant(cpu, line, writes)

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
        served = _served(cpu, line, found, dispatch, start)
        if served >= ticks:
            ticks = served
            cause = LEVEL_1 + found if found <= last else MEMORY
    _fill(cpu, upto, line | state)
    if unlikely(fixed(system, S_PREFETCH) != 0):
        _prefetch_next(cpu, line)
    return ticks << _CAUSE_BITS | cause


@inlined
def bring_in(cpu, line, writes, dispatch, start):
    """`miss`, called through its address: it is compiled once, not into each caller."""
    return call_i64_5(fixed(cpu, E_MISS), cpu, line, 1 if writes else 0, dispatch, start)


@internal
def touch(cpu, address, writes):
    """An access of background code: it moves lines and pages, and takes no time here."""
    now = get(cpu, C_RETIRE)
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
