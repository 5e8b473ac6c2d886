"""Other code's lines without addresses push the same lines out as lines with addresses do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.compile.block_access import element
from cgsim.compile.intrinsics import peek_u32
from cgsim.compile.jit import JIT_DISABLED, njit
from cgsim.core import block_fields as b
from cgsim.core.cache_sets import row_of
from cgsim.core.heap import Heap
from cgsim.core.recency import DIRTY, NAME_MASK, OTHERS
from cgsim.core.space import Timed, load, pause, run_other_code, store, touch_lines
from cgsim.core.system import System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec

LINE = 64
_SETS = (16, 128, 64)
_WAYS = (8, 8, 16)
_AREA = 300
_HOT = 300
RING = 4096


@njit
def play(space, blocks, turns, area, hot, ring, ring_lines, numbered):
    """turns : int64[n, 5]: CPU, hot lines, cold lines, first line of the area and how many.

    numbered : other code's lines have numbers; else addresses, from `hot` and `ring` on, which
    is CPU 0's.
    """
    place = 0
    for i in range(turns.shape[0]):
        own = Timed(space.mem, space.heap, blocks[turns[i, 0]])
        if numbered:
            run_other_code(own, 0, turns[i, 1], turns[i, 2])
        else:
            touch_lines(own, hot, turns[i, 1], 0)
            left = turns[i, 2]
            while left > 0:
                step = min(left, ring_lines - place)
                touch_lines(own, ring + LINE * place, step, 0)
                place = (place + step) % ring_lines
                left -= step
        pause(own, 1_000_000, i)
        for line in range(turns[i, 3], turns[i, 3] + turns[i, 4] // 2):
            load(own, area + LINE * line, 8, 0)
        if turns[i, 4] & 1 != 0:
            store(own, area + LINE * turns[i, 3], 8, 1, 0, 0)
    pause(space, 0, 0)


@njit
def entries(cpu, number, sets, ways, out):
    """out : int64[sets, ways], overwritten with the entries of a level's sets, newest first."""
    level = element(cpu, b.C_LEVELS + number)
    for index in range(sets):
        row = row_of(level, index)
        for way in range(ways):
            out[index, way] = peek_u32(row + 4 * way)


class Ends(NamedTuple):
    """By level, its sets' lines of the area, newest first; how many are dirty, and were written."""

    levels: list[list[list[int]]]
    dirty: int
    written: int


