"""Reads and writes of one CPU, write-backs being accesses to the next level: level by level.

What is counted is defined in `cgsim.replay`; `replay_general` does the same and more, more slowly.
No level feeds back into the one above it, so a block of accesses runs through one level as a whole.
What it misses, and what it evicts dirty, are the block of the next one: a uint32 each, the line,
with DIRTY where it is written back. The demand comes before the write-back that it causes.
"""

from cgsim.compile.intrinsics import peek_i64, peek_u8, peek_u32, poke_u32
from cgsim.compile.jit import njit
from cgsim.core.replay.index import hashed_set
from cgsim.core.replay.lru_row import touch_dirty
from cgsim.core.replay.lru_scalar import DIRTY, LINE
from cgsim.core.replay.lru_vector import prefetch

BLOCK = 2048
MAX_WAYS = 1024
AHEAD = 8

SETS, MASK, LAST, LANES, STRIDE, ROWS, FOLD, COLUMNS = range(8)
"""Columns of the geometry: MASK is SETS - 1, or -1 if SETS is no power of two; LAST is ways - 1;
LANES see `lru_row`; STRIDE the bytes of a row; ROWS the address of the first row, EMPTY at the
start; FOLD see `index.hashed_set`."""

MISSES, DIRTY_VICTIMS, WRITEBACK_HITS, WRITEBACK_MISSES, COUNTERS = range(5)


def queue_words(levels):
    """The uint32 that one of the two queues of `replay_traffic` takes."""
    return (levels + 1) * (BLOCK + MAX_WAYS) + AHEAD


@njit
def replay_traffic(addresses, write, length, first, geometry, queue, other, counts):
    """Replay a trace from empty caches, and flush them at the end.

    addresses : int64   address of uint64[length], the byte addresses
    write     : int64   address of uint8[length], not 0 where the access writes
    first     : int64   the line numbered 0, a multiple of every level's number of sets; lines are
                        numbered up to 2**31 - 2
    geometry  : int64[levels, COLUMNS]
    queue, other : int64  addresses of uint32[queue_words(levels)], 0 at the start, overwritten
    counts    : int64[levels, COUNTERS]  added to

    Returns the lines written to memory.
    """
    levels = geometry.shape[0]
    written = 0
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        end = queue
        for i in range(start, stop):
            line = (peek_i64(addresses + 8 * i) >> 6 & (1 << 58) - 1) - first
            poke_u32(end, line | DIRTY if peek_u8(write + i) != 0 else line)
            end += 4
        written += _descend(0, geometry, queue, stop - start, other, 0, counts, first)
    for level in range(levels):
        used = 0
        for number in range(geometry[level, SETS]):
            row = geometry[level, ROWS] + number * geometry[level, STRIDE]
            for place in range(row, row + 4 * geometry[level, LAST] + 4, 4):
                held = peek_u32(place)
                poke_u32(queue + 4 * used, held)
                used += held >> 31
            if used >= BLOCK or number == geometry[level, SETS] - 1:
                counts[level, DIRTY_VICTIMS] += used
                written += _descend(level + 1, geometry, queue, used, other, 1, counts, first)
                used = 0
    return written


@njit
def _descend(level, geometry, queue, count, other, backs, counts, first):
    """Run a queue through `level` and all below it; returns the lines written to memory.

    backs : int64  1: DIRTY means a write-back; 0: the queue holds accesses, and it means a write
    """
    while level < geometry.shape[0]:
        count = _pass_level(geometry, level, queue, count, other, backs, counts, first)
        queue, other = other, queue
        level += 1
        backs = 1
    written = 0
    for place in range(queue, queue + 4 * count, 4):
        written += peek_u32(place) >> 31
    return written


@njit
def _pass_level(geometry, level, queue, count, below, backs, counts, first):
    """Touch every line; what the next level is asked goes to `below`; returns its length."""
    sets, mask, last = geometry[level, SETS], geometry[level, MASK], geometry[level, LAST]
    lanes, stride, rows = geometry[level, LANES], geometry[level, STRIDE], geometry[level, ROWS]
    fold = geometry[level, FOLD]
    misses = lost = written_back = absent_back = 0
    end = below
    for place in range(queue, queue + 4 * count, 4):
        if fold == 0:
            later = peek_u32(place + 4 * AHEAD) & LINE
            prefetch(rows + (later & mask if mask >= 0 else later % sets) * stride)
        word = peek_u32(place)
        line = word & LINE
        if fold != 0:
            number = hashed_set(line + first, fold, 0, mask, sets)
        else:
            number = line & mask if mask >= 0 else line % sets
        row = rows + number * stride
        victim = peek_u32(row + 4 * last)
        absent = 1 - touch_dirty(lanes, row, word, last)
        back = word >> 31 & backs
        evicts = absent & victim >> 31
        misses += absent & ~back
        written_back += back
        absent_back += absent & back
        lost += evicts
        poke_u32(end, line)
        end += 4 * (absent & ~back)
        poke_u32(end, victim)
        end += 4 * evicts
    counts[level, MISSES] += misses
    counts[level, DIRTY_VICTIMS] += lost
    counts[level, WRITEBACK_HITS] += written_back - absent_back
    counts[level, WRITEBACK_MISSES] += absent_back
    return (end - below) // 4
