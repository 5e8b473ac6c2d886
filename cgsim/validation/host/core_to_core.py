"""How long a modified line takes from one CPU to another: two threads pass a word to and fro."""

from __future__ import annotations

import itertools
import os
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from cgsim.validation.host.loops import ping_pong
from cgsim.validation.host.memory import Region
from cgsim.validation.host.timing import Figure

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROUNDS = 100
_LONGEST_WAIT = 20_000_000  # attempts: about a second
MOST_PAIRED = 32
"""CPUs of which every pair is measured; of more, the first one with each other."""


def usable_cpus() -> list[int]:
    """The CPUs that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def pairs_of(cpus: Iterable[int]) -> list[tuple[int, int]]:
    """The pairs that are measured."""
    found = list(itertools.combinations(sorted(cpus), 2))
    first = min(cpus, default=0)
    return [pair for pair in found if len(list(cpus)) <= MOST_PAIRED or first in pair]


def one_way_ns(pair: tuple[int, int], bursts: int) -> Figure | None:
    """Half a round trip by compare-and-exchange; None if the two never ran at once.

    The quickest tenth of the bursts stands for the pair: in others one of the two was not running.
    """
    region = Region(4096, huge=False)
    found: list[float] = []

    def answer() -> None:
        os.sched_setaffinity(0, {pair[1]})  # of this thread alone
        ping_pong(_ROUNDS * (bursts + 1), region.address, 1, _LONGEST_WAIT)

    def ask() -> None:
        os.sched_setaffinity(0, {pair[0]})
        if ping_pong(_ROUNDS, region.address, 0, _LONGEST_WAIT) < _ROUNDS:
            return
        for _ in range(bursts):
            begin = time.perf_counter_ns()
            done = ping_pong(_ROUNDS, region.address, 0, _LONGEST_WAIT)
            if done < _ROUNDS:
                return
            found.append((time.perf_counter_ns() - begin) / (2 * _ROUNDS))

    threads = [threading.Thread(target=answer), threading.Thread(target=ask)]
    ping_pong(0, region.address, 0, 0)  # compiled before the clock runs
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not found:
        return None
    tenth, middle = np.percentile(found, (10, 50))
    return Figure(float(tenth), "ns", float((middle - tenth) / middle), len(found))


def measure_pairs(cpus: list[int], bursts: int) -> dict[tuple[int, int], Figure | None]:
    """One-way times of pairs of CPUs."""
    return {pair: one_way_ns(pair, bursts) for pair in pairs_of(cpus)}
