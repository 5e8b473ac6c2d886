"""Reads of one CPU through private levels that do not feed back: counted level by level.

With non-inclusive fills and no writes a level sees exactly the misses of the level above, in order.
So a block of accesses runs through one level as a whole, its misses are packed without a branch,
and they are the block of the next level. The same serves the two levels of a TLB, whose lines are
pages.
"""

from cgsim.core.jit import njit
from cgsim.core.lru_scalar import touch
from cgsim.core.lru_vector import prefetch, touch_8, touch_16, touch_32
from cgsim.core.raw import peek_i64, peek_u32, poke_u32

BLOCK = 4096
AHEAD = 8
PREFETCHED_ENTRIES = 1 << 15  # rows of larger levels do not stay in the host's first cache
WINDOW_BITS = 30  # lines are numbered within a window of 2**30

SETS, MASK, LAST, LANES, ROWS = range(5)


@njit(error_model="numpy")
def replay_reads(addresses, length, shift, first, shards, shard, geometry, queue, misses):
    """Run the reads whose line is `shard` modulo `shards` through all levels.

    addresses : int64            address of uint64[length], the byte addresses
    shift    : int64             line number = address >> shift, 1 to 63
    first    : int64             the line numbered 0, a multiple of every level's number of sets
    geometry : int64[levels, 5]  SETS, MASK (SETS - 1, or -1 if SETS is no power of two),
                                 LAST (ways - 1), LANES (0: plain loops), ROWS (address of
                                 the first row)
                                 the rows are EMPTY at the start, and overwritten
    queue    : int64             address of uint32[BLOCK + AHEAD], scratch, 0 at the start
    misses   : int64[levels]     added to

    Returns the number of reads run, or -1 if some line lies outside the window.
    """
    total = 0
    fused = shards == 1 and geometry[0, LANES] == 8
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        if fused:
            count = _first_level_8(addresses, start, stop, shift, first, geometry, queue)
            total += stop - start
            misses[0] += count
        else:
            count = _number_lines(addresses, start, stop, shift, first, shards, shard, queue)
            total += count
        if count < 0:
            return -1
        for level in range(1 if fused else 0, geometry.shape[0]):
            count = _pass_level(queue, count, geometry, level)
            misses[level] += count
    return total


@njit(error_model="numpy")
def _number_lines(addresses, start, stop, shift, first, shards, shard, queue):
    """Number the lines of this shard into `queue`; their count, -1 if one is outside."""
    count = 0
    outside = 0
    low = (1 << 64 - shift) - 1  # the shift is arithmetic
    if shards & (shards - 1) == 0:
        for i in range(start, stop):
            line = (peek_i64(addresses + 8 * i) >> shift & low) - first
            outside |= line
            poke_u32(queue + 4 * count, line)
            count += 1 if line & (shards - 1) == shard else 0
    else:
        for i in range(start, stop):
            line = (peek_i64(addresses + 8 * i) >> shift & low) - first
            outside |= line
            poke_u32(queue + 4 * count, line)
            count += 1 if line % shards == shard else 0
    return -1 if outside >> WINDOW_BITS != 0 else count


@njit(error_model="numpy")
def _first_level_8(addresses, start, stop, shift, first, geometry, queue):
    """`_number_lines` of everything and the first level in one pass, for 8 lanes.

    A line outside the window goes to some row, harmlessly, since the result is not used then.
    """
    sets, mask, last = geometry[0, SETS], geometry[0, MASK], geometry[0, LAST]
    rows = geometry[0, ROWS]
    missed = 0
    outside = 0
    low = (1 << 64 - shift) - 1  # the shift is arithmetic
    if mask >= 0:
        for i in range(start, stop):
            line = (peek_i64(addresses + 8 * i) >> shift & low) - first
            outside |= line
            poke_u32(queue + 4 * missed, line)
            missed += 1 - touch_8(rows + (line & mask) * 32, line, last)
    else:
        for i in range(start, stop):
            line = (peek_i64(addresses + 8 * i) >> shift & low) - first
            outside |= line
            poke_u32(queue + 4 * missed, line)
            missed += 1 - touch_8(rows + line % sets * 32, line, last)
    return -1 if outside >> WINDOW_BITS != 0 else missed


@njit(error_model="numpy")
def _pass_level(queue, count, geometry, level):
    """Touch every line; its misses are moved to the front of the queue; returns their number."""
    sets, mask, last = geometry[level, SETS], geometry[level, MASK], geometry[level, LAST]
    lanes, rows = geometry[level, LANES], geometry[level, ROWS]
    missed = 0
    if lanes == 8 and sets * (last + 1) <= PREFETCHED_ENTRIES:
        for i in range(count):
            line = peek_u32(queue + 4 * i)
            poke_u32(queue + 4 * missed, line)
            row = line & mask if mask >= 0 else line % sets
            missed += 1 - touch_8(rows + row * 32, line, last)
    elif lanes == 8:
        for i in range(count):
            _prefetch_row(queue, i + AHEAD, sets, mask, rows, 8)
            line = peek_u32(queue + 4 * i)
            poke_u32(queue + 4 * missed, line)
            row = line & mask if mask >= 0 else line % sets
            missed += 1 - touch_8(rows + row * 32, line, last)
    elif lanes == 16:
        for i in range(count):
            _prefetch_row(queue, i + AHEAD, sets, mask, rows, 16)
            line = peek_u32(queue + 4 * i)
            poke_u32(queue + 4 * missed, line)
            row = line & mask if mask >= 0 else line % sets
            missed += 1 - touch_16(rows + row * 64, line, last)
    elif lanes == 32:
        for i in range(count):
            _prefetch_row(queue, i + AHEAD, sets, mask, rows, 32)
            line = peek_u32(queue + 4 * i)
            poke_u32(queue + 4 * missed, line)
            row = line & mask if mask >= 0 else line % sets
            missed += 1 - touch_32(rows + row * 128, line, last)
    else:
        for i in range(count):
            line = peek_u32(queue + 4 * i)
            row = line & mask if mask >= 0 else line % sets
            if touch(rows + row * (last + 1) * 4, line, last) == 0:
                poke_u32(queue + 4 * missed, line)
                missed += 1
    return missed


@njit(error_model="numpy")
def _prefetch_row(queue, i, sets, mask, rows, lanes):
    """Ask the host for the row of queue[i]; past the block's end some other row, harmlessly."""
    line = peek_u32(queue + 4 * i)
    row = line & mask if mask >= 0 else line % sets
    prefetch(rows + row * lanes * 4)
