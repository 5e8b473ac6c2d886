"""A stopped report leaves no process and no file behind."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from benchmarks.report_signals import attempt
from cgsim.report import publish

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
    outcome = attempt(tmp_path, number, 9.0)
    assert outcome.status == status
    assert outcome.processes == 0
    if number != signal.SIGKILL:
        assert outcome.entries == []
        return
    # what was killed could not tidy up; the next run does
    with publish.unfinished(tmp_path / "out") as aside:
        assert [path.name for path in (tmp_path / "out").iterdir()] == [aside.name]
