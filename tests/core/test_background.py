"""Other code's lines, touched in bulk, leave the machine as they do one by one, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cgsim.compile.jit import JIT_DISABLED, njit
from cgsim.core import block_fields as b
from cgsim.core.heap import PAGE_1G, PAGE_2M, PAGE_4K, Heap
from cgsim.core.space import Timed, atomic_add, load, pause, store, touch_lines
from cgsim.core.system import System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec

LINE = 64
_TURNS = 12 if JIT_DISABLED else 400
_TOUCH, _READ, _WRITE, _LOCKED, _WRITE_LINES, _PAUSE = range(6)


@njit
def play(space, blocks, turns):
    """turns : int64[n, 4], of CPU, what it does, address, and lines or ticks."""
    for i in range(turns.shape[0]):
        own = Timed(space.mem, space.heap, blocks[turns[i, 0]])
        what, address, amount = turns[i, 1], turns[i, 2], turns[i, 3]
        if what == _TOUCH:
            touch_lines(own, address, amount, 0)
        elif what == _WRITE_LINES:
            touch_lines(own, address, amount, 1)
        elif what == _PAUSE:
            pause(own, amount, i)
        for line in range(amount if _READ <= what <= _LOCKED else 0):
            place = (address + LINE * line) & ~7
            if what == _READ:
                load(own, place, 8, 0)
            elif what == _WRITE:
                store(own, place, 8, 1, 0, 0)
            else:
                atomic_add(own, place, 8, 1, 0)


def turns_of(cpus: int, areas: list[tuple[int, int]], seed: int) -> np.ndarray:
    """Rings that CPUs stream through, the same lines again and again, and words they write."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(_TURNS):
        what = rng.choice(6, p=[0.5, 0.1, 0.15, 0.1, 0.05, 0.1])
        first, size = areas[rng.integers(len(areas))]
        most = (7, 40, 900, 6000)[rng.integers(4)] if what in (_TOUCH, _WRITE_LINES) else 30
        amount = int(rng.integers(1, 60 if JIT_DISABLED else most + 1))
        # mostly near the area's beginning, so that lines are met again in all levels
        reach = size - LINE * (amount + 1)
        address = first + int(reach * rng.random() ** rng.choice([1, 4, 16]))
        if what == _PAUSE:
            amount = int(rng.choice([100, 10_000, 30_000_000])) * b.TICKS
        rows.append((rng.integers(cpus), what, address, amount))
    return np.array(rows, dtype=np.int64)


def ends(name: str, cpus: int, changes: dict[str, Any]) -> tuple[System, list[list[np.ndarray]]]:
    """The machine, and all its words after the same turns in bulk and line by line."""
    heap = Heap(128 << 20, seed=1)
    areas = [
        (heap.place(f"area {size >> 10} {page}", size, page_size=page), size)
        for size, page in ((1 << 16, PAGE_2M), (4 << 20, PAGE_2M), (20 << 20, PAGE_4K),
                           (1 << 20, PAGE_1G))
    ]  # fmt: skip
    system = System(system_spec(load_machine(name), cpus)._replace(**changes), heap)
    space = Timed(heap.mem, heap.block, system.cpu())
    turns = turns_of(cpus, areas, seed=7)
    assert system.touches_in_bulk(), "a way would be compared with itself"
    begun = [words.copy() for words in system.arrays]
    found = []
    for bulk in (True, False):
        for words, old in zip(system.arrays, begun, strict=True):
            words[:] = old
        system.touch_in_bulk(bulk)
        play(space, system.cpu_row(), turns)
        system.touch_in_bulk(True)
        found.append([words.copy() for words in system.arrays])
    return system, found


_SMALL = {"levels": tuple(
    level._replace(size_bytes=size)
    for level, size in zip(system_spec(load_machine("zen5-vm"), 1).levels,
                           (12 << 10, 64 << 10, 256 << 10), strict=True)
)}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "cpus", "changes"),
    [
        ("zen5-vm", 1, {}),  # L2 replaces at random, strangers in the last level, walks are read
        ("zen5-vm", 2, {}),
        ("zen5-vm", 1, _SMALL),
        ("zen5-vm", 2, _SMALL),
        ("zen5-turin", 3, {}),
        ("zen4-genoa", 1, {}),  # true LRU, hashed
        ("zen4-genoa", 4, {}),
        ("zen4-genoa", 1, {"tlb": None}),
        ("icelake-sp", 2, {}),  # more than 16 ways, a number of sets that is no power of two
        ("neoverse-n1", 2, {}),
        ("xeon-8176-8s", 4, {}),  # a node's memory is shared
    ],
)
def test_in_bulk_is_line_by_line(name: str, cpus: int, changes: dict[str, Any]) -> None:
    """Every row of every cache and TLB, every count, clock, directory record and ring."""
    _, (bulk, one_by_one) = ends(name, cpus, changes)
    assert len(bulk) > 10
    for number, (ours, theirs) in enumerate(zip(bulk, one_by_one, strict=True)):
        assert np.array_equal(ours, theirs), f"array {number}"


@pytest.mark.compiled  # with as many turns as compiled code makes
def test_the_turns_reach_what_can_differ() -> None:
    """Hits and misses of all levels, dirty lines that leave, lines that other cores take."""
    system, _ = ends("zen5-vm", 2, _SMALL)
    counts = [system.counters(cpu) for cpu in range(2)]
    one, two = (sum(cpu[f"L{level}_misses"] for cpu in counts) for level in (1, 2))
    # the last level is one for both
    assert one > two + 1000
    assert two > counts[0]["L3_misses"] + 1000 > 2000
    assert counts[0]["TLB2_misses"] > 20
    for field in (b.S_WRITEBACKS, b.S_TRANSFERS, b.S_INVALIDATIONS):
        assert system.system_field(field) > 20


@pytest.mark.parametrize(
    "changes",
    [
        {"prefetch_next_line": True},
        {"levels": tuple(level._replace(inclusion=b.INCLUSIVE) for level in _SMALL["levels"])},
        {"levels": _SMALL["levels"][::2]},
    ],
    ids=["prefetch", "inclusive", "two levels"],
)
def test_machines_of_another_kind_are_touched_line_by_line(changes: dict[str, Any]) -> None:
    """A last level that no victims fill, a prefetcher, other numbers of levels."""
    heap = Heap(64 << 20, seed=1)
    spec = system_spec(load_machine("zen5-vm"), 1)._replace(**changes)
    assert not System(spec, heap).touches_in_bulk()
