"""False sharing of lines among up to 64 CPUs, in constant time per access; see `cgsim.replay`.

Only lines that a CPU has lost get an entry; a table names it for each line. An entry holds the CPUs
that have lost the line and not asked for it since, and for each word those of them for which it has
been written since.
"""

from cgsim.compile.intrinsics import peek_i64, peek_u32, poke_i64, poke_u32
from cgsim.compile.jit import njit

LOST, FALSE_CPUS, COUNT, LINE, WRITTEN = range(5)
"""Fields of an entry, int64. LOST: a bit for each CPU that has lost the line; WRITTEN: the first of
WORDS, a bit for each such CPU; FALSE_CPUS: a bit for each with falsely shared misses, in all COUNT
of them; LINE. In entry 0, of no line, LINE is the table's address, and COUNT how many entries there
are."""

WORDS = 8
FIELDS = WRITTEN + WORDS
INDEX_BYTES = 4
MAX_CPUS = 64


@njit
def come_back(sharing, line, cpu, words):
    """The CPU asks for a line, for the words of a bit mask.

    sharing : int64  address of int64[lines + 1, FIELDS], the entries; all of entry 0 is 0 at the
                     start but LINE: the address that the table of uint32 would have for line 0,
                     whose entries are 0 at the start. Overwritten

    Returns 0 if the CPU has not lost the line, 1 if a word has been written since, or 2: a falsely
    shared miss.
    """
    entry = _entry(sharing, line)
    lost = peek_i64(entry)
    if lost >> cpu & 1 == 0:
        return 0
    poke_i64(entry, lost & ~(1 << cpu))
    written = 0
    for word in range(WORDS):
        written |= peek_i64(entry + 8 * (WRITTEN + word)) & -(words >> word & 1)
    if written >> cpu & 1 != 0:
        return 1
    poke_i64(entry + 8 * FALSE_CPUS, peek_i64(entry + 8 * FALSE_CPUS) | 1 << cpu)
    poke_i64(entry + 8 * COUNT, peek_i64(entry + 8 * COUNT) + 1)
    return 2


@njit
def take(sharing, line, cpus, words):
    """A store to the words of a bit mask takes a line from the CPUs of another; see `come_back`."""
    entry = _entry(sharing, line)
    if entry == sharing:
        if cpus == 0:
            return
        entry = _new_entry(sharing, line)
    lost = peek_i64(entry) | cpus
    poke_i64(entry, lost)
    for word in range(WORDS):
        place = entry + 8 * (WRITTEN + word)
        poke_i64(place, peek_i64(place) & ~cpus | lost & -(words >> word & 1))


@njit
def _entry(sharing, line):
    """The address of a line's entry, that of entry 0 if it has none."""
    index = peek_u32(peek_i64(sharing + 8 * LINE) + INDEX_BYTES * line)
    return sharing + 8 * FIELDS * index


@njit
def _new_entry(sharing, line):
    """The address of an entry made for a line."""
    index = peek_i64(sharing + 8 * COUNT) + 1
    poke_i64(sharing + 8 * COUNT, index)
    poke_u32(peek_i64(sharing + 8 * LINE) + INDEX_BYTES * line, index)
    entry = sharing + 8 * FIELDS * index
    for field in range(FIELDS):
        poke_i64(entry + 8 * field, 0)
    poke_i64(entry + 8 * LINE, line)
    return entry
