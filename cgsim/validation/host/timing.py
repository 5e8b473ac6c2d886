"""How a loop is timed on a host that others use too.

A loop runs in short repetitions, so that most are undisturbed. Of their times the lower quartile
stands for the loop; the spread is the interquartile range over the median, which says how noisy the
host was. The clock is measured beside every loop, since it moves.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.validation.host.loops import additions

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCK_ADDITIONS = 100_000


class Figure(NamedTuple):
    """A measured value. spread : interquartile range over the median, of `n` repetitions."""

    value: float
    unit: str
    spread: float
    n: int


def times(run: Callable[[], object], units: float, repeats: int) -> np.ndarray:
    """float64[repeats]: ns for each of `units` that a run does, without what a call takes.

    One run goes unmeasured.
    """
    run()
    taken = _empty_call_ns()
    found = np.empty(repeats)
    for i in range(repeats):
        begin = time.perf_counter_ns()
        run()
        found[i] = (time.perf_counter_ns() - begin - taken) / units
    return np.maximum(found, 1e-6)


@functools.cache
def _empty_call_ns() -> int:
    """The time of a call of a loop that does nothing, the clock's own included."""
    additions(0, 0)
    found = []
    for _ in range(200):
        begin = time.perf_counter_ns()
        additions(0, 0)
        found.append(time.perf_counter_ns() - begin)
    return min(found)


def figure(values: np.ndarray, unit: str) -> Figure:
    """The lower quartile of repeated values, with their spread."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return Figure(float(low), unit, float((high - low) / middle), values.size)


def cycle_ns(repeats: int = 7) -> float:
    """The length of a cycle now: the quickest chain of dependent additions."""
    return float(times(lambda: additions(_CLOCK_ADDITIONS, 0), _CLOCK_ADDITIONS, repeats).min())


def in_cycles(run: Callable[[], object], units: float, repeats: int) -> Figure:
    """Cycles for each of the units that a run does."""
    cycle = cycle_ns()
    return figure(times(run, units, repeats) / cycle, "cycles")
