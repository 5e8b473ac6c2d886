"""Where points are computed: in this process, on a pool of processes, or on Dask.

All three are executors of `concurrent.futures` and are driven by one loop, `run_tasks`. A task is a
handful of points; tasks are so large that each takes about half a second, and only a few wait, so
memory stays flat and a kill loses little. Results do not hang on how points are put into tasks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from cgsim.errors import UserError
from cgsim.processes import worker_pool
from cgsim.studies.identity import key_of
from cgsim.studies.points import Point, play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_TASK_S = 0.5
_MOST_POINTS = 64
_WAITING = 2
_MOST_ATTEMPTS = 3


class Played(NamedTuple):
    """What came of a task: the rows of each point, and the seconds it took."""

    rows: list[list[dict[str, Any]]]
    seconds: float


class _Task(NamedTuple):
    """Points of one experiment with their keys."""

    items: list[tuple[str, Point]]
    attempts: int = 0


class ThisProcess(Executor):
    """An executor that does at once what it is given."""

    def submit(self, fn: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        """Call a function; its result or error is in the future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*arguments, **named))
        except Exception as error:  # as any executor: whoever asks for the result sees it
            future.set_exception(error)
        return future


def play_all(items: list[tuple[str, Point]]) -> Played:
    """Compute points; runs in the process that does so.

    Raises UserError if this process would give them other keys: its sources or data differ.
    """
    start = time.perf_counter()
    key, point = items[0]
    if key_of(point) != key:
        raise UserError(
            f"a worker on {os.uname().nodename} has other sources, data or versions of cgsim than "
            "the process that asks; start it from the same installation"
        )
    rows = [play(point) for _, point in items]
    return Played(rows, time.perf_counter() - start)


class Where(NamedTuple):
    """Where points are computed: makes an executor, and says how many tasks run at a time."""

    title: str
    workers: int
    open: Callable[[], contextlib.AbstractContextManager[Executor]]


def here() -> Where:
    """In this process."""
    return Where("this process", 1, lambda: contextlib.nullcontext(ThisProcess()))


def on_pool(workers: int) -> Where:
    """On processes of this machine."""
    return Where(f"{workers} processes", workers, lambda: worker_pool(workers))


def on_dask(scheduler: Any) -> Where:
    """On a Dask cluster: the address of its scheduler, or a `distributed.Client`.

    Raises UserError if dask.distributed is not installed or there is no scheduler or worker.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise UserError("dask.distributed is not installed: pip install 'cgsim[studies]'") from None
    if isinstance(scheduler, str):
        try:
            client = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"scheduler {scheduler!r}: cannot be reached: {reason}") from None
        closing: Any = contextlib.closing(client)
    else:
        client, closing = scheduler, contextlib.nullcontext()
    cores = sum(client.nthreads().values())
    if cores == 0:
        raise UserError(f"scheduler {scheduler!r}: has no workers")

    @contextlib.contextmanager
    def opened() -> Iterator[Executor]:
        with closing:
            yield client.get_executor(pure=False)

    return Where(f"Dask, {len(client.nthreads())} workers", cores, opened)


def run_tasks(
    points: Iterable[tuple[str, Point]],
    where: Where,
    done: Callable[[list[tuple[str, Point]], Played], None],
) -> None:
    """Compute points, in about their order, and hand over each task's results as they come.

    A pool that broke (a process was killed) is made anew, and what it was at is asked for again.
    Raises UserError if the same points break it over and over, or are not allowed.
    """
    tasks = _Tasks(points)
    while tasks:
        try:
            with where.open() as executor:
                _drive(executor, where.workers, tasks, done)
        except BrokenProcessPool:
            continue


def _drive(
    executor: Executor,
    workers: int,
    tasks: _Tasks,
    done: Callable[[list[tuple[str, Point]], Played], None],
) -> None:
    """Keep the executor busy until there are no tasks left; puts back what was lost."""
    running: dict[Future[Played], _Task] = {}
    width = 1 if isinstance(executor, ThisProcess) else workers * _WAITING
    try:
        while tasks or running:
            while tasks and len(running) < width:
                task = tasks.next()
                with _without_main():
                    future = executor.submit(play_all, task.items)
                running[future] = task
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                played = future.result()
                task = running.pop(future)
                tasks.took(played.seconds / len(task.items))
                done(task.items, played)
    except BrokenProcessPool:
        for future, task in running.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                done(task.items, future.result())
            else:
                tasks.again(task)
        raise
    except BaseException:
        for future in running:
            future.cancel()
        raise


class _Tasks:
    """Points put into tasks as they are asked for."""

    def __init__(self, points: Iterable[tuple[str, Point]]) -> None:
        self._points = iter(points)
        self._ahead = next(self._points, None)
        self._lost: deque[_Task] = deque()
        self._seconds: float | None = None

    def __bool__(self) -> bool:
        return self._ahead is not None or bool(self._lost)

    def took(self, seconds: float) -> None:
        """A point took so long."""
        known = self._seconds
        self._seconds = seconds if known is None else 0.8 * known + 0.2 * seconds

    def again(self, task: _Task) -> None:
        """A task was lost with the process that it ran in."""
        if task.attempts + 1 >= _MOST_ATTEMPTS and len(task.items) == 1:
            raise UserError(
                f"{task.items[0][1]}: the process that computes it died {_MOST_ATTEMPTS} times "
                "(killed, or out of memory); what was computed before is kept"
            )
        if task.attempts + 1 >= _MOST_ATTEMPTS:
            # which of them is it?
            self._lost.extend(_Task([item]) for item in task.items)
        else:
            self._lost.append(_Task(task.items, task.attempts + 1))

    def next(self) -> _Task:
        """The next task; there is one."""
        if self._lost:
            return self._lost.popleft()
        assert self._ahead is not None
        size = 1 if not self._seconds else int(_TASK_S / self._seconds)
        items = [self._ahead]
        self._ahead = next(self._points, None)
        while (
            self._ahead is not None
            and len(items) < min(size, _MOST_POINTS)
            and self._ahead[1].experiment == items[0][1].experiment
        ):
            items.append(self._ahead)
            self._ahead = next(self._points, None)
        return _Task(items)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Let workers that start now not run this process' main module.

    They need cgsim alone: a script without `if __name__ == "__main__"` would run again in each.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
