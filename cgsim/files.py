"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write `content` beside `path` and rename it into place; returns the path.

    Text is written as UTF-8. On any failure the old file, if there was one, is untouched and the
    file aside is removed.
    """
    data = content.encode() if isinstance(content, str) else content
    return write_with(path, lambda aside: aside.write_bytes(data))


def write_with(path: str | os.PathLike[str], writer: Callable[[Path], object]) -> Path:
    """Let `writer` fill a file aside, then rename it to `path`; returns the path.

    For writers that take a path of their own (Parquet, figures). The file aside keeps the suffix
    of `path`, since such writers choose the format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    aside = Path(name)
    try:
        writer(aside)
        aside.chmod(0o666 & ~_umask())
        aside.replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        raise
    return target


def _umask() -> int:
    """The process' umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
