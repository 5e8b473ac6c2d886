"""Reports over a grid of parameters: each in its folder, past a failing one, refused at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from cgsim.cli import main
from cgsim.errors import UserError
from cgsim.report.grid import build_grid
from cgsim.report.parameters import parse_grid

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
# %% [markdown]
# # Quotient
#
# One division.

# %% tags=["parameters"]
divisor: int = 1  # what to divide by
keys: list = []  # of no use here

# %%
from cgsim.report.parameters import Integer, ListOf, check

check(globals(), {"divisor": Integer(0, 9), "keys": ListOf(Integer(1, 9), shortest=0)})

# %%
1 / divisor
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A notebook that can be made to fail, in its checks and after them."""
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "01_quotient.py").write_text(SOURCE)
    return directory


def test_goes_on_past_a_failing_set(
    sources: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Status 1; the others' pages are there, and of the failing one what its notebook came to."""
    out = tmp_path / "out"
    words = ["report", "--notebooks", str(sources), "--out", str(out), "--no-mail", "--workers=2"]
    assert main([*words, "-p", "keys=[3]", "--grid", "divisor=2,0,4"]) == 1
    said = capfd.readouterr()
    assert said.out == f"{out / 'index.html'}\n"
    assert "cgsim: report failed: divisor=0: notebook 01_quotient, cell 4" in said.err
    assert "\n3 sets of parameters\n" in said.err
    names = {path.name for path in out.iterdir()}
    assert names == {"divisor=2", "divisor=4", "divisor=0.failed", "index.html", "manifest.json"}
    partial = nbformat.read(out / "divisor=0.failed" / "01_quotient.ipynb", as_version=4)
    assert partial.metadata.papermill.exception
    assert ">0.25<" in (out / "divisor=4" / "01_quotient.html").read_text().replace("\n", "")
    ran = json.loads((out / "divisor=2" / "manifest.json").read_text())["notebooks"]["01_quotient"]
    assert ran["parameters"] == {"divisor": 2, "keys": [3]}
    index = (out / "index.html").read_text()
    assert 'href="divisor%3D2/index.html"' in index
    assert "ZeroDivisionError" in index
    sets = json.loads((out / "manifest.json").read_text())["sets"]
    assert [bool(each["failure"]) for each in sets] == [False, True, False]
    # once more, all of it well: the old ones are replaced
    assert main([*words, "--grid", "divisor=2,4"]) == 0


@pytest.mark.parametrize(
    ("grid", "more", "message"),
    [
        ({"diviser": [1]}, {}, r"unknown parameter 'diviser' \(did you mean 'divisor'"),
        ({"divisor": [1, 10]}, {}, "divisor = 10 is not allowed; allowed: a whole number from 0"),
        ({"divisor": [1, "x"]}, {}, "divisor = 'x' is not allowed"),
        ({"keys": [[1], [0]]}, {}, r"keys = \[0\] is not allowed"),
        ({"divisor": []}, {}, "--grid divisor: no values"),
        ({"divisor": [1]}, {"parameters": {"divisor": 2}}, "is given by -p too"),
        ({"divisor": range(10), "keys": [[k] for k in range(1, 200)]}, {}, "more than 1000 sets"),
    ],
)
def test_refused_before_anything_runs(
    grid: dict[str, Any], more: dict[str, Any], message: str, sources: Path, tmp_path: Path
) -> None:
    """One error for a wrong name or value, in whichever set."""
    out = tmp_path / "out"
    with pytest.raises(UserError, match=message) as caught:
        build_grid(grid, out, notebooks=sources, warm=False, mail=False, **more)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_values_of_a_grid() -> None:
    """Numbers, names and lists, as YAML has them."""
    assert parse_grid(["machine=a,b", "n_keys=2,8", "01.keys=[1, 4],[2]"]) == {
        "machine": ["a", "b"],
        "n_keys": [2, 8],
        "01.keys": [[1, 4], [2]],
    }
    for texts, message in (
        (["n_keys"], "write NAME=A,B"),
        (["n_keys="], "write NAME=A,B"),
        (["a=1", "a=2"], "given twice"),
        (["a=1,1"], "there twice"),
        (["a=[1"], "not valid YAML"),
    ):
        with pytest.raises(UserError, match=message):
            parse_grid(texts)
