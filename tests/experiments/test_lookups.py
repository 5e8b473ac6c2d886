"""Points and their summaries: known costs, identities, determinism, refusals."""

import math
from collections.abc import Callable

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from cgsim.core.block_fields import CAUSES
from cgsim.errors import UserError
from cgsim.experiments.in_workload import simulate
from cgsim.experiments.lookups import lookup_cost
from cgsim.experiments.summary import interval_half_width, summarise
from cgsim.machines import load_machine
from cgsim.stage.population import build_population

MACHINE = "zen4-genoa"
SMALL = {"lookups": 200, "replicates": 2}


def test_one_bare_warm_dependent_load_costs_the_l1_latency() -> None:
    frame = lookup_cost("direct", MACHINE, n_cgroups=4, n_keys=2, modes=["dependent"], **SMALL)
    machine = load_machine(MACHINE)
    latency = machine.ns(machine.caches[0].load_to_use_cycles)
    assert frame["bare_ns"].to_numpy() == pytest.approx(latency, rel=0.01)


@pytest.mark.compiled
def test_no_cost_that_nobody_can_see() -> None:
    """An inlined address is bare next to nothing; whoever runs pays for being called, and uses."""
    frame = lookup_cost("direct-inlined", MACHINE, n_cgroups=4, n_keys=2, **SMALL)
    assert (frame["bare_ns"] < 0.3).all()
    assert (frame["ns"] > 1.5).all()
    assert (frame["accesses"] >= 9).all()  # two arguments, the dispatcher's, the datum


@pytest.mark.compiled
@pytest.mark.parametrize("design", ["direct", "table"])
def test_a_larger_footprint_costs_more_and_never_more_than_all_loads_missing(design: str) -> None:
    machine = load_machine(MACHINE)
    worst = machine.cycles(machine.memory.local_ns) + machine.tlb.walk_cycles_2m + 60
    loads = {"direct": 1, "table": 3}[design]
    costs = [
        machine.cycles(
            lookup_cost(
                design,
                MACHINE,
                n_cgroups=50,
                n_keys=4,
                modes=["isolated"],
                footprint_bytes=footprint,
                lookups=30,
                replicates=1,
            )["bare_ns"].item()
        )
        for footprint in (0, 1 << 18, 1 << 22)
    ]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1] <= loads * worst


@pytest.mark.compiled
@pytest.mark.parametrize("workload", ["network", "gpu"])
def test_the_cpi_stack_adds_up(workload: str) -> None:
    frame = simulate("idr", MACHINE, workload, lookups=100, replicates=1)
    stack = frame[[f"{cause}_cycles" for cause in CAUSES]]
    assert (stack.to_numpy() >= 0).all()
    assert stack.sum(axis=1).item() == pytest.approx(frame["cycles"].item())
    assert frame["p50_ns"].item() <= frame["p99_ns"].item() <= frame["p999_ns"].item()


@pytest.mark.compiled
def test_same_seed_same_answer_whatever_the_threads() -> None:
    arguments = {"lookups": 100, "replicates": 3, "n_cgroups": 40}
    alone = simulate("table", MACHINE, "network", **arguments)
    shared = simulate("table", MACHINE, "network", threads=3, **arguments)
    assert_frame_equal(alone, shared, check_exact=True)
    other = simulate("table", MACHINE, "network", seed=7, **arguments)
    assert not alone["cycles"].equals(other["cycles"])


def test_rcu_is_taken_only_where_the_caller_does_not_hold_it() -> None:
    counts = {
        workload: simulate("idr", MACHINE, workload, lookups=20, replicates=1)["accesses"].item()
        for workload in ("network", "gpu")
    }
    assert counts["gpu"] > counts["network"]


