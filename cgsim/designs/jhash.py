"""jhash2, Bob Jenkins' hash of 32-bit words (include/linux/jhash.h)."""

from cgsim.compile.jit import njit

_MASK = 0xFFFFFFFF
_INITIAL = 0xDEADBEEF


@njit
def _rol(value, bits):
    return (value << bits | value >> (32 - bits)) & _MASK


@njit
def _final(a, b, c):
    """__jhash_final: mix three words until every bit of them has changed every bit of the last."""
    c = ((c ^ b) - _rol(b, 14)) & _MASK
    a = ((a ^ c) - _rol(c, 11)) & _MASK
    b = ((b ^ a) - _rol(a, 25)) & _MASK
    c = ((c ^ b) - _rol(b, 16)) & _MASK
    a = ((a ^ c) - _rol(c, 4)) & _MASK
    b = ((b ^ a) - _rol(a, 14)) & _MASK
    return ((c ^ b) - _rol(b, 24)) & _MASK


@njit
def jhash_u64(key, seed):
    """The hash of a 64-bit key, as two words."""
    start = (_INITIAL + 8 + seed) & _MASK
    return _final((start + key) & _MASK, (start + (key >> 32)) & _MASK, start)


@njit
def jhash_u64_u32(key, number, seed):
    """The hash of a 64-bit key and a 32-bit one behind it, as three words."""
    start = (_INITIAL + 12 + seed) & _MASK
    return _final((start + key) & _MASK, (start + (key >> 32)) & _MASK, (start + number) & _MASK)
