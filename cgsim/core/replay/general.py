"""Any hierarchy: any number of levels, sharing, inclusion policy, and write-backs as traffic.

The slower twin of `replay_coherent` and `replay_reads`; what is counted is defined in
`cgsim.replay`. CPU c uses instance c // SHARED of a level, and SHARED grows from level to level in
multiples, so that the levels of two CPUs, once they meet, stay together.
"""

import numpy as np

from cgsim.compile.intrinsics import peek_i64, peek_u32, poke_i64, poke_u32
from cgsim.compile.jit import njit
from cgsim.core.replay.index import hashed_set
from cgsim.core.replay.lru_row import clean, remove, stain, touch_dirty
from cgsim.core.replay.lru_scalar import DIRTY, EMPTY, LINE
from cgsim.core.replay.lru_vector import lowest_bit

SETS, MASK, LAST, LANES, STRIDE, SHARED, INSTANCES, ROWS, TABLE, FOLD, BITS, FIRST, COLUMNS = range(
    13
)
"""Columns of the geometry."""

(
    HITS,
    MISSES,
    INVALIDATED,
    BACK_INVALIDATED,
    DIRTY_VICTIMS,
    WRITEBACK_HITS,
    WRITEBACK_MISSES,
    COUNTERS,
) = range(8)
"""Columns of the counts of a level."""

WRITEBACKS, DOWNGRADES, UPGRADES, COHERENCE_MISSES, FALSE_SHARING, TOTALS = range(6)

STAMPS, LOST, FALSE, FALSE_OF_LINE, STORES, SHARING_FIELDS = range(6)
"""What false sharing is found with, in constant time per access. STAMPS: address of
uint32[lines, WORDS], the number of the last store to each word; LOST: of uint32[lines, cpus], the
number of the store that took the line from the CPU, which has not asked for it since; FALSE: of
uint32[lines, cpus], the falsely shared misses; FALSE_OF_LINE: of uint32[lines], their sums; all 0
at the start, and overwritten. STORES: the number of stores so far."""

HASHED = -1

WORDS = 8

NINE, INCLUSIVE, VICTIM = range(3)

LINE_MASK = (1 << 32) - 1
CPU_MASK = (1 << 16) - 1
WORDS_BIT = 49
ONE = np.uint64(1)
MODIFIED = np.uint64(1) << np.uint64(63)


