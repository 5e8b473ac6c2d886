"""`cgsim report`, stopped by a signal at some moment: what processes and files it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARK = "CGSIM_SIGNAL_TEST"
_SETTLE_S = 5.0
_NOTEBOOK = """\
# %% [markdown]
# # Slow
#
# Sleeps and computes, so that there is something to stop.

# %% tags=["parameters"]
n: int = 1  # of no use

# %%
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "pass"])
end = time.monotonic() + 60
while time.monotonic() < end:
    sum(range(10**6))
"""
# the engine's compilation, which is not what is stopped here, is left out
_RUN = """\
import sys
import cgsim.report.build as build
from cgsim.cli import main
build.compile_first = lambda *_: None
if __name__ == "__main__":
    sys.exit(main())
"""


class Outcome(NamedTuple):
    """What was left five seconds after the signal."""

    status: int
    processes: int
    entries: list[str]
    """In the output's directory and beside it."""
    seconds: float
    """Until the command itself had ended."""
    was_working: bool
    """Whether it had begun to write when the signal came."""


def attempt(
    directory: Path,
    number: signal.Signals,
    after_s: float,
    *,
    working: bool = True,
    more: Sequence[str] = (),
) -> Outcome:
    """Start a report of two slow notebooks into `directory`/out, and send the signal.

    after_s : since the report has begun to write, or since its process was started if not `working`
    more : words of the command
    """
    sources = directory / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    for name in ("01_slow", "02_slow"):
        (sources / f"{name}.py").write_text(_NOTEBOOK)
    script = directory / "run.py"
    script.write_text(_RUN)
    out = directory / "out"
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    process = subprocess.Popen(
        [sys.executable, script, "report", "--notebooks", sources, "--no-mail", "--out", out,
         "--workers", "2", *more],
        env={**os.environ, _MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 60
    while working and not out.exists() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(after_s)
    was_working = out.exists()
    start = time.monotonic()
    process.send_signal(number)
    try:
        status = process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    seconds = time.monotonic() - start
    time.sleep(max(_SETTLE_S - seconds, 0))
    left = marked(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    mine = ("sources", "run.py", "__pycache__")
    entries = [path.name for path in directory.iterdir() if path.name not in mine]
    entries += [path.name for path in out.iterdir()] if out.is_dir() else []
    return Outcome(status, len(left), entries, seconds, was_working)


def marked(mark: str) -> list[int]:
    """The living processes that inherited the mark."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
