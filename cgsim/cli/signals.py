"""What Ctrl-C and SIGTERM do to a run of the command line.

A run that only computes ends at once, its unfinished files removed; one that has processes to end
and folders to remove (`cgsim report`) is told by an exception. Python looks at signals between two
of its own instructions, which compiled code and long imports delay; a thread therefore ends the
process where nothing else has for a second.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

INTERRUPTED = 130
_PATIENCE_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_waits_for_cleanup = False


class Stopped(BaseException):
    """A signal that asks the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def end_at_once() -> None:
    """From now on, end the process when a signal asks for it."""
    for number in _SIGNALS:
        # what was ignored stays ignored, as under nohup
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _asked)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


@contextmanager
def clean_up_first() -> Iterator[None]:
    """Within the block a signal raises `Stopped`, so that what is open can be closed."""
    global _waits_for_cleanup
    _waits_for_cleanup = True
    try:
        yield
    finally:
        _waits_for_cleanup = False


def _asked(number: int, frame: FrameType | None) -> None:
    """The handler of the signals."""
    if not _waits_for_cleanup:
        _end(number)
    # a second signal must not break off the cleaning up
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def _watch(reader: int) -> None:
    """End the process if the handler has not done so in time."""
    while True:
        number = os.read(reader, 1)[0]
        if number in _SIGNALS and signal.getsignal(number) is not signal.SIG_IGN:
            time.sleep(_PATIENCE_S)
            if not _waits_for_cleanup:
                _end(number)


def _end(number: int) -> NoReturn:
    """End the process without a further Python instruction of the program."""
    files = sys.modules.get("cgsim.files")
    if files is not None:
        files.remove_unfinished()
    if number == signal.SIGINT:
        os.write(2, b"cgsim: interrupted\n")
    os._exit(128 + number)
