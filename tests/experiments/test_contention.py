"""Lookups on many CPUs: who waits for whom, and that nobody does without a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

import cgsim
from cgsim import cli
from cgsim.errors import UserError

MACHINE = "skylake-sp"
QUICK: dict[str, Any] = {"replicates": 1, "lookups_per_cpu": 40}


@pytest.fixture(scope="module")
def points() -> Any:
    """Four designs on up to 16 CPUs, one cgroup, one replicate: ns and effects by point."""
    frame = cgsim.contention(MACHINE, ("table", "hash", "v4", "dmem"), cpus=(1, 4, 16), **QUICK)
    return frame.set_index(["design", "use", "cpus"]).sort_index()


def test_readers_without_locks_do_not_meet(points: Any) -> None:
    """The same table read, or a copy of one's own counted, costs alike on any number of CPUs."""
    for use in ("read", "percpu"):
        rows = points.loc[("table", use)]
        assert (rows[["locked", "transfers", "invalidations", "mutex_ns"]] == 0).all().all()
        assert rows["ns"].max() < 1.5 * rows["ns"].min()


def test_one_cpu_meets_nobody(points: Any) -> None:
    alone = points.xs(1, level="cpus")
    assert (alone[["transfers", "mutex_ns", "coherence_ns"]] == 0).all().all()


def test_a_reference_moves_its_line_with_every_lookup(points: Any) -> None:
    """Get and put are two locked instructions; on n CPUs a lookup waits for n - 1 others."""
    for design in ("v4", "dmem"):
        rows = points.loc[(design, "read")]
        assert (rows["locked"] == 2).all()
        assert (rows.loc[[4, 16], "transfers"] >= 0.9).all()
        assert rows.loc[16, "ns"] > 3 * rows.loc[4, "ns"] > 9 * rows.loc[1, "ns"]
        assert rows.loc[16, "coherence_ns"] > 0.9 * (rows.loc[16, "ns"] - rows.loc[1, "ns"])


def test_what_is_a_tasks_own_does_not_move(points: Any) -> None:
    """v4's rcu_read_lock counts in the running task: one line moves, the reference's."""
    assert points.loc[("v4", "read", 16), "transfers"] <= 1.1


def test_a_mutex_excludes(points: Any) -> None:
    """On 16 CPUs a lookup waits for 15 holders, each of whom has to get the line first."""
    rows = points.loc[("hash", "read")]
    assert rows.loc[16, "mutex_ns"] > 10 * rows.loc[1, "ns"]
    assert rows.loc[16, "ns"] > 3 * rows.loc[4, "ns"]


def test_a_shared_datum_is_paid_by_all(points: Any) -> None:
    for design in ("table", "v4"):
        one = points.loc[(design, "shared")]
        assert (one["locked"] == points.loc[(design, "read"), "locked"] + 1).all()
    # a CPU that has the line may come again before the next one gets it
    assert points.loc[("table", "shared", 16), "transfers"] > 0.3
    assert points.loc[("table", "shared", 16), "ns"] > 10 * points.loc[("table", "read", 16), "ns"]


def test_many_cgroups_meet_less_often() -> None:
    """A line waits for one CPU at a time; the more cgroups, the fewer meet at one."""
    alike, popular, one = (
        cgsim.contention(
            MACHINE, ["v4"], cpus=[16], uses=["read"], n_cgroups=n, zipf=zipf, **QUICK
        )["ns"].iloc[0]
        for n, zipf in ((100, 0.0), (100, 1.2), (1, 1.0))
    )
    assert alike < popular < one


def test_same_seed_same_answer_whatever_the_threads() -> None:
    first, second = (
        cgsim.contention(
            MACHINE, ["hash"], cpus=[3], n_cgroups=20, replicates=3, lookups_per_cpu=20,
            threads=threads,
        )
        for threads in (1, 3)
    )  # fmt: skip
    assert first.equals(second)
    assert first["ns"].nunique() > 1


def test_who_has_no_figure_is_named() -> None:
    frame = cgsim.contention(MACHINE, ["subsys", "percpu-htab", "idr"], cpus=[1], **QUICK)
    rows = frame.set_index(["design", "use"]).sort_index()
    assert not rows.loc[("percpu-htab", "shared"), "usable"]
    assert rows.loc[("percpu-htab", "shared"), "why"] == "its data are percpu by themselves"
    assert rows.loc[("idr", "percpu"), "usable"]
    hook = cgsim.contention(MACHINE, ["hash"], cpus=[1], user="packet-hook", **QUICK)
    assert not hook["usable"].any()
    assert "not in softirq" in hook["why"].iloc[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpus": [2, 500]}, r"machine skylake-sp: cpus = 500 is not allowed; allowed: a whole"),
        ({"uses": ["write"]}, "uses = 'write' is not allowed; allowed: read or percpu or shared"),
        ({"n_cgroups": 0}, "n_cgroups = 0 is not allowed"),
        ({"zipf": -1}, "zipf = -1 is not allowed"),
        ({"designs": ["tabel"]}, "did you mean 'table'"),
        ({"cpus": []}, "cpus"),
        ({"user": "drivr"}, "did you mean 'driver'"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cgsim.contention(MACHINE, **options)


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "contention", "--machine", MACHINE, "--design", "hash", "--design", "percpu-htab",
        "-p", "cpus=[1, 2]", "-p", "replicates=1", "-p", "lookups_per_cpu=20",
    ]  # fmt: skip
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "lookups of the same cgroup" in text
    assert "percpu-htab, datum shared: none, its data are percpu by themselves" in text
    assert "hash: its lookup takes a mutex" in text
    assert cli.main([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["replicates"]) == 6 + 2 + 2
