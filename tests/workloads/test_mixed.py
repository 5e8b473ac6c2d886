"""Packets and clients on one CPU: the same rows as each alone, in the order of their times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cgsim
from cgsim.compile.jit import JIT_DISABLED
from cgsim.core.heap import Heap
from cgsim.core.recording import columns, new_log
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.errors import UserError
from cgsim.experiments.packets import packet_budget
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.callers import NO_CALLER
from cgsim.stage.streams import Surroundings, _before
from cgsim.workloads import Feeds, MixedWorkload, Stream, load_workload
from cgsim.workloads.acts import (
    FROM_CURRENT,
    FROM_SKB,
    LOOKUP,
    OPERATION_SHIFT,
    PASS,
    REACH_MASK,
    REACHES_AN_EVENT,
    act_of,
)
from cgsim.workloads.base import COLUMNS
from cgsim.workloads.export import workload_events
from cgsim.workloads.mixed import _seeds

SEED = 3
_ROWS = 2000 if JIT_DISABLED else 20_000
SIDES = ("packets", "clients")


def mixed(**values: Any) -> MixedWorkload:
    found = load_workload("mixed", **values)
    assert isinstance(found, MixedWorkload)
    return found


def begins(stream: Stream) -> np.ndarray:
    return stream.column("act") & REACH_MASK >= REACHES_AN_EVENT


def operations(stream: Stream) -> np.ndarray:
    return stream.column("act") >> OPERATION_SHIFT


@pytest.mark.parametrize("looks_up", SIDES)
def test_each_side_keeps_its_rows(looks_up: str) -> None:
    """All columns but the idle time, the clients' numbers, and what is marked as passing."""
    workload = mixed(looks_up=looks_up)
    rows = Feeds(workload, SEED).take(_ROWS)
    number = SIDES.index(looks_up)
    first_client = workload.sides[0].surrounding(SEED).actors.size
    for side, own in enumerate(_seeds(SEED)):
        passes = side != number
        mine = rows.rows[:, (operations(rows) == PASS) == passes]
        alone = Feeds(workload.sides[side], own).take(mine.shape[1])
        assert mine.shape[1] > (5 if side == 1 else 500)
        for column, name in enumerate(COLUMNS):
            expected = alone.rows[column]
            if name == "actor" and side == 1:
                expected = expected + first_client
            if name == "act" and passes:
                expected = expected | PASS << OPERATION_SHIFT
            if name != "idle_ns":
                np.testing.assert_array_equal(mine[column], expected)


def times(stream: Stream, per_ns: float) -> np.ndarray:
    """When each event's lookups begin, if it had the CPU for itself: ns."""
    event = begins(stream)
    busy = stream.column("instructions")[event] / per_ns
    return np.cumsum(busy + stream.column("idle_ns")[event])


def test_events_come_in_order_and_wait_for_the_cpu() -> None:
    workload = mixed()
    per_ns = workload.instructions_per_ns
    stream = Feeds(workload, SEED).take(_ROWS)
    event = begins(stream)
    clock = times(stream, per_ns)
    passes = operations(stream)[event] == PASS
    for side, own in enumerate(_seeds(SEED)):
        mine = clock[passes == (side == 1)]
        rows = (operations(stream) == PASS) == (side == 1)
        alone = Feeds(workload.sides[side], own).take(np.count_nonzero(rows))
        due = times(alone, per_ns)
        late = mine - due
        assert late.min() > -1 * due.size  # idle times are whole ns
        if side == 1:
            assert late.max() > 1000  # some wait for packets
    # what follows an event belongs to it
    follows = np.flatnonzero(~event)
    np.testing.assert_array_equal(operations(stream)[follows], operations(stream)[follows - 1])


@pytest.mark.compiled
def test_the_lookups_are_those_of_the_side_asked_for() -> None:
    for looks_up, reach, user in (
        ("packets", "skb", "packet-hook"),
        ("clients", "current", "driver"),
    ):
        workload = mixed(looks_up=looks_up, n_keys=1)
        assert workload.reach == reach
        rows = Feeds(workload, SEED).take(workload.rows_for(40))
        looked = np.count_nonzero(operations(rows) == LOOKUP)
        assert looked == pytest.approx(40, rel=0.4)
        if JIT_DISABLED:
            continue
        row = cgsim.simulate("idr", "zen5-vm", workload, lookups=40, replicates=1).iloc[0]
        assert row["user"] == user
        assert row["changes"] == 0


