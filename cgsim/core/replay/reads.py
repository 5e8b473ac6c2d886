"""Reads of one CPU through private levels that do not feed back: counted level by level.

With non-inclusive fills and no writes a level sees exactly the misses of the level above, in order.
So a block of accesses runs through one level as a whole, its misses are packed without a branch,
and they are the block of the next level. The same serves the two levels of a TLB, whose lines are
pages.
"""

import numpy as np

from cgsim.compile.intrinsics import peek_i64, peek_u32, poke_u32
from cgsim.compile.jit import njit
from cgsim.core.replay.index import hashed_set
from cgsim.core.replay.lru_row import touch as touch_row
from cgsim.core.replay.lru_scalar import touch
from cgsim.core.replay.lru_vector import prefetch, touch_8, touch_16, touch_32

BLOCK = 4096
AHEAD = 8
PREFETCHED_ENTRIES = 1 << 15  # rows of larger levels do not stay in the host's first cache
WINDOW_BITS = 30  # lines are numbered within a window of 2**30

SETS, MASK, LAST, LANES, ROWS, FOLD, COLUMNS = range(7)


@njit
def replay_reads(addresses, length, shift, first, geometry, queue, misses):
    """Run reads through all levels.

    addresses : int64            address of uint64[length], the byte addresses
    shift    : int64             line number = address >> shift, 1 to 63
    first    : int64             the line numbered 0, a multiple of every level's number of sets
    geometry : int64[levels, COLUMNS]  SETS, MASK (SETS - 1, or -1 if SETS is no power of two),
                                 LAST (ways - 1), LANES (0: plain loops), ROWS (address of
                                 the first row), FOLD (see `index.hashed_set`)
                                 the rows are EMPTY at the start, and overwritten
    queue    : int64             address of uint32[BLOCK + AHEAD], scratch, 0 at the start
    misses   : int64[levels]     added to

    Returns 0, or -1 if some line lies outside the window.
    """
    fused = geometry[0, LANES] == 8 and geometry[0, FOLD] == 0
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        if fused:
            count = _first_level_8(addresses, start, stop, shift, first, geometry, queue)
            misses[0] += count
        else:
            count = _number_lines(addresses, start, stop, shift, first, queue)
        if count < 0:
            return -1
        for level in range(1 if fused else 0, geometry.shape[0]):
            count = _pass_level(queue, count, geometry, level, first)
            misses[level] += count
    return 0


@njit(forceinline=True)
def _number(place, shift):
    """The line of the uint64 address at `place`."""
    return np.int64(np.uint64(np.int64(peek_i64(place))) >> np.uint64(shift))


@njit
def _number_lines(addresses, start, stop, shift, first, queue):
    """Number the lines into `queue`; their count, -1 if one is outside."""
    outside = 0
    for i in range(start, stop):
        line = _number(addresses + 8 * i, shift) - first
        outside |= line
        poke_u32(queue + 4 * (i - start), line)
    return -1 if outside >> WINDOW_BITS != 0 else stop - start


@njit
def _first_level_8(addresses, start, stop, shift, first, geometry, queue):
    """`_number_lines` of everything and the first level in one pass, for 8 lanes.

    A line outside the window goes to some row, harmlessly, since the result is not used then.
    """
    sets, mask, last = geometry[0, SETS], geometry[0, MASK], geometry[0, LAST]
    rows = geometry[0, ROWS]
    end = queue
    outside = 0
    place, stop = addresses + 8 * start, addresses + 8 * stop
    if mask >= 0:
        while place < stop:  # a step less than with a range, which would count besides
            line = _number(place, shift) - first
            outside |= line
            poke_u32(end, line)
            end += 4 - 4 * touch_8(rows + (line & mask) * 32, line, last)
            place += 8
    else:
        while place < stop:
            line = _number(place, shift) - first
            outside |= line
            poke_u32(end, line)
            end += 4 - 4 * touch_8(rows + line % sets * 32, line, last)
            place += 8
    return -1 if outside >> WINDOW_BITS != 0 else (end - queue) // 4


@njit
def _pass_level(queue, count, geometry, level, first):
    """Touch every line; its misses are moved to the front of the queue; returns their number.

    first : int64  the line numbered 0
    """
    sets, mask, last = geometry[level, SETS], geometry[level, MASK], geometry[level, LAST]
    lanes, rows = geometry[level, LANES], geometry[level, ROWS]
    place, stop, end = queue, queue + 4 * count, queue
    if geometry[level, FOLD] != 0:
        return _pass_hashed_level(queue, count, geometry, level, first)
    if lanes == 8 and sets * (last + 1) <= PREFETCHED_ENTRIES:
        while place < stop:
            line = peek_u32(place)
            poke_u32(end, line)
            row = line & mask if mask >= 0 else line % sets
            end += 4 - 4 * touch_8(rows + row * 32, line, last)
            place += 4
    elif lanes == 8:
        while place < stop:
            _prefetch_row(place + 4 * AHEAD, sets, mask, rows, 8)
            line = peek_u32(place)
            poke_u32(end, line)
            row = line & mask if mask >= 0 else line % sets
            end += 4 - 4 * touch_8(rows + row * 32, line, last)
            place += 4
    elif lanes == 16:
        while place < stop:
            _prefetch_row(place + 4 * AHEAD, sets, mask, rows, 16)
            line = peek_u32(place)
            poke_u32(end, line)
            row = line & mask if mask >= 0 else line % sets
            end += 4 - 4 * touch_16(rows + row * 64, line, last)
            place += 4
    elif lanes == 32:
        while place < stop:
            _prefetch_row(place + 4 * AHEAD, sets, mask, rows, 32)
            line = peek_u32(place)
            poke_u32(end, line)
            row = line & mask if mask >= 0 else line % sets
            end += 4 - 4 * touch_32(rows + row * 128, line, last)
            place += 4
    else:
        while place < stop:
            line = peek_u32(place)
            row = line & mask if mask >= 0 else line % sets
            poke_u32(end, line)
            end += 4 - 4 * touch(rows + row * (last + 1) * 4, line, last)
            place += 4
    return (end - queue) // 4


@njit
def _pass_hashed_level(queue, count, geometry, level, first):
    """`_pass_level` where the set is chosen by a hash."""
    sets, mask, last = geometry[level, SETS], geometry[level, MASK], geometry[level, LAST]
    lanes, rows, fold = geometry[level, LANES], geometry[level, ROWS], geometry[level, FOLD]
    stride = 4 * (lanes if lanes != 0 else last + 1)
    end = queue
    for place in range(queue, queue + 4 * count, 4):
        line = peek_u32(place)
        row = hashed_set(line + first, fold, 0, mask, sets)
        poke_u32(end, line)
        end += 4 - 4 * touch_row(lanes, rows + row * stride, line, last)
    return (end - queue) // 4


@njit
def _prefetch_row(place, sets, mask, rows, lanes):
    """Ask the host for the row of the line at `place`; behind the block it is any, harmlessly."""
    line = peek_u32(place)
    row = line & mask if mask >= 0 else line % sets
    prefetch(rows + row * lanes * 4)
