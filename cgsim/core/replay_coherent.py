"""Many CPUs: one or two private levels each, at most one level shared by all, coherent.

Non-inclusive fills, write-invalidate, write-back, write-allocate; what is counted is defined in
`cgsim.replay`. `replay_general` does the same and more, more slowly.

A write must find the other CPUs' copies. A directory holds, for each line, a bit for each CPU that
may hold a copy (copies leave silently, so the bits are a superset), and a top bit that says that
the line was written and since then only accessed by the one CPU in the directory, so that its
copies may be dirty.

A line's sets and its state depend on nothing but the accesses to lines of the same sets. So the
lines are split into shards by bits that the sets of all levels have in common: one shard's rows
stay in the host's own caches, and several threads can take a shard each.
"""

import numpy as np

from cgsim.core.jit import njit
from cgsim.core.lru_row import clean, remove, stain, touch_dirty
from cgsim.core.lru_scalar import DIRTY, LINE
from cgsim.core.lru_vector import lowest_bit, prefetch
from cgsim.core.raw import peek_i64, peek_u16, peek_u32, poke_i64, poke_u16

SETS, KEYS, LAST, LANES, STRIDE, PRESENT, ROWS, SHARD_BYTES, COLUMNS = range(9)
"""Columns of the geometry: SETS of a shard; KEYS, the mask of a row's number in the bits of an
access (of its line in the shared level), -1 if SETS is no power of two; LAST, ways - 1; LANES, see
`lru_row`, and STRIDE, the bytes of a row; ROWS, the address of the first row of shard 0, and
SHARD_BYTES from there to that of the next. Rows are [set, CPU] in private levels, for 2**cpu_bits
CPUs, and [set] in the shared one."""

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

AHEAD = 16  # accesses; their entries of the directory are asked for
NARROW_CPUS = 15
NARROW_HOLDERS, NARROW_MODIFIED = 0x7FFF, 0x8000
MODIFIED = -(1 << 63)

FIELD_BITS = 32
FIELD = (1 << FIELD_BITS) - 1
"""Two counters are summed in one integer."""


@njit(error_model="numpy")
def replay_coherent(
    shard,
    shards,
    pieces,
    starts,
    ends,
    cpu_bits,
    words,
    lowest,
    directory,
    directory_bytes,
    geometry,
    out,
    usual,
):
    """Run the accesses of one shard that some part of a trace holds through the caches.

    pieces     : int64         the part of the trace was scattered in as many pieces
    starts     : int64         address of int64[pieces, shards]: where the accesses begin, see
                               `replay_partition.scatter_near`
    ends       : int64         address of int64[pieces, shards]: where they end
    cpu_bits   : int64         the least with 2**cpu_bits >= the number of CPUs
    words      : int64         uint64 words for one line of the directory: CPUs // 64 + 1; 0: one
                               uint16, for up to NARROW_CPUS
    lowest     : int64         the line of the directory's first entry
    directory  : int64         address of the entries of shard 0, 0 at the start, overwritten
    directory_bytes : int64    from the entries of a shard to those of the next
    geometry   : int64[3, COLUMNS]   level 1, level 2, shared level; the rows are EMPTY at the start
    out        : int64[COUNTERS]  added to
    usual      : int64 or None  not None: the lanes are 8, 8 and 16, all sets powers of two, all
                              levels present; these are constants then, and half of the
                              instructions go away
    """
    for piece in range(pieces):
        place = 8 * (piece * shards + shard)
        start, stop = peek_i64(starts + place), peek_i64(ends + place)
        entries = directory + shard * directory_bytes
        if words == 0:
            _run(shard, start, stop, cpu_bits, None, entries, lowest, geometry, out, usual)
        else:
            _run(shard, start, stop, cpu_bits, words, entries, lowest, geometry, out, usual)


