"""The data TLB, and page walks that read their entry through the caches."""

from cgsim.compile.block_access import add, fixed, get, put
from cgsim.compile.intrinsics import peek_u32
from cgsim.compile.jit import inlined, internal
from cgsim.core.block_fields import (
    C_LAST_PAGE,
    C_LAST_SHIFT,
    C_LEVELS,
    C_SYSTEM,
    C_TLB_1,
    C_TLB_2,
    C_WALK,
    K_LATENCY,
    K_LIST,
    K_MISSES,
    K_WAYS,
    S_GIANT_IN_TLB_2,
    S_HUGE_SHIFT,
    S_PAGE_MAP,
    S_PAGE_TABLE,
)
from cgsim.core.cache_sets import CAUSE_BITS, LINE_SHIFT, bring_in, row_of
from cgsim.core.lru_list import touch as touch_list
from cgsim.core.recency import (
    find,
    insert,
    to_front,
)

PAGE_4K, PAGE_2M, PAGE_1G = range(3)


@inlined
def _touch_page(level, number, name):
    """Make a page the most recent one of its set; True if it was there."""
    if fixed(level, K_LIST) != 0:
        return touch_list(fixed(level, K_LIST), name)
    row = row_of(level, number)
    way = find(row, fixed(level, K_WAYS), name)
    if way >= 0:
        to_front(row, fixed(level, K_WAYS), way, name)
        return True
    insert(row, fixed(level, K_WAYS), name)
    return False


@inlined
def translate(cpu, address, dispatch, start):
    """Extra ticks from `start` that the address' translation takes; 0 for a hit in the first level.

    `dispatch`: as of `miss`.
    """
    if address >> get(cpu, C_LAST_SHIFT) == get(cpu, C_LAST_PAGE) or fixed(cpu, C_TLB_1) == 0:
        return 0
    system = fixed(cpu, C_SYSTEM)
    entry = get(fixed(system, S_PAGE_MAP), address >> 12)
    size = entry & 3
    shift = 12 if size == PAGE_4K else (fixed(system, S_HUGE_SHIFT) if size == PAGE_2M else 30)
    put(cpu, C_LAST_SHIFT, shift)
    put(cpu, C_LAST_PAGE, address >> shift)
    # the page size is part of the name: a 4 KiB and a 2 MiB page may share a number
    number = (address >> shift) + 1
    name = number << 2 | size
    first = fixed(cpu, C_TLB_1 + size)
    if _touch_page(first, number, name):
        return 0
    add(first, K_MISSES, 1)
    walk = fixed(cpu, C_WALK + size)
    extra = walk
    second = fixed(cpu, C_TLB_2)
    if second != 0 and (size != PAGE_1G or fixed(system, S_GIANT_IN_TLB_2) != 0):
        extra = fixed(second, K_LATENCY)
        if not _touch_page(second, number, name):
            add(second, K_MISSES, 1)
            extra += walk
            if shift == 12 and fixed(system, S_PAGE_TABLE) != 0:
                extra += _entry_of_walk(cpu, address >> 12, dispatch, start + extra)
    return extra


@internal
def _entry_of_walk(cpu, page, dispatch, start):
    """Ticks from `start` that a walk waits for the page's entry beyond L2.

    Upper levels of the table are few and cached by the walker; the walk's own ticks, as profiles
    have them, are those where the entry is in L1 or L2.
    """
    line = (fixed(fixed(cpu, C_SYSTEM), S_PAGE_TABLE) + 8 * page) >> LINE_SHIFT
    level = fixed(cpu, C_LEVELS)
    row = row_of(level, line)
    way = find(row, fixed(level, K_WAYS), line)
    if way >= 0:
        to_front(row, fixed(level, K_WAYS), way, peek_u32(row + 4 * way))
        return 0
    ticks = bring_in(cpu, line, False, dispatch, start) >> CAUSE_BITS
    return max(ticks - fixed(fixed(cpu, C_LEVELS + 1), K_LATENCY), 0)
