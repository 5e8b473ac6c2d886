"""Many CPUs: one or two private levels each, at most one level shared by all, coherent.

Non-inclusive fills, write-invalidate, write-back, write-allocate; what is counted is defined in
`cgsim.replay`. `replay_general` does the same and more, more slowly.

Which lines a level holds depends on what it is asked, and on all writes, in order, but on no level
below it. So a block of accesses runs through one level as a whole, and what concerns the next one
is packed into a queue: misses, each with the line that had to leave, and writes, which must find
the other CPUs' copies there, too. Those are looked for in every CPU's row of the set; the rows lie
side by side. Nothing but a write or a dirty victim is worth a branch.

Rows hold lines only. Which copies are dirty says a table, line by line: as a write removes all
other private copies, and a read by another CPU cleans them, one CPU at a time has dirty ones.

With many CPUs, another table names those that may have a copy, of each line: those that accessed it
since it was written (copies leave silently, so they are a superset), in up to 64 groups.

A line's sets and its state depend on nothing but the accesses to lines of the same sets. So the
lines are split into shards by bits that the sets of all levels have in common: one shard's rows
stay in the host's own caches, and several threads can take a shard each.
"""

import numpy as np

from cgsim.compile.intrinsics import peek_i64, peek_u16, peek_u32, poke_i64, poke_u16
from cgsim.compile.jit import njit
from cgsim.core.replay.lru_row import holds, remove_clean, remove_others, touch
from cgsim.core.replay.lru_vector import lowest_bit, prefetch
from cgsim.core.replay.partition import BLOCK_ACCESSES, BLOCK_BYTES
from cgsim.core.replay.sharing import come_back, take

SETS, KEYS, LAST, LANES, STRIDE, PRESENT, ROWS, COLUMNS = range(8)
"""Columns of the geometry: SETS of a shard; KEYS, the mask of a row's number in the bits of an
access (of its line in the shared level), -1 if SETS is no power of two; LAST, ways - 1; LANES, see
`lru_row`, and STRIDE, the bytes of a row; PRESENT, 0 if there is no such level; ROWS, the bytes to
the first row. Rows are [set, CPU] in private levels, for 2**cpu_bits CPUs, and [set] in the shared
one."""

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
    COHERENCE_MISSES,
    FALSE_SHARING,
    COUNTERS,
) = range(14)

MAX_LINE = (1 << 30) - 2

# The state of a line, a uint16: which of its copies are dirty, the private ones being those of one
# CPU, whose number plus 1 stands from OWNER_BIT on.
DIRTY_1, DIRTY_2, DIRTY_SHARED = 1, 2, 4
OWNER_BIT = 3
OWNER = 0xFFFF & -(1 << OWNER_BIT)
PRIVATE = OWNER | DIRTY_1 | DIRTY_2
STATE_BYTES = 2

MAX_CPUS = 8190  # the owner, plus 1, stands in the 13 upper bits of a state
FEW_CPUS = 16
GROUPS = 64
HOLDERS_BYTES = 8

# A record of the first queue is an int64: an access as `replay_partition.scatter_near` writes it,
# from bit 32 on the line that it pushed out of level 1, and the flags below. With many CPUs a write
# is followed by the groups of CPUs that may have copies. Where false sharing is counted, a record
# takes 32 bytes: the access, the words touched, the CPUs that may have copies, and those whose
# copies in level 1 were removed; the latter two of a write only.
HIT = 1 << 62  # it writes, and has hit in level 1
REMOVED = -1 << 63  # it writes, and has removed copies in level 1
# A record of the second queue is an int64: a line, from bit 32 on the line that it pushed out of
# level 2, and
CLEANED_BIT = 31  # another CPU's copy was dirty
LOST = -1 << 63  # the line pushed out is dirty

ACCESS = 0x7FFFFFFF
LINE = 0x3FFFFFFF
WRITE = 0x80000000


