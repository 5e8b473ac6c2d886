"""The examples of README and of `cgsim replay --help` run, and say what they count."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cgsim.cli import main
from cgsim.cli import replay as verb

ROOT = Path(__file__).parents[2]


def readme_examples() -> list[str]:
    lines = (ROOT / "README.md").read_text().splitlines()
    return [
        line.split("cgsim ", 1)[1]
        for line in lines
        if line.startswith("    ") and "/cgsim replay " in line
    ]


def help_examples() -> list[str]:
    parser = argparse.ArgumentParser()
    verb.add(parser.add_subparsers())
    actions = [
        action for action in parser._actions if hasattr(action, "choices") and action.choices
    ]
    epilog = str(actions[0].choices["replay"].epilog)  # type: ignore[index]
    return [line.strip() for line in epilog.splitlines() if "cgsim replay" in line]


@pytest.mark.parametrize("command", readme_examples())
def test_readme(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)) == 0
    assert "L1" in capsys.readouterr().out


def test_there_are_examples() -> None:
    assert len(readme_examples()) >= 3
    assert len(help_examples()) >= 5


@pytest.mark.parametrize("command", help_examples())
def test_help(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With files of the names that they use."""
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"address": [0, 64, 0, 8], "op": list("RWWR"), "cpu": [0, 1, 0, 1]})
    np.save("addresses.npy", table["address"].to_numpy())
    table.to_parquet("trace.parquet")
    table.to_csv("trace.csv")
    table.rename(columns={"address": "addr", "op": "type"}).to_csv("trace.csv.gz")
    before, _, own = command.rpartition("cgsim ")
    if before.strip():
        if shutil.which("valgrind") is None:
            pytest.skip("valgrind is not installed")
        done = subprocess.run(before.rstrip().rstrip(";"), shell=True, check=False)
        if done.returncode != 0:
            pytest.skip("valgrind failed")
    assert main(shlex.split(own)) == 0
    assert "L1" in capsys.readouterr().out


def test_lines_and_accesses_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An access that crosses a border of lines is one access, to two lines."""
    (tmp_path / "t.csv").write_text("address,size\n60,8\n0,4\n")
    command = ["replay", str(tmp_path / "t.csv"), "--caches", "L1:4KiB/4"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["accesses"], found["line_accesses"]) == (2, 3)
    assert found["levels"] == [{"name": "L1", "hits": 1, "misses": 2}]
    assert main(command) == 0
    assert "2 accesses, 3 to single lines" in capsys.readouterr().out
    assert main([*command, "--line-bytes", "128", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["line_accesses"] == 2
