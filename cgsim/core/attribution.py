"""Attribution: what each access cost, by the object and the word of it that it touched.

A place is one 8-byte word of the objects of a slab cache, or a whole object where objects are
large. Only a machine built to attribute (`System(..., places=True)`) has the table; its accesses
all take the long way, and its times are the same.

False sharing is found in constant time per access: every store stamps its word with the number of
the store, and a core that loses a line is stamped with the number of the store that took it. A line
that comes back to a core whose wanted word nobody has written since was shared falsely. Idea:
Dubois, Skeppstedt, Ricciulli, Ramamurthy and Stenstrom, "The detection and elimination of useless
misses in multiprocessors", ISCA 1993.
"""

import numpy as np

from cgsim.compile.block_access import add, fixed, get
from cgsim.compile.intrinsics import peek_u32, poke_u32
from cgsim.compile.jit import internal
from cgsim.core.block_fields import (
    C_CORE,
    C_SYSTEM,
    CAUSES,
    COHERENCE,
    S_CORES,
    S_LOST,
    S_PAGE_MAP,
    S_PLACE_OF,
    S_PLACES,
    S_STAMP,
    S_STAMPS,
)
from cgsim.core.host_memory import address_of, reserve

PLACE_COLUMNS = ("accesses", "wait_ticks", "translations", "false_sharing", *CAUSES)
(P_ACCESSES, P_WAIT, P_TRANSLATIONS, P_FALSE, P_CAUSES) = range(5)
_PLACE_WORDS = len(PLACE_COLUMNS)

# Of a slab cache: its first place, bytes of an object, 1 if an object is one place.
(_FIRST, _STRIDE, _WHOLE) = range(3)
_CACHE_WORDS = 4
_LARGEST_BYTES = 16384  # larger objects are one place


class Places:
    """The table of a heap's places, for a system of `cores` cores; add all slab caches before."""

    def __init__(self, heap, cores):
        self.heap = heap
        self._of_cache = np.zeros((len(heap.caches), _CACHE_WORDS), dtype=np.int64)
        count = 0
        for number, cache in enumerate(heap.caches):
            whole = cache.stride_bytes > _LARGEST_BYTES
            self._of_cache[number, :3] = count, cache.stride_bytes, whole
            count += 1 if whole else -(-cache.stride_bytes // 8)
        self.counts = np.zeros((count, _PLACE_WORDS), dtype=np.int64)
        lines = heap.memory_bytes // 64
        self._stamps = reserve(lines * 8 * 4, huge=False)
        self._lost = reserve(lines * cores * 4, huge=False) if cores > 1 else None

    def install(self, system):
        """Write the tables' addresses into a system block."""
        system[S_PLACE_OF] = address_of(self._of_cache)
        system[S_PLACES] = address_of(self.counts)
        system[S_STAMPS] = address_of(self._stamps)
        system[S_LOST] = 0 if self._lost is None else address_of(self._lost)

    def rows(self):
        """(Cache number, offset in bytes, int64[len(PLACE_COLUMNS)]) of each place accessed."""
        firsts = self._of_cache[:, _FIRST]
        for place in np.flatnonzero(self.counts[:, P_ACCESSES]):
            cache = int(np.searchsorted(firsts, place, side="right")) - 1
            yield cache, 8 * int(place - firsts[cache]), self.counts[place]


@internal
def attribute(cpu, address, writes, cause, wait_ticks, tlb_ticks):
    """Count an access: the cause that served it, and the ticks that retirement waited for it."""
    system = fixed(cpu, C_SYSTEM)
    page = get(fixed(system, S_PAGE_MAP), address >> 12)
    cache = fixed(system, S_PLACE_OF) + 8 * _CACHE_WORDS * (page >> 16 & 0xFFFF)
    place = get(cache, _FIRST)
    if get(cache, _WHOLE) == 0:
        place += (address - (page >> 32 << 12)) % get(cache, _STRIDE) >> 3
    counts = fixed(system, S_PLACES) + 8 * _PLACE_WORDS * place
    add(counts, P_ACCESSES, 1)
    add(counts, P_WAIT, wait_ticks)
    add(counts, P_CAUSES + cause, 1)
    if tlb_ticks > 0:
        add(counts, P_TRANSLATIONS, 1)
    stamp = fixed(system, S_STAMPS) + 4 * (address >> 3)
    if cause == COHERENCE and fixed(system, S_LOST) != 0:
        lost = peek_u32(_lost(system, address >> 6, fixed(cpu, C_CORE)))
        if lost != 0 and peek_u32(stamp) < lost:
            add(counts, P_FALSE, 1)
    if writes:
        add(system, S_STAMP, 1)
        poke_u32(stamp, get(system, S_STAMP))


@internal
def _lost(system, line, core):
    return fixed(system, S_LOST) + 4 * (line * fixed(system, S_CORES) + core)


@internal
def lose(system, line, core):
    """A core loses its copy of a line to the store that is about to be stamped."""
    poke_u32(_lost(system, line, core), get(system, S_STAMP) + 1)