def queue_words():
    """The int64 that one of the two queues of `replay_coherent` takes."""
    # A write and its groups, or a miss and a dirty line; with words, half as many accesses.
    return 2 * BLOCK_ACCESSES + 2


@njit
def replay_coherent(
    shard,
    pieces,
    room,
    room_bytes,
    cpus,
    cpu_bits,
    lowest,
    empty,
    states,
    holders,
    rows,
    geometry,
    queue,
    below,
    out,
    usual,
    group_bits,
    sharing,
):
    """Run the accesses of one shard through empty caches, and flush them at the end.

    pieces     : int64         the trace was scattered in as many pieces,
    room       : int64         the first one to this address, see `replay_partition.scatter_near`,
    room_bytes : int64         the next one that much further
    cpus       : int64         up to MAX_CPUS
    cpu_bits   : int64         the least with 2**cpu_bits >= cpus
    lowest     : int64         the line of the first entry of `states`
    empty      : int64         that of the last entry, up to MAX_LINE, which no access has: an
                               empty way holds it
    states     : int64         address of a table, uint16 for each line, 0 at the start, overwritten
    holders    : int64         address of the other table, uint64 for each line, 0 at the start,
                               overwritten. Unused with few CPUs
    rows       : int64         address of the rows, which hold `empty` at the start, overwritten
    geometry   : int64[3, COLUMNS]   level 1, level 2, shared level
    queue, below : int64       addresses of int64[queue_words()], overwritten
    out        : int64[COUNTERS]  added to
    usual      : int64 or None  not None: the lanes are 8, 8 and 16, all sets powers of two, all
                              levels present; these are constants then
    group_bits : int64 or None  not None: there are many CPUs, in groups of 2**group_bits
    sharing    : int64 or None  not None: count false sharing, see
                              `cgsim.core.replay.sharing.come_back`; accesses come with words,
                              and group_bits is 0
    """
    table = states - STATE_BYTES * lowest
    holders -= HOLDERS_BYTES * lowest
    for _ in range(pieces):
        block, end = room + BLOCK_BYTES * (shard + 1), peek_i64(room + 8 * shard)
        room += room_bytes
        while block != 0:
            stop, block_end = end, block + BLOCK_BYTES
            start = block + 8
            block = 0
            if not start <= end <= block_end:
                stop, block = block_end, peek_i64(start - 8)
            asked = _first_level(
                start, stop, cpus, cpu_bits, empty, table, holders, rows, geometry, queue, out,
                usual, group_bits, sharing,
            )  # fmt: skip
            asked = _second_level(
                queue, asked, cpus, cpu_bits, empty, table, rows, geometry, below, out, usual,
                group_bits, sharing,
            )  # fmt: skip
            _shared_level(below, asked, empty, table, rows, geometry, out, usual)
    _flush(cpus, cpu_bits, table, rows, geometry, out)