@njit(error_model="numpy")
def _run(shard, start, stop, cpu_bits, words, entries, lowest, geometry, out, usual):
    """Run the accesses at addresses start..stop; see `replay_coherent`.

    words : None stands for 0, and is known to the compiler
    """
    sets_1, keys_1, last_1 = geometry[0, SETS], geometry[0, KEYS], geometry[0, LAST]
    sets_2, keys_2, last_2 = geometry[1, SETS], geometry[1, KEYS], geometry[1, LAST]
    sets_3, keys_3, last_3 = geometry[2, SETS], geometry[2, KEYS], geometry[2, LAST]
    if usual is None:
        lanes_1, lanes_2, lanes_3 = geometry[0, LANES], geometry[1, LANES], geometry[2, LANES]
        stride_1, stride_2, stride_3 = geometry[0, STRIDE], geometry[1, STRIDE], geometry[2, STRIDE]
        has_2, has_3 = geometry[1, PRESENT], geometry[2, PRESENT]
    else:
        lanes_1, lanes_2, lanes_3 = 8, 8, 16
        stride_1, stride_2, stride_3 = 32, 32, 64
        has_2 = has_3 = 1
    rows_1 = geometry[0, ROWS] + shard * geometry[0, SHARD_BYTES]
    rows_2 = geometry[1, ROWS] + shard * geometry[1, SHARD_BYTES]
    rows_3 = geometry[2, ROWS] + shard * geometry[2, SHARD_BYTES]
    cpu_mask = (1 << cpu_bits) - 1
    entry_bytes = 2 if words is None else 8 * words
    misses_1 = misses_2 = misses_3 = 0
    victims_1 = victims_2 = victims_3 = 0
    writebacks = downgrades = upgrades = invalidated = 0

    for place in range(start, stop, 4):
        # Behind the last access lies anything, which is harmless.
        later = (peek_u32(place + 4 * AHEAD) & LINE) >> cpu_bits
        prefetch(entries + entry_bytes * (later - lowest))
        access = peek_u32(place)
        cpu = access & cpu_mask
        line = (access & LINE) >> cpu_bits
        if usual is not None or keys_1 >= 0:
            row_1 = rows_1 + (access & keys_1) * stride_1
        else:
            row_1 = rows_1 + (line % sets_1 << cpu_bits | cpu) * stride_1
        if usual is not None or keys_2 >= 0:
            row_2 = rows_2 + (access & keys_2) * stride_2
        else:
            row_2 = rows_2 + (line % sets_2 << cpu_bits | cpu) * stride_2
        set_3 = line & keys_3 if usual is not None or keys_3 >= 0 else line % sets_3
        row_3 = rows_3 + set_3 * stride_3

        # Coherence comes first: its branches depend on the access and the directory alone, so
        # the host resolves a misprediction before the lookups below are through.
        removed = 0
        owner = -1
        if words is None:
            entry = entries + 2 * (line - lowest)
            known = peek_u16(entry)
            bit = 1 << cpu
            if access >= DIRTY:
                others = np.uint64(known & NARROW_HOLDERS & ~bit)
                poke_u16(entry, NARROW_MODIFIED | bit)
                removed = _remove_copies(
                    others,
                    row_1 - cpu * stride_1,
                    row_2 - cpu * stride_2,
                    lanes_1,
                    lanes_2,
                    stride_1,
                    stride_2,
                    line,
                    last_1,
                    last_2,
                    has_2,
                )
            elif known >= NARROW_MODIFIED and known & bit == 0:
                owner = lowest_bit(np.uint64(known))
                poke_u16(entry, known & NARROW_HOLDERS | bit)
            else:
                poke_u16(entry, known | bit)
        else:
            entry = entries + 8 * words * (line - lowest)
            flags, home = entry + 8 * (words - 1), entry + (cpu >> 6) * 8
            known = peek_i64(home)
            bit = 1 << (cpu & 63)
            if access >= DIRTY:
                poke_i64(flags, peek_i64(flags) & ~MODIFIED)
                poke_i64(home, peek_i64(home) & ~bit)
                for word in range(words):
                    others = np.uint64(peek_i64(entry + 8 * word))
                    poke_i64(entry + 8 * word, 0)
                    removed += _remove_copies(
                        others,
                        row_1 + (64 * word - cpu) * stride_1,
                        row_2 + (64 * word - cpu) * stride_2,
                        lanes_1,
                        lanes_2,
                        stride_1,
                        stride_2,
                        line,
                        last_1,
                        last_2,
                        has_2,
                    )
                poke_i64(home, bit)
                poke_i64(flags, peek_i64(flags) | MODIFIED)
            elif peek_i64(flags) < 0 and known & bit == 0:
                poke_i64(flags, peek_i64(flags) & ~MODIFIED)
                word = 0
                while peek_i64(entry + 8 * word) == 0:
                    word += 1
                owner = lowest_bit(np.uint64(peek_i64(entry + 8 * word))) + 64 * word
                poke_i64(home, peek_i64(home) | bit)
            else:
                poke_i64(home, known | bit)
        invalidated += removed
        if owner >= 0:
            stained = clean(lanes_1, row_1 + (owner - cpu) * stride_1, line, last_1)
            if has_2 != 0:
                stained |= clean(lanes_2, row_2 + (owner - cpu) * stride_2, line, last_2)
            if stained != 0:
                downgrades += 1
                kept = 0
                if has_3 != 0:
                    kept = stain(lanes_3, row_3, line, last_3)
                writebacks += 1 - kept

        victim_1 = peek_u32(row_1 + 4 * last_1)
        if touch_dirty(lanes_1, row_1, line | access & DIRTY, last_1) != 0:
            upgrades += 1 if removed != 0 else 0
            continue
        misses_1 += 1
        lost_1 = victim_1 >> 31
        victims_1 += lost_1
        victim_2 = 0
        hit_2 = 0
        if has_2 != 0:
            victim_2 = peek_u32(row_2 + 4 * last_2)
            hit_2 = touch_dirty(lanes_2, row_2, line, last_2)
        lost_2 = 0
        if hit_2 != 0:
            upgrades += 1 if removed != 0 else 0
        else:
            misses_2 += 1
            lost_2 = victim_2 >> 31
            victims_2 += lost_2
            absent = 1
            if has_3 != 0:
                victim_3 = peek_u32(row_3 + 4 * last_3)
                absent = 1 - touch_dirty(lanes_3, row_3, line, last_3)
                victims_3 += absent & victim_3 >> 31
            misses_3 += absent
        if lost_2 != 0:
            victim = victim_2 & LINE
            kept = 0
            if has_3 != 0:
                set_3 = victim & keys_3 if usual is not None or keys_3 >= 0 else victim % sets_3
                kept = stain(lanes_3, rows_3 + set_3 * stride_3, victim, last_3)
            writebacks += 1 - kept
        if lost_1 != 0:
            victim = victim_1 & LINE
            kept = 0
            if has_2 != 0:
                if usual is not None or keys_2 >= 0:
                    set_2 = (victim << cpu_bits | cpu) & keys_2
                else:
                    set_2 = victim % sets_2 << cpu_bits | cpu
                kept = stain(lanes_2, rows_2 + set_2 * stride_2, victim, last_2)
            if kept == 0 and has_3 != 0:
                set_3 = victim & keys_3 if usual is not None or keys_3 >= 0 else victim % sets_3
                kept = stain(lanes_3, rows_3 + set_3 * stride_3, victim, last_3)
            writebacks += 1 - kept
    out[MISSES_1] += misses_1
    out[MISSES_2] += misses_2
    out[MISSES_SHARED] += misses_3
    out[INVALIDATED_1] += invalidated & FIELD
    out[INVALIDATED_2] += invalidated >> FIELD_BITS
    out[DIRTY_VICTIMS_1] += victims_1
    out[DIRTY_VICTIMS_2] += victims_2
    out[DIRTY_VICTIMS_SHARED] += victims_3
    out[WRITEBACKS] += writebacks + victims_3
    out[DOWNGRADES] += downgrades
    out[UPGRADES] += upgrades


