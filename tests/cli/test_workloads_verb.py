"""`cgsim workloads` and `cgsim counters --list`: listed, explained, as JSON, exported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cgsim.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def test_workloads_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workloads"]) == 0
    out = capsys.readouterr().out
    for name in ("network", "gpu", "churn", "recorded", "k8s-node", "gpu-server"):
        assert f"\n{name} " in f"\n{out}"


def test_a_workload_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workloads", "k8s-node", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "k8s-node"
    rows = {row["field"]: row for row in told["values"]}
    assert rows["n_cgroups"]["value"] == 450
    assert rows["zipf_s"]["source"].startswith("assumption")
    assert main(["workloads", "k8s-node"]) == 0
    assert "450 cgroups" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["k8snode"], "did you mean 'k8s-node'"),
        (["none.yml"], "none.yml"),
        (["--export", "e.csv"], "goes with a workload's name"),
        (["network", "--export", "e.txt"], "ends in .csv or .parquet"),
        (["network", "-p", "n_keys=0", "--export", "e.csv"], "n_keys = 0"),
    ],
)
def test_mistakes_take_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workloads", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_a_workload_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "events.csv"
    assert main(["workloads", "gpu", "--export", str(path), "--lookups", "50"]) == 0
    assert "50 events" in capsys.readouterr().out
    assert path.read_text().startswith("time_ns,cpu,cgroup,key,event\n")


def test_layouts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["counters", "--list"]) == 0
    out = capsys.readouterr().out
    for name in ("percpu", "page-counter-stock", "percpu-counter"):
        assert f"\n{name} " in f"\n{out}"
