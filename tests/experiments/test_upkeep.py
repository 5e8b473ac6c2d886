"""What updates and teardown cost: what they do is counted exactly, what they take adds up."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim import cli
from cgsim.core.block_fields import CAUSES
from cgsim.core.heap import Heap
from cgsim.core.host_memory import address_of
from cgsim.core.percpu_areas import add_areas, give_area, take_area
from cgsim.core.space import Native, Traced
from cgsim.core.traced import new_log, parse
from cgsim.designs import get_design, list_designs
from cgsim.errors import UserError
from cgsim.experiments.footprint import memory_cost, ways
from cgsim.experiments.upkeep import OPERATIONS, upkeep

MACHINE = "zen5-vm"


def played(design: str, **options: Any) -> pd.DataFrame:
    """One replicate, by operation."""
    options = {"n_cgroups": 20, "n_keys": 8, "samples": 4, "replicates": 1} | options
    return upkeep(design, MACHINE, **options).set_index("operation")


QUICK = ("list", "hash-rcu", "table", "idr", "direct", "percpu-htab")
"""Of the designs: to compile the others takes its time."""


def all_designs() -> list[Any]:
    """Every registered design."""
    return [
        pytest.param(d.name, id=d.name, marks=[] if d.name in QUICK else pytest.mark.slow)
        for d in list_designs()
    ]


@pytest.mark.compiled
@pytest.mark.parametrize("name", all_designs())
def test_every_design(name: str) -> None:
    """Every operation is there, and over a cgroup's life allocated = freed + waiting."""
    (data, *_) = ways(get_design(name))
    frame = played(name, data=data)
    assert list(frame.index) == list(OPERATIONS)
    assert (frame["ns"] > 0).all()
    assert (frame["drained_ns"] >= frame["ns"]).all()
    assert (frame["p50_ns"] <= frame["max_ns"]).all()
    spent = frame[[f"{cause}_cycles" for cause in CAUSES]].sum(axis=1)
    np.testing.assert_allclose(spent, frame["cycles"], rtol=1e-6)
    # one datum is removed and installed again
    times = pd.Series({"create": 1, "first install": 1, "install": 8, "remove": 1, "teardown": 1})
    allocated, freed, waiting = (
        (times * frame.loc[times.index, column]).sum()
        for column in ("allocated_bytes", "freed_bytes", "waiting_bytes")
    )
    assert allocated == freed + waiting


def test_a_list_entry_in_numbers() -> None:
    """kmalloc-64 per entry, one spinlock in the cgroup, a kfree_rcu per removal."""
    frame = played("list")
    install, remove = frame.loc["install"], frame.loc["remove"]
    assert (install["locked"], install["locks"]) == (1, "cgroup")
    assert (install["allocated"], install["allocated_bytes"]) == (1, 64)
    assert (remove["retired"], remove["waiting_bytes"]) == (1, 64)
    assert frame.loc["teardown", "freed_bytes"] == 4096 + 8 * 64
    drop = frame.loc["drop key"]
    assert (drop["locked"], drop["waiting_bytes"]) == (20, 20 * 64)


def test_locks_are_those_of_the_design() -> None:
    assert played("hash").loc["remove", "locked"] == 2, "a mutex is taken and given by locked ones"
    assert played("hash-rcu").loc["remove", "locked"] == 1
    assert played("direct").loc[["install", "remove"], "locked"].sum() == 0
    assert played("htab").loc["install", "locks"] == "bucket"


def test_a_table_is_made_for_all_keys_known() -> None:
    """Ids from 3: 40 keys are 43 words, taken with the cgroup; nothing is ever copied."""
    few, many = (played("table", n_keys=n) for n in (10, 40))
    assert many.loc["create", "allocated_bytes"] - few.loc["create", "allocated_bytes"] == 512 - 128
    for frame in (few, many):
        assert frame["copied_bytes"].sum() == 0
        assert frame.loc["install", "waiting_bytes"] == 0


def test_removal_waits_and_is_paid_later() -> None:
    frame = played("idr")
    assert frame.loc["remove", "deferred_ns"] > 0
    assert frame.loc["create", "deferred_ns"] == frame.loc["teardown", "deferred_ns"] == 0


def test_dropping_a_key_grows_with_cgroups() -> None:
    few, many = (played("table", n_cgroups=n).loc["drop key"] for n in (50, 500))
    assert many["instructions"] == pytest.approx(10 * few["instructions"], rel=0.05)
    assert many["waiting_bytes"] == 10 * few["waiting_bytes"]


@pytest.mark.compiled
def test_dropping_a_key_walks_its_list_where_there_is_one() -> None:
    """dmem: two lists a pool, its reference and its region's; nothing of cgroups without one."""
    few, many = (played("dmem", n_cgroups=n).loc["drop key"] for n in (50, 500))
    assert many["instructions"] == pytest.approx(10 * few["instructions"], rel=0.1)
    assert (few["left"], many["left"]) == (0, 0)
    assert few["blocks"] == "updates of all cgroups"
    assert few["operations"] == 1
    hashed = played("hash", n_cgroups=50).loc["drop key"]
    assert hashed["left"] == hashed["waiting_bytes"] == 0, "freed at once, under each one's mutex"
    assert hashed["locks"] == "cgroup (mutex)"
    assert hashed["blocks"] == "lookups and updates of the same cgroup"


def test_destroykey_leaves_what_lies_deeper() -> None:
    row = played("v4", n_cgroups=50, samples=2).loc["drop key"]
    assert row["left"] == 50
    assert row["locked"] == 0


