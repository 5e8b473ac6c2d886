"""Where the user's own store of points lies, how large it may grow, and what if it cannot be."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

from cgsim.errors import UserError
from cgsim.studies.store import Store

LIMIT_BYTES = 1 << 30
"""What was computed first is removed beyond it, when a report has ended."""

VARIABLE = "CGSIM_STORE"


def default_store() -> Path:
    """The directory that CGSIM_STORE names, else `cgsim/points` in the user's cache directory.

    Raises UserError for a user who has no home.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if Path(cache).is_absolute():
        return Path(cache) / "cgsim" / "points"
    try:
        return Path.home() / ".cache" / "cgsim" / "points"
    except (RuntimeError, KeyError):
        raise UserError(f"this user has no home directory; {VARIABLE} may name one") from None


def user_store() -> Store:
    """The user's store; where it cannot be written to, one of this process, and a line says so.

    Raises UserError for a damaged file in it.
    """
    try:
        directory = default_store()
    except UserError as error:
        return _without(str(error))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        return _without(f"{directory}: {error.strerror or error}")
    return _opened(directory)


@functools.cache
def _opened(directory: Path) -> Store:
    return Store(directory)


@functools.cache
def _without(reason: str) -> Store:
    """A store that ends with this process."""
    print(f"cgsim: warning: points are not kept: {reason}", file=sys.stderr, flush=True)
    directory = tempfile.mkdtemp(prefix="cgsim-points-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Store(directory)


def tidy_store() -> None:
    """Join the small files of the user's store, and keep it within its limit."""
    try:
        store = Store(default_store())
        store.compact(at_least=2)
        store.shrink(LIMIT_BYTES)
    except (UserError, OSError) as error:
        print(f"cgsim: warning: the store of points: {error}", file=sys.stderr, flush=True)
