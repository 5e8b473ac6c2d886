"""Caches and TLB of this host: a ladder of latencies, and what its steps say."""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.validation.host.loops import chase
from cgsim.validation.host.memory import LINE_BYTES, Region, huge_bytes
from cgsim.validation.host.timing import Figure, cycle_ns, in_cycles

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = 4000
_PASSES = 2
_QUICK_BYTES = 1 << 19
_GONE = 3  # times as long as a load that hits takes one whose line is gone, at least
PAUSES_MS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0)
PAGES = (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072,
         4096, 6144, 8192, 12288, 16384)  # fmt: skip


class Rung(NamedTuple):
    """A chase through `size_bytes` (or one line of each of so many pages) on pages of one kind."""

    size_bytes: int
    pages: str
    figure: Figure


class Ladder(NamedTuple):
    """Rungs by working set and by pages; `got_huge`: the system gave huge pages."""

    sizes: tuple[Rung, ...]
    strides: tuple[Rung, ...]
    got_huge: bool

    def latency(self, size_bytes: float, pages: str) -> float:
        """Cycles of a load in a working set of that size, between rungs by its logarithm."""
        rungs = [rung for rung in self.sizes if rung.pages == pages]
        sizes = np.log([rung.size_bytes for rung in rungs])
        return float(np.interp(np.log(size_bytes), sizes, [rung.figure.value for rung in rungs]))


def ladder_sizes(largest: int) -> list[int]:
    """Working sets from 4 KiB: a power of two and one and a half of it."""
    sizes = []
    size = 4096
    while size <= largest:
        sizes += [size, size * 3 // 2]
        size *= 2
    return [size for size in sizes if size <= largest]


def measure_ladder(largest: int, page_counts: Sequence[int], repeats: int) -> Ladder:
    """Chase through working sets up to `largest` bytes and through lines of single pages."""
    sizes: list[Rung] = []
    strides: list[Rung] = []
    got_huge = False
    extent = max(largest, max(page_counts) * 4096)
    for pages in ("4k", "huge"):
        before = huge_bytes()
        region = Region(extent, huge=pages == "huge")
        if pages == "huge":
            got_huge = huge_bytes() - before >= extent // 2
        for _ in range(_PASSES):
            sizes += [
                Rung(size, pages, _chase(region.lines(size), size, repeats))
                for size in ladder_sizes(largest)
            ]
            strides += [
                Rung(count, pages, _chase(region.pages(count), count * LINE_BYTES, repeats))
                for count in page_counts
            ]
        del region
    return Ladder(_quieter(sizes), _quieter(strides), got_huge)


def _quieter(rungs: list[Rung]) -> tuple[Rung, ...]:
    """Of the passes' rungs of one kind the quickest: noise lasts for seconds, and only adds."""
    best: dict[tuple[int, str], Rung] = {}
    for rung in rungs:
        known = best.setdefault((rung.size_bytes, rung.pages), rung)
        if rung.figure.value < known.figure.value:
            best[rung.size_bytes, rung.pages] = rung
    return tuple(best.values())


def _chase(start: int, size_bytes: int, repeats: int) -> Figure:
    """Cycles of a load of a chain; each repetition goes on where the one before ended."""
    at = chase(min(size_bytes // LINE_BYTES, 1 << 21), start)
    steps = _STEPS if size_bytes > _QUICK_BYTES else 5 * _STEPS

    def run() -> None:
        nonlocal at
        at = chase(steps, at)

    return in_cycles(run, steps, repeats)


def inferred_sizes(ladder: Ladder, plateaus: Sequence[float]) -> list[int]:
    """Where the ladder leaves each plateau (cycles, nearest first; the last is memory)."""
    found = []
    rungs = [rung for rung in ladder.sizes if rung.pages == "huge"]
    for low, high in itertools.pairwise(plateaus):
        border = (low * high) ** 0.5
        found.append(max((r.size_bytes for r in rungs if r.figure.value < border), default=0))
    return found


def measure_retention(region: Region, size_bytes: int, repeats: int) -> list[tuple[float, float]]:
    """(ms for which the lines lay untouched, cycles of a load then): strangers take their places.

    size_bytes : more than the caches before the last level hold, and less than that one.
    """
    steps = size_bytes // LINE_BYTES
    at = chase(steps, region.lines(size_bytes))
    curve = []
    for pause_ms in PAUSES_MS:
        found = []
        for _ in range(repeats):
            at = chase(steps, chase(steps, at))
            begin = time.perf_counter()
            while time.perf_counter() < begin + 1e-3 * pause_ms:
                pass
            before = time.perf_counter_ns()
            at = chase(steps, at)
            found.append((time.perf_counter_ns() - before) / steps)
        curve.append((pause_ms, float(np.median(found)) / cycle_ns()))
    return curve


def half_left(curve: Sequence[tuple[float, float]]) -> Figure | None:
    """ms after which half of the lines are left, if they go as `cgsim.core.retention` says.

    curve : of `measure_retention`, from at once until all are gone. None: nothing goes.
    """
    hit, gone = curve[0][1], curve[-1][1]
    if gone < _GONE * hit:
        return None
    left = [(ms, (gone - cycles) / (gone - hit)) for ms, cycles in curve[1:]]
    told = [ms / math.log2(1 / share) ** (2 / 3) for ms, share in left if 0.1 < share < 0.9]
    if not told:
        return None
    middle = float(np.median(told))
    return Figure(middle, "ms", (max(told) - min(told)) / middle, len(told))


def conflict_curve(
    region: Region, stride_bytes: int, counts: Sequence[int], repeats: int
) -> list[float]:
    """Cycles of a load in a chain of so many lines that lie `stride_bytes` apart."""
    curve = []
    for count in counts:
        start = region.chain(np.arange(count, dtype=np.int64) * stride_bytes)
        curve.append(_chase(start, count * LINE_BYTES, repeats).value)
    return curve


class Reach(NamedTuple):
    """What strides of single pages say of the TLB; None: not to be seen on this host."""

    first_entries: int | None
    second_extra: float | None
    second_entries: int | None
    walk: float | None


def tlb_reach(ladder: Ladder, pages: str) -> Reach:
    """Steps of the latency over the caches' own, by how many pages are used in turn."""
    counts = np.array([rung.size_bytes for rung in ladder.strides if rung.pages == pages])
    values = np.array([rung.figure.value for rung in ladder.strides if rung.pages == pages])
    own = np.array([ladder.latency(max(count * LINE_BYTES, 4096), "huge") for count in counts])
    extra = values - own
    few = extra[(counts >= 160) & (counts <= 512)]
    if few.size == 0 or np.median(few) < 2:
        return Reach(None, None, None, None)
    second = float(np.median(few))
    first = int(counts[extra < second / 2].max(initial=0))
    top = float(np.median(extra[-3:]))
    walk = top - second
    if walk < second / 2:
        return Reach(first, second, None, None)
    within = counts[extra < second + 0.1 * walk]
    return Reach(first, second, int(within.max(initial=0)), walk)
