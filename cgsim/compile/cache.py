"""Where compiled code is kept: one directory per state of the sources.

numba does not notice that a callee in another file or an imported constant has changed, and then
runs stale code without a warning (numba issue 8396). So the cache directory is named by a hash of
all sources that compiled code can come from, numba's version and the settings that change it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

_KEPT_DIRECTORIES = 4
_ENGINE = ("compile", "core", "designs", "percpu", "scenarios", "workloads")
_SETTINGS = ("NUMBA_BOUNDSCHECK", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT")


def cache_directory(numba_version: str) -> Path:
    """The directory for code compiled from the package as it is now.

    It lies in NUMBA_CACHE_DIR if that is set, else in the user's cache directory.
    """
    base = os.environ.get("NUMBA_CACHE_DIR")
    if base is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = os.fspath(Path(home) / "cgsim" / "numba")
    return Path(base) / f"cgsim-{source_hash(numba_version)}"


def compiled_sources() -> list[Path]:
    """The files that compiled code can come from, constants included.

    Whole packages of the engine, and every other module that compiles something itself; a test
    keeps the latter from taking constants from anywhere else.
    """
    package = Path(__file__).parent.parent
    return sorted(
        source
        for source in package.rglob("*.py")
        if source.relative_to(package).parts[0] in _ENGINE or "njit" in source.read_text()
    )


def source_hash(numba_version: str) -> str:
    """A short hash of the compiled sources, numba's version and its settings."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256(numba_version.encode())
    for name in _SETTINGS:
        digest.update(f"{name}={os.environ.get(name, '')};".encode())
    for source in compiled_sources():
        digest.update(source.relative_to(package).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def prune(current: Path) -> None:
    """Remove the oldest cache directories beside `current`, keeping a few for other checkouts."""
    with contextlib.suppress(OSError):
        others = sorted(
            (d for d in current.parent.glob("cgsim-*") if d != current),
            key=lambda d: d.stat().st_mtime,
            reverse=True,
        )
        for directory in others[_KEPT_DIRECTORIES:]:
            shutil.rmtree(directory, ignore_errors=True)