@njit
def _first_level(
    start,
    stop,
    cpus,
    cpu_bits,
    empty,
    table,
    holders,
    rows,
    geometry,
    queue,
    out,
    usual,
    group_bits,
    sharing,
):
    """Run the accesses at addresses start..stop through level 1; returns the end of `queue`."""
    sets, keys, last = geometry[0, SETS], geometry[0, KEYS], geometry[0, LAST]
    rows += geometry[0, ROWS]
    lanes, stride = geometry[0, LANES], geometry[0, STRIDE]
    if usual is not None:
        lanes, stride = 8, 32
    cpu_mask = (1 << cpu_bits) - 1
    hits_of_writes = invalidated = extra = 0
    groups = 0
    access_bytes, record_bytes = 4, 8
    if sharing is not None:
        access_bytes, record_bytes = 8, 32
    end = queue
    for place in range(start, stop, access_bytes):
        access = peek_u32(place)
        line = (access & ACCESS) >> cpu_bits
        prefetch(table + STATE_BYTES * line)
        if usual is not None or keys >= 0:
            row = rows + (access & keys) * stride
        else:
            row = rows + (line % sets << cpu_bits | access & cpu_mask) * stride
        if group_bits is not None:
            group = 1 << ((access & cpu_mask) >> group_bits)
            groups_of = holders + HOLDERS_BYTES * line
            groups = peek_i64(groups_of)
            poke_i64(groups_of, group if access >= WRITE else groups | group)
        if sharing is not None:
            poke_i64(end + 8, peek_u32(place + 4))
        if access >= WRITE:
            first = row - (access & cpu_mask) * stride
            if sharing is not None:
                taken, removed = _take_copies(lanes, first, row, stride, line, last, empty, groups)
                poke_i64(end + 16, groups)
                poke_i64(end + 24, taken)
            else:
                removed = _remove_copies(
                    lanes, first, cpus, row, stride, line, last, empty, groups, group_bits
                )
            victim = peek_u32(row + 4 * last)
            hit = touch(lanes, row, line, last)
            record = access | (HIT | empty << 32 if hit != 0 else victim << 32)
            poke_i64(end, record | REMOVED if removed != 0 else record)
            end += record_bytes
            if group_bits is not None and sharing is None:
                poke_i64(end, groups)
                end += 8
                extra += 1
            invalidated += removed
            hits_of_writes += hit
        else:
            poke_i64(end, access | peek_u32(row + 4 * last) << 32)
            end += record_bytes * (1 - touch(lanes, row, line, last))
    out[MISSES_1] += (end - queue) // record_bytes - extra - hits_of_writes
    out[INVALIDATED_1] += invalidated
    return end


@njit(forceinline=True)
def _remove_copies(lanes, first, cpus, row, stride, line, last, empty, groups, group_bits):
    """Take a line out of all rows of a set, the first one at `first`, but `row`; returns how many.

    groups : int64  with many CPUs a bit for each group that may have copies
    """
    if group_bits is None:
        return remove_others(lanes, first, cpus, row, line, last, empty)
    removed = 0
    left = np.uint64(np.int64(groups))
    if group_bits == 0:
        while left != 0:
            other = first + lowest_bit(left) * stride
            left &= left - np.uint64(1)
            if other != row:
                removed += remove_clean(lanes, other, line, last, empty)
        return removed
    while left != 0:
        group = first + (lowest_bit(left) << group_bits) * stride
        left &= left - np.uint64(1)
        removed += remove_others(lanes, group, 1 << group_bits, row, line, last, empty)
    return removed


@njit(forceinline=True)
def _take_copies(lanes, first, row, stride, line, last, empty, holders):
    """As `_remove_copies`, from the rows of the CPUs of a bit mask; returns those that held the
    line, as a bit mask, and how many they are."""
    taken, removed = 0, 0
    left = np.uint64(np.int64(holders))
    while left != 0:
        other = lowest_bit(left)
        left &= left - np.uint64(1)
        if first + other * stride != row:
            held = remove_clean(lanes, first + other * stride, line, last, empty)
            taken |= held << other
            removed += held
    return taken, removed


