"""`make setup` and `.ci/run`, with stand-ins for what they call."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A directory with the Makefile, the lock and .ci/run alone."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / ".ci").mkdir()
    for name in ("Makefile", "requirements/lock.txt", ".ci/run"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make there."""
    return subprocess.run(
        ["make", *arguments], cwd=checkout, capture_output=True, text=True, check=False
    )


def test_old_python_is_refused(checkout: Path) -> None:
    """An old Python is named, with what is needed; no environment is begun."""
    old = script(checkout / "python3.10", '[ "$1" = --version ] && echo Python 3.10.4 || exit 1')
    done = make(checkout, "setup", f"PYTHON={old}")
    assert done.returncode == 2
    assert "cgsim needs Python 3.11 or newer" in done.stderr
    assert "is Python 3.10.4" in done.stderr
    assert not (checkout / ".venv").exists()


def test_setup_is_redone_only_for_a_new_lock(checkout: Path) -> None:
    """The environment is made once, and again when the lock file is newer."""
    # Stands in for `python -m venv` and for the pip that it would install.
    python = script(
        checkout / "python",
        'echo "$@" >>calls; [ "$2" != venv ] || { mkdir -p .venv/bin; cp "$0" .venv/bin/python; }',
    )
    assert make(checkout, "setup", f"PYTHON={python}").returncode == 0
    calls = (checkout / "calls").read_text().splitlines()
    assert [call for call in calls if "venv" in call]
    assert [call for call in calls if "-r requirements/lock.txt" in call]
    assert [call for call in calls if "--editable ." in call]
    assert make(checkout, "setup", f"PYTHON={python}").returncode == 0
    assert (checkout / "calls").read_text().splitlines() == calls
    later = (checkout / ".venv" / ".cgsim-installed").stat().st_mtime + 10
    os.utime(checkout / "requirements" / "lock.txt", (later, later))
    assert make(checkout, "setup", f"PYTHON={python}").returncode == 0
    assert len((checkout / "calls").read_text().splitlines()) == 2 * len(calls)


@pytest.mark.parametrize("failing", ["none", "lint", "test", "report", "boundscheck"])
def test_ci_run(checkout: Path, failing: str) -> None:
    """Each stage is called and timed; the status is 1 if any failed, and 0 otherwise."""
    stand_ins = checkout / "bin"
    script(stand_ins / "make", f'echo "make $1"; [ "$1" != {failing} ] || exit 3')
    script(stand_ins / "chromium", "echo Chromium")
    for name in ("pdftotext", "mutt"):
        script(stand_ins / name, "true")
    script(stand_ins / "fc-list", "echo DejaVu")
    done = subprocess.run(
        ["bash", ".ci/run"],
        cwd=checkout,
        env={**os.environ, "PATH": f"{stand_ins}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if failing == "none" else 1)
    for target in ("setup", "lint", "test", "report", "test-slow", "boundscheck", "coverage"):
        assert f"make {target}\n" in done.stdout
    summary = done.stdout.partition("== seconds of each stage\n")[2].splitlines()
    assert len(summary) == 10
    failed = [line.split()[0] for line in summary if "failed (3)" in line]
    expected = {"none": [], "report": ["report", "report-again"]}.get(failing, [failing])
    assert failed == expected
