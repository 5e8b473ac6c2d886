"""Many CPUs: one or two private levels each, at most one level shared by all, coherent.

Non-inclusive fills, write-invalidate, write-back, write-allocate; what is counted is defined in
`cgsim.replay`. `replay_general` does the same and more, more slowly.

A write must find the other CPUs' copies. A directory holds, for each line, a bit for each CPU that
may hold a copy (copies leave silently, so the bits are a superset), and one bit that says that the
line was written and since then only accessed by the one CPU in the directory, so that its copies
may be dirty.
"""

import numpy as np

from cgsim.core.jit import njit
from cgsim.core.lru_row import clean, stain
from cgsim.core.lru_scalar import DIRTY, EMPTY, LINE
from cgsim.core.lru_vector import lowest_bit, remove_vector, touch_dirty_vector
from cgsim.core.raw import peek_i64, peek_u32, poke_i64

SETS, MASK, LAST, LANES, PRESENT, ROWS = range(6)
(
    MISSES_1,
    MISSES_2,
    MISSES_SHARED,
    INVALIDATED_1,
    INVALIDATED_2,
    DIRTY_VICTIMS_1,
    DIRTY_VICTIMS_2,
    DIRTY_VICTIMS_SHARED,
    WRITEBACKS,
    DOWNGRADES,
    UPGRADES,
    COUNTERS,
) = range(12)

SPARE_PAIRS, SPARE_BYTES = 16, 128
"""Pairs of rows at the end of `tags` for the touches that a hit makes pointless: one for level 2,
one for the shared level, in turn, so that these touches do not wait for each other."""

LINE_MASK = (1 << 32) - 1
MODIFIED = -(1 << 63)