@njit
def replay_general(
    records,
    start,
    stop,
    cpus,
    words,
    lowest,
    policy,
    traffic,
    levels,
    geometry,
    directory,
    victims,
    counts,
    totals,
    sharing,
    unusual,
):
    """Replay one shard, records[start:stop], from empty caches, and flush them at the end.

    records   : int64[n]      see `replay_partition.scatter`; lines are at most 2**31 - 2
    words     : int64         uint64 words for one line of the directory: cpus // 64 + 1
    lowest    : int64         the line of the directory's first entry
    policy    : int64         NINE, INCLUSIVE or VICTIM last level
    traffic   : int64         1: a write-back is a write access to the next level; 0: it only moves
                              the dirty mark
    levels    : int64
    geometry  : int64         address of int64[levels, COLUMNS]: SETS, MASK (SETS - 1, or -1), LAST
                              (ways - 1), LANES, STRIDE (bytes of a row), SHARED (CPUs an instance
                              serves), INSTANCES, ROWS (address of the first row; rows are
                              [set, instance], EMPTY at the start, overwritten), TABLE (address of
                              the uint32 set of each line, where it is no remainder; 0: it is one;
                              HASHED: it is a hash), FOLD and BITS (see `index.hashed_set`), FIRST
                              (line l of the shard is line FIRST + (l << BITS) of the trace)
    directory : uint64        words for each line, 0 at the start, overwritten; of size 0: every
                              CPU is asked
    victims   : int64         address of int64[levels], scratch
    counts    : int64         address of int64[levels, COUNTERS], added to
    totals    : int64         address of int64[TOTALS], added to
    sharing   : int64         address of int64[SHARING_FIELDS], see there; 0: not asked for
    unusual   : int64 or None  not None: the set of a line is no remainder at some level
    """
    bottom = levels - 1
    looked_up = bottom if policy == VICTIM else levels

    for i in range(start, stop):
        record = records[i]
        line = record & LINE_MASK
        write = record >> 32 & 1
        cpu = record >> 33 & CPU_MASK
        words_touched = record >> WORDS_BIT

        if sharing != 0:
            _come_back(line - lowest, cpu, cpus, words_touched, sharing, totals)
        depth = 0
        for level in range(looked_up):
            row = _row(unusual, geometry, level, cpu, line)
            last = _get(geometry, level, LAST)
            poke_i64(victims + 8 * level, peek_u32(row + 4 * last))
            word = line | write << 31 if level == 0 else line
            if touch_dirty(_get(geometry, level, LANES), row, word, last) != 0:
                _add(counts, level, HITS, 1)
                break
            _add(counts, level, MISSES, 1)
            depth += 1

        if cpus > 1:
            if write != 0:
                removed = _invalidate(
                    unusual,
                    line,
                    cpu,
                    cpus,
                    words,
                    lowest,
                    levels,
                    geometry,
                    directory,
                    counts,
                    sharing,
                )
                if depth < looked_up and _get(geometry, depth, SHARED) == 1:
                    _add(totals, 0, UPGRADES, removed)
            elif depth > 0:
                _share(
                    unusual,
                    line,
                    cpu,
                    cpus,
                    words,
                    lowest,
                    depth,
                    levels,
                    geometry,
                    directory,
                    totals,
                )

        if sharing != 0 and write != 0:
            _stamp(line - lowest, words_touched, sharing)

        if policy == VICTIM and depth == bottom:
            row = _row(unusual, geometry, bottom, cpu, line)
            was = remove(_get(geometry, bottom, LANES), row, line, _get(geometry, bottom, LAST))
            if was != 0:
                _add(counts, bottom, HITS, 1)
                if was == 3:
                    above = _row(unusual, geometry, bottom - 1, cpu, line)
                    poke_u32(above, line | DIRTY)
            else:
                _add(counts, bottom, MISSES, 1)

        for level in range(depth - 1, -1, -1):
            victim = peek_i64(victims + 8 * level)
            held = victim & LINE
            if held == EMPTY:
                continue
            dirty = 1 if victim >= DIRTY else 0
            _add(counts, level, DIRTY_VICTIMS, dirty)
            if level == bottom:
                if policy == INCLUSIVE:
                    dirty |= _back_invalidate(unusual, held, cpu, cpus, levels, geometry, counts)
                _add(totals, 0, WRITEBACKS, dirty)
            elif policy == VICTIM and level == bottom - 1:
                row = _row(unusual, geometry, bottom, cpu, held)
                last = _get(geometry, bottom, LAST)
                pushed = peek_u32(row + 4 * last)
                word = held | dirty << 31
                hit = touch_dirty(_get(geometry, bottom, LANES), row, word, last)
                if hit == 0 and pushed >= DIRTY:
                    _add(counts, bottom, DIRTY_VICTIMS, 1)
                    _add(totals, 0, WRITEBACKS, 1)
            elif dirty != 0:
                written = _hand_down(
                    unusual, traffic, held, cpu, level + 1, levels, geometry, counts
                )
                _add(totals, 0, WRITEBACKS, written)

    for level in range(levels):
        for number in range(_get(geometry, level, SETS) * _get(geometry, level, INSTANCES)):
            row = _get(geometry, level, ROWS) + number * _get(geometry, level, STRIDE)
            cpu = number % _get(geometry, level, INSTANCES) * _get(geometry, level, SHARED)
            for way in range(_get(geometry, level, LAST) + 1):
                entry = peek_u32(row + 4 * way)
                if entry >= DIRTY:
                    _add(counts, level, DIRTY_VICTIMS, 1)
                    held = entry & LINE
                    written = _hand_down(
                        unusual, traffic, held, cpu, level + 1, levels, geometry, counts
                    )
                    _add(totals, 0, WRITEBACKS, written)


@njit
def _get(geometry, level, column):
    """A number of a level's geometry."""
    return peek_i64(geometry + 8 * (COLUMNS * level + column))


@njit
def _add(counts, level, counter, number):
    """Add to a counter."""
    place = counts + 8 * (COUNTERS * level + counter)
    poke_i64(place, peek_i64(place) + number)


