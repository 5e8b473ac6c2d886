"""Ends what a killed process has started, and removes its unfinished folder.

A process that is killed cannot tidy up, and its children may not have got so far yet as to ask to
be ended with it. So a small process of its own waits at a pipe that the guarded one holds open. If
that closes without a word, all processes with the guarded one's mark in their environment are
killed, whoever started them, and the folder is removed.

Run as a script, `python -I -S guardian.py MARK FOLDER`, so that it needs nothing but the standard
library's core and starts at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

MARK = "CGSIM_GUARDED_BY"
_DONE = b"done"
_PAUSE_S = 0.1
_ROUNDS = 100


def marked(mark: str) -> list[int]:
    """The other living processes that have the mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as stream:
                if wanted in stream.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue
    return found


def main(mark: str, folder: str) -> None:
    """Wait for the end of the guarded process."""
    # what ends the guarded process must not end this one
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, len(_DONE)) == _DONE:
        return
    for _ in range(_ROUNDS):
        left = marked(mark)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        if not left:
            break
        time.sleep(_PAUSE_S)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
