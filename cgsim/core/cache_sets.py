"""Which set of a level a line or page maps to, and the call that brings a line in."""

from cgsim.compile.block_access import element, fixed, get
from cgsim.compile.intrinsics import call_i64_4, call_i64_5, unlikely
from cgsim.compile.jit import inlined
from cgsim.core.block_fields import (
    E_CATCH_UP,
    E_MISS,
    K_CLOCK,
    K_CPU,
    K_FOLD,
    K_MASK,
    K_ROW_BYTES,
    K_ROWS,
    K_SEEN,
    K_SETS,
)

LINE_SHIFT = 6
CAUSE_BITS = 4
"""Of what `bring_in` returns: the low ones name the cause."""
_PLAIN_BITS = 4


@inlined
def index_of(level, name):
    """The set of a cache or TLB level that a line or page maps to.

    A hashed index leaves the lowest bits of the line's number alone, so lines at the same place in
    their pages share a part of the sets. On Zen 5 600 such lines fit a L2 of 1024 sets, 1369 do not
    (data/kernel/zen5_vm_measured.json, same_set_stride_4096): they reach 64 sets.
    """
    fold = fixed(level, K_FOLD)
    mixed = name if fold == 0 else name ^ (name >> fold ^ name >> 2 * fold) << _PLAIN_BITS
    mask = fixed(level, K_MASK)
    index = mixed & mask
    if unlikely(mask < 0):
        index = mixed % fixed(level, K_SETS)
    return index


@inlined
def row_of(level, name):
    """Raw address of the set of a line or page, which knows then what other code has touched."""
    index = index_of(level, name)
    seen = fixed(level, K_SEEN)
    if unlikely(seen != 0 and element(seen, 2 * index) != get(level, K_CLOCK)):
        call_i64_4(fixed(fixed(level, K_CPU), E_CATCH_UP), level, index, 0, 0)
    return fixed(level, K_ROWS) + index * fixed(level, K_ROW_BYTES)


@inlined
def bring_in(cpu, line, writes, dispatch, start):
    """`miss`, called through its address: it is compiled once, not into each caller."""
    return call_i64_5(fixed(cpu, E_MISS), cpu, line, 1 if writes else 0, dispatch, start)
