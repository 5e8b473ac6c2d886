"""The core of this host: latencies, width, window, branches, atomics."""

from __future__ import annotations

import time

import numpy as np

from cgsim.validation.host import loops
from cgsim.validation.host.instructions import WINDOWS, X86, ZEROINGS
from cgsim.validation.host.memory import LINE_BYTES, Region
from cgsim.validation.host.timing import Figure, clock, cycle_ns, figure, in_cycles, times

_BRANCHES = 1 << 20
_RUN = 20_000
_LOADS = 4000
_READINGS, _BETWEEN_S = 200, 0.002
_FUSED = 1.6


def measure_core(region: Region, repeats: int) -> dict[str, Figure]:
    """Figures of what happens in the core and its L1, by name.

    region : at least 2 MiB, overwritten.
    """
    base = region.address
    found = {
        "multiply": in_cycles(lambda: loops.multiplications(_RUN, 3), _RUN, repeats),
        "load": in_cycles(lambda: loops.loads(_LOADS, base), 8 * _LOADS, repeats),
        "locked": in_cycles(lambda: loops.locked_additions(_RUN, base), _RUN, repeats),
        "forward": _less(
            in_cycles(lambda: loops.forwarded(_RUN, base), _RUN, repeats), 1
        ),  # the addition
    }
    found["width"] = _width(repeats)
    if X86:
        found["call"] = in_cycles(lambda: loops.calls(_LOADS, 0), _LOADS, repeats)
        found["retpoline"] = in_cycles(lambda: loops.calls(_LOADS, 1), _LOADS, repeats)
    lines = np.arange(0, 16 << 10, LINE_BYTES, dtype=np.int64)
    start = region.chain(lines, relative=True)
    found["indexed"] = in_cycles(lambda: loops.chase_indexed(_RUN, base, start), _RUN, repeats)
    found["mispredict"] = _mispredict(region, repeats)
    return found


def _width(repeats: int) -> Figure:
    """Slots of dispatch a cycle, counted with no-operations.

    Zen 4 fuses two of them into one, which zeroings of registers tell; of these in turn a core with
    a wider dispatch, as Zen 5, finishes fewer than it has slots.
    """
    zeroing = in_cycles(lambda: loops.empty_slots(500), 500 * ZEROINGS, repeats)
    nothing = in_cycles(lambda: loops.no_operations(500), 500 * WINDOWS[-1], repeats)
    slot = zeroing if zeroing.value > _FUSED * nothing.value else nothing
    return Figure(1 / slot.value, "ops/cycle", slot.spread, slot.n)


def _less(given: Figure, cycles: float) -> Figure:
    return given._replace(value=max(given.value - cycles, 0.0))


def _mispredict(region: Region, repeats: int) -> Figure:
    """Random against steady branches; half of the random ones are mispredicted."""
    table = region.words.view(np.uint8)[:_BRANCHES]
    costs = []
    for high in (2, 1):
        table[:] = np.random.default_rng(1).integers(0, high, _BRANCHES)
        first = 0

        def run() -> None:
            nonlocal first
            loops.branches(_LOADS, region.address, _BRANCHES - 1, first)
            first += _LOADS

        costs.append(in_cycles(run, _LOADS, repeats))
    table[:] = 0
    random, steady = costs
    return random._replace(value=max(2 * (random.value - steady.value), 0.0))


def measure_window(region: Region, repeats: int) -> tuple[Figure | None, list[tuple[int, float]]]:
    """(entries of the window, None if no step was seen; cycles of two loads by what lies between).

    Two loads from memory overlap while the window holds both and what lies between them. region :
    beyond the caches, overwritten.
    """
    half = region.words.size // 2 * 8
    region.chain(np.arange(0, half, LINE_BYTES, dtype=np.int64))
    region.chain(np.arange(half, 2 * half, LINE_BYTES, dtype=np.int64))
    random = np.random.default_rng(2)
    curve, spreads = [], []
    for which, length in enumerate(WINDOWS):

        def run(which: int = which) -> None:
            line = LINE_BYTES * int(random.integers(half // LINE_BYTES))
            other = half + LINE_BYTES * int(random.integers(half // LINE_BYTES))
            loops.overlap(500, region.address + line, region.address + other, which)

        given = in_cycles(run, 500, repeats)
        curve.append((length, given.value - 2 * length / WINDOWS[-1]))
        spreads.append(given.spread)
    low, high = curve[0][1], float(np.median([value for _, value in curve[-3:]]))
    if high < 1.5 * low:
        return None, curve
    middle = (low + high) / 2
    number = next(i for i, (_, value) in enumerate(curve) if value > middle)
    if number == 0:
        return None, curve
    entries = round((curve[number - 1][0] + curve[number][0]) / 2)
    return Figure(entries, "count", max(spreads), repeats), curve


def measure_parallelism(
    region: Region, lines: int, repeats: int, stride: int = LINE_BYTES
) -> Figure:
    """ns for a line, where loads of so many lines (a power of two) wait for nothing."""
    first = 0

    def run() -> None:
        nonlocal first
        loops.scattered(_LOADS, region.address, stride, lines - 1, first)
        first += _LOADS

    for _ in range(min(lines // _LOADS, 40)):
        run()
    return figure(times(run, _LOADS, repeats), "ns")


def measure_clock() -> Figure:
    """GHz of a chain of additions, one a cycle: the quickest so far; the spread is of now."""
    readings = []
    for _ in range(_READINGS):
        readings.append(clock())
        time.sleep(_BETWEEN_S)
    return figure(np.array(readings), "ns")._replace(value=1 / cycle_ns(), unit="GHz")
