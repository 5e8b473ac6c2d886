"""What a long run says while it goes: a bar on a terminal, plain lines elsewhere.

On a pipe a line comes at least every ten seconds, whatever the run is busy with.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

PERIOD_S = 8.0
"""Between two lines that say that a stage still runs; with a busy host's delays below ten."""


class Progress(Protocol):
    """Told how far a run is."""

    def start(self, steps: int) -> None:
        """The run has `steps` steps."""

    def step(self, name: str) -> None:
        """One more step of the piece called `name` is done."""

    def finished(self, name: str, seconds: float) -> None:
        """The piece called `name` is done, after `seconds`."""

    def close(self) -> None:
        """The run has ended."""


class Bar:
    """A progress bar of steps; for a terminal."""

    def __init__(self, stream: TextIO, unit: str) -> None:
        self._stream = stream
        self._unit = unit
        self._bar = None

    def start(self, steps: int) -> None:
        """Draw the bar."""
        from tqdm import tqdm

        self._bar = tqdm(
            total=steps,
            file=self._stream,
            leave=False,
            bar_format="  {bar:30} {n_fmt}/{total_fmt} " + self._unit + "  {elapsed}  {postfix}",
        )

    def step(self, name: str) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(name, refresh=False)
            self._bar.update()

    def finished(self, name: str, seconds: float) -> None:
        """Write the line of a finished piece above the bar."""
        line = _finished_line(name, seconds)
        if self._bar is None:
            print(line, file=self._stream, flush=True)
        else:
            self._bar.write(line, file=self._stream)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Lines:
    """One line a finished piece; for logs. `state` is how far it is, in words."""

    def __init__(self, stream: TextIO, unit: str = "cells") -> None:
        self._stream = stream
        self._unit = unit
        self._done = self._total = 0

    @property
    def state(self) -> str:
        """'12 of 180 cells, '; "" before the start."""
        return f"{self._done} of {self._total} {self._unit}, " if self._total else ""

    def start(self, steps: int) -> None:
        """Nothing to say yet."""
        self._done, self._total = 0, steps

    def step(self, name: str) -> None:
        """Single steps are not worth a line."""
        self._done += 1

    def finished(self, name: str, seconds: float) -> None:
        """Write the line."""
        print(_finished_line(name, seconds), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to remove."""


def progress_for(stream: TextIO | None = None, unit: str = "cells") -> Progress:
    """A bar if `stream` (default: standard error) is a terminal, else plain lines."""
    stream = stream or sys.stderr
    return Bar(stream, unit) if stream.isatty() else Lines(stream, unit)


class StageClock:
    """Times the stages of a run and says each as it ends; but for a terminal, also while it runs.

    `seconds` maps the name of each finished stage to its wall-clock time (s).
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._stream = stream or sys.stderr
        self._start = time.perf_counter()
        self._progress: Progress | None = None

    def say(self, line: str) -> None:
        """Write a line at once."""
        print(line, file=self._stream, flush=True)

    def progress(self, unit: str = "cells") -> Progress:
        """The progress of the stage that runs."""
        self._progress = progress_for(self._stream, unit)
        return self._progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as the stage called `name`."""
        start = time.perf_counter()
        self._progress = None
        ended = threading.Event()
        if not self._stream.isatty():
            threading.Thread(target=self._while_it_runs, args=(name, ended), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
        self.seconds[name] = round(time.perf_counter() - start, 3)
        self.say(f"{name:<12}{self.seconds[name]:7.1f} s")

    def _while_it_runs(self, name: str, ended: threading.Event) -> None:
        start = time.perf_counter()
        while not ended.wait(PERIOD_S):
            state = self._progress.state if isinstance(self._progress, Lines) else ""
            self.say(f"  {name}: {state}{time.perf_counter() - start:.0f} s so far")

    def total(self) -> float:
        """Seconds since the clock was made."""
        return round(time.perf_counter() - self._start, 3)


def _finished_line(name: str, seconds: float) -> str:
    """The line of a finished piece."""
    return f"  {name:<24} {seconds:6.1f} s"
