"""Which set a line goes to: by its number modulo the sets, or by a hash of all its bits.

The hash is that of the timed machine (`cgsim.core.cache_sets.row_of`): the number is folded onto
itself, but for the lowest bits, so lines at the same place of their pages share a part of the sets.
"""

from cgsim.compile.jit import njit

PLAIN_BITS = 4


@njit
def folded(line, fold):
    """The number of a line, below 2**58, whose remainder is the set; fold: 0 for a plain index."""
    return line if fold == 0 else line ^ (line >> fold ^ line >> 2 * fold) << PLAIN_BITS


@njit
def hashed_set(line, fold, bits, mask, sets):
    """The set, in a shard of lines with the same `bits` last bits, of a hashed level.

    line : int64   as in the trace, not as in the shard
    bits : int64   at most PLAIN_BITS, which the hash leaves alone
    mask : int64   the shard's sets - 1, -1 if they are no power of two
    """
    number = folded(line, fold) >> bits
    return number & mask if mask >= 0 else number % sets
