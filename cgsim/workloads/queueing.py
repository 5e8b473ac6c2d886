"""An open loop: packets arrive whether the CPU is ready or not, and wait for each other.

The waiting times of a queue with one server follow Lindley's recursion (Mathematical Proceedings of
the Cambridge Philosophical Society 48(2), 1952): a packet waits for what the one before it had
still to wait and take when it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.compile.jit import njit
from cgsim.workloads.draws import EXPONENTIAL, bits_of, exponential, stream_key

if TYPE_CHECKING:
    from collections.abc import Callable

_STREAM = 9


@njit
def _exponentials(table, key, out):
    for i in range(out.size):
        out[i] = exponential(table, bits_of(key, i))


@njit
def _lindley(gaps, services, sojourns):
    wait = 0.0
    for i in range(gaps.size):
        # the first packet finds the server idle
        if i > 0:
            wait = max(0.0, wait + services[(i - 1) % services.size] - gaps[i])
        sojourns[i] = wait + services[i % services.size]


def poisson_gaps(n: int, seed: int) -> np.ndarray:
    """Times between arrivals of mean 1, exponential: float64[n]."""
    gaps = np.empty(n)
    _exponentials(EXPONENTIAL, int(stream_key(seed, _STREAM)), gaps)
    return gaps


def sojourns(gaps_ns: np.ndarray, services_ns: np.ndarray) -> np.ndarray:
    """Time from each packet's arrival until it is done: float64[n].

    gaps_ns : float64[n], from the arrival before. services_ns : float64[k], what packets take, used
    again from the start.
    """
    found = np.empty(gaps_ns.size)
    _lindley(gaps_ns, np.ascontiguousarray(services_ns, dtype=np.float64), found)
    return found


def highest_rate(
    gaps: np.ndarray, services_ns: np.ndarray, fits: Callable[[np.ndarray], bool]
) -> float:
    """The highest rate, in packets per ns, at which the sojourns fit; by halving, to 0.1 %.

    gaps : of mean 1, so that all rates see the same arrivals, closer together.
    """
    high = 1.0 / float(services_ns.mean())
    low = 0.0
    while high - low > 1e-3 * high:
        middle = 0.5 * (low + high)
        if fits(sojourns(gaps / middle, services_ns)):
            low = middle
        else:
            high = middle
    return low
