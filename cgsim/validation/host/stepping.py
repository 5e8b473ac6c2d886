"""Counting a compiled function's instructions where the processor's counters are out of reach.

A virtual machine mostly has no counters, so a child process is run instruction by instruction
(ptrace), between two stops that it makes itself. No root is needed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TRACE_ME, _CONTINUE, _STEP = 0, 7, 9
_MOST_STEPS = 5_000_000
_WARM = 50
"""Calls until the interpreter, which adapts to what it runs, takes the same way each time."""


def can_step() -> bool:
    """Whether this system can run a child step by step."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")


def count_instructions(run: Callable[[], object]) -> int | None:
    """Instructions of a call in a child process, what calling costs included.

    None if the child cannot be stepped, or does not end within five million instructions.
    """
    if not can_step():
        return None
    trace = ctypes.CDLL(None, use_errno=True).ptrace
    trace.argtypes = [ctypes.c_long] * 4
    trace.restype = ctypes.c_long
    child = os.fork()
    if child == 0:
        try:
            for _ in range(_WARM):
                run()
            if trace(_TRACE_ME, 0, 0, 0) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
                run()
                os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(0)
    steps = 0
    try:
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            return None
        while True:
            if trace(_STEP, child, 0, 0) != 0:
                return None
            _, status = os.waitpid(child, 0)
            if not os.WIFSTOPPED(status):
                child = 0
                return None
            if os.WSTOPSIG(status) == signal.SIGSTOP:
                return steps
            steps += 1
            if steps > _MOST_STEPS:
                return None
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
