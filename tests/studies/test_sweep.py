"""A study end to end: its rows, their order, what is computed again and what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import cgsim
from cgsim.errors import UserError

KEYS = {
    "name": "keys",
    "designs": ["list", "table"],
    "workload": "network",
    "machine": "zen4-genoa",
    "factors": {"n_keys": [2, 5], "n_cgroups": [50, 300]},
    "lookups": 20,
    "replicates": 3,
    "seed": 11,
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a study that has run in this process."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    cgsim.sweep(KEYS, out=out, workers=1, progress=False)
    return out


def _counts(out: Path) -> dict[str, int]:
    return json.loads((out / "manifest.json").read_text())["points"]


def test_rows_in_the_order_of_the_study(swept: Path) -> None:
    """A row per point, design and replicate: points by factors, the last fastest."""
    frame = pd.read_parquet(swept / "results.parquet")
    named = frame[["n_keys", "n_cgroups", "design", "replicate", "seed"]]
    expected = [
        [keys, cgroups, design, replicate, 11 + replicate]
        for keys in (2, 5)
        for cgroups in (50, 300)
        for design in ("list", "table")
        for replicate in range(3)
    ]
    assert named.to_numpy().tolist() == expected
    assert (frame["lookups"] == 20).all()


def test_rows_are_those_of_simulate(swept: Path) -> None:
    """The store gives back what the experiment gives, bit for bit."""
    frame = pd.read_parquet(swept / "results.parquet")
    alone = cgsim.simulate(
        "table", "zen4-genoa", "network", n_keys=5, n_cgroups=300, lookups=20, seed=11
    )
    rows = frame[(frame["design"] == "table") & (frame["n_keys"] == 5) & (frame["point"] == 3)]
    pd.testing.assert_frame_equal(
        rows[list(alone.columns)].reset_index(drop=True), alone, check_exact=True
    )


def test_again_nothing_is_computed(swept: Path) -> None:
    """A second run finds all points, and writes the same bytes."""
    before = (swept / "results.parquet").read_bytes()
    frame = cgsim.sweep(KEYS, out=swept, workers=1, progress=False)
    assert _counts(swept) == {"computed": 0, "found": 24}
    assert (swept / "results.parquet").read_bytes() == before
    assert frame.attrs["parameters"]["seed"] == 11
    assert {"version", "commit"} <= frame.attrs.keys()


def test_one_design_more_computes_its_own_points(swept: Path) -> None:
    """What the store has is taken from it."""
    cgsim.sweep(KEYS | {"designs": ["list", "hash", "table"]}, out=swept, workers=1, progress=False)
    assert _counts(swept) == {"computed": 12, "found": 24}


def test_two_processes_give_the_same_bytes(swept: Path, tmp_path: Path) -> None:
    """By the command line, from a directory whose files hide the library's modules."""
    (tmp_path / "random.py").write_text("raise SystemExit('not this one')\n")
    (tmp_path / "study.yml").write_text(json.dumps(KEYS))
    subprocess.run(
        [Path(sys.executable).with_name("cgsim"), "sweep", "study.yml", "--out", "out",
         "--workers", "2"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    cgsim.sweep(KEYS, out=swept, workers=1, progress=False)
    again = (swept / "results.parquet").read_bytes()
    assert (tmp_path / "out" / "results.parquet").read_bytes() == again
    assert _counts(tmp_path / "out") == {"computed": 24, "found": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"factors": {"n_kyes": [1]}}, "'n_kyes' (did you mean 'n_keys'?)"),
        ({"factors": {"n_keys": [0]}}, "n_keys = 0 is not allowed"),
        ({"factors": {"n_keys": {"low": 1, "high": 4}}}, "factors.n_keys"),
        ({"designs": ["lst"]}, "unknown design 'lst' (did you mean 'list'?)"),
        ({"machine": "zen9"}, "unknown machine 'zen9'"),
        ({"workload": "netwrk"}, "unknown workload 'netwrk'"),
        ({"kernel": "1.0"}, "unknown kernel '1.0'"),
        ({"replicates": 0}, "replicates = 0 is not allowed"),
        ({"seed": -1}, "seed = -1 is not allowed"),
        ({"lookups": 1.5}, "lookups = 1.5 is not allowed"),
        ({"layouts": ["shared"]}, "more than one of them"),
        ({"metrics": ["nanoseconds"]}, "unknown column 'nanoseconds'"),
        ({"stop": {"pair": ["list", "idr"]}}, "stop.pair"),
        ({"factors": {"cpus": [10_000]}}, "cpus = 10000 is not allowed"),
        ({"factors": {"machine.memory.local_us": [1]}}, "'machine.memory.local_us'"),
    ],
)
def test_mistakes_are_one_line(
    change: dict[str, object], words: str, tmp_path: Path, swept: Path
) -> None:
    """A mistake is refused before anything runs, in the name of the file."""
    path = tmp_path / "study.yml"
    path.write_text(json.dumps(KEYS | change))
    with pytest.raises(UserError) as caught:
        cgsim.sweep(path, out=swept, workers=1, progress=False)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message


def test_a_design_that_holds_too_few_keys_is_left_out(tmp_path: Path) -> None:
    """It is named in the manifest with the reason."""
    study = KEYS | {"designs": ["list", "subsys"], "factors": {"n_keys": [2, 100]}, "replicates": 1}
    frame = cgsim.sweep(study, out=tmp_path, workers=1, progress=False)
    assert frame[["design", "n_keys"]].to_numpy().tolist() == [
        ["list", 2], ["subsys", 2], ["list", 100],
    ]  # fmt: skip
    (left,) = json.loads((tmp_path / "manifest.json").read_text())["left_out"]
    assert left["design"] == "subsys"
    assert left["n_keys"] == 100
