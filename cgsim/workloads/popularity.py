"""Drawing from a discrete distribution in constant time: Zipf weights and the alias table.

The alias method is Walker's (1977) with Vose's construction (IEEE Trans. Software Eng. 17, 1991).
"""

from typing import NamedTuple

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.rng import random_unit


class AliasTable(NamedTuple):
    """A distribution over range(n): column i is i with probability `keep[i]`, else `other[i]`."""

    keep: np.ndarray
    """float64[n]"""
    other: np.ndarray
    """int64[n]"""


def zipf_pmf(n, exponent):
    """Probability of each rank, float64[n]: rank k (from 1) weighs k**-exponent; 0 is uniform."""
    weights = np.arange(1, n + 1, dtype=np.float64) ** -float(exponent)
    return weights / weights.sum()


def alias_table(weights):
    """The `AliasTable` of non-negative weights, float64[n] (any scale, not all zero)."""
    scaled = np.ascontiguousarray(weights, dtype=np.float64)
    scaled = scaled * (scaled.size / scaled.sum())
    keep = np.ones(scaled.size)
    other = np.arange(scaled.size, dtype=np.int64)
    _pair_up(scaled, keep, other)
    return AliasTable(keep, other)


@njit
def _pair_up(scaled, keep, other):
    """Fill each column below one from a column above one. scaled : overwritten."""
    n = scaled.size
    small = np.empty(n, np.int64)
    large = np.empty(n, np.int64)
    n_small = 0
    n_large = 0
    for i in range(n):
        if scaled[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        i = small[n_small]
        j = large[n_large - 1]
        keep[i] = scaled[i]
        other[i] = j
        scaled[j] -= 1.0 - scaled[i]
        if scaled[j] < 1.0:
            n_large -= 1
            small[n_small] = j
            n_small += 1


@njit
def column_of(table, unit):
    """The outcome of a uniform number in [0, 1) by an `AliasTable`."""
    where = unit * table.keep.size
    column = int(where)
    return column if where - column < table.keep[column] else table.other[column]


@njit
def draw(table, seed, stream, index):
    """The outcome of draw number `index` from an `AliasTable`."""
    return column_of(table, random_unit(seed, stream, index))


@njit
def draw_many(table, seed, stream, count):
    """Outcomes of draws 0 .. count - 1: int64[count]."""
    outcomes = np.empty(count, dtype=np.int64)
    for i in range(count):
        outcomes[i] = draw(table, seed, stream, i)
    return outcomes
