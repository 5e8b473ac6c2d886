"""Compiling in a process of its own, into the cache on disk, while this process goes on.

One process at a time compiles into a directory. It holds a lock on a file there, which its end
releases however it comes; whoever needs what it compiles waits for the lock, and compiles by itself
what is then still missing.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks: nothing is compiled aside
    fcntl = None  # type: ignore[assignment]

_LOCK = "compiling"
_child: subprocess.Popen[bytes] | None = None


def start(program: str, directory: Path) -> bool:
    """Run a Python program that fills `directory`, unless some process does already.

    Returns whether it was started: False, too, where there is no second CPU, no interpreter to
    start or no permission to write. The program finds the same package; its output is dropped.
    """
    global _child
    if fcntl is None or _free_cpus() < 2 or not sys.executable or getattr(sys, "frozen", False):
        return False
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / _LOCK, "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _child = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[lock.fileno()],
                env={**os.environ, "PYTHONPATH": _path()},
            )
            atexit.register(_stop, os.getpid())
        return True
    return False


def wait(directory: Path) -> None:
    """Return when no process compiles into `directory` any more."""
    global _child
    if fcntl is None:
        return
    with contextlib.suppress(OSError), open(directory / _LOCK, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    child, _child = _child, None
    if child is not None:
        child.wait()


def _free_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _path() -> str:
    package = os.fspath(Path(__file__).parent.parent.parent)
    return os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))


def _stop(owner: int) -> None:
    """At the interpreter's end: leave no process behind. A fork's end does not concern it."""
    if _child is not None and os.getpid() == owner:
        _child.kill()
        _child.wait()
