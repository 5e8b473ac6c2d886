"""The wheel carries the data, the notebooks and the page templates, and works by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, root],
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("cgsim-*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(out / "unpacked")
    return out / "unpacked"


def run(wheel: Path, *arguments: str) -> str:
    """What a Python process prints that finds cgsim in the unpacked wheel alone."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(wheel)},
        cwd=wheel.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_contents(wheel: Path, root: Path) -> None:
    """Every data file, every notebook source and every template is in it; no tests are."""
    for here, there in (
        ("data", "cgsim/_data"),
        ("notebooks", "cgsim/_notebooks"),
        ("cgsim", "cgsim"),
    ):
        suffixes = {".py"} if here == "notebooks" else None
        for path in (root / here).rglob("*"):
            if not path.is_file() or "__pycache__" in path.parts or path.name.startswith("."):
                continue
            if suffixes is None or path.suffix in suffixes:
                assert (wheel / there / path.relative_to(root / here)).is_file(), path
    assert {path.name for path in wheel.iterdir() if path.is_dir()} == {
        "cgsim",
        "cgsim-0.1.0.dist-info",
    }
    assert not list(wheel.rglob("*.ipynb"))


def test_works_by_itself(wheel: Path, root: Path) -> None:
    """Data and notebooks are found inside the wheel; outside a checkout the commit is unknown."""
    code = (
        "import json; from cgsim import resources; from cgsim.report import manifest\n"
        "print(json.dumps([str(resources.data_directory()), str(resources.notebooks_directory()),"
        " manifest.git_state()['commit']]))"
    )
    data, notebooks, commit = json.loads(run(wheel, "-c", code))
    assert Path(data) == wheel / "cgsim" / "_data"
    assert Path(notebooks) == wheel / "cgsim" / "_notebooks"
    assert commit == "unknown"
    machines = json.loads(run(wheel, "-m", "cgsim", "machines", "--json"))["machines"]
    assert len(machines) == len(list((root / "data" / "machines").glob("*.yml")))
