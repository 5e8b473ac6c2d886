"""Child processes that import nothing from the working directory and do not outlive their parent.

Python puts the working directory first on the search path of `python -c`, which is how workers
start: a file `numpy.py` there would be run. The environment variable PYTHONSAFEPATH forbids it. A
worker, or a kernel, whose parent is killed is killed by Linux (PR_SET_PDEATHSIG), whatever code it
runs at that moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from cgsim import guardian
from cgsim.guardian import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_GUARDIAN = guardian.__file__


@contextlib.contextmanager
def worker_pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `workers` spawned processes; `initializer(*arguments)` runs in each.

    If the block ends by an exception, an interrupt included, the workers are killed at once.
    To be used by one thread: Linux takes the end of the thread that starts a worker for the end
    of its parent.
    """
    before = set(multiprocessing.active_children())
    with environment({"PYTHONSAFEPATH": "1"}):
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
            initargs=(os.getpid(), initializer, arguments),
        )
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - before:
                child.kill()
            raise
        pool.shutdown()


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Within the block: if this process is killed, all that it started is too, at once.

    `folder` is then removed. See `cgsim.guardian`.
    """
    mark = secrets.token_hex(16)
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", _GUARDIAN, mark, os.fspath(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, cwd="/",
        # of a process that is guarded itself, whose guardian must not end this one
        env={name: value for name, value in os.environ.items() if name != MARK},
    )  # fmt: skip
    assert watcher.stdin is not None
    word = b""
    try:
        with environment({MARK: mark}):
            yield
        word = b"done"
    finally:
        with contextlib.suppress(OSError), watcher.stdin:
            watcher.stdin.write(word)
        watcher.wait()


def end_with_parent(parent: int) -> None:
    """Let this process be killed when its parent, the process `parent`, ends; now if it has."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes started within the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_worker(
    parent: int, initializer: Callable[..., None] | None, arguments: tuple[Any, ...]
) -> None:
    """What a worker does first."""
    end_with_parent(parent)
    # Ctrl-C reaches all processes of a terminal; the parent decides what becomes of workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if initializer is not None:
        initializer(*arguments)
