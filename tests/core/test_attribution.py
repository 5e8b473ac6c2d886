"""Attribution of accesses to words of objects, and false sharing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim.compile.jit import njit
from cgsim.core import block_fields
from cgsim.core.attribution import P_ACCESSES, P_FALSE, P_WAIT
from cgsim.core.heap import Heap
from cgsim.core.lru_list import new_list, touch
from cgsim.core.space import Timed, load, now, pause, store
from cgsim.core.system import CLUSTER, PRIVATE, LevelSpec, System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec

pytestmark = pytest.mark.engine

SMALL = {"lookups": 400, "n_cgroups": 50, "n_keys": 2}


@njit
def take_turns(mem, heap, cpus, program):
    """int64[n, 3] rows (CPU, address, writes), one after the other in simulated time."""
    for i in range(program.shape[0]):
        space = Timed(mem, heap, cpus[program[i, 0]])
        pause(space, max((i + 1) * 4000 * block_fields.TICKS - now(space), 0), 0)
        if program[i, 2] != 0:
            store(space, program[i, 1], 8, 1, 0, 0)
        else:
            load(space, program[i, 1], 8, 0)


@njit
def touch_all(header, names, hits):
    """int64[n] names on a list; hits : bool[n], overwritten."""
    for i in range(names.size):
        hits[i] = touch(header, names[i])


def shared_line(cpus: int, **changes: object) -> tuple[Heap, int, System]:
    """A heap with one object and a machine with places."""
    heap = Heap(1 << 26, seed=1)
    base = heap.place("object", 4096)
    spec = system_spec(load_machine("zen5-vm"), cpus)._replace(tlb=None, **changes)
    return heap, base, System(spec, heap, places=True)


def play(heap: Heap, system: System, rows: list[tuple[int, int, int]]) -> dict[int, np.ndarray]:
    """Counts by offset of the words touched."""
    take_turns(heap.mem, heap.block, system.cpu_row(), np.array(rows, dtype=np.int64))
    assert system.places is not None
    return {offset: counts.copy() for _, offset, counts in system.places.rows()}


def test_words_of_one_line_are_shared_falsely() -> None:
    heap, base, system = shared_line(2)
    counts = play(heap, system, [(i % 2, base + 8 * (i % 2), 1) for i in range(100)])
    assert [int(counts[offset][P_ACCESSES]) for offset in (0, 8)] == [50, 50]
    # all but each core's first access take the line back for a word that nobody else writes
    assert sum(int(counts[offset][P_FALSE]) for offset in (0, 8)) == 98


def test_a_word_that_both_write_is_shared_truly() -> None:
    heap, base, system = shared_line(2)
    counts = play(heap, system, [(i % 2, base, 1) for i in range(100)])
    assert system.system_field(block_fields.S_TRANSFERS) == 99
    assert int(counts[0][P_FALSE]) == 0


def test_words_on_lines_of_their_own_are_not_shared() -> None:
    heap, base, system = shared_line(2)
    counts = play(heap, system, [(i % 2, base + 64 * (i % 2), 1) for i in range(100)])
    assert system.system_field(block_fields.S_TRANSFERS) == 0
    assert all(int(row[P_FALSE]) == 0 for row in counts.values())


@pytest.mark.parametrize("prefetch", [False, True])
def test_attribution_explains_the_cpi_stack_and_changes_nothing(prefetch: bool) -> None:
    given = {**SMALL, "prefetch_next_line": prefetch}
    words = cgsim.attribute("idr", "zen4-genoa", "network", **given)
    row = cgsim.simulate("idr", "zen4-genoa", "network", replicates=1, **given).iloc[0]
    causes = [f"{cause}_cycles" for cause in block_fields.CAUSES if cause not in ("work", "branch")]
    assert words["wait_cycles"].sum() == pytest.approx(row[causes].sum())
    assert words["accesses"].sum() == pytest.approx(row["accesses"])
    served = words[["L1", "L2", "L3", "L4", "memory", "coherence"]].sum(axis=1)
    pd.testing.assert_series_equal(served, words["accesses"], check_names=False)
    assert {"sk_cgrp_data.cgroup", "shift"} <= set(words["field"])


def test_a_larger_object_costs_what_it_is_charged() -> None:
    heap, base, system = shared_line(1)
    counts = play(heap, system, [(0, base + 64 * i, 0) for i in range(8)])
    memory = system.spec.memory_cycles[0][0] * block_fields.TICKS
    assert [int(counts[64 * i][P_WAIT]) for i in range(8)] == pytest.approx([memory] * 8, rel=0.01)


def test_cores_of_a_cluster_share_a_middle_level() -> None:
    levels = (
        LevelSpec(32 << 10, 8, 4.0, 0.0, PRIVATE),
        LevelSpec(1 << 20, 16, 14.0, 0.0, CLUSTER),
        LevelSpec(8 << 20, 16, 50.0, 0.0, CLUSTER),
    )
    heap, base, system = shared_line(2, levels=levels)
    play(heap, system, [(i % 2, base + 64 * (i // 2), 0) for i in range(16)])
    first, second = (system.counters(cpu) for cpu in (0, 1))
    assert (first["L1_misses"], second["L1_misses"]) == (8, 8)
    # the second core finds in the shared level what the first one has brought, or at the first core
    assert first["L2_misses"] == second["L2_misses"] == 8
    assert first["L3_misses"] == 8


def test_a_prefetched_line_is_found_in_the_second_level() -> None:
    for cpus in (1, 2):
        heap, base, system = shared_line(cpus, prefetch_next_line=True)
        play(heap, system, [(0, base + 64 * i, 0) for i in range(8)])
        assert system.counters()["L1_misses"] == 8
        assert system.counters()["L2_misses"] == 4


@pytest.mark.parametrize("entries", [1, 2, 5, 72])
def test_a_list_is_a_fully_associative_set(entries: int) -> None:
    header, keep = new_list(entries, 200)
    names = np.random.default_rng(entries).integers(1, 200, 3000) ** 2 // 250 + 1
    hits = np.zeros(names.size, dtype=np.bool_)
    touch_all(header, names, hits)
    del keep
    recent: list[int] = []
    for name, hit in zip(names.tolist(), hits.tolist(), strict=True):
        assert hit == (name in recent)
        if hit:
            recent.remove(name)
        recent.insert(0, name)
        del recent[entries:]
