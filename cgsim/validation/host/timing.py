"""How a loop is timed on a host that others use too.

A loop runs in short repetitions, so that most are undisturbed. The clock is measured before and
after each, since it moves: a guest has a core to itself now and then only. Repetitions at the
quickest clock seen are taken; of their times the lower quartile stands for the loop, and the spread
is the interquartile range over the median, which says how noisy the host was.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.validation.host.loops import additions

if TYPE_CHECKING:
    from collections.abc import Callable

_CHECK_ADDITIONS = 20_000
_STEADY = 1.03
"""A clock is as quick as the quickest seen if a cycle is at most so many times as long."""
_TRIES = 4
_quickest = float("inf")


class Figure(NamedTuple):
    """A measured value. spread : interquartile range over the median, of `n` repetitions."""

    value: float
    unit: str
    spread: float
    n: int


def times(
    run: Callable[[], object],
    units: float,
    repeats: int,
    empty: Callable[[], object] | None = None,
) -> np.ndarray:
    """float64[repeats]: ns for each of `units` that a run does, without what a call takes.

    empty : a run of no units, where the call itself takes long; arguments that numba unpacks do.
    One run goes unmeasured.
    """
    run()
    taken = _empty_call_ns() if empty is None else _least_ns(empty)

    def one() -> float:
        begin = time.perf_counter_ns()
        run()
        return max((time.perf_counter_ns() - begin - taken) / units, 1e-6)

    return at_best(one, repeats)


def at_best(measure: Callable[[], float], repeats: int) -> np.ndarray:
    """float64[repeats]: what a measurement gave while the clock was at its quickest.

    If it seldom was, after some tries those at the quickest clocks there were.
    """
    found: list[tuple[float, float]] = []
    after = clock()
    for _ in range(_TRIES * repeats):
        value = measure()
        before, after = after, clock()
        found.append((max(before, after), value))
        if sum(cycle <= _STEADY * _quickest for cycle, _ in found) == repeats:
            break
    found.sort(key=lambda pair: pair[0])
    return np.array([value for _, value in found[:repeats]])


def clock() -> float:
    """The length of a cycle just now (ns): a chain of dependent additions, one a cycle."""
    global _quickest
    begin = time.perf_counter_ns()
    additions(_CHECK_ADDITIONS, 0)
    ns = (time.perf_counter_ns() - begin - _empty_call_ns()) / _CHECK_ADDITIONS
    _quickest = min(_quickest, ns)
    return ns


@functools.cache
def _empty_call_ns() -> int:
    """The time of a call of a loop that does nothing, the clock's own included."""
    return _least_ns(lambda: additions(0, 0))


def _least_ns(call: Callable[[], object]) -> int:
    found = []
    for _ in range(200):
        begin = time.perf_counter_ns()
        call()
        found.append(time.perf_counter_ns() - begin)
    return min(found)


def undisturbed_mean(stamps: np.ndarray) -> float:
    """The mean without the largest twentieth, which other work has interrupted.

    A guest's counter may tick in steps of 10 ns, so that means only tell what is quicker.
    """
    return float(np.sort(stamps)[: stamps.size - stamps.size // 20].mean())


def figure(values: np.ndarray, unit: str) -> Figure:
    """The lower quartile of repeated values, with their spread."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return Figure(float(low), unit, float((high - low) / middle), values.size)


def cycle_ns() -> float:
    """The length of a cycle: the quickest chain of dependent additions so far."""
    return min(clock(), _quickest)


def in_cycles(run: Callable[[], object], units: float, repeats: int) -> Figure:
    """Cycles for each of the units that a run does."""
    ns = times(run, units, repeats)
    return figure(ns / cycle_ns(), "cycles")