@njit
def _second_level(
    queue,
    queue_end,
    cpus,
    cpu_bits,
    empty,
    table,
    rows,
    geometry,
    below,
    out,
    usual,
    group_bits,
    sharing,
):
    """Run the records queue..queue_end through level 2, or past it if there is none.

    Returns the end of `below`, the queue for the shared level.
    """
    sets, keys, last = geometry[1, SETS], geometry[1, KEYS], geometry[1, LAST]
    rows += geometry[1, ROWS]
    lanes, stride, present = geometry[1, LANES], geometry[1, STRIDE], geometry[1, PRESENT]
    if usual is not None:
        lanes, stride, present = 8, 32, 1
    cpu_mask = (1 << cpu_bits) - 1
    invalidated = hits_of_writes = upgrades = downgrades = victims_1 = victims_2 = apart = 0
    groups = words = taken = came_back = shared_falsely = 0
    end = below
    place = queue
    while place < queue_end:
        record = peek_i64(place)
        place += 8
        access = record & ACCESS
        line = access >> cpu_bits
        cpu = access & cpu_mask
        owner = cpu + 1 << OWNER_BIT
        if usual is not None or keys >= 0:
            row = rows + (access & keys) * stride
        else:
            row = rows + (line % sets << cpu_bits | cpu) * stride
        state_of = table + STATE_BYTES * line
        state = peek_u16(state_of)
        other = 1 if (state ^ owner) >> OWNER_BIT != 0 else 0
        cleaned = 0
        if sharing is not None:
            words, groups, taken = peek_i64(place), peek_i64(place + 8), peek_i64(place + 16)
            place += 24
            came = come_back(sharing, line, cpu, words)
            came_back += (came + 1) >> 1
            shared_falsely += came >> 1
        if record & WRITE != 0:
            removed = record & REMOVED
            if group_bits is not None and sharing is None:
                groups = peek_i64(place)
                place += 8
            if present != 0:
                first = row - cpu * stride
                if sharing is not None:
                    more, gone = _take_copies(lanes, first, row, stride, line, last, empty, groups)
                    taken |= more
                else:
                    gone = _remove_copies(
                        lanes, first, cpus, row, stride, line, last, empty, groups, group_bits
                    )
                invalidated += gone
                removed |= gone
            if sharing is not None:
                take(sharing, line, taken, words)
            if other != 0:
                state &= ~PRIVATE
            poke_u16(state_of, state | owner | DIRTY_1)
            if record & HIT != 0:
                upgrades += 1 if removed != 0 else 0
                hits_of_writes += 1
                continue
        else:
            removed = 0
            cleaned = other & (state | state >> 1)
            poke_u16(state_of, state & ~(PRIVATE * other))
            downgrades += cleaned
        victim = empty
        hit = 0
        if present != 0:
            victim = peek_u32(row + 4 * last)
            hit = touch(lanes, row, line, last)
            upgrades += hit if removed != 0 else 0
        victim_of = table + STATE_BYTES * victim
        state = peek_u16(victim_of)
        poke_i64(end, line | cleaned << CLEANED_BIT | victim << 32)
        if (state & (OWNER | DIRTY_2)) ^ (owner | DIRTY_2) | hit == 0:
            victims_2 += 1
            poke_u16(victim_of, state & ~DIRTY_2)
            poke_i64(end, line | cleaned << CLEANED_BIT | victim << 32 | LOST)
        end += 8 - 8 * hit

        victim = record >> 32 & LINE
        victim_of = table + STATE_BYTES * victim
        state = peek_u16(victim_of)
        if state & (OWNER | DIRTY_1) == owner | DIRTY_1:
            victims_1 += 1
            kept = 0
            if present != 0:
                if usual is not None or keys >= 0:
                    row = rows + ((victim << cpu_bits | cpu) & keys) * stride
                else:
                    row = rows + (victim % sets << cpu_bits | cpu) * stride
                kept = holds(lanes, row, victim, last)
            poke_u16(victim_of, state & ~DIRTY_1 | DIRTY_2 * kept)
            if kept == 0:
                poke_i64(end, empty | victim << 32 | LOST)
                end += 8
                apart += 1
    if present != 0:
        out[MISSES_2] += (end - below) // 8 - apart
    out[INVALIDATED_2] += invalidated
    out[DIRTY_VICTIMS_1] += victims_1
    out[DIRTY_VICTIMS_2] += victims_2
    out[DOWNGRADES] += downgrades
    out[UPGRADES] += upgrades
    out[COHERENCE_MISSES] += came_back
    out[FALSE_SHARING] += shared_falsely
    return end


