"""The accesses of every scenario are those recorded of the kernels' machine code."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from cgsim.errors import UserError
from cgsim.kernel import kernel_versions, load_kernel
from cgsim.kernel_fields import field_name, recorded_rows, rows_of, without_index
from cgsim.scenarios import all_scenarios, numbers_in
from cgsim.scenarios.trace import compare, count_locked, is_hot, list_scenarios, trace


def recorded() -> list[Any]:
    """(kernel version, scenario with its number, recorded row) of all rows that have a name."""
    cases = []
    for version in kernel_versions():
        for row in rows_of(load_kernel(version)):
            for scenario in all_scenarios():
                number = numbers_in(scenario, row)
                if number is not None:
                    name = scenario.name(number)
                    cases.append(pytest.param(version, name, row, id=f"{version}-{name}"))
    return cases


@pytest.mark.parametrize(("version", "name", "row"), recorded())
def test_recorded_scenario_is_equal(version: str, name: str, row: dict[str, Any]) -> None:
    ours = trace(name, version, cycles=False)
    assert compare(row, ours) == []
    fields = [without_index(access["field"]) for access in ours["accesses"]]
    assert fields == [without_index(access["field"]) for access in row["accesses"]]


def test_every_scenario_was_recorded() -> None:
    """Only these were not: their code is that of others."""
    for scenario in all_scenarios():
        rows = [row for row in recorded_rows() if numbers_in(scenario, row) is not None]
        unrecorded = scenario.pattern.startswith(("task-storage/conflict", "sk-storage/conflict"))
        assert bool(rows) != unrecorded, scenario.pattern


def test_task_storage_walks_as_the_cgroups_does() -> None:
    """The same accesses but for the owner's, and what each further element costs is the same."""
    for name in ("storage/hit", "storage/walk=3", "storage/conflict=5"):
        ours, cgroups = (trace(prefix + name, cycles=False) for prefix in ("task-", ""))
        assert ours["accesses"][0]["field"] == "bpf_storage"
        assert [(a["op"], a["field"], a["deps"]) for a in ours["accesses"][1:]] == [
            (a["op"], a["field"], a["deps"]) for a in cgroups["accesses"][1:]
        ]
    for version in kernel_versions():
        for walk in ("walk", "miss"):
            steps = [
                trace(f"{prefix}storage/{walk}=9", version, cycles=False)["instructions"]
                - trace(f"{prefix}storage/{walk}=2", version, cycles=False)["instructions"]
                for prefix in ("task-", "")
            ]
            assert steps == [63, 63]


def test_storage_walk_of_any_length() -> None:
    for version, first in (("7.3.4", 118), ("6.12.117", 155)):
        for number in (3, 20):
            ours = trace(f"storage/walk={number}", version, cycles=False)
            assert ours["instructions"] == first + 9 * (number - 1)
            fields = [access["field"] for access in ours["accesses"]]
            assert fields.count("snode.next") == number - 1
            assert fields.count("sdata.smap") == number
            conflict = trace(f"storage/conflict={number}", version, cycles=False)
            assert len(conflict["accesses"]) == len(ours["accesses"]) + 1


def test_locked_operations_are_as_many_as_recorded() -> None:
    """The recording tells locked operations by a count only, so the traces are asked directly."""
    for version in kernel_versions():
        kernel = load_kernel(version)
        for row in rows_of(kernel):
            for scenario in all_scenarios():
                number = numbers_in(scenario, row)
                if number is not None:
                    assert count_locked(scenario.name(number), version) == row["atomics"]


def counts(name: str, version: str) -> tuple[int, int, int]:
    """Instructions, conditional branches and accesses of a scenario."""
    ours = trace(name, version, cycles=False)
    return ours["instructions"], ours["cond_branches"], len(ours["accesses"])


def numbered() -> list[Any]:
    """(kernel version, scenario) of all that take a number."""
    return [
        pytest.param(version, scenario, id=f"{version}-{scenario.stem}")
        for version in kernel_versions()
        for scenario in all_scenarios()
        if scenario.takes_number and load_kernel(version).series in scenario.kernels
        if not scenario.stem.startswith("idr-")  # N is an id there, no length
    ]


def test_an_update_costs_by_where_the_id_lies() -> None:
    """Within a node all alike; its last id clears the parent's bit; a level more is one step."""
    for version in kernel_versions():
        within = {counts(f"idr-alloc={n}", version) for n in (1, 7, 33, 62)}
        assert len(within) == 1
        assert counts("idr-alloc=63", version)[2] == within.pop()[2] + 4
        deep = [counts(f"idr-alloc={n}", version) for n in (65, 100, 129)]
        assert deep[0] == deep[1] == deep[2]
        fields = [a["field"] for a in trace("idr-alloc=64", version, cycles=False)["accesses"]]
        assert fields.count("array") == 1 + 1, "a taller tree: a node on top, a node beside"
        assert counts("idr-remove=70", version) == counts("idr-remove=65", version)


