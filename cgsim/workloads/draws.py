"""Random draws of the generators, from counter-based bits: fast, and of exactly the law.

A generator's random stream is a key (`stream_key`), computed once; draw number i of it is a mix of
key and i. What belongs to an actor is drawn by the actor's number and its own count, so that one
actor's draws do not depend on how often others act.

Exponential times are drawn by the ziggurat of Marsaglia and Tsang (Journal of Statistical Software
5(8), 2000), 256 layers; a popularity law is inverted through a guide table (Chen and Asau, AIIE
Transactions 6, 1974), which keeps the order: one uniform number gives like ranks under like laws.
"""

import math
from typing import NamedTuple

import numpy as np

from cgsim.compile.block_access import element
from cgsim.compile.intrinsics import real
from cgsim.compile.jit import njit
from cgsim.core.host_memory import address_of
from cgsim.core.rng import mix64

_LAYERS = 256
_RIGHT = 7.69711747013104972  # where the ziggurat's base layer begins
_AREA = 3.949659822581572e-3
_UNIT = 1.0 / 9007199254740992.0
_POSITIVE = 0x7FFFFFFFFFFFFFFF
ACTOR_SHIFT = 40
"""Draw numbers of an actor: actor << ACTOR_SHIFT | its own count."""


@njit(forceinline=True)
def stream_key(seed, stream):
    """The key of a random stream, int64."""
    return mix64(mix64(seed) ^ stream)


@njit(forceinline=True)
def bits_of(key, index):
    """63 random bits: draw number `index` of the stream with a key."""
    return mix64(key ^ index) & _POSITIVE


@njit(forceinline=True)
def unit_of(bits):
    """A float64 in [0, 1) out of 63 random bits."""
    return (bits >> 10) * _UNIT


def _ziggurat():
    """(float64[257] right edges, float64[257] densities there)."""
    x = np.empty(_LAYERS + 1)
    x[0] = _AREA / math.exp(-_RIGHT)
    x[1] = _RIGHT
    for i in range(2, _LAYERS):
        x[i] = -math.log(math.exp(-x[i - 1]) + _AREA / x[i - 1])
    x[_LAYERS] = 0.0
    return x, np.exp(-x)


class Exponential(NamedTuple):
    """The ziggurat's layers: raw addresses of right edges and densities, float64[257] each."""

    edges: int
    densities: int


_LAYER_ARRAYS = _ziggurat()
EXPONENTIAL = Exponential(*(address_of(array) for array in _LAYER_ARRAYS))


@njit(forceinline=True)
def exponential(table, bits):
    """An exponential variate of mean 1 out of 63 random bits."""
    base = 0.0
    while True:
        layer = bits & (_LAYERS - 1)
        x = unit_of(bits) * real(table.edges, layer)
        if x < real(table.edges, layer + 1):
            return base + x
        bits = mix64(bits) & _POSITIVE
        if layer == 0:
            # the tail is exponential again
            base += _RIGHT
            bits = mix64(bits) & _POSITIVE
            continue
        low = real(table.densities, layer)
        if low + unit_of(bits) * (real(table.densities, layer + 1) - low) < math.exp(-x):
            return base + x
        bits = mix64(bits) & _POSITIVE


@njit(forceinline=True)
def normal(bits):
    """A standard normal variate out of 63 random bits (Box and Muller)."""
    u = 1.0 - unit_of(bits)
    angle = 2.0 * math.pi * unit_of(mix64(bits) & _POSITIVE)
    return math.sqrt(-2.0 * math.log(u)) * math.cos(angle)


class Guide(NamedTuple):
    """A distribution over range(n) for inversion: outcome i if the uniform number is in
    [cumulated[i - 1], cumulated[i]).

    cumulated : raw address of float64[n], which ends with 1. starts : raw address of int64[cells],
    the outcome of the smallest number of each cell, of which [0, 1) has as many of equal size.
    """

    cumulated: int
    starts: int
    cells: int


_CELLS_PER_OUTCOME = 4  # few cells with two bounds or more, so that branches are foreseen
_MOST_CELLS = 1 << 20  # but one per outcome


def guide(weights):
    """The `Guide` of non-negative weights, float64[n] (any scale, not all zero), and its arrays."""
    cumulated = np.cumsum(np.asarray(weights, dtype=np.float64))
    cumulated /= cumulated[-1]
    n = cumulated.size
    # a power of two, by which a product is exact
    cells = 1 << (max(n, min(_CELLS_PER_OUTCOME * n, _MOST_CELLS)) - 1).bit_length()
    starts = np.searchsorted(cumulated, np.arange(cells) / cells, side="right").astype(np.int64)
    return Guide(address_of(cumulated), address_of(starts), cells), (cumulated, starts)


@njit(forceinline=True)
def invert(table, unit):
    """The outcome of a uniform number in [0, 1)."""
    outcome = element(table.starts, int(unit * table.cells))
    outcome += real(table.cumulated, outcome) <= unit
    while real(table.cumulated, outcome) <= unit:
        outcome += 1
    return outcome
