"""Which set of a level a line or page maps to, and the call that brings a line in."""

from cgsim.compile.block_access import fixed
from cgsim.compile.intrinsics import call_i64_5, unlikely
from cgsim.compile.jit import inlined
from cgsim.core.block_fields import (
    E_MISS,
    K_FOLD,
    K_MASK,
    K_ROW_BYTES,
    K_ROWS,
    K_SETS,
)

LINE_SHIFT = 6
CAUSE_BITS = 4
"""Of what `bring_in` returns: the low ones name the cause."""
_PLAIN_BITS = 4


@inlined
def row_of(level, name):
    """Raw address of the set of a cache or TLB level that a line or page maps to.

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
    return fixed(level, K_ROWS) + index * fixed(level, K_ROW_BYTES)


@inlined
def bring_in(cpu, line, writes, dispatch, start):
    """`miss`, called through its address: it is compiled once, not into each caller."""
    return call_i64_5(fixed(cpu, E_MISS), cpu, line, 1 if writes else 0, dispatch, start)
