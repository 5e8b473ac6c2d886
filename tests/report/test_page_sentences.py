"""Sentences of the pages on packets, counters and upkeep: each figure read off its frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cgsim.designs import get_design
from cgsim.report import design_page, plot_packets, plot_percpu, tables
from cgsim.report.explorer import _in_front
from cgsim.report.sentences import share_sentence, times, with_half

SEEDS = 3


def lookups(design: str, ns: float, mode: str = "throughput", **more: object) -> pd.DataFrame:
    """Replicates of a lookup; half of the cycles are work, the rest waiting for memory."""
    return pd.DataFrame(
        {
            "design": design, "machine": "zen5-vm", "mode": mode, "footprint_bytes": 0,
            "between_bytes": 0, "ns": ns + 0.01 * np.arange(SEEDS), "cycles": 4 * ns,
            "work_cycles": 2 * ns, "memory_cycles": 2 * ns, **more,
        }
    )  # fmt: skip


def test_more_cpus_do_not_level_designs() -> None:
    crowd = pd.DataFrame(
        [
            {"design": name, "cpus": cpus, "event_ns": ns, "cycles": 100.0, "coherence_cycles": c}
            for name, cpus, ns, c in (
                ("list", 1, 100.0, 0.0), ("list", 16, 1000.0, 90.0),
                ("direct", 1, 50.0, 0.0), ("direct", 16, 200.0, 40.0),
            )
        ]
    )  # fmt: skip
    said = plot_packets.crowd_sentence(crowd)
    assert "4.0 times (direct) to 10 times (list) as long" in said
    assert "on 16 CPUs list takes 1,000 ns, 5.0 times the 200 of direct" in said
    assert "40 % of the cycles there with direct and 90 % with list" in said


def test_pairs_that_change_places_between_benchmark_and_packets_are_named() -> None:
    rows = [
        plot_packets.micro_row(
            name,
            lookups(name, warm),
            lookups(name, 100 + there, "workload"),
            lookups(name, 100, "workload"),
        )
        for name, warm, there in (("list", 10.0, 90.0), ("direct", 50.0, 20.0))
    ]
    said = plot_packets.micro_sentence(rows)
    assert "list and direct change places" in said
    assert "100 ns go to dispatcher and update" in said
    assert "50 to 50 % of its cycles are work" in said
    assert rows[0].cells[3] == "90 +- 0"
    near = [
        plot_packets.micro_row(
            name, lookups(name, warm), lookups(name, 100 + warm, "workload"),
            lookups(name, 100, "workload"),
        )
        for name, warm in (("list", 10.0), ("direct", 50.0))
    ]  # fmt: skip
    assert "none changes places" in plot_packets.micro_sentence(near)


def test_shares_are_of_the_lookup_alone() -> None:
    points = pd.DataFrame(
        {"design": ["a", "b"], "seed_ns": [[30.0, 32.0], [41.0, 41.0]], "place_ns": [21.0, 21.0]}
    )
    assert "1 % of that with a and 2 % with b" in share_sentence(points, 1000.0)


def test_all_shares_of_reads_have_a_winner() -> None:
    mixed = pd.DataFrame(
        [
            {"layout": name, "cpus": cpus, "reads": reads, "ns": ns * cpus}
            for name, reads, ns in (("a", 0, 1.0), ("b", 0, 3.0), ("a", 256, 5.0), ("b", 256, 2.0))
            for cpus in (1, 8)
        ]
    )
    assert plot_percpu.winners_sentence(mixed) == (
        "On 8 CPUs, of a and b, the cheapest are: with 0.00% reads a: 8 ns; with 25.00% reads b: "
        "16 ns."
    )


def test_overlapping_updates_are_said_beside_dependent_ones() -> None:
    skewed = pd.DataFrame(
        [
            {"layout": name, "zipf": zipf, "cpus": 28, "ns": ns + step}
            for name, zipf, ns in (
                ("shared-atomic", 0.0, 50.0), ("shared-atomic", 1.5, 300.0),
                ("percpu", 0.0, 0.3), ("percpu", 1.5, 0.9),
            )
            for step in (0.0, 0.0)
        ]
    )  # fmt: skip
    one = pd.DataFrame({"layout": ["percpu"] * 2, "cpus": [28, 1], "ns": [2.14, 9.0]})
    said = plot_percpu.skew_sentence(skewed, one)
    assert "an atomic word from 50 +- 0 to 300 +- 0 and a percpu one from 0.3 +- 0" in said
    assert "paid 2.14 for a percpu update: there each waits for the one before" in said
    assert "paid" not in plot_percpu.skew_sentence(skewed, one[one["cpus"] == 1])


def test_a_drop_that_leaves_data_is_no_cheap_one() -> None:
    warm = pd.DataFrame(
        {
            "operation": "drop key", "design": ["v4", "list", "hash-rcu"], "ns": [1.0, 10.0, 30.0],
            "left": [9, 0, 0], "cycles": [4.0, 40.0, 120.0], "accesses": [1, 100, 140],
            "locked": [0, 9, 9], "work_cycles": [4.0, 20.0, 40.0],
            "memory_cycles": [0.0, 20.0, 80.0],
        }
    )  # fmt: skip
    starred, dearest = design_page.drop_sentences(warm)
    assert "v4's drop" in starred
    assert "9 data are left behind" in starred
    assert "with hash-rcu, takes 3.0 times that of list: 140 accesses beside 100" in dearest
    assert "75 % of the difference is memory" in dearest


def test_ties_at_a_point_are_all_named() -> None:
    rows = pd.DataFrame(
        {
            "design": ["a", "b", "c"], "machine": "zen5-vm", "mode": "dependent",
            "footprint_bytes": 0, "ns": [10.0, 10.1, 90.0],
            "seed_ns": [[10.0, 10.0], [10.0, 10.2], [90.0, 90.0]],
        }
    )  # fmt: skip
    assert _in_front(rows) == ("a", "b")


@pytest.mark.parametrize(
    ("design", "held"),
    [
        ("direct", "the dispatcher's section: rcu_read_lock, migrate_disable"),
        ("cgroup-storage", "the dispatcher's section: rcu_read_lock, migrate_disable"),
        ("v4", "nothing"),
        ("list", "RCU"),
    ],
)
def test_what_a_reader_holds_may_be_the_dispatchers(design: str, held: str) -> None:
    assert tables._reader(get_design(design)) == held


def test_factors_have_two_digits_and_means_their_interval() -> None:
    assert [times(value) for value in (1.44, 12.4, 2255.0)] == ["1.4 times", "12 times",
                                                               "2,300 times"]  # fmt: skip
    assert with_half([1.0, 1.0, 1.0]) == "1 +- 0"
    assert with_half([2.0]) == "2"
