"""What a run says while it goes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

_LINES_S = 10.0


class Progress:
    """Counts rows; `silent` says nothing."""

    def __init__(self, stream: TextIO | None = None, *, silent: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._silent = silent
        self._bar: Any = None
        self._total = self._done = self._found = 0
        self._start = self._last = time.monotonic()

    def start(self, total: int, found: int) -> None:
        """So many rows are wanted, of which so many are in the store already."""
        self._total, self._found, self._done = total, found, 0
        if self._silent:
            return
        if self._stream.isatty():
            from tqdm import tqdm

            if self._bar is not None:
                self._bar.close()
            self._bar = tqdm(total=total, initial=found, unit="row", file=self._stream, leave=False)
        elif self._start == self._last:
            print(f"{total} rows, {found} of them in the store", file=self._stream, flush=True)

    def step(self, rows: int) -> None:
        """So many rows more are computed."""
        self._done += rows
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(rows)
        elif not self._silent and now - self._last >= _LINES_S and self._done > 1:
            self._last = now
            rate = self._done / (now - self._start)
            left = (self._total - self._found - self._done) / rate
            print(
                f"{self._found + self._done}/{self._total} rows, {rate:.1f} a second, "
                f"{left:.0f} s left",
                file=self._stream,
                flush=True,
            )

    def close(self) -> None:
        """The run has ended."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
