"""Writing files so that a reader never sees half of one, and nobody's file is lost."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_asides: set[str] = set()
"""Files that are being written now."""


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
    of `path`, since such writers choose the format by it. A symbolic link stays one: what it names
    is written. An old file's permissions are kept, a new one's are as the umask says. Raises
    OSError, for a directory, a pipe or a device too.
    """
    given = Path(path)
    target = Path(os.path.realpath(given))
    refuse_special(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _file_beside(target) as aside:
        writer(aside)
        with contextlib.suppress(FileNotFoundError):
            aside.chmod(stat.S_IMODE(target.stat().st_mode))
        aside.replace(target)
    return given


def refuse_special(target: Path) -> None:
    """Raise OSError if `target` is there and is no regular file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, os.strerror(21), str(target))
        if not stat.S_ISREG(mode):
            raise OSError(22, "not a regular file", str(target))


def remove_unfinished() -> None:
    """Remove the files that are being written, for a process that is about to end at once."""
    for name in tuple(_asides):
        with contextlib.suppress(OSError):
            os.unlink(name)


@contextlib.contextmanager
def _file_beside(target: Path) -> Iterator[Path]:
    """An empty file of an unused name beside `target`; removed if it is still there at the end."""
    aside = target.with_name(f".{target.stem[:100]}-{secrets.token_hex(8)}{target.suffix}")
    _asides.add(str(aside))
    try:
        # the mode is for the kernel to mask: reading the umask would mean to set it
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        yield aside
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
        _asides.discard(str(aside))