@pytest.mark.parametrize(
    ("design", "cgroup_bytes", "entry_bytes"),
    [
        # an entry of 24 + 16 bytes comes from kmalloc-64
        ("list", 0, 64),
        # struct cgroup_priv of 40 bytes and 16 of data; buckets and mutex fit kmalloc-4k
        ("hash", 0, 64),
        # one node of 576 bytes; data of 16 bytes
        ("idr", 576, 16),
        # a table of 13 slots from kmalloc-128
        ("table", 128, 16),
        ("subsys", 0, 16),
        # eight data of 16 bytes share a buffer
        ("direct", 0, 16),
    ],
)
def test_memory_is_what_slab_rounds_it_to(design: str, cgroup_bytes: int, entry_bytes: int) -> None:
    memory = build_population(design, n_cgroups=10, n_keys=8, seed=1).memory
    assert memory.cgroup_bytes == cgroup_bytes
    assert memory.entry_bytes == entry_bytes
    assert memory.per_cgroup(8) == cgroup_bytes + 8 * entry_bytes


def test_ages_and_orders_change_places_but_not_amounts() -> None:
    fresh = build_population("idr", n_cgroups=64, n_keys=4, seed=1, aged=False)
    aged = build_population("idr", n_cgroups=64, n_keys=4, seed=1)
    assert fresh.memory == aged.memory
    assert (fresh.cgroups[1:] - fresh.cgroups[:-1] == 4096).sum() < 60  # freelists are random
    assert abs(aged.cgroups[1:] - aged.cgroups[:-1]).mean() > 4096


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: simulate("lits", MACHINE, "network"),
            "unknown design 'lits'.*did you mean 'list'",
        ),
        (lambda: simulate("list", "zen9", "network"), "unknown machine 'zen9'"),
        (lambda: simulate("list", MACHINE, "netwerk"), "unknown workload 'netwerk'"),
        (lambda: simulate("list", MACHINE, "network", n_keyz=3), "unknown field .*'n_keyz'"),
        (lambda: simulate("list", MACHINE, "network", lookups=1), "lookups = 1 is not allowed"),
        (lambda: simulate("list", MACHINE, "network", seed=-1), "seed = -1 is not allowed"),
        (lambda: simulate("list", MACHINE, "network", kernel="5.4"), "unknown kernel '5.4'"),
        (lambda: simulate("subsys", MACHINE, "network", n_keys=20), "n_keys = 20 .*1..14"),
        (lambda: simulate("list", MACHINE, "network", aged=2), "aged = 2 .*true or false"),
        (
            lambda: lookup_cost("list", MACHINE, prefetch_next_line="on"),
            "prefetch_next_line = 'on' .*true or false",
        ),
        (lambda: lookup_cost("list", MACHINE, modes=["warm"]), "modes = 'warm' is not allowed"),
        (lambda: lookup_cost("list", MACHINE, user="drivr"), "unknown user 'drivr'.*'driver'"),
        (
            lambda: simulate("list", MACHINE, "network", user="driver"),
            "user = 'driver' .*packet-hook, counter, bpf-map",
        ),
        (lambda: lookup_cost("list", MACHINE, n_cgroups=0), "n_cgroups = 0 is not allowed"),
        (lambda: lookup_cost("list", MACHINE, footprint_bytes=-1), "footprint_bytes = -1"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_summarise_is_students_interval_per_point() -> None:
    frame = pd.DataFrame(
        {
            "design": ["list"] * 3 + ["idr"],
            "machine": "m",
            "workload": "w",
            "replicate": [0, 1, 2, 0],
            "seed": [1, 2, 3, 1],
            "lookups": 10,
            "ns": [1.0, 2.0, 3.0, 5.0],
        }
    )
    summary = summarise(frame).set_index("design")
    assert summary.loc["list", "ns"] == 2.0
    assert summary.loc["list", "replicates"] == 3
    # t(0.975, 2) = 4.3027, standard error 1 / sqrt(3)
    assert summary.loc["list", "ns_high"] - 2 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert math.isnan(summary.loc["idr", "ns_high"])
    for confidence in (0, 1, 95, math.nan, "0.95"):
        with pytest.raises(UserError, match=r"summarise: confidence = .* above 0 and below 1"):
            summarise(frame, confidence=confidence)
    assert math.isnan(interval_half_width([1.0]))
