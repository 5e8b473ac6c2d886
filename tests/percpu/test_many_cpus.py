"""Many CPUs in simulated time: nothing is lost, contention comes out of lines that move."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest

from cgsim.errors import UserError
from cgsim.experiments.counters import (
    check_cpus,
    lifetime_cost,
    memory_table,
    read_cost,
    update_cost,
)
from cgsim.machines import Machine, load_machine
from cgsim.percpu import Layout, list_layouts
from cgsim.validation.perfbook import predict_count, predict_hash
from cgsim.validation.published import compare_orders, validate_published

ATOMIC, PADDED, PACKED, PLAIN = "shared-atomic", "padded", "packed", "shared-plain"
XEON = "xeon-8176-8s"

# Thousands of updates on hundreds of CPUs.
pytestmark = pytest.mark.compiled


def cost(layout: str, cpus: int, machine: str | Machine = XEON, **options: Any) -> pd.Series:
    return update_cost(layout, machine, cpus, updates=3000, **options).iloc[0]


@pytest.mark.parametrize("layout", [x for x in list_layouts() if x.exact], ids=lambda x: x.name)
def test_no_update_is_lost_in_simulated_time(layout: Layout) -> None:
    for cpus in (1, 9, 60):
        row = cost(layout.name, cpus)
        assert row["updates"] == 4500
        assert row["lost"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("layout", [x for x in list_layouts() if x.exact], ids=lambda x: x.name)
def test_no_update_is_lost_on_all_cpus_of_eight_sockets(layout: Layout) -> None:
    row = cost(layout.name, 448)
    assert row["lost"] == 0


def test_a_plain_word_loses_updates_and_an_atomic_one_does_not() -> None:
    assert cost(PLAIN, 1)["lost"] == 0
    assert cost(PLAIN, 8)["lost"] > 500
    assert cost(ATOMIC, 8)["lost"] == 0


def test_a_line_of_its_own_per_cpu_is_free_of_contention() -> None:
    alone, many = cost(PADDED, 1), cost(PADDED, 60)
    assert many["transfers"] < 0.001
    assert many["ns"] < 2 * alone["ns"]


def test_words_of_one_line_move_it_though_nothing_is_shared() -> None:
    # long enough that store buffers do not hide it
    packed = update_cost(PACKED, XEON, 60, updates=24_000).iloc[0]
    padded = update_cost(PADDED, XEON, 60, updates=24_000).iloc[0]
    assert packed["transfers"] > 0.005
    assert packed["ns"] > 3 * padded["ns"]


def test_contention_grows_with_the_transfer_time_and_vanishes_without_it() -> None:
    machine = load_machine(XEON)

    def scaled(factor: float) -> Machine:
        times = dataclasses.replace(
            machine.coherence.transfer_ns,
            **{
                field.name: getattr(machine.coherence.transfer_ns, field.name) * factor
                for field in dataclasses.fields(machine.coherence.transfer_ns)
            },
        )
        return dataclasses.replace(
            machine, coherence=dataclasses.replace(machine.coherence, transfer_ns=times)
        )

    plain = update_cost(ATOMIC, machine, 16, updates=3000)["ns"].iloc[0]
    slow = update_cost(ATOMIC, scaled(4.0), 16, updates=3000)["ns"].iloc[0]
    assert slow > 1.2 * plain


def test_an_atomic_costs_more_the_more_cpus_take_part() -> None:
    costs = [cost(ATOMIC, cpus)["ns"] for cpus in (1, 2, 8, 56, 224)]
    assert costs == sorted(costs)
    assert costs[-1] > 100 * costs[0]


def test_a_domain_shares_what_a_single_word_shares_with_all() -> None:
    assert cost("per-node", 112)["ns"] < cost(ATOMIC, 112)["ns"] / 2


def test_siblings_share_a_core() -> None:
    machine = load_machine(XEON)
    alone = cost("thread-array", 28)["ns"] * machine.busy_ghz(28)
    both = update_cost("thread-array", machine, 252, updates=30_000)["ns"].iloc[0]
    assert both * machine.busy_ghz(28) > 1.02 * alone


def test_a_read_grows_with_the_copies() -> None:
    few = read_cost("percpu", XEON, 1, slots=28)["ns"].iloc[0]
    many = read_cost("percpu", XEON, 1, slots=448)["ns"].iloc[0]
    assert many > 8 * few


def test_reads_see_what_was_counted() -> None:
    row = cost("percpu", 4, reads=100)
    assert row["read_ns"] > 0
    assert row["lost"] == 0


def test_a_popular_cgroup_contends_more_than_many_alike() -> None:
    alike, skewed = (cost(ATOMIC, 28, cgroups=64, zipf=zipf)["ns"] for zipf in (0.0, 1.5))
    assert skewed > 1.5 * alike


def test_a_lookup_before_the_update_adds_its_cost_and_changes_no_sum() -> None:
    alone = cost("percpu", 4, cgroups=32)
    found = cost("percpu", 4, cgroups=32, design="idr")
    assert found["lost"] == 0
    assert found["ns"] > 1.5 * alone["ns"]


def test_interrupts_and_moves_lose_updates_only_where_nothing_forbids_it() -> None:
    options = {"interrupts": 200, "moves": 20}
    bare, safe = cost("percpu-plain", 8, **options), cost("percpu", 8, **options)
    assert cost("percpu-plain", 8)["lost"] == 0
    assert bare["interrupts"] > 100
    assert bare["lost"] > 100
    assert safe["lost"] == 0
    assert safe["moves"] > 10


def test_a_task_takes_its_own_copy_along_and_the_line_with_it() -> None:
    still, moved = cost("thread-local", 8), cost("thread-local", 8, moves=20)
    assert moved["lost"] == 0
    assert moved["transfers"] > still["transfers"] + 0.005


def test_a_copy_with_one_writer_of_another_cpu_moves_once() -> None:
    own, remote = (cost("percpu", 2, shift=shift) for shift in (0, 1))
    assert remote["ns"] == pytest.approx(own["ns"], rel=0.2)
    assert remote["transfers"] < 0.01


def test_a_store_buffer_serves_no_more_stores_than_leave_while_the_line_is_here() -> None:
    machine = load_machine(XEON)
    row = cost(PLAIN, 8)
    stay_cycles = machine.coherence.transfer_ns.same_cluster / 4 * machine.busy_ghz(8)
    served = 1 / row["transfers"]
    assert served < 1.3 * (stay_cycles + 1)


def test_reset_read_and_creation_grow_with_the_possible_cpus_and_freeing_does_not() -> None:
    few, many = (lifetime_cost("percpu", XEON, 4, slots=slots).iloc[0] for slots in (8, 448))
    for column in ("create_ns", "read_ns", "reset_ns"):
        assert many[column] > 5 * few[column]
    assert many["teardown_ns"] == pytest.approx(few["teardown_ns"], rel=0.1)
    # a reference count is summed before it goes
    assert lifetime_cost("percpu-ref", XEON, 4)["teardown_ns"].iloc[0] > 5 * many["teardown_ns"]


def test_percpu_memory_of_many_cgroups_is_dense() -> None:
    table = memory_table(["percpu", "padded"], XEON, [448], cgroups=[1, 10_000])
    per_cgroup = table.set_index(["layout", "cgroups"])["total_bytes"] / [1, 10_000, 1, 10_000]
    assert per_cgroup["percpu", 1] > 400 * 4096
    assert per_cgroup["percpu", 10_000] < 1.2 * 8 * 448
    assert per_cgroup["padded", 10_000] > 7 * per_cgroup["percpu", 10_000]


def test_host_threads_do_not_change_results() -> None:
    one = update_cost(ATOMIC, XEON, 30, updates=2000, replicates=4, threads=1)
    two = update_cost(ATOMIC, XEON, 30, updates=2000, replicates=4, threads=2)
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize("cpus", [0, 449])
def test_cpus_that_do_not_exist_are_refused(cpus: int) -> None:
    with pytest.raises(UserError, match=r"allowed: 1\.\.448"):
        update_cost(ATOMIC, XEON, cpus)


@pytest.mark.parametrize(
    "wrong",
    [{"reads": 1024}, {"moves": -1}, {"cgroups": 0}, {"zipf": -1.0}, {"shift": 4}, {"updates": 0}],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(wrong))} = .* not allowed; allowed: "):
        update_cost(ATOMIC, XEON, 4, **wrong)


@pytest.mark.compiled
def test_published_rows_are_predicted_within_reach() -> None:
    frame = validate_published("perfbook_count", x=[1, 2])
    measured = frame[frame["value"].notna()]
    assert measured["error"].abs().median() < 0.2
    orders = compare_orders(frame)
    assert orders["right"].sum() >= 0.85 * orders["pairs"].sum()


def test_x_that_was_not_measured_is_predicted_too() -> None:
    name = "8-socket Xeon Platinum 8176, 448 CPUs"
    frame = validate_published("perfbook_count", name, "atomic update", [1, 5])
    assert frame["x"].tolist() == [1, 5]
    assert frame["value"].isna().tolist() == [False, True]
    assert frame["predicted"].notna().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("perfbook_cont",), "did you mean 'perfbook_count'"),
        (("perfbook_count", "nowhere"), "unknown published machine"),
        (("perfbook_count", None, "atomic"), "unknown case"),
        (("perfbook_count", None, "atomic update", [0]), "allowed: 1.."),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate_published(*arguments)


@pytest.mark.compiled
def test_hash_lookups_scale_with_readers() -> None:
    machine = load_machine(XEON)
    case = "unsync lookups by CPUs, 262144 buckets"
    alone, four = predict_hash(machine, case, 1), predict_hash(machine, case, 4)
    assert 2 * alone < four < 5 * alone


def test_the_guests_siblings_are_neighbours() -> None:
    machine = load_machine("milan-guest")
    assert predict_count(machine, "atomic update", 2) > predict_count(machine, "atomic update", 1)


def test_a_contended_line_serves_several_operations_per_transfer() -> None:
    row = cost(ATOMIC, 8)
    assert 0.2 < row["transfers"] < 0.7


def test_renamed_words_are_forwarded_at_once_unless_others_write_the_line() -> None:
    machine = load_machine("milan-guest")
    # CPUs 0 and 1 are one core, so no line moves
    alone, beside, shared = (
        cost(*setup, machine)["ns"] * machine.ghz
        for setup in (("thread-local", 1), ("thread-local", 2), (PLAIN, 2))
    )
    assert alone == pytest.approx(2, abs=0.1)
    assert beside == pytest.approx(2, abs=0.1)
    assert shared == pytest.approx(machine.window.store_forward_cycles + 1, abs=0.5)


def test_more_cpus_than_a_machine_has_are_refused() -> None:
    """Also in a list of which others fit: nothing is left out silently."""
    model = load_machine("zen5-turin")
    check_cpus(model, [1, model.n_cpus])
    with pytest.raises(UserError, match="machine zen5-turin: cpus = 1000 is not allowed; allowed"):
        check_cpus(model, [2, 1000])
