"""The command line: what it prints, refuses, and returns."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim import cli
from cgsim.errors import UserError
from cgsim.report import build

VERBS = (
    "simulate",
    "upkeep",
    "misuse",
    "explore",
    "report",
    "mail",
    "notebooks",
    "designs",
    "machines",
    "trace",
    "replay",
    "validate",
)


def run(*arguments: str) -> int:
    """The exit status of a command line."""
    try:
        return cli.main(arguments)
    except SystemExit as left:
        return int(left.code or 0)


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of each verb has examples that call it."""
    assert run(verb, "--help") == 0
    text = capsys.readouterr().out
    examples = text[text.index("example") :]
    assert f"cgsim {verb}" in examples


def test_help_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists all verbs, and these are all."""
    assert run("--help") == 0
    text = capsys.readouterr().out
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("    ")]
    assert tuple(verb for verb in VERBS if verb in listed) == VERBS
    assert run("--version") == 0
    assert capsys.readouterr().out == f"cgsim {cgsim.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: VERB"),
        ("simulat", "did you mean 'simulate'"),
        ("simulate", "required: --design"),
        ("simulate --desig idr", "required: --design"),
        ("simulate --design idr -p seed", "write NAME=VALUE"),
        ("simulate --design idr -p seed=[1", "not valid YAML"),
        ("simulate --design idr --out table.xlsx", "ends in .csv or .parquet"),
        ("simulate --design idx", "did you mean 'idr'"),
        ("simulate --design idr --machine zen5", "unknown machine 'zen5'"),
        ("simulate --design idr --workload netwrk", "did you mean 'network'"),
        ("simulate --design idr -p machine=zen5-vm", "give it as --machine"),
        ("simulate --design idr --workload alone -p n_kys=1", "did you mean 'n_keys'"),
        ("upkeep --design idr -p machine=zen5-vm", "give it as --machine"),
        ("upkeep --design idr -p n_kys=1", "did you mean 'n_keys'"),
        ("upkeep --design subsys -p n_keys=15", "allowed: a whole number of 1..14"),
        (
            "upkeep --design percpu-htab -p data=regular",
            "'regular' is not allowed; allowed: percpu",
        ),
        ("misuse --design idx", "did you mean 'idr'"),
        (
            "misuse --misuse twice",
            "allowed: ask for nothing, first key, get during the last put, install twice",
        ),
        ("trace", "SCENARIO is missing"),
        ("trace idr/deph=2", "idr/depth"),
        ("trace idr/depth=2 --kernel 5.0", "5.0"),
        ("report --preset fast", "unknown preset 'fast'; allowed: full, quick"),
        ("report --workers two", "invalid int value: 'two'"),
        ("report --workers 0", "workers = 0"),
        ("report -p sede=1 --notebooks NOTEBOOKS", "did you mean 'seed'"),
        (
            "report -p seed=1e3 --notebooks NOTEBOOKS",
            "seed = 1000.0 is not allowed; allowed: a value of type int (write 1000)",
        ),
        ("report --notebook 10_tyni --notebooks NOTEBOOKS", "did you mean '10_tiny'"),
        ("report --notebooks no-such-directory", "no notebook sources"),
        ("report --out OCCUPIED", "holds files but no report"),
        ("mail --preset quik", "unknown preset 'quik'"),
        ("machines zen5vm", "did you mean 'zen5-vm'"),
        ("machines no-such-file.yml", "no-such-file.yml"),
        ("designs --josn", "unrecognized arguments: --josn"),
        ("replay trace.npy", "give --caches or --machine"),
        ("validate published --benchmark perfbook", "did you mean 'perfbook_cas'"),
        ("validate published --benchmark perfbook_count --x a", "--x = 'a' is not allowed"),
        ("validate other --benchmark perfbook_count", "unknown 'other'"),
        ("mail --machine zen", "unknown machine 'zen'"),
        ("replay no-such.npy --caches L1:32KiB/8", "no-such.npy"),
        ("replay trace.npy --caches L1:32KiB/8 --cpus x", "invalid int value"),
    ],
)
def test_bad_input(
    arguments: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_notebooks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mistake is one line on standard error that says what is allowed; the status is 2."""
    monkeypatch.chdir(tmp_path)
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "mine.txt").touch()
    places = {"NOTEBOOKS": str(tiny_notebooks), "OCCUPIED": str(occupied)}
    assert run(*(places.get(word, word) for word in arguments.split())) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("cgsim: error: ")
    assert message in last
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["occupied"]


