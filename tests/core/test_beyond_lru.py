"""Random replacement, page walks through the caches, lines at one place of their pages, prefetches
among lookups, and wrong paths that run into later calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cgsim.compile.jit import njit
from cgsim.core.block_fields import TICKS
from cgsim.core.heap import PAGE_4K, Heap
from cgsim.core.space import Timed, begin_chain, branch, load, now, touch_lines
from cgsim.core.system import System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec

LINE, PAGE = 64, 4096


@njit
def read_all(space, addresses):
    """Load int64[n] in turn, each after the one before; returns the time in ticks."""
    begin = now(space)
    token = 0
    for address in addresses:
        _, token = load(space, address, 8, token)
    return now(space) - begin


@njit
def touch_all(space, addresses):
    """Bring int64[n] in."""
    for address in addresses:
        touch_lines(space, address, 1, 0)


@njit
def calls(space, addresses, outcomes, chained):
    """Calls of two loads in a row and a branch on the second; returns the time in ticks.

    addresses : int64[n, 2]. chained : whether each call's address hangs on the call before.
    """
    begin = now(space)
    token = 0
    for i in range(outcomes.size):
        if chained == 0:
            begin_chain(space)
            token = 0
        _, token = load(space, addresses[i, 0], 8, token)
        _, token = load(space, addresses[i, 1], 8, token)
        branch(space, 0x900, outcomes[i] != 0, token)
    return now(space) - begin


@njit
def read_at_once(space, addresses, ahead):
    """Load int64[n], none waiting for another; returns the time in ticks.

    ahead : 0, or how many bytes further a prefetch goes at each eighth load.
    """
    begin = now(space)
    for i in range(addresses.size):
        if ahead != 0 and i & 7 == 0:
            touch_lines(space, addresses[i] + ahead, 1, 0)
        load(space, addresses[i], 8, 0)
    return now(space) - begin


@njit
def values_before_a_branch(space, first, second, outcomes, warm):
    """Calls of a load, a random branch on it, and a chain that hangs on the value: ticks of all.

    first, second : int64[n], addresses. warm : of a word between them that is in L1; 0: none.
    """
    begin = now(space)
    token = 0
    for i in range(outcomes.size):
        _, token = load(space, first[i], 8, token)
        branch(space, 0x910, outcomes[i] != 0, token)
        if warm != 0:
            _, token = load(space, warm, 8, token)
        _, token = load(space, second[i], 8, token)
    return now(space) - begin


def machine(**changes: Any) -> tuple[System, Timed, int]:
    """A system, its space, and where 64 MiB on pages of 4 KiB begin."""
    heap = Heap(256 << 20, seed=1)
    base = heap.place("object", 64 << 20, page_size=PAGE_4K)
    system = System(system_spec(load_machine("zen5-vm"))._replace(**changes), heap)
    return system, Timed(heap.mem, heap.block, system.cpu()), base


def hits_of_a_cycle(lines: int, random: bool) -> float:
    """Share of L2 hits when so many lines are read in the same random order again and again."""
    levels = list(system_spec(load_machine("zen5-vm")).levels)
    levels[1] = levels[1]._replace(random=random)
    system, space, base = machine(levels=tuple(levels))
    order = base + LINE * np.random.default_rng(1).permutation(lines).astype(np.int64)
    for _ in range(4):
        touch_all(space, order)
    before = system.counters()["L2_misses"]
    touch_all(space, order)
    return 1 - (system.counters()["L2_misses"] - before) / lines


@pytest.mark.compiled
def test_random_replacement_keeps_a_part_of_a_cycle_that_lru_loses() -> None:
    """h = (15 / 16) ** (24 (1 - h)) has its root at 0.42 (24 lines to a set of 16)."""
    assert hits_of_a_cycle(24576, random=False) < 0.02
    assert hits_of_a_cycle(24576, random=True) == pytest.approx(0.42, abs=0.05)
    assert hits_of_a_cycle(24576, random=True) == hits_of_a_cycle(24576, random=True)
    # the ways that are empty are filled first
    assert hits_of_a_cycle(8192, random=True) == 1


def test_a_walk_waits_for_a_page_table_entry_that_is_not_cached() -> None:
    """Pages that share a line of entries against pages with a line each, all lines of data cold."""
    walk = 110.0

    def cycles(step: int) -> float:
        _, space, base = machine()
        pages = base + PAGE * step * np.arange(256, dtype=np.int64)
        return read_all(space, pages) / TICKS / 256

    memory = system_spec(load_machine("zen5-vm")).memory_cycles[0][0]
    near, far = cycles(1), cycles(8)
    assert near == pytest.approx(memory + 7 + walk + memory / 8, rel=0.05)
    assert far == pytest.approx(memory + 7 + walk + memory, rel=0.05)


def test_walks_of_independent_loads_overlap() -> None:
    """The entry's wait begins with the load, not with retirement."""
    system, space, base = machine(memory_interval_cycles=0.0, memory_same_place_cycles=0.0)
    order = np.arange(64, dtype=np.int64)
    addresses = base + PAGE * 8 * np.column_stack([2 * order, 2 * order])
    together = calls(space, addresses, np.zeros(64, dtype=np.int64), 0) / TICKS
    memory = system.spec.memory_cycles[0][0]
    assert together < 5 * memory


