"""A design of one's own, given as a file on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cgsim import list_designs
from cgsim.cli.parsing import named_designs
from cgsim.errors import UserError

ROOT = Path(__file__).parents[2]


def cgsim(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line there."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "cgsim", *arguments],
        cwd=directory, capture_output=True, text=True, timeout=900,
    )  # fmt: skip


@pytest.mark.compiled
def test_a_file_adds_a_design(tmp_path: Path) -> None:
    """The list's own file under another name gives the list's own figures."""
    source = (ROOT / "cgsim" / "designs" / "list_walk.py").read_text()
    (tmp_path / "mine.py").write_text(source.replace('name="list"', 'name="mine"'))
    done = cgsim(
        tmp_path, "simulate", "--design", "./mine.py", "--design", "list", "--workload", "alone",
        "-p", "n_cgroups=20", "-p", "lookups=50", "-p", "n_keys=2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)["points"]
    costs = {row["design"]: row["ns"] for row in points if row["mode"] == "dependent"}
    assert costs["mine"] == costs["list"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "adds no design"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named"),
        ("def x(:\n", "SyntaxError"),
        (None, "no such file"),
    ],
)
def test_other_files_are_refused(text: str | None, message: str, tmp_path: Path) -> None:
    """In one line that names the file."""
    path = tmp_path / f"own_{abs(hash(message)) % 997}.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        named_designs([str(path)])
    assert str(path) in str(caught.value)


def test_designs_show_themselves() -> None:
    """A list of designs is read by people: names and titles, no functions."""
    shown = repr(list_designs())
    assert "<Design idr: idr per cgroup>" in shown
    assert "function" not in shown
    table = list_designs()._repr_html_()  # type: ignore[attr-defined]
    assert "<td>idr</td><td>idr per cgroup</td>" in table
    assert "idr_find" in list_designs()[0]._repr_html_() + table