def test_designs(capsys: pytest.CaptureFixture[str]) -> None:
    """Text and JSON name every design and what it mirrors."""
    assert run("designs", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["designs"]
    assert {"list", "hash", "idr", "table", "subsys", "direct"} <= {row["name"] for row in rows}
    assert all(row["mirrors"] for row in rows)
    assert run("designs") == 0
    text = capsys.readouterr().out
    assert all(row["name"] in text and row["mirrors"] in text for row in rows)


def test_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """The list, and one machine with unit and source of every value."""
    assert run("machines", "--json") == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["machines"]]
    assert len(names) >= 2
    assert run("machines") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names
    assert run("machines", names[0], "--json") == 0
    values = json.loads(capsys.readouterr().out)["values"]
    assert all(value["source"] for value in values)
    assert run("machines", names[0]) == 0
    text = capsys.readouterr().out
    assert all(value["field"] in text and value["source"] in text for value in values)


def test_simulate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One point a design; parameters, machine and workload are passed on; NaN is null in JSON."""
    asked: list[tuple[Any, ...]] = []

    def simulate(design: str, machine: str, workload: str, **given: Any) -> pd.DataFrame:
        asked.append((design, machine, workload, given))
        facts = {"design": design, "machine": machine, "kernel": "7.3.4", "workload": workload}
        facts["user"] = "packet-hook"
        counts = {"n_cgroups": 10, "n_keys": 2, "mode": "workload", "footprint_bytes": 0}
        counts["replicate"] = 0
        costs = {"ns": [1.0, 2.0], "cycles": [4.0, 8.0], "p50_ns": np.nan, "L1_cycles": [1.0, 3.0]}
        return pd.DataFrame({**facts, **counts, **costs, "TLB_cycles": 0.0})

    monkeypatch.setattr(cgsim, "simulate", simulate)
    words = ["simulate", "--design", "idr", "--design", "list", "-p", "n_keys=2", "-p", "x=0.5"]
    assert run(*words, "--machine", "m", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [(p["design"], p["ns"], p["p50_ns"]) for p in result["points"]] == [
        ("idr", 1.5, None),
        ("list", 1.5, None),
    ]
    assert [row["ns"] for row in result["replicates"]] == [1.0, 2.0, 1.0, 2.0]
    given = {"n_keys": 2, "x": 0.5}
    assert asked == [("idr", "m", "network", given), ("list", "m", "network", given)]
    assert run(*words) == 0
    text = capsys.readouterr().out
    assert text.startswith("simulated: zen5-vm, kernel 7.3.4, network (packet-hook), 10 cgroups, 2")
    assert "ns_low" in text
    assert text.splitlines()[-3].split() == ["design", "mode", "L1"]
    assert text.splitlines()[-1].split() == ["list", "workload", "2.00"]
    asked.clear()
    assert (
        run("simulate", "--design", "all", "-p", "n_keys=30", "--out", str(tmp_path / "t.csv")) == 0
    )
    told = capsys.readouterr().err
    assert "cgsim: hash left out: its lookup takes a mutex" in told
    assert "cgsim: subsys left out: 30 keys asked for" in told
    assert {"hash", "subsys", "htab"}.isdisjoint({name for name, *_ in asked})
    assert {"table", "direct", "storage"} <= {name for name, *_ in asked}
    for name, read in (("t.csv", pd.read_csv), ("t.parquet", pd.read_parquet)):
        assert run(*words, "--out", str(tmp_path / name)) == 0
        assert capsys.readouterr().out == ""
        assert list(read(tmp_path / name)["design"]) == ["idr", "idr", "list", "list"]


def test_lookups_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The workload `alone` is the API's lookup_cost."""

    @functools.wraps(cgsim.lookup_cost)
    def lookup_cost(design: str, machine: str, **given: Any) -> pd.DataFrame:
        raise UserError(f"{design} {machine} {given}")

    monkeypatch.setattr(cgsim, "lookup_cost", lookup_cost)
    words = "simulate --design idr --workload alone -p modes=[dependent]"
    assert run(*words.split()) == 2
    assert capsys.readouterr().err == "cgsim: error: idr zen5-vm {'modes': ['dependent']}\n"