def test_they_share_the_caches() -> None:
    """A packet's lookups cost more where clients run beside, and count the same instructions."""
    if JIT_DISABLED:
        pytest.skip("plain Python is too slow")
    common = {"lookups": 800, "replicates": 1}
    alone = cgsim.simulate("idr", "zen4-genoa", "network", **common).iloc[0]
    beside = cgsim.simulate("idr", "zen4-genoa", "mixed", **common).iloc[0]
    assert beside["ns"] > 1.1 * alone["ns"]
    assert beside["instructions"] == pytest.approx(alone["instructions"], rel=0.01)
    assert beside["accesses"] == pytest.approx(alone["accesses"], rel=0.01)


def test_each_side_has_lines_of_its_own() -> None:
    """Packets and clients walk through their own part of a CPU's working set and of its ring."""
    heap = Heap(16 << 20, seed=1)
    system = System(system_spec(load_machine("zen4-genoa"), 1), heap)
    log = new_log(1000)
    system.record(log)
    space = Timed(heap.mem, heap.block, system.cpu())
    hot, ring = 1 << 20, 2 << 20
    scene = Surroundings(
        hot=hot, hot_stride=640, hot_split=256, ring=ring, ring_stride=6400, ring_split=30,
        ring_lines=100, actors=0, parents=0, parent_offset=0, state_offset=0, family_offset=0,
        numbered=0, own=0, read_lock=0, seed=1, caller=NO_CALLER,
    )  # fmt: skip
    feet = np.zeros(7, dtype=np.int64)
    for cpu, reach, lines in ((1, FROM_SKB, 25), (1, FROM_CURRENT, 60), (1, FROM_SKB, 10)):
        row = np.array([0, 0, 0, act_of(reach, 0), 3, lines, 0])
        _before(space, scene, feet, cpu, row, 0)
    expected = []
    packets, clients = ring + 6400, ring + 6400 + 30 * 64
    for first, count, at in ((packets, 25, 0), (clients, 60, 0), (packets, 10, 25)):
        begin = hot + 640 + (256 if first == clients else 0)
        expected += [begin + 64 * line for line in range(3)]
        size = 30 if first == packets else 70
        expected += [first + 64 * ((at + line) % size) for line in range(count)]
    address, _, _ = columns(log)
    assert address.tolist() == expected


def test_the_parts_are_as_large_as_each_side_asks_for() -> None:
    workload = mixed()
    packets, clients = workload.sides
    around = workload.surrounding(SEED)
    assert around.second is not None
    assert around.second[1:] == (packets.hot_bytes, packets.ring_bytes, packets.n_keys)
    assert around.hot_bytes - around.second.hot_bytes == clients.hot_bytes
    assert around.ring_bytes - around.second.ring_bytes == clients.ring_bytes
    assert around.actors.size - around.second.first_actor == clients.n_clients


def test_several_cpus_have_a_queue_and_clients_each() -> None:
    workload = mixed(cpus=3, looks_up="packets")
    rows = Feeds(workload, SEED).take(3000)
    assert rows.cpus == 3
    with pytest.raises(UserError, match="cpus"):
        mixed(cpus=4)  # three clients
    if not JIT_DISABLED:
        row = cgsim.simulate("xarray", "zen4-genoa", workload, lookups=600, replicates=1).iloc[0]
        assert row["cpus"] == 3


def test_what_looks_nothing_up_is_not_exported() -> None:
    events = workload_events("mixed", 4000, SEED)
    assert set(events["event"]) == {"packet", "program"}
    events = workload_events("mixed", 4000, SEED, looks_up="clients", n_keys=1)
    assert set(events["event"]) <= {"ioctl", "charge", "ancestor"}


def test_packets_have_a_budget_beside_clients() -> None:
    if JIT_DISABLED:
        pytest.skip("plain Python is too slow")
    frame = packet_budget(
        "idr", "zen4-genoa", "mixed", lookups=200, replicates=1, gbit_s=[10], frame_bytes=[64]
    )
    assert frame["hook_ns"].iloc[0] > 0
    with pytest.raises(UserError, match="packets are asked for"):
        packet_budget("idr", "zen4-genoa", "mixed", looks_up="clients", n_keys=1)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"network": "gpu"}, "network workload"),
        ({"gpu": "network"}, "children_per_cgroup|GPU workload"),
        ({"gpu": "recorded"}, "n_cgroups|GPU workload"),
        ({"network": "netwrok"}, "did you mean"),
        ({"looks_up": "both"}, "packets, clients"),
        ({"network": "mixed"}, "network workload"),
        ({"network": "churn"}, "network workload"),
    ],
)
def test_parts_of_another_kind_are_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        mixed(**values)