@njit
def _unusual_set(geometry, level, line):
    """The set of a line of the shard where it is no remainder of the line."""
    table = _get(geometry, level, TABLE)
    if table != HASHED:
        return peek_u32(table + 4 * line)
    bits = _get(geometry, level, BITS)
    return hashed_set(
        _get(geometry, level, FIRST) + (line << bits),
        _get(geometry, level, FOLD),
        bits,
        _get(geometry, level, MASK),
        _get(geometry, level, SETS),
    )


@njit
def _row(unusual, geometry, level, cpu, line):
    """The address of the row of `line` in the instance of `level` that serves `cpu`."""
    if unusual is not None and _get(geometry, level, TABLE) != 0:
        number = _unusual_set(geometry, level, line)
    elif _get(geometry, level, MASK) >= 0:
        number = line & _get(geometry, level, MASK)
    else:
        number = line % _get(geometry, level, SETS)
    instance = cpu // _get(geometry, level, SHARED)
    place = number * _get(geometry, level, INSTANCES) + instance
    return _get(geometry, level, ROWS) + place * _get(geometry, level, STRIDE)


@njit
def _hand_down(unusual, traffic, line, cpu, level, levels, geometry, counts):
    """Hand a dirty line to `level`, by the convention chosen; 1 if memory is written."""
    if traffic != 0:
        return _write_back(unusual, line, cpu, level, levels, geometry, counts)
    return _lower(unusual, line, cpu, level, levels, geometry)


@njit
def _write_back(unusual, line, cpu, level, levels, geometry, counts):
    """Write a whole dirty line to `level` and what it pushes out further down; 1 if memory is hit.

    A line that is not there is allocated without being fetched.
    """
    for below in range(level, levels):
        row = _row(unusual, geometry, below, cpu, line)
        last = _get(geometry, below, LAST)
        pushed = peek_u32(row + 4 * last)
        if touch_dirty(_get(geometry, below, LANES), row, line | DIRTY, last) != 0:
            _add(counts, below, WRITEBACK_HITS, 1)
            return 0
        _add(counts, below, WRITEBACK_MISSES, 1)
        if pushed < DIRTY:
            return 0
        _add(counts, below, DIRTY_VICTIMS, 1)
        line = pushed & LINE
    return 1


@njit
def _lower(unusual, line, cpu, level, levels, geometry):
    """Mark the nearest copy from `level` down dirty; 1 if there is none and memory is written."""
    for below in range(level, levels):
        row = _row(unusual, geometry, below, cpu, line)
        if stain(_get(geometry, below, LANES), row, line, _get(geometry, below, LAST)) != 0:
            return 0
    return 1


@njit
def _back_invalidate(unusual, line, cpu, cpus, levels, geometry, counts):
    """Remove a line that the last level lost from all levels above; 1 if a copy was dirty."""
    bottom = levels - 1
    group = _get(geometry, bottom, SHARED)
    first = cpu // group * group
    dirty = 0
    for level in range(bottom):
        step = _get(geometry, level, SHARED)
        for other in range(first, min(first + group, cpus), step):
            row = _row(unusual, geometry, level, other, line)
            was = remove(_get(geometry, level, LANES), row, line, _get(geometry, level, LAST))
            _add(counts, level, BACK_INVALIDATED, was & 1)
            dirty |= was >> 1
    return dirty


@njit
def _holders(directory, entry, words, word, cpus):
    """The CPUs 64 * word ... of a line's directory entry that may hold it, as a bit mask."""
    if directory.size != 0:
        holders = directory[entry + word]
        return holders & ~MODIFIED if word == words - 1 else holders
    rest = min(64, cpus - 64 * word)
    if rest <= 0:
        return np.uint64(0)
    return np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - rest)