def test_a_loop_of_updates_finds_the_tree_as_it_was() -> None:
    """idr_remove takes the same id each time: about the recorded 22.8 cycles."""
    cycles = trace("idr-remove=65")["cycles"]
    assert 15 < cycles["throughput"] < 35


@pytest.mark.parametrize(("version", "scenario"), numbered())
def test_each_step_costs_the_same(version: str, scenario: Any) -> None:
    """Every entry, level or program further adds as much, and as much as between recorded rows."""
    found = [counts(scenario.name(number), version) for number in range(1, 6)]
    steps = {tuple(b - a for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(found)}
    assert len(steps) == 1, steps
    step = steps.pop()
    recorded_counts = {
        number: (row["instructions"], row["cond_branches"], len(row["accesses"]))
        for row in rows_of(load_kernel(version))
        if (number := numbers_in(scenario, row))
    }
    for fewer, more in itertools.pairwise(sorted(recorded_counts)):
        for each, low, high in zip(
            step, recorded_counts[fewer], recorded_counts[more], strict=True
        ):
            assert high - low == each * (more - fewer)


def test_dmem_walks_as_the_list_does() -> None:
    """Each entry's address comes from the one before; the reference is taken at the last one."""
    accesses = trace("dmem/position=7", cycles=False)["accesses"]
    walk = [a for a in accesses if a["struct"] == "dmem_cgroup_pool_state"]
    fields = [a["field"] for a in walk]
    assert fields == [
        *["region", "css_node.next"] * 6,
        "region",
        "inited",
        "ref.refs.counter",
        "ref.refs.counter",
    ]
    assert [a["deps"] for a in walk] == [
        *[[d] for n in range(7) for d in (3 + 2 * n,) * 2][:13],
        *[[15]] * 3,
    ]
    assert [a["op"] for a in walk][-2:] == ["R", "RMW"]


def test_a_filter_runs_every_program_once() -> None:
    for version in kernel_versions():
        for direction, index in (("ingress", 0), ("egress", 1)):
            ours = trace(f"filter/{direction}=5", version, cycles=False)
            fields = [a["field"] for a in ours["accesses"]]
            assert fields.count("bpf_func") == 5
            assert [f for f in fields if f and f.startswith("items")] == [
                f"items[{i}].prog" for i in range(6)
            ]
            assert f"bpf.effective[{index}]" in fields


def test_a_loop_finds_what_the_call_changed() -> None:
    """The first update after a flush is one each time, not only in the loop's first turn."""
    queued = trace("rstat/queued", "6.12.117")["cycles"]["throughput"]
    assert trace("rstat/levels=3", "6.12.117")["cycles"]["throughput"] > 3 * queued


def test_list_walk_of_any_length() -> None:
    for number in (3, 5, 33):
        ours = trace(f"list/position={number}", cycles=False)
        assert ours["instructions"] == 29 + 6 * (number - 1)
        assert ours["cond_branches"] == 3 + 2 * (number - 1)
        fields = [access["field"] for access in ours["accesses"]]
        assert fields == ["rpools.next", *["device", "cg_node.next"] * (number - 1), "device"]


def test_idr_of_any_depth() -> None:
    for version, per_level in (("7.3.4", 19), ("6.12.117", 17)):
        totals = [trace(f"idr/depth={n}", version, cycles=False) for n in range(1, 7)]
        counts = [ours["instructions"] for ours in totals]
        assert {b - a for a, b in itertools.pairwise(counts)} == {per_level}
        for depth, ours in enumerate(totals, 1):
            slots = [a for a in ours["accesses"] if without_index(a["field"]) == "slots[]"]
            assert len(slots) == depth
            # the index hangs on idr_base, the node before and its shift
            assert all(len(a["deps"]) == 3 and a["deps"][0] == 0 for a in slots)


def test_hash_chain_of_any_length() -> None:
    ours = trace("hash/position=7", cycles=False)
    assert ours["instructions"] == 11 + 5 * 6
    assert len(ours["accesses"]) == 14


def test_json_form() -> None:
    ours = trace("css", "6.12.117")
    assert list(ours) == [
        "scenario",
        "kernel",
        "instructions",
        "cond_branches",
        "accesses",
        "cycles",
    ]
    assert ours["scenario"] == "css"
    assert ours["kernel"] == "6.12.117"
    assert list(ours["accesses"][0]) == ["op", "struct", "offset", "size", "field", "deps"]
    assert set(ours["cycles"]) == {"dependent", "throughput"}


def test_cycles_follow_the_walk() -> None:
    short, long = trace("list/position=4")["cycles"], trace("list/position=16")["cycles"]
    assert long["dependent"] > short["dependent"] > short["throughput"]
    # each entry further adds a load and an addition to the chain: 5 cycles
    assert long["dependent"] - short["dependent"] == pytest.approx(60, rel=0.02)
    assert trace("list/position=16")["cycles"] == long
    slower = trace("list/position=16", machine="icelake-sp")["cycles"]  # its L1 takes 5 cycles
    assert slower["dependent"] > long["dependent"]


def test_compare_finds_each_kind_of_difference() -> None:
    row = trace("idr/depth=2", cycles=False)
    assert compare(row, copy.deepcopy(row)) == []

    def changed(**values: Any) -> list[str]:
        ours = copy.deepcopy(row)
        ours["accesses"][5].update(values)
        return compare(row, ours)

    assert len(changed(op="W")) == 1
    assert len(changed(struct="idr")) == 1
    assert len(changed(offset=8, field="parent")) == 1
    assert len(changed(size=2)) == 1
    assert len(changed(deps=[1])) == 1
    fewer = copy.deepcopy(row)
    fewer["accesses"].pop()
    assert compare(row, fewer) == ["accesses: 6, recorded 7"]
    more = {**row, "instructions": 1, "cond_branches": 2}
    assert len(compare(row, more)) == 2
    # another slot of the same array is no difference
    other = copy.deepcopy(row)
    other["accesses"][6].update(offset=48, field="slots[1]")
    assert compare(row, other) == []


def test_compare_may_leave_out_what_is_always_hot() -> None:
    row = trace("cgroup-id/current", cycles=False)
    ours = copy.deepcopy(row)
    ours["accesses"] = [a for a in ours["accesses"] if not is_hot(a["struct"])]
    for access in ours["accesses"]:
        access["deps"] = []
    ours["accesses"][1]["deps"] = [0]
    ours["accesses"][2]["deps"] = [1]
    ours["accesses"][-1]["deps"] = [len(ours["accesses"]) - 2]
    assert compare(row, ours, hot=False) == []
    assert compare(row, ours) != []


@pytest.mark.parametrize(
    ("name", "kernel", "message"),
    [
        ("list/positon=2", "7.3.4", "did you mean 'list/position=N'"),
        ("list/position", "7.3.4", "lacks its number"),
        ("list/position=0", "7.3.4", "1..100000"),
        ("list/position=x", "7.3.4", "N = 'x'"),
        ("list/position=1.5", "7.3.4", "N = '1.5'"),
        ("list/position=-1", "7.3.4", "N = '-1'"),
        ("idr/depth=7", "7.3.4", "0..6"),
        ("css=3", "7.3.4", "takes no number"),
        ("css", "7.3.5", "unknown kernel"),
    ],
)
def test_mistakes_are_named(name: str, kernel: str, message: str) -> None:
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        trace(name, kernel)
    assert message in str(caught.value)


def test_scenarios_are_listed() -> None:
    rows = {row["name"]: row for row in list_scenarios()}
    assert rows["list/position=N"]["n"] == "1..100000"
    assert rows["css"]["n"] == ""
    assert all(row["explanation"] and row["mirrors"] for row in rows.values())


def test_fields_of_arrays_are_named_by_stride() -> None:
    kernel = load_kernel("7.3.4")
    assert field_name(kernel, "xa_node", 40 + 8 * 17, 8) == "slots[17]"
    assert field_name(kernel, "bpf_prog_array", 16 + 24 * 5, 8) == "items[5].prog"
    assert field_name(kernel, "xa_node", 552 + 4, 1) is None
    assert field_name(kernel, "no such struct", 0, 8) is None


def test_offsets_beyond_the_table_are_the_recorded_ones() -> None:
    kernel = load_kernel("6.12.117")
    assert kernel.offset("request_queue", "id") == 352
    assert kernel.offset("bpf_prog", "bpf_func") == 48
    assert "request_queue" not in kernel.structs
    # an element of rhashtable's buckets goes by the recording's one name for them
    assert field_name(kernel, "bucket_table", 64 + 8 * 5, 8) == "dep_map"
    with pytest.raises(KeyError):
        kernel.offset("request_queue", "no such field")
