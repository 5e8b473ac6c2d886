"""The counter layouts: right answers, memory as the allocators round it."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.core.heap import Heap
from cgsim.core.host_memory import address_of
from cgsim.core.space import Native
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.percpu import CounterMemory, Layout, get_layout, list_layouts, many_cpus
from cgsim.percpu.base import SCRATCH
from cgsim.percpu.batched import batch_of
from cgsim.percpu.chunks import UNIT_BYTES, PercpuAllocator, percpu_bytes, populated_bytes

MACHINE = load_machine("zen4-genoa")
EXACT = [layout for layout in list_layouts() if layout.exact]
UPDATES = 3000


def _play(
    layout: Layout,
    cpus: int,
    amounts: tuple[int, ...] = (1,),
    seed: int = 1,
    counters: int = 1,
    interrupts: int = 0,
) -> tuple[int, int]:
    """Updates in the native reading, CPUs interleaved at random.

    Returns (sum of all counters, updates done).
    """
    heap = Heap(1 << 28, seed=1, cpus=MACHINE.n_cpus)
    memory = CounterMemory(heap, MACHINE, cpus)
    rows = np.array([layout.new(memory) for _ in range(counters)], dtype=np.int64)
    example = layout.parameters(*(int(value) for value in rows[0]))
    space = Native(heap.mem, heap.block)
    scratch = np.zeros((2 * cpus, SCRATCH), dtype=np.int64)
    phases = np.zeros(cpus, dtype=np.int64)
    fields = dict.fromkeys(many_cpus.Plan._fields, 0) | {
        "rows": address_of(rows), "counters": counters, "fields": rows.shape[1], "seed": seed,
        "interrupts": interrupts, "interruptible": int(layout.interrupts != "off"),
    }  # fmt: skip
    done, extra = many_cpus.run_native(
        space, example, many_cpus.Plan(**fields), address_of(scratch), phases, UPDATES,
        np.array(amounts, dtype=np.int64),
    )  # fmt: skip
    sums = np.zeros(counters, dtype=np.int64)
    many_cpus.sums_of(space, example, address_of(rows), rows.shape[1], sums)
    return int(sums.sum()), done + extra


@pytest.mark.parametrize("layout", EXACT, ids=lambda layout: layout.name)
@pytest.mark.parametrize("cpus", [1, 2, 33])
def test_the_sum_is_the_number_of_updates(layout: Layout, cpus: int) -> None:
    total, done = _play(layout, cpus)
    assert done == UPDATES
    assert total == UPDATES


def test_a_plain_shared_word_loses_updates_of_concurrent_cpus() -> None:
    layout = get_layout("shared-plain")
    assert _play(layout, 1)[0] == UPDATES
    total, done = _play(layout, 8)
    assert done == UPDATES
    assert UPDATES // 10 < total < UPDATES * 3 // 4


def test_amounts_are_added_in_turn() -> None:
    layout = get_layout("limit")
    assert _play(layout, 4, amounts=(2, -1))[0] > 0
    assert _play(layout, 1, amounts=(1, -1))[0] == 0


def test_the_batch_is_the_kernels() -> None:
    assert batch_of(1) == 32
    assert batch_of(448) == 896
    assert get_layout("percpu-counter").error_bound(448) == 896 * 448


@pytest.mark.parametrize("layout", EXACT, ids=lambda layout: layout.name)
def test_counters_of_many_cgroups_are_apart_and_interrupts_lose_nothing_where_it_says(
    layout: Layout,
) -> None:
    total, done = _play(layout, 9, counters=7, interrupts=300)
    assert (total == done) == (layout.interrupts != "lost")


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [
        ("shared-atomic", 8),
        ("percpu", 8 * 512),
        ("padded", 64 * 512),
        # percpu words of an s32; the struct of 40 bytes takes a kmalloc-64 object
        ("percpu-counter", 64 + 4 * 512),
        ("per-cluster", 64 * MACHINE.n_clusters),
    ],
)
def test_memory_counts_possible_cpus(name: str, bytes_: int) -> None:
    assert get_layout(name).memory_bytes(MACHINE, 512) == bytes_


def test_small_percpu_allocations_of_different_owners_share_a_line_of_one_cpu() -> None:
    percpu = PercpuAllocator(Heap(1 << 28, seed=1), 4)
    addresses = [percpu.allocate(8) for _ in range(9)]
    assert {stride for _, stride in addresses} == {UNIT_BYTES}
    lines = [base // 64 for base, _ in addresses]
    assert lines[:8] == [lines[0]] * 8
    assert lines[8] == lines[0] + 1


def test_percpu_memory_is_rounded_to_words_and_populated_by_pages_for_all_possible_cpus() -> None:
    assert [percpu_bytes(size) for size in (1, 4, 5, 8)] == [4, 4, 8, 8]
    one, page_full = populated_bytes(8, 1, 100), populated_bytes(8, 512, 100)
    assert one == page_full
    assert populated_bytes(8, 513, 100) - one == 100 * 4096


def test_a_chunk_that_is_full_is_followed_by_another() -> None:
    percpu = PercpuAllocator(Heap(1 << 28, seed=1), 2)
    first = percpu.allocate(UNIT_BYTES // 2)[0]
    second = percpu.allocate(UNIT_BYTES // 2)[0]
    assert abs(second - first) >= 2 * UNIT_BYTES
    with pytest.raises(UserError, match="percpu: size"):
        percpu.allocate(UNIT_BYTES)


def test_an_unknown_layout_is_refused_with_a_hint() -> None:
    with pytest.raises(UserError, match="did you mean 'padded'"):
        get_layout("paded")