def test_atomics_are_no_locks() -> None:
    """v4 installs under the idr's lock, and takes and drops a reference."""
    frame = played("v4")
    assert frame.loc["install", "atomics"] == 2
    assert frame.loc["install", "locks"] == "cgroup"
    assert frame.loc["remove", "atomics"] == 1
    assert played("table").loc["install", "atomics"] == 0


def test_times_say_what_they_rest_on() -> None:
    assert played("idr").loc["install", "evidence"] == "recorded: idr_alloc"
    assert played("idr").loc["create", "evidence"] == "not recorded"
    assert set(played("list")["evidence"]) == {"not recorded"}


@pytest.mark.compiled
def test_other_code_makes_it_dearer() -> None:
    warm, cold = (played("list", footprint_bytes=n)["ns"] for n in (0, 4 << 20))
    assert (cold.drop("drop key") > 1.5 * warm.drop("drop key")).all()


def test_percpu_data_are_zeroed_on_every_cpu() -> None:
    """Two words on each of 2 possible CPUs; a lock of the allocator; copies that wait."""
    regular, percpu = (played("table", data=data) for data in ("regular", "percpu"))
    cpus = cgsim.load_machine(MACHINE).n_cpus
    install = percpu.loc["install"]
    assert install["allocated_bytes"] == 8 + 16 * cpus
    assert install["locks"] == "cgroup, global:pcpu_lock"
    extra = install["accesses"] - regular.loc["install", "accesses"]
    assert extra == 2 * cpus + 6, (
        "zeroing; the lock twice, three accesses to the stack, the pointer"
    )
    assert percpu.loc["remove", "waiting_bytes"] == 8 + 16 * cpus
    assert percpu.loc["teardown", "waiting_bytes"] == 8 * 16 * cpus
    assert "drop key" not in percpu.index


def test_same_seed_same_answer_whatever_the_threads() -> None:
    one, two = (
        upkeep("idr", MACHINE, n_cgroups=9, n_keys=100, samples=2, replicates=2, threads=threads)
        for threads in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    first, second = (
        one.loc[one["replicate"] == replicate, "ns"].to_numpy() for replicate in (0, 1)
    )
    assert (first != second).any(), "in another order the tree grows otherwise"


def test_one_key() -> None:
    frame = played("idr", n_keys=1)
    assert list(frame.index) == ["create", "first install", "remove", "teardown", "drop key"]


def test_percpu_areas_are_used_again() -> None:
    heap = Heap(1 << 26, seed=1)
    percpu = add_areas(heap, 2, 12, 3)
    native = Native(heap.mem, heap.block)
    first, second, none = (int(take_area(native, percpu, 0)[0]) for _ in range(3))
    assert second - first == percpu.area_bytes == 16
    assert none == 0
    heap.write(first + 2 * percpu.unit_bytes, 5)
    give_area(native, percpu, first, 0)
    log = new_log(64)
    space = Traced(heap.mem, heap.block, address_of(log))
    assert take_area(space, percpu, 0)[0] == first
    assert heap.read(first + 2 * percpu.unit_bytes) == 0, "zeroed on every CPU"
    lines = {a.address // 64 for a in parse(log).accesses if a.operation == "W"}
    assert {(first + cpu * percpu.unit_bytes) // 64 for cpu in range(3)} <= lines


def test_memory_by_hand() -> None:
    frame = memory_cost(["list", "htab", "percpu-htab"], possible_cpus=64, n_keys=4)
    rows = frame.set_index(["design", "data"])
    assert list(rows.index) == [
        ("list", "regular"), ("list", "percpu"), ("htab", "regular"), ("htab", "percpu"),
        ("percpu-htab", "percpu"),
    ]  # fmt: skip
    assert rows.loc[("list", "regular"), "entry_bytes"] == 64, "24 + 16 bytes in kmalloc-64"
    assert rows.loc[("list", "percpu"), "entry_bytes"] == 32, "24 + 8 bytes in kmalloc-32"
    assert rows.loc[("list", "percpu"), "percpu_bytes"] == 16 * 64
    assert rows.loc[("htab", "regular"), "key_bytes"] == 2048 + 1024, "buckets and the map"
    assert rows.loc[("percpu-htab", "percpu"), "percpu_bytes"] == 16 * 64
    assert rows.loc[("list", "percpu"), "total_bytes"] == 4 * (32 + 1024)
    assert rows.loc[("list", "regular"), "key_bytes"] == 0, "the device is the driver's own"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_keys": 0}, r"n_keys = 0 is not allowed; allowed: a whole number of 1\.\.1048576"),
        ({"n_keys": "x"}, "n_keys = 'x' is not allowed"),
        ({"samples": 0}, "samples = 0 is not allowed"),
        ({"data": "per-cpu"}, "unknown data 'per-cpu' .did you mean 'percpu'"),
        ({"footprint_bytes": -1}, "footprint_bytes = -1"),
        ({"seed": True}, "seed = True"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        played("idr", **options)
    with pytest.raises(UserError, match="possible_cpus = 0"):
        memory_cost(["idr"], possible_cpus=0)


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["upkeep", "--design", "list", "-p", "n_cgroups=10", "-p", "samples=2"]
    assert cli.main(words) == 0
    assert "waiting_bytes" in capsys.readouterr().out
    assert cli.main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["operation"] for row in answer["points"]] == list(OPERATIONS)
    assert len(answer["replicates"]) == 3 * len(OPERATIONS)
    assert answer["points"][1]["locks"] == "cgroup"
