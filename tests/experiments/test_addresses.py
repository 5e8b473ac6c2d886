"""A workload's address trace, replayed, misses as often as the simulation that wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim.cli import main
from cgsim.compile.jit import JIT_DISABLED
from cgsim.core import recording
from cgsim.errors import UserError
from cgsim.experiments import addresses
from cgsim.experiments.addresses import workload_addresses
from cgsim.trace_replay import trace
from cgsim.trace_replay.replay import replay
from cgsim.workloads import Feeds, load_workload

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="plain Python is too slow")


def replayed(path: Path, machine: str) -> dict[str, int]:
    return {level.name: level.misses for level in cgsim.replay_file(path, machine=machine).levels}


@pytest.mark.parametrize(
    ("workload", "machine", "lookups"),
    [
        ("network", "zen4-genoa", 800),
        ("network", "skylake-sp", 800),
        ("gpu", "zen4-genoa", 60),
        ("churn", "icelake-sp", 300),
        ("mixed", "zen3-milan", 300),
    ],
)
def test_a_replay_misses_as_the_simulation_did(
    tmp_path: Path, workload: str, machine: str, lookups: int
) -> None:
    """One CPU, true LRU, no strangers: L1 to the last miss, the others but for write-backs."""
    found = workload_addresses(workload, "idr", machine, lookups=lookups)
    path = tmp_path / "trace.parquet"
    found.accesses.to_parquet(path, index=False)
    again = replayed(path, machine)
    assert again["L1"] == found.misses["L1"]
    for level in ("L2", "L3"):
        assert again[level] == pytest.approx(found.misses[level], rel=2e-4)
    assert found.misses["L1"] > found.misses["L2"] >= found.misses["L3"] > 100
    assert 0 < found.warm < len(found.accesses)


def test_several_cpus_stand_in_the_order_in_which_they_played(tmp_path: Path) -> None:
    found = workload_addresses("network", "idr", "zen4-genoa", lookups=600, cpus=3)
    path = tmp_path / "trace.parquet"
    found.accesses.to_parquet(path, index=False)
    assert set(found.accesses["cpu"]) == {0, 1, 2}
    for level, misses in replayed(path, "zen4-genoa").items():
        assert misses == pytest.approx(found.misses[level], rel=0.002)


def test_where_the_machine_draws_only_l1_is_near(tmp_path: Path) -> None:
    """zen5-vm's L2 replaces at random, strangers use its L3, walks read their entries."""
    found = workload_addresses("network", "idr", "zen5-vm", lookups=600)
    path = tmp_path / "trace.parquet"
    found.accesses.to_parquet(path, index=False)
    again = replayed(path, "zen5-vm")
    assert again["L1"] == pytest.approx(found.misses["L1"], rel=0.01)
    assert again["L1"] != found.misses["L1"]
    assert again["L2"] != found.misses["L2"]


def test_recording_changes_nothing_and_holds_every_line() -> None:
    """The same misses as a simulation without a log; other code's lines are all there."""
    found = workload_addresses("gpu", "idr", "zen4-genoa", lookups=40)
    rows = Feeds(load_workload("gpu"), 1).take(80)
    lines = sum(int(rows.column(name).sum()) for name in ("hot_lines", "cold_lines"))
    assert lines < len(found.accesses) < 1.1 * lines + 10_000
    alone = cgsim.simulate("idr", "zen4-genoa", "gpu", lookups=40, replicates=1)
    assert (recording.READ, recording.WRITE, recording.ATOMIC) == (
        trace.READ, trace.WRITE, trace.ATOMIC,
    )  # fmt: skip
    measured = found.accesses.iloc[found.warm :]
    touched = sum(int(rows.column(name)[40:].sum()) for name in ("hot_lines", "cold_lines"))
    assert len(measured) - touched == pytest.approx(40 * alone["accesses"].iloc[0])


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy", "npz"])
def test_the_verb_writes_what_replay_reads(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"trace.{suffix}"
    command = ["workloads", "network", "--addresses", "--design", "list", "--lookups", "50"]
    assert main([*command, "--machine", "zen4-genoa", "--export", str(path)]) == 0
    assert "accesses" in capsys.readouterr().out
    found = workload_addresses("network", "list", "zen4-genoa", lookups=50)
    assert replayed(path, "zen4-genoa") == found.misses
    if suffix == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(path), found.accesses)
    if suffix == "npy":
        rows = np.load(path)
        again = replay(rows["address"], ops=rows["op"], cpu=rows["cpu"])
        assert again.accesses == len(found.accesses)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["network", "--addresses"], "goes with --export"),
        (["network", "--addresses", "--export", "t.npy"], "--design"),
        (["network", "--addresses", "--export", "t.npy", "--design", "idr"], "--machine"),
        (
            ["network", "--addresses", "--export", "t.txt", "--design", "idr", "--machine", "m"],
            "ends in .csv, .parquet, .npy or .npz",
        ),
    ],
)
def test_mistakes_take_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workloads", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_too_long_a_trace_is_refused_before_it_is_played(monkeypatch: Any) -> None:
    monkeypatch.setattr(addresses, "MAX_ACCESSES", 1000)
    with pytest.raises(UserError, match=r"accesses are not allowed; allowed: at most 1000"):
        workload_addresses("gpu", "idr", "zen4-genoa", lookups=40)
