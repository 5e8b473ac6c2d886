"""What a long run says while it goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    """One line a finished piece; for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self, steps: int) -> None:
        """Nothing to say yet."""

    def step(self, name: str) -> None:
        """Single steps are not worth a line."""

    def finished(self, name: str, seconds: float) -> None:
        """Write the line."""
        print(_finished_line(name, seconds), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to remove."""


def progress_for(stream: TextIO | None = None, unit: str = "cells") -> Progress:
    """A bar if `stream` (default: standard error) is a terminal, else plain lines."""
    stream = stream or sys.stderr
    return Bar(stream, unit) if stream.isatty() else Lines(stream)


class StageClock:
    """Times the stages of a run and says each as it ends.

    `seconds` maps the name of each finished stage to its wall-clock time (s).
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._stream = stream or sys.stderr
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as the stage called `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)
        print(f"{name:<12}{self.seconds[name]:7.1f} s", file=self._stream, flush=True)

    def total(self) -> float:
        """Seconds since the clock was made."""
        return round(time.perf_counter() - self._start, 3)


def _finished_line(name: str, seconds: float) -> str:
    """The line of a finished piece."""
    return f"  {name:<24} {seconds:6.1f} s"
