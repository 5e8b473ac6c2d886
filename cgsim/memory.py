"""How much memory a replay may take: counted before it is asked for."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from cgsim.errors import UserError

SHARE = 0.8
"""Of the host's free memory; what needs more is refused."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def available_bytes() -> int:
    """Memory that a process may still take without swapping, by the host and by its own limit."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        text = Path("/proc/meminfo").read_text()
        free = int(text.split("MemAvailable:")[1].split()[0]) << 10
    except (OSError, IndexError, ValueError):
        pass
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return free if limit == resource.RLIM_INFINITY else min(free, limit)


def check_bytes(what: str, needed: int) -> None:
    """Raise UserError if `what` needs more than SHARE of the free memory."""
    allowed = int(SHARE * available_bytes())
    if needed > allowed:
        raise UserError(
            f"{what} would take {in_words(needed)} of memory; allowed: {in_words(allowed)}"
            f" ({SHARE:.0%} of what is free)"
        )


def in_words(size_bytes: int) -> str:
    """A size with the unit that leaves it below 1024."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}" if size < 1000 else f"{size:.0f} {_UNITS[unit]}"