@pytest.mark.parametrize(("chained", "low", "high"), [(0, 0.03, 0.6), (1, 1.8, 2.6)])
def test_wrong_paths_fetch_for_the_calls_that_follow(chained: int, low: float, high: float) -> None:
    """Mispredicts at the end of calls of two misses each; in cycles a call over those of memory.

    Independent calls: each wrong path goes on where the one before had come to. Chained: none of
    the lines was asked for.
    """
    system, space, base = machine(tlb=None, memory_interval_cycles=0.0)
    random = np.random.default_rng(2)
    addresses = base + LINE * random.permutation(2000).reshape(1000, 2).astype(np.int64)
    cycles = calls(space, addresses, random.integers(0, 2, 1000), chained) / TICKS / 1000
    assert low < cycles / system.spec.memory_cycles[0][0] < high


def _of_place(cycles: float) -> dict[str, Any]:
    levels = list(system_spec(load_machine("zen5-vm")).levels)
    levels[1] = levels[1]._replace(same_place_cycles=cycles)
    return {"levels": tuple(levels), "memory_same_place_cycles": cycles, "tlb": None}


@pytest.mark.parametrize("cycles", [0.0, 9.0, 30.0])
def test_lines_at_one_place_of_their_pages_come_one_after_the_other(cycles: float) -> None:
    """From L2, 200 lines a page apart, of which L1 has ways for twelve."""
    _, space, base = machine(**_of_place(cycles))
    addresses = base + PAGE * np.arange(200, dtype=np.int64)
    touch_all(space, np.tile(addresses, 3))
    at_once = read_at_once(space, addresses, 0) / TICKS / 200
    chained = read_all(space, addresses[::-1].copy()) / TICKS / 200
    assert at_once == pytest.approx(max(cycles, 3.7), rel=0.05)
    # each waits for the one before anyway; twelve hit
    assert chained == pytest.approx(max(cycles, 14) * 188 / 200, rel=0.05)


@pytest.mark.parametrize("interval", [0.0, 10.0])
def test_the_waits_for_bandwidth_and_for_a_place_pass_together(interval: float) -> None:
    """16 lines from memory: each comes so much later than the one before, not the sum."""
    changes = _of_place(30.0) | {"memory_interval_cycles": interval}
    system, space, base = machine(**changes)
    addresses = base + PAGE * np.arange(16, dtype=np.int64)
    cycles = read_at_once(space, addresses, 0) / TICKS
    assert cycles == pytest.approx(system.spec.memory_cycles[0][0] + 15 * 30, rel=0.02)


def test_a_prefetch_among_loads_does_not_hold_them_back() -> None:
    """It asks when the front end comes to it, while what was loaded before is still on its way."""
    times = []
    for ahead in (0, 32 << 20):
        _, space, base = machine(tlb=None)
        addresses = base + LINE * np.random.default_rng(3).permutation(4000).astype(np.int64)
        times.append(read_at_once(space, addresses, ahead) / TICKS / 4000)
    # an eighth more lines from memory
    assert times[1] < 1.25 * times[0]


def test_a_wrong_path_does_not_fetch_what_hangs_on_a_value_from_before() -> None:
    """Also where a load that hits L1 stands between the value and what hangs on it."""
    random = np.random.default_rng(4)
    lines = random.permutation(4000).reshape(2, 2000).astype(np.int64)
    outcomes = random.integers(0, 2, 2000)
    times = []
    for hot in (False, True):
        _, space, base = machine(tlb=None)
        first, second = base + LINE * lines
        warm = base + LINE * 5000 if hot else 0
        ticks = values_before_a_branch(space, first, second, outcomes, warm)
        times.append(ticks / TICKS / 2000)
    # the hit takes 4 cycles
    assert times[1] == pytest.approx(times[0] + 4, rel=0.01)