def ends(
    turns: np.ndarray, *, numbered: bool, random: bool = False, ring_lines: int = RING
) -> Ends:
    """What a machine with small plain caches holds after the turns."""
    spec = system_spec(load_machine("zen4-genoa"), 1)
    levels = tuple(
        level._replace(size_bytes=LINE * sets * ways, ways=ways, hashed=False)
        for level, sets, ways in zip(spec.levels, _SETS, _WAYS, strict=True)
    )
    levels = (levels[0], levels[1]._replace(random=random), levels[2])
    heap = Heap(8 << 20, seed=1)
    period = LINE * max(_SETS)
    places = [heap.place(name, 3 * RING * LINE) for name in ("area", "hot", "ring")]
    area, hot_at, ring_at = (-(-place // period) * period for place in places)
    system = System(spec._replace(levels=levels, tlb=None, retention_cycles=0), heap)
    if numbered:
        system.surround(_HOT, ring_lines)
    space = Timed(heap.mem, heap.block, system.cpu())
    play(space, system.cpu_row(), turns, area, hot_at, ring_at, ring_lines, numbered)
    found, dirty = [], set()
    first = area // LINE
    for number, (sets, ways) in enumerate(zip(_SETS, _WAYS, strict=True)):
        rows = np.zeros((sets, ways), dtype=np.int64)
        entries(system.cpu(), number, sets, ways, rows)
        names = rows & NAME_MASK
        ours = (names >= first) & (names < first + _AREA)
        dirty |= set(names[ours & (rows & DIRTY != 0)].tolist())
        found.append([
            (names[index][ours[index]] - first).tolist() for index in range(sets)
        ])  # fmt: skip
        if numbered:
            assert np.all((names >= OTHERS) | (names < first + _AREA))
    return Ends(found, len(dirty), system.system_field(b.S_WRITEBACKS))


def turns_of(rows: list[tuple[int, int, int, int]], writes: bool = False) -> np.ndarray:
    """(hot, cold, first, lines of the area) of each turn, as `play` takes them."""
    return np.array(
        [(0, hot, cold, min(at, _AREA - n), 2 * n + writes) for hot, cold, at, n in rows],
        dtype=np.int64,
    )


TURN = st.tuples(
    st.integers(0, _HOT),
    st.integers(0, 400) | st.sampled_from([0, 1, 16, 128, 129, 1024, 5000]),
    st.integers(0, _AREA - 1),
    st.integers(0, 40),
)


@settings(max_examples=5 if JIT_DISABLED else 200, deadline=None)
@given(st.lists(TURN, min_size=1, max_size=4 if JIT_DISABLED else 30))
def test_the_oldest_lines_are_pushed_out_as_by_lines_with_addresses(
    rows: list[tuple[int, int, int, int]],
) -> None:
    """L1 and L2, true LRU: line for line, and in order."""
    turns = turns_of(rows)
    numbered, named = ends(turns, numbered=True), ends(turns, numbered=False)
    assert numbered.levels[:2] == named.levels[:2]


def _random_turns(seed: int, cold: int, writes: bool = False) -> np.ndarray:
    """As many hot lines as stay in L2."""
    rng = np.random.default_rng(seed)
    hot, streamed, first = (rng.integers(n, size=60) for n in (61, 2 * cold + 1, _AREA - 20))
    rows = list(zip(hot.tolist(), streamed.tolist(), first.tolist(), [20] * 60, strict=True))
    return turns_of(rows, writes)


def _held(end: Ends) -> np.ndarray:
    """Lines of the area that each level holds."""
    return np.array([sum(map(len, level)) for level in end.levels])


@pytest.mark.compiled
@pytest.mark.parametrize("random", [False, True], ids=["lru", "random"])
@pytest.mark.parametrize("cold", [40, 250, 900])
def test_as_many_lines_are_left_in_every_level(random: bool, cold: int) -> None:
    """Also where L2 replaces at random, and in a last level filled by victims."""
    both = [
        np.mean([_held(ends(_random_turns(seed, cold), numbered=numbered, random=random))
                 for seed in range(40)], axis=0)
        for numbered in (True, False)
    ]  # fmt: skip
    assert both[0] == pytest.approx(both[1], rel=0.04, abs=3)


@pytest.mark.compiled
@pytest.mark.parametrize("random", [False, True], ids=["lru", "random"])
def test_no_dirty_line_is_lost(random: bool) -> None:
    """Each line is stored to once: it is in a cache, or was written to memory, once."""
    stores = [(9, cold, 5 * i, 1) for i, cold in enumerate(range(20, 1220, 20))]
    for more in (0, 3000, 300_000):
        turns = turns_of([*stores, (0, more, 0, 0)], writes=True)
        turns[-1, 4] = 0
        end = ends(turns, numbered=True, random=random, ring_lines=1 << 16)
        assert end.dirty + end.written == len(stores)
    assert end.written == len(stores)


def test_a_small_ring_leaves_room() -> None:
    """A ring that L2 holds pushes out what has no room beside it, however often it comes round."""
    spec = system_spec(load_machine("zen4-genoa"), 1)
    heap = Heap(8 << 20, seed=1)
    area = heap.place("area", 1 << 20)
    system = System(spec, heap)
    system.surround(1, 4096)
    space = Timed(heap.mem, heap.block, system.cpu())
    turns = np.array([(0, 0, 0, 0, 200), (0, 0, 50_000, 0, 0)], dtype=np.int64)
    play(space, system.cpu_row(), turns, area, 0, 0, 1, True)
    before = system.misses()
    play(space, system.cpu_row(), turns[:1], area, 0, 0, 1, True)
    after = system.misses()
    # 4,096 of 16,384 lines
    assert after["L1"] - before["L1"] == 100
    assert after["L2"] == before["L2"]


def test_another_core_finds_what_is_left() -> None:
    """A line that other code has pushed out of a core does not come from that core."""
    spec = system_spec(load_machine("zen4-genoa"), 2)
    heap = Heap(8 << 20, seed=1)
    area = heap.place("area", 1 << 20)
    transfers = []
    for cold in (0, 100_000):
        system = System(spec, heap)
        system.surround(1, 1 << 20)
        space = Timed(heap.mem, heap.block, system.cpu())
        turns = np.array(
            [(0, 0, 0, line, 3) for line in range(0, 100, 2)]
            + [(0, 0, cold, 0, 0)]
            + [(1, 0, 0, line, 2) for line in range(0, 100, 2)],
            dtype=np.int64,
        )
        play(space, system.cpu_row(), turns, area, 0, 0, 1, True)
        transfers.append(system.system_field(b.S_TRANSFERS))
    assert transfers == [50, 0]


def test_a_line_that_an_inclusive_level_has_lost_belongs_to_who_asks_for_it() -> None:
    """That set of the last level is told of other code while the line is on its way."""
    spec = system_spec(load_machine("zen4-genoa"), 2)
    levels = (*spec.levels[:2], spec.levels[2]._replace(inclusion=b.INCLUSIVE))
    heap = Heap(8 << 20, seed=1)
    area = heap.place("area", 1 << 20)
    system = System(spec._replace(levels=levels, retention_cycles=0), heap)
    system.surround(1, 1 << 24)
    space = Timed(heap.mem, heap.block, system.cpu())
    lines = range(0, 40, 2)
    first = [(0, 0, 0, line, 2) for line in lines]  # clean, so it leaves L2 silently
    again = [(0, 0, 10_000_000, 0, 0), *first]
    other = [(1, 0, 0, line, 3) for line in lines]
    play(space, system.cpu_row(), np.array(first + again + other), area, 0, 0, 1, True)
    assert system.system_field(b.S_TRANSFERS) == len(lines)


def test_nothing_happens_on_a_machine_that_keeps_no_other_code() -> None:
    heap = Heap(8 << 20, seed=1)
    area = heap.place("area", 1 << 20)
    system = System(system_spec(load_machine("zen4-genoa"), 1), heap)
    space = Timed(heap.mem, heap.block, system.cpu())
    turns = np.array([(0, 0, 0, 0, 40), (0, 9, 50_000, 0, 0), (0, 0, 0, 0, 40)])
    play(space, system.cpu_row(), turns, area, 0, 0, 1, True)
    assert system.misses()["L1"] == 20
