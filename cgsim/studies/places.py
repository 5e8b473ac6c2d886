"""Where the user's own store of points lies, and how large it may grow."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT_BYTES = 1 << 30
"""What was computed first is removed beyond it."""

VARIABLE = "CGSIM_STORE"


def default_store() -> Path:
    """The directory that CGSIM_STORE names, else `cgsim/points` in the user's cache directory."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "cgsim" / "points"
