"""Counter-based random numbers: a draw is a function of (seed, stream, index), of nothing else.

So results do not depend on the number of threads or on the order in which points run. The mixer is
splitmix64's finaliser (Steele, Lea and Flood, OOPSLA 2014), applied twice so that neighbouring
seeds and streams do not correlate.
"""

import numpy as np

from cgsim.compile.intrinsics import wrapping_product, wrapping_sum
from cgsim.compile.jit import njit

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_BITS_OF_30, _BITS_OF_27, _BITS_OF_31 = ((1 << 64 - shift) - 1 for shift in (30, 27, 31))


@njit
def mix64(value):
    """splitmix64's finaliser on the 64 bits of `value` (int64 in, int64 out)."""
    # the shifts bring in zeros
    z = wrapping_sum(value, _GOLDEN)
    z = wrapping_product(z ^ z >> 30 & _BITS_OF_30, _MIX_1)
    z = wrapping_product(z ^ z >> 27 & _BITS_OF_27, _MIX_2)
    return z ^ z >> 31 & _BITS_OF_31


@njit
def random_bits(seed, stream, index):
    """63 random bits as a non-negative int64."""
    return mix64(mix64(mix64(seed) ^ stream) ^ index) & 0x7FFFFFFFFFFFFFFF


@njit
def random_below(seed, stream, index, bound):
    """A random integer in [0, bound); the bias is below bound / 2**63."""
    return random_bits(seed, stream, index) % bound


@njit
def random_unit(seed, stream, index):
    """A random float64 in [0, 1), of 53 bits."""
    return (random_bits(seed, stream, index) >> 10) * (1.0 / 9007199254740992.0)


@njit
def _shuffle(permutation, seed, stream):
    for i in range(permutation.size - 1, 0, -1):
        j = random_below(seed, stream, i, i + 1)
        permutation[i], permutation[j] = permutation[j], permutation[i]


@njit
def shuffled_range(order, seed, stream):
    """Fill int64[n] `order` with a random permutation of range(n)."""
    for i in range(order.size):
        order[i] = i
    _shuffle(order, seed, stream)


def random_permutation(size, seed, stream):
    """A random permutation of range(size), int64 (Fisher and Yates)."""
    permutation = np.empty(size, dtype=np.int64)
    shuffled_range(permutation, seed, stream)
    return permutation


@njit
def _fill_below(values, seed, stream, bound):
    for i in range(values.size):
        values[i] = random_below(seed, stream, i, bound)


def random_integers(size, seed, stream, bound):
    """`size` random integers in [0, bound), int64."""
    values = np.empty(size, dtype=np.int64)
    _fill_below(values, seed, stream, bound)
    return values