@njit
def _shared_level(queue, queue_end, empty, table, rows, geometry, out, usual):
    """Run the records queue..queue_end through the shared level, or to memory if there is none."""
    sets, keys, last = geometry[2, SETS], geometry[2, KEYS], geometry[2, LAST]
    rows += geometry[2, ROWS]
    lanes, stride, present = geometry[2, LANES], geometry[2, STRIDE], geometry[2, PRESENT]
    if usual is not None:
        lanes, stride, present = 16, 64, 1
    misses = victims = writebacks = 0
    for place in range(queue, queue_end, 8):
        record = peek_i64(place)
        line = record & ACCESS
        cleaned = record >> CLEANED_BIT & 1
        if present == 0:
            writebacks += cleaned + (record >> 63 & 1)
            continue
        if line != empty:
            if usual is not None or keys >= 0:
                row = rows + (line & keys) * stride
            else:
                row = rows + line % sets * stride
            victim = peek_u32(row + 4 * last)
            hit = touch(lanes, row, line, last)
            misses += 1 - hit
            writebacks += cleaned & ~hit
            state_of = table + STATE_BYTES * line
            poke_u16(state_of, peek_u16(state_of) | DIRTY_SHARED * (cleaned & hit))
            victim_of = table + STATE_BYTES * victim
            state = peek_u16(victim_of)
            lost = (1 - hit) & state >> 2
            if lost != 0:
                victims += 1
                poke_u16(victim_of, state & ~DIRTY_SHARED)
        if record < 0:
            victim = record >> 32 & LINE
            if usual is not None or keys >= 0:
                row = rows + (victim & keys) * stride
            else:
                row = rows + victim % sets * stride
            kept = holds(lanes, row, victim, last)
            state_of = table + STATE_BYTES * victim
            poke_u16(state_of, peek_u16(state_of) | DIRTY_SHARED * kept)
            writebacks += 1 - kept
    out[MISSES_SHARED] += misses
    out[DIRTY_VICTIMS_SHARED] += victims
    out[WRITEBACKS] += writebacks + victims


@njit
def _flush(cpus, cpu_bits, table, rows, geometry, out):
    """Hand the dirty lines down, level by level; see `replay_coherent`."""
    for level in range(3):
        if geometry[level, PRESENT] == 0:
            continue
        bits, instances = (cpu_bits, cpus) if level < 2 else (0, 1)
        first = rows + geometry[level, ROWS]
        for number in range(geometry[level, SETS]):
            for cpu in range(instances):
                row = first + (number << bits | cpu) * geometry[level, STRIDE]
                for place in range(row, row + 4 * geometry[level, LAST] + 4, 4):
                    line = peek_u32(place)
                    state_of = table + STATE_BYTES * line
                    state = peek_u16(state_of)
                    if state >> level & 1 == 0 or (level < 2 and state >> OWNER_BIT != cpu + 1):
                        continue
                    state &= ~(1 << level)
                    out[DIRTY_VICTIMS_1 + level] += 1
                    if level == 0 and _in_second_level(line, cpu, cpu_bits, rows, geometry) != 0:
                        state |= DIRTY_2
                    elif level < 2 and _in_shared_level(line, rows, geometry) != 0:
                        state |= DIRTY_SHARED
                    else:
                        out[WRITEBACKS] += 1
                    poke_u16(state_of, state)


@njit
def _in_second_level(line, cpu, cpu_bits, rows, geometry):
    """1 if the CPU's level 2 holds the line."""
    keys, last = geometry[1, KEYS], geometry[1, LAST]
    if geometry[1, PRESENT] == 0:
        return 0
    if keys >= 0:
        number = (line << cpu_bits | cpu) & keys
    else:
        number = line % geometry[1, SETS] << cpu_bits | cpu
    row = rows + geometry[1, ROWS] + number * geometry[1, STRIDE]
    return holds(geometry[1, LANES], row, line, last)


@njit
def _in_shared_level(line, rows, geometry):
    """1 if the shared level holds the line."""
    keys, last = geometry[2, KEYS], geometry[2, LAST]
    if geometry[2, PRESENT] == 0:
        return 0
    number = line & keys if keys >= 0 else line % geometry[2, SETS]
    row = rows + geometry[2, ROWS] + number * geometry[2, STRIDE]
    return holds(geometry[2, LANES], row, line, last)