@njit(error_model="numpy")
def replay_coherent(
    records, start, stop, cpus, words, lowest, geometry, tags, directory, out, usual
):
    """Replay one shard, records[start:stop], from empty caches, and flush them at the end.

    records   : int64[n]      see `replay_partition.scatter`; lines are at most 2**31 - 2
    words     : int64         uint64 words for one line of the directory: cpus // 64 + 1
    lowest    : int64         the line of the directory's first entry
    geometry  : int64[3, 6]   level 1, level 2, shared level: SETS, MASK (SETS - 1, or -1 if
                              SETS is no power of two), LAST (ways - 1), LANES (8, 16 or 32),
                              PRESENT, ROWS (address of the first row; rows are [set, CPU] in
                              private levels, [set] in the shared one)
    tags      : uint32        all rows, level 1 first, then the spare rows; overwritten
    directory : int64         words for each line; overwritten
    out       : int64[COUNTERS]  overwritten
    usual     : int64 or None  not None: the lanes are 8, 8 and 16, all sets powers of two, all
                              levels present, words is 1; these are constants then, and half of
                              the instructions go away
    """
    tags[:] = EMPTY
    directory[:] = 0
    sets_1, mask_1, last_1 = geometry[0, SETS], geometry[0, MASK], geometry[0, LAST]
    sets_2, mask_2, last_2 = geometry[1, SETS], geometry[1, MASK], geometry[1, LAST]
    sets_3, mask_3, last_3 = geometry[2, SETS], geometry[2, MASK], geometry[2, LAST]
    if usual is None:
        lanes_1, lanes_2, lanes_3 = geometry[0, LANES], geometry[1, LANES], geometry[2, LANES]
        has_2, has_3, fixed = geometry[1, PRESENT], geometry[2, PRESENT], 0
    else:
        lanes_1, lanes_2, lanes_3, has_2, has_3, words, fixed = 8, 8, 16, 1, 1, 1, 1
    stride_1, stride_2, stride_3 = 4 * lanes_1, 4 * lanes_2, 4 * lanes_3
    rows_1, rows_2, rows_3 = geometry[0, ROWS], geometry[1, ROWS], geometry[2, ROWS]
    misses_1 = misses_2 = misses_3 = 0
    invalidated_1 = invalidated_2 = 0
    victims_1 = victims_2 = victims_3 = 0
    writebacks = downgrades = upgrades = 0
    entries = directory.ctypes.data
    spares = geometry[0, ROWS] + 4 * (tags.size) - SPARE_PAIRS * 2 * SPARE_BYTES

    for i in range(start, stop):
        record = records[i]
        line = record & LINE_MASK
        write = record >> 32 & 1
        cpu = record >> 33
        entry = entries + (line - lowest) * 8 * words
        home = entry if fixed != 0 else entry + 8 * (cpu >> 6)
        flags = entry + 8 * (words - 1)
        bit = 1 << (cpu & 63)
        spare_2 = spares + (i & SPARE_PAIRS - 1) * 2 * SPARE_BYTES
        spare_3 = spare_2 + SPARE_BYTES
        set_1 = line & mask_1 if fixed != 0 or mask_1 >= 0 else line % sets_1
        set_2 = line & mask_2 if fixed != 0 or mask_2 >= 0 else line % sets_2
        set_3 = line & mask_3 if fixed != 0 or mask_3 >= 0 else line % sets_3
        row_3 = rows_3 + set_3 * stride_3

        # Coherence comes first: its branches depend on the record and the directory alone, so
        # the host resolves a misprediction before the lookups below are through.
        removed = 0
        known = peek_i64(home)
        if write != 0:
            poke_i64(flags, peek_i64(flags) & ~MODIFIED)
            poke_i64(home, peek_i64(home) & ~bit)
            for word in range(words):
                others = np.uint64(peek_i64(entry + 8 * word))
                poke_i64(entry + 8 * word, 0)
                while others != 0:
                    other = lowest_bit(others) + 64 * word
                    others &= others - np.uint64(1)
                    row = rows_1 + (set_1 * cpus + other) * stride_1
                    was_1 = remove_vector(lanes_1, row, line, last_1) & 1
                    invalidated_1 += was_1
                    removed |= was_1
                    if has_2 != 0:
                        row = rows_2 + (set_2 * cpus + other) * stride_2
                        was_2 = remove_vector(lanes_2, row, line, last_2) & 1
                        invalidated_2 += was_2
                        removed |= was_2
            poke_i64(home, bit)
            poke_i64(flags, peek_i64(flags) | MODIFIED)
        elif peek_i64(flags) < 0 and known & bit == 0:
            poke_i64(flags, peek_i64(flags) & ~MODIFIED)
            word = 0
            while peek_i64(entry + 8 * word) == 0:
                word += 1
            owner = lowest_bit(np.uint64(peek_i64(entry + 8 * word))) + 64 * word
            poke_i64(home, peek_i64(home) | bit)
            stained = clean(lanes_1, rows_1 + (set_1 * cpus + owner) * stride_1, line, last_1)
            if has_2 != 0:
                row = rows_2 + (set_2 * cpus + owner) * stride_2
                stained |= clean(lanes_2, row, line, last_2)
            if stained != 0:
                downgrades += 1
                kept = 0
                if has_3 != 0:
                    kept = stain(lanes_3, row_3, line, last_3)
                writebacks += 1 - kept
        else:
            poke_i64(home, known | bit)

        row_1 = rows_1 + (set_1 * cpus + cpu) * stride_1
        victim_1 = peek_u32(row_1 + 4 * last_1)
        missed_1 = 1 - touch_dirty_vector(lanes_1, row_1, line, last_1, write)

        row_2 = rows_2 + (set_2 * cpus + cpu) * stride_2
        row_2 = spare_2 ^ (spare_2 ^ row_2) & -(missed_1 & has_2)
        victim_2 = peek_u32(row_2 + 4 * last_2)
        hit_2 = touch_dirty_vector(lanes_2, row_2, line, last_2, 0) & has_2
        missed_2 = missed_1 & ~hit_2

        row_3 = spare_3 ^ (spare_3 ^ row_3) & -(missed_2 & has_3)
        victim_3 = peek_u32(row_3 + 4 * last_3)
        hit_3 = touch_dirty_vector(lanes_3, row_3, line, last_3, 0) & has_3
        missed_3 = missed_2 & ~hit_3

        lost_1 = missed_1 & victim_1 >> 31
        lost_2 = missed_2 & has_2 & victim_2 >> 31
        misses_1 += missed_1
        misses_2 += missed_2
        misses_3 += missed_3
        victims_1 += lost_1
        victims_2 += lost_2
        victims_3 += missed_3 & has_3 & victim_3 >> 31
        upgrades += removed & ~missed_2
        if lost_1 | lost_2 == 0:
            continue
        if lost_2 != 0:
            victim = victim_2 & LINE
            kept = 0
            if has_3 != 0:
                set_3 = victim & mask_3 if fixed != 0 or mask_3 >= 0 else victim % sets_3
                kept = stain(lanes_3, rows_3 + set_3 * stride_3, victim, last_3)
            writebacks += 1 - kept
        if lost_1 != 0:
            victim = victim_1 & LINE
            kept = 0
            if has_2 != 0:
                set_2 = victim & mask_2 if fixed != 0 or mask_2 >= 0 else victim % sets_2
                row = rows_2 + (set_2 * cpus + cpu) * stride_2
                kept = stain(lanes_2, row, victim, last_2)
            if kept == 0 and has_3 != 0:
                set_3 = victim & mask_3 if fixed != 0 or mask_3 >= 0 else victim % sets_3
                kept = stain(lanes_3, rows_3 + set_3 * stride_3, victim, last_3)
            writebacks += 1 - kept

    for number in range(sets_1 * cpus):
        row = rows_1 + number * stride_1
        cpu = number % cpus
        for way in range(last_1 + 1):
            held = peek_u32(row + 4 * way)
            if held < DIRTY:
                continue
            victims_1 += 1
            victim = held & LINE
            kept = 0
            if has_2 != 0:
                set_2 = victim & mask_2 if fixed != 0 or mask_2 >= 0 else victim % sets_2
                kept = stain(lanes_2, rows_2 + (set_2 * cpus + cpu) * stride_2, victim, last_2)
            if kept == 0 and has_3 != 0:
                set_3 = victim & mask_3 if fixed != 0 or mask_3 >= 0 else victim % sets_3
                kept = stain(lanes_3, rows_3 + set_3 * stride_3, victim, last_3)
            writebacks += 1 - kept
    if has_2 != 0:
        for number in range(sets_2 * cpus):
            row = rows_2 + number * stride_2
            for way in range(last_2 + 1):
                held = peek_u32(row + 4 * way)
                if held < DIRTY:
                    continue
                victims_2 += 1
                victim = held & LINE
                kept = 0
                if has_3 != 0:
                    set_3 = victim & mask_3 if fixed != 0 or mask_3 >= 0 else victim % sets_3
                    kept = stain(lanes_3, rows_3 + set_3 * stride_3, victim, last_3)
                writebacks += 1 - kept
    if has_3 != 0:
        for number in range(sets_3):
            row = rows_3 + number * stride_3
            for way in range(last_3 + 1):
                victims_3 += peek_u32(row + 4 * way) >> 31
    writebacks += victims_3

    out[MISSES_1], out[MISSES_2], out[MISSES_SHARED] = misses_1, misses_2, misses_3
    out[INVALIDATED_1], out[INVALIDATED_2] = invalidated_1, invalidated_2
    out[DIRTY_VICTIMS_1], out[DIRTY_VICTIMS_2] = victims_1, victims_2
    out[DIRTY_VICTIMS_SHARED] = victims_3
    out[WRITEBACKS], out[DOWNGRADES], out[UPGRADES] = writebacks, downgrades, upgrades
