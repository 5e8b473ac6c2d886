"""A fault at every system call by which a report is put in place: what is lost, what is left.

A directory holds an old report and files of other people's. A forked process puts a new report
there, and at its k-th call that touches the file system it gets an error, or is killed; k goes from
the first to the last call. Then the foreign files must be as they were, every page whole, old or
new, and the next run must succeed and leave nothing hidden.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cgsim.report import publish

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = ("error", "full disk", "read-only", "kill")
_EVENTS = (
    "open", "os.chmod", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
    "os.scandir", "fcntl.flock", "shutil.rmtree",
)  # fmt: skip
_ERRORS = {"error": errno.EIO, "full disk": errno.ENOSPC, "read-only": errno.EROFS}
_STATUS_DONE, _STATUS_REFUSED = 0, 1

OLD = {"a.html": "old a", "b.html": "old b", "gone.html": "old gone", "mail.txt": "old mail"}
NEW = {"a.html": "new a", "b.html": "new b", "c.html": "new c", "mail.txt": "new mail"}
FOREIGN = {"notes.txt": "mine", ".hidden": "mine too", "data.csv": "1,2", "sub/deep.txt": "deep"}


class Outcome(NamedTuple):
    """What `attempt` found after one fault."""

    calls: int
    """How many calls there were before the process ended."""
    foreign_lost: int
    torn: int
    """Pages that are neither old nor new."""
    next_run_failed: bool
    left_hidden: int


def attempts(directory: Path, fault: str) -> Iterator[Outcome]:
    """One fault at each call in turn."""
    for at in count(1):
        outcome = attempt(directory, fault, at)
        if outcome.calls < at:
            return
        yield outcome


def attempt(directory: Path, fault: str, at: int) -> Outcome:
    """One fault at the `at`-th call (from 1), in a fresh `directory`."""
    target = prepare(directory)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(target, fault, at, writer)
    os.close(writer)
    calls = 0
    while chunk := os.read(reader, 1 << 16):
        calls += len(chunk)
    os.close(reader)
    os.waitpid(child, 0)
    lost = foreign_lost(target)
    torn = sum(
        (target / name).read_text() not in (OLD.get(name), NEW.get(name))
        for name in OLD | NEW
        if (target / name).exists()
    )
    failed = False
    try:
        write_report(target, NEW)
    except OSError:
        failed = True
    failed = failed or any((target / n).read_text() != text for n, text in NEW.items())
    lost += foreign_lost(target)
    mine = {*NEW, *(name.split("/")[0] for name in FOREIGN), publish.MANIFEST}
    left = [entry.name for entry in target.iterdir() if entry.name not in mine]
    return Outcome(calls, lost, torn, failed or "gone.html" in left, len(left))


def prepare(directory: Path) -> Path:
    """A directory with an old report and foreign files; what was there is removed."""
    shutil.rmtree(directory, ignore_errors=True)
    target = directory / "out"
    write_report(target, OLD)
    for name, text in FOREIGN.items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(text)
    return target


def write_report(target: Path, pages: dict[str, str]) -> None:
    """What `build_report` does with the file system."""
    publish.check_free(target, pages)
    with publish.unfinished(target) as aside:
        for name, text in pages.items():
            (aside / name).write_text(text)
        publish.place(aside, {"tool": "cgsim"}, target)


def foreign_lost(target: Path) -> int:
    """Foreign files that are gone or changed."""
    return sum(
        not (target / name).is_file() or (target / name).read_text() != text
        for name, text in FOREIGN.items()
    )


def _child(target: Path, fault: str, at: int, writer: int) -> None:
    """Write the new report, with the fault; never returns."""
    calls = 0

    def hook(event: str, _: tuple[object, ...]) -> None:
        nonlocal calls
        if event not in _EVENTS:
            return
        calls += 1
        os.write(writer, b".")
        if calls == at:
            if fault == "kill":
                os.kill(os.getpid(), 9)
            raise OSError(_ERRORS[fault], os.strerror(_ERRORS[fault]))

    sys.addaudithook(hook)
    try:
        write_report(target, NEW)
    except (OSError, ValueError):
        os._exit(_STATUS_REFUSED)
    os._exit(_STATUS_DONE)