def test_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenarios are listed; one is traced, with op, place and dependences of each access."""
    assert run("trace", "--list", "--json") == 0
    scenarios = json.loads(capsys.readouterr().out)["scenarios"]
    assert scenarios
    assert run("trace", "--list") == 0
    text = capsys.readouterr().out
    assert all(row["name"] in text and row["explanation"] in text for row in scenarios)
    assert run("trace", "list/position=2", "--no-cycles", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["scenario"] == "list/position=2"
    assert result["accesses"]
    assert run("trace", "list/position=2", "--no-cycles") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(result["accesses"])
    assert lines[1].split()[1] == result["accesses"][0]["op"]


@pytest.mark.parametrize(
    "scenario",
    [
        "hash/position=2", "dmem/position=2", "filter/ingress=1", "net-generic",
        "rhashtable/position=2", "blkg/hint", "array",
    ],
)  # fmt: skip
def test_trace_of_accesses_without_a_name(
    scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A word without a recorded name is shown as one."""
    assert run("trace", scenario, "--no-cycles", "--json") == 0
    accesses = json.loads(capsys.readouterr().out)["accesses"]
    assert any(access["field"] is None for access in accesses)
    assert run("trace", scenario, "--no-cycles") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    for line, access in zip(lines, accesses, strict=True):
        assert line.split()[4] == (access["field"] or "-")


def test_replay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Two lines read twice: two misses, then two hits in the first level."""
    path = tmp_path / "trace.npy"
    np.save(path, np.array([0, 64, 0, 64], dtype=np.uint64))
    assert run("replay", str(path), "--caches", "L1:32KiB/8,L2:512KiB/8", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accesses"] == 4
    assert result["levels"][0] == {"name": "L1", "hits": 2, "misses": 2}
    assert result["levels"][1] == {"name": "L2", "hits": 0, "misses": 2}
    assert run("replay", str(path), "--caches", "L1:32KiB/8,L2:512KiB/8") == 0
    text = capsys.readouterr().out
    assert "4 accesses" in text
    assert "L2" in text
    assert "false" not in text
    path = tmp_path / "trace.csv"
    path.write_text("cpu,op,address,size\n0,W,0,8\n1,W,8,8\n0,R,0,8\n")
    assert run("replay", str(path), "--caches", "L1:32KiB/8", "--false-sharing", "--json") == 0
    assert json.loads(capsys.readouterr().out)["false_sharing"] == {
        "coherence_misses": 1,
        "count": 1,
        "lines": [{"address": "0x0", "cpus": [0], "count": 1}],
    }
    assert run("replay", str(path), "--caches", "L1:32KiB/8", "--false-sharing") == 0
    text = capsys.readouterr().out
    assert "1 of 1 coherence misses are false sharing" in text
    assert "0x0         1 by CPUs 0" in text


def test_notebooks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The .ipynb files are written where one says."""
    assert run("notebooks", "--out", str(tmp_path / "n")) == 0
    paths = capsys.readouterr().out.split()
    assert paths
    assert all(json.loads(Path(path).read_text())["nbformat"] == 4 for path in paths)


def test_report(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_notebooks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A report ends with the path of its front page; the stages and their seconds are said."""
    monkeypatch.setattr(build, "compile_first", lambda clock, workers: None)
    out = tmp_path / "r"
    words = ["report", "--notebooks", str(tiny_notebooks), "--out", str(out), "--no-mail"]
    assert run(*words, "-p", "seed=7") == 0
    said = capsys.readouterr()
    assert said.out == f"{out / 'index.html'}\n"
    for stage in ("prepare", "compile", "notebooks", "10_tiny", "pages", "total"):
        assert stage in said.err
    assert json.loads((out / "manifest.json").read_text())["seeds"] == {"10_tiny": {"seed": 7}}


def test_failed_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed report is told in lines, without a traceback; the status is 1."""

    def fail(*_: object, **__: object) -> None:
        raise build.ReportFailure("notebook 01_x, cell 3: boom")

    monkeypatch.setattr(build, "build_report", fail)
    assert run("report") == 1
    first, *said = capsys.readouterr().err.splitlines()
    assert first == "report: preset quick, into reports"
    assert said == ["cgsim: report failed: notebook 01_x, cell 3: boom"]


def test_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with status 130 and one line."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cgsim, "list_designs", interrupt)
    assert run("designs") == 130
    assert capsys.readouterr().err == "cgsim: interrupted\n"


def test_user_error_of_the_api(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A UserError from anywhere below is printed as it is."""

    def refuse() -> None:
        raise UserError("x = 1 is not allowed; allowed: 2")

    monkeypatch.setattr(cgsim, "list_designs", refuse)
    assert run("designs") == 2
    assert capsys.readouterr().err == "cgsim: error: x = 1 is not allowed; allowed: 2\n"


def test_reader_that_leaves() -> None:
    """`cgsim machines | head -1` ends quietly."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "cgsim", "machines"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    os.close(reading)
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode == 0
