"""One set of a cache in plain loops: the twin of `lru_vector`, for rows that no vector fits.

A set is a row of uint32 entries, most recently used first: the low 31 bits are the line, EMPTY
where the way is empty, and the top bit says that the copy is dirty. Empty ways are behind the
filled ones.

row    : int64   raw address of the row's first entry
line   : int64   0 <= line < 2**31 - 1
word   : int64   an entry: the line, and DIRTY or not; bits from 32 on are ignored
last   : int64   ways - 1
"""

from cgsim.compile.intrinsics import peek_u32, poke_u32
from cgsim.compile.jit import njit

EMPTY = 0x7FFFFFFF
DIRTY = 0x80000000
LINE = 0x7FFFFFFF


@njit
def touch(row, line, last):
    """Make `line` the most recent entry, pushing the oldest out if it is not there; 1 on a hit.

    For rows without dirty entries.
    """
    previous = peek_u32(row)
    if previous == line:
        return 1
    poke_u32(row, line)
    for place in range(row + 4, row + 4 * last + 4, 4):
        entry = peek_u32(place)
        poke_u32(place, previous)
        if entry == line:
            return 1
        previous = entry
    return 0


@njit
def touch_dirty(row, word, last):
    """As `touch`; the entry becomes dirty if `word` is, and stays so if it was."""
    line, stain = word & LINE, word & DIRTY
    previous = peek_u32(row)
    if previous & LINE == line:
        poke_u32(row, previous | stain)
        return 1
    for place in range(row + 4, row + 4 * last + 4, 4):
        entry = peek_u32(place)
        poke_u32(place, previous)
        if entry & LINE == line:
            poke_u32(row, entry | stain)
            return 1
        previous = entry
    poke_u32(row, line | stain)
    return 0


@njit
def find(row, line, last):
    """The way that holds `line`, -1 if none does."""
    for way in range(last + 1):
        if peek_u32(row + 4 * way) & LINE == line:
            return way
    return -1


@njit
def remove(row, line, last):
    """Take `line` out; 0 if it was not there, 1 if it was clean, 3 if it was dirty."""
    way = find(row, line, last)
    if way < 0:
        return 0
    dirty = peek_u32(row + 4 * way) >= DIRTY
    for place in range(row + 4 * way, row + 4 * last, 4):
        poke_u32(place, peek_u32(place + 4))
    poke_u32(row + 4 * last, EMPTY)
    return 3 if dirty else 1


@njit
def remove_clean(row, line, last, empty):
    """Take `line` out of a row without dirty entries, whose empty ways hold `empty`; 1 if it was
    there."""
    way = find(row, line, last)
    if way < 0:
        return 0
    for place in range(row + 4 * way, row + 4 * last, 4):
        poke_u32(place, peek_u32(place + 4))
    poke_u32(row + 4 * last, empty)
    return 1


@njit
def remove_others(first, rows, row, line, last, empty):
    """`remove_clean` from `rows` rows, from the one at `first` on, but not from `row`; how many
    held the line."""
    removed = 0
    for other in range(first, first + 4 * rows * (last + 1), 4 * (last + 1)):
        if other != row:
            removed += remove_clean(other, line, last, empty)
    return removed


@njit
def mark(row, word, last):
    """Make the entry of the line of `word` `word` where it stands; returns what `remove` would."""
    way = find(row, word & LINE, last)
    if way < 0:
        return 0
    before = peek_u32(row + 4 * way)
    poke_u32(row + 4 * way, word & (LINE | DIRTY))
    return 3 if before >= DIRTY else 1
