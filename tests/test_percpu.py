"""The counter layouts: right answers, memory as the allocator rounds it."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.core.heap import Heap
from cgsim.core.memory import address_of
from cgsim.core.space import Native
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.percpu import Place, get_layout, list_layouts, turns
from cgsim.percpu.base import SCRATCH
from cgsim.percpu.batched import batch_of

MACHINE = load_machine("zen4-genoa")
EXACT = [layout for layout in list_layouts() if layout.exact]
UPDATES = 3000


def _play(layout, cpus, amounts=(1,), seed=1):
    """Updates in the native reading, CPUs interleaved at random; returns (sum, updates done)."""
    heap = Heap(1 << 28, seed=1, cpus=MACHINE.n_cpus)
    place = Place(heap, MACHINE, cpus)
    parameters = layout.new(place)
    space = Native(heap.mem, heap.block)
    scratch = np.zeros((cpus, SCRATCH), dtype=np.int64)
    phases = np.zeros(cpus, dtype=np.int64)
    done = turns.run_native(
        space, parameters, address_of(scratch), phases, UPDATES,
        np.array(amounts, dtype=np.int64), seed,
    )  # fmt: skip
    return turns.sum_of(space, parameters), done


@pytest.mark.parametrize("layout", EXACT, ids=lambda layout: layout.name)
@pytest.mark.parametrize("cpus", [1, 2, 33])
def test_the_sum_is_the_number_of_updates(layout, cpus):
    total, done = _play(layout, cpus)
    assert done == UPDATES
    assert total == UPDATES


def test_a_plain_shared_word_loses_updates_of_concurrent_cpus():
    layout = get_layout("shared-plain")
    assert _play(layout, 1)[0] == UPDATES
    total, done = _play(layout, 8)
    assert done == UPDATES
    assert UPDATES // 10 < total < UPDATES * 3 // 4


def test_amounts_are_added_in_turn():
    layout = get_layout("limit")
    assert _play(layout, 4, amounts=(2, -1))[0] > 0
    assert _play(layout, 1, amounts=(1, -1))[0] == 0


def test_the_batch_is_the_kernels():
    assert batch_of(1) == 32
    assert batch_of(448) == 896
    assert get_layout("percpu-counter").error_bound(448) == 896 * 448


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [
        ("shared-atomic", 8),
        ("percpu", 8 * 512),
        ("padded", 64 * 512),
        ("percpu-counter", 40 + 8 * 512),
        ("per-cluster", 64 * MACHINE.n_clusters),
    ],
)
def test_memory_counts_possible_cpus(name, bytes_):
    assert get_layout(name).memory_bytes(MACHINE, 512) == bytes_


def test_an_unknown_layout_is_refused_with_a_hint():
    with pytest.raises(UserError, match="did you mean 'padded'"):
        get_layout("paded")
