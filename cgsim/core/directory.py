"""The directory that keeps the cores' private caches coherent.

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
from cgsim.compile.intrinsics import peek_u32, poke_u32
from cgsim.compile.jit import inlined, internal
from cgsim.core.attribution import lose
from cgsim.core.block_fields import (
    C_CORE,
    C_DRAIN,
    C_LEVELS,
    C_STORE_INTERVAL,
    C_SYSTEM,
    C_TENURE,
    D_BUSY,
    D_OWNER,
    D_SHARERS,
    K_WAYS,
    S_CORE_CPU,
    S_CORES,
    S_DIRECTORY,
    S_INVALIDATE,
    S_INVALIDATIONS,
    S_PLACES,
    S_PRIVATE,
    S_RECORD_WORDS,
    S_TRANSFER,
    S_TRANSFERS,
    S_UPGRADES,
    T_LINE,
    T_READY,
    T_STORED,
    T_UNTIL,
    TENURE_ENTRIES,
    TENURE_FIELDS,
)
from cgsim.core.cache_sets import row_of
from cgsim.core.recency import (
    DIRTY,
    OWNED,
    STATE_MASK,
    find,
    remove,
)


@inlined
def record_of(system, line):
    return fixed(system, S_DIRECTORY) + 8 * fixed(system, S_RECORD_WORDS) * line


@internal
def drop_copies(system, line, keeper):
    """Remove a line from the private levels of every core but `keeper`; True if one was dirty."""
    record = record_of(system, line)
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
    record = record_of(system, line)
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
def note_sharer(record, core):
    word = core // 62
    put(record, D_SHARERS + word, get(record, D_SHARERS + word) | 1 << (core - 62 * word))


@internal
def upgrade(cpu, line, start):
    """Get the right to write a line this core holds shared; returns the ticks that takes."""
    system = fixed(cpu, C_SYSTEM)
    core = fixed(cpu, C_CORE)
    record = record_of(system, line)
    if get(record, D_OWNER) == core + 1:
        return 0
    ticks = _farthest_sharer(system, line, core)
    wait = max(get(record, D_BUSY) - start, 0)
    if ticks > 0:
        add(system, S_UPGRADES, 1)
        drop_copies(system, line, core)
        put(record, D_BUSY, start + wait + ticks)
    put(record, D_OWNER, core + 1)
    note_sharer(record, core)
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
    record = record_of(system, line)
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
def from_other_core(cpu, line, writes, start):
    """What coherence costs a miss of the private levels: (ticks, from another core?, dirty?)."""
    system = fixed(cpu, C_SYSTEM)
    core = fixed(cpu, C_CORE)
    record = record_of(system, line)
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
            drop_copies(system, line, core)
        else:
            _downgrade(system, owner, line)
            put(record, D_OWNER, 0)
    elif writes:
        ticks = _farthest_sharer(system, line, core)
        if ticks > 0:
            wait = max(get(record, D_BUSY) - start, 0)
            drop_copies(system, line, core)
            ticks += wait
            put(record, D_BUSY, start + ticks)
    note_sharer(record, core)
    return ticks, transferred


@internal
def grant(cpu, line, writes):
    """State bits with which the line enters the private levels; notes the owner."""
    system = fixed(cpu, C_SYSTEM)
    if fixed(system, S_DIRECTORY) == 0:
        return OWNED
    core = fixed(cpu, C_CORE)
    record = record_of(system, line)
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