@njit(error_model="numpy", forceinline=True)
def _remove_copies(
    holders, first_1, first_2, lanes_1, lanes_2, stride_1, stride_2, line, last_1, last_2, has_2
):
    """Take the copies of the CPUs of a bit mask out; first_1 and first_2 are the rows of CPU 0.

    Returns the number removed from level 1, plus that from level 2 << FIELD_BITS.
    """
    removed = 0
    while holders != 0:
        other = lowest_bit(holders)
        holders &= holders - np.uint64(1)
        removed += remove(lanes_1, first_1 + other * stride_1, line, last_1) & 1
        if has_2 != 0:
            row = first_2 + other * stride_2
            removed += (remove(lanes_2, row, line, last_2) & 1) << FIELD_BITS
    return removed


@njit(error_model="numpy")
def _lower(shard, line, cpu, level, cpu_bits, geometry):
    """Mark the CPU's nearest copy from `level` down dirty; 1 if there is none, for memory."""
    for below in range(level, 3):
        if geometry[below, PRESENT] == 0:
            continue
        keys, lanes, sets = geometry[below, KEYS], geometry[below, LANES], geometry[below, SETS]
        number = line if below == 2 else line << cpu_bits | cpu
        if keys >= 0:
            number &= keys
        else:
            number = line % sets if below == 2 else line % sets << cpu_bits | cpu
        rows = geometry[below, ROWS] + shard * geometry[below, SHARD_BYTES]
        row = rows + number * geometry[below, STRIDE]
        if stain(lanes, row, line, geometry[below, LAST]) != 0:
            return 0
    return 1


@njit(error_model="numpy")
def flush_coherent(shard, cpus, cpu_bits, geometry, out):
    """Hand the dirty lines of a shard down, level by level, in set order; see `replay_coherent`."""
    for level in range(3):
        if geometry[level, PRESENT] == 0:
            continue
        bits, instances = (cpu_bits, cpus) if level < 2 else (0, 1)
        rows = geometry[level, ROWS] + shard * geometry[level, SHARD_BYTES]
        for number in range(geometry[level, SETS]):
            for cpu in range(instances):
                row = rows + (number << bits | cpu) * geometry[level, STRIDE]
                for place in range(row, row + 4 * geometry[level, LAST] + 4, 4):
                    held = peek_u32(place)
                    if held >= DIRTY:
                        out[DIRTY_VICTIMS_1 + level] += 1
                        out[WRITEBACKS] += _lower(
                            shard, held & LINE, cpu, level + 1, cpu_bits, geometry
                        )
