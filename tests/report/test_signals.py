"""A stopped report leaves no process and no file behind."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from benchmarks.report_signals import attempt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
    ids=["TERM", "INT", "KILL"],
)
def test_a_stopped_report_leaves_nothing(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    outcome = attempt(tmp_path, number, 3.0)
    assert outcome.was_working
    assert outcome.status == status
    assert outcome.processes == 0
    # what was killed left the directory that it had made, empty
    assert outcome.entries == (["out"] if number == signal.SIGKILL else [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_a_stopped_grid_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    """Its reports are processes of their own, and have tidied up too."""
    outcome = attempt(tmp_path, number, 6.0, more=["--grid", "n=1,2"])
    assert outcome.was_working
    assert outcome.processes == 0
    if number == signal.SIGINT:
        assert outcome.status == 130
        assert outcome.entries == []