@njit
def _invalidate(
    unusual, line, cpu, cpus, words, lowest, levels, geometry, directory, counts, sharing
):
    """Remove the copies that do not serve the writer, the new owner; 1 if there were any."""
    entry = (line - lowest) * words
    removed = 0
    for word in range(words):
        holders = _holders(directory, entry, words, word, cpus)
        while holders != 0:
            other = lowest_bit(holders) + 64 * word
            holders &= holders - ONE
            for level in range(levels):
                shared = _get(geometry, level, SHARED)
                if other // shared == cpu // shared:
                    break
                row = _row(unusual, geometry, level, other, line)
                was = (
                    remove(_get(geometry, level, LANES), row, line, _get(geometry, level, LAST)) & 1
                )
                _add(counts, level, INVALIDATED, was)
                removed |= was
                if sharing != 0 and was != 0:
                    first = other // shared * shared
                    for served in range(first, min(first + shared, cpus)):
                        _lose(line - lowest, served, cpus, sharing)
        if directory.size != 0:
            directory[entry + word] = np.uint64(0)
    if directory.size != 0:
        directory[entry + (cpu >> 6)] = ONE << np.uint64(cpu & 63)
        directory[entry + words - 1] |= MODIFIED
    return removed


@njit
def _share(unusual, line, cpu, cpus, words, lowest, depth, levels, geometry, directory, totals):
    """Clean the copies that do not serve the reader, and enter it in the directory.

    Their data go to the first level that serves both and holds the line (the levels above `depth`
    have only just been filled), else to memory.
    """
    entry = (line - lowest) * words
    if directory.size == 0 or directory[entry + words - 1] & MODIFIED != 0:
        meeting = levels + 1
        for word in range(words):
            holders = _holders(directory, entry, words, word, cpus)
            while holders != 0:
                other = lowest_bit(holders) + 64 * word
                holders &= holders - ONE
                for level in range(levels):
                    shared = _get(geometry, level, SHARED)
                    if other // shared == cpu // shared:
                        break
                    row = _row(unusual, geometry, level, other, line)
                    if (
                        clean(_get(geometry, level, LANES), row, line, _get(geometry, level, LAST))
                        != 0
                    ):
                        common = level + 1
                        while common < levels and (
                            other // _get(geometry, common, SHARED)
                            != cpu // _get(geometry, common, SHARED)
                        ):
                            common += 1
                        meeting = min(meeting, common)
        if meeting <= levels:
            _add(totals, 0, DOWNGRADES, 1)
            kept = 0
            for level in range(max(meeting, depth), levels):
                row = _row(unusual, geometry, level, cpu, line)
                kept = stain(_get(geometry, level, LANES), row, line, _get(geometry, level, LAST))
                if kept != 0:
                    break
            _add(totals, 0, WRITEBACKS, 1 - kept)
    if directory.size != 0:
        directory[entry + (cpu >> 6)] |= ONE << np.uint64(cpu & 63)


@njit
def _lose(line, cpu, cpus, sharing):
    """A CPU loses a line, a number of the table, to the store that is about to be stamped."""
    lost = peek_i64(sharing + 8 * LOST) + 4 * (line * cpus + cpu)
    if peek_u32(lost) == 0:
        poke_u32(lost, peek_i64(sharing + 8 * STORES) + 1)


@njit
def _stamp(line, words, sharing):
    """A store writes the words of a bit mask."""
    number = peek_i64(sharing + 8 * STORES) + 1
    poke_i64(sharing + 8 * STORES, number)
    stamps = peek_i64(sharing + 8 * STAMPS) + 4 * WORDS * line
    for word in range(WORDS):
        if words >> word & 1 != 0:
            poke_u32(stamps + 4 * word, number)


@njit
def _come_back(line, cpu, cpus, words, sharing, totals):
    """Count an access to a line that the CPU has lost: false sharing if its words are as before."""
    place = 4 * (line * cpus + cpu)
    lost = peek_u32(peek_i64(sharing + 8 * LOST) + place)
    if lost == 0:
        return
    poke_u32(peek_i64(sharing + 8 * LOST) + place, 0)
    stamps = peek_i64(sharing + 8 * STAMPS) + 4 * WORDS * line
    written = 0
    for word in range(WORDS):
        if words >> word & 1 != 0 and peek_u32(stamps + 4 * word) >= lost:
            written = 1
    for count in (
        peek_i64(sharing + 8 * FALSE) + place,
        peek_i64(sharing + 8 * FALSE_OF_LINE) + 4 * line,
    ):
        poke_u32(count, peek_u32(count) + 1 - written)
    _add(totals, 0, COHERENCE_MISSES, 1)
    _add(totals, 0, FALSE_SHARING, 1 - written)
