"""Where compiled code is kept, and what of it is trusted.

One directory holds the code of one state of the sources: numba does not notice that a callee in
another file or an imported constant has changed, and then runs stale code without a warning (numba
issue 8396), so the directory is named by a hash of all sources that compiled code can come from.

The cache is never needed. What is missing, damaged or not trusted is compiled anew; where nothing
can be kept, one line says so. Trusted is a directory of this user's own that nobody else may write
to, and in it a file whose hash, over its name and all that it holds, stands at its beginning.
Nothing is followed through a symbolic link, and nothing is removed but such files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

_KEPT_DIRECTORIES = 16  # of some 10 MB each
_ENGINE = ("compile", "core", "designs", "percpu", "scenarios", "workloads")
_COMPILES = re.compile(r"njit|intrinsic")
_SETTINGS = ("NUMBA_BOUNDSCHECK", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT")
_MAGIC = b"cgsim compiled 1\n"
_HASH_BYTES = hashlib.sha256().digest_size
_DIRECTORY = re.compile(r"cgsim-[0-9a-f]{16}")
_MARKER = "written-by-cgsim"
_SUFFIX = ".nbc"
_SAID = "CGSIM_CACHE_WARNING_SHOWN"
COMPILING_SAID = "CGSIM_COMPILING_SHOWN"
"""Environment variables, so that the processes started by this one do not say it again."""


def compiled_sources() -> list[Path]:
    """The files that compiled code can come from, constants included.

    Whole packages of the engine, and every other module that compiles something itself; a test
    keeps the latter from taking constants from anywhere else.
    """
    package = Path(__file__).parent.parent
    return sorted(
        source
        for source in package.rglob("*.py")
        if source.relative_to(package).parts[0] in _ENGINE or _COMPILES.search(source.read_text())
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


def open_store() -> CodeStore:
    """The store for the code of the sources as they are.

    It lies in NUMBA_CACHE_DIR if that names a directory, else in the user's cache directory.
    """
    base: Path | None = None
    reason = ""
    if os.environ.get("NUMBA_CACHE_DIR"):
        base = Path(os.environ["NUMBA_CACHE_DIR"])
    elif Path(os.environ.get("XDG_CACHE_HOME", "")).is_absolute():
        base = Path(os.environ["XDG_CACHE_HOME"], "cgsim", "numba")
    else:
        try:
            home = Path.home()
        except (RuntimeError, KeyError):  # no passwd entry
            reason = "this user has no home directory, and NUMBA_CACHE_DIR is not set"
        else:
            if os.environ.get("HOME") == "":
                reason = "HOME is empty, and NUMBA_CACHE_DIR is not set"
            else:
                base = home / ".cache" / "cgsim" / "numba"
    if base is None:
        return CodeStore(None, reason)
    return CodeStore(base.absolute() / f"cgsim-{source_hash(version('numba'))}")


class CodeStore:
    """Files of bytes by name, in one directory, which is made when the first one is written."""

    def __init__(self, directory: Path | None, reason: str = "") -> None:
        """Directory : where, or None. reason : then, why not."""
        self.directory = directory
        self._unusable = reason
        self._trusted: bool | None = None

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever kept here."""
        return self.directory is None or not os.path.lexists(self.directory)

    def read(self, name: str) -> bytes | None:
        """What was written under a name; None if nothing was, or it is not what was written."""
        if not self._is_trusted():
            return None
        try:
            with open(self._file(name), "rb", opener=_open_plain) as file:
                content = file.read()
        except OSError:
            return None
        head = len(_MAGIC) + _HASH_BYTES
        payload = content[head:]
        return payload if content[:head] == _MAGIC + _digest(name, payload) else None

    def miss(self) -> None:
        """Something is to be compiled: say so, the first time, to whoever sits at a terminal.

        The times were measured on two cores (benchmarks/RESULTS.md, first calls).
        """
        if COMPILING_SAID not in os.environ and sys.stderr.isatty():
            how_long = "about 15 s" if self.is_new else "some seconds"
            print(f"cgsim: compiling once, {how_long}", file=sys.stderr, flush=True)
        os.environ[COMPILING_SAID] = "1"

    def write(self, name: str, payload: bytes) -> None:
        """Keep bytes under a name if that is possible: no process ever sees half of them."""
        if self._unusable:
            self._say()
            return
        assert self.directory is not None
        try:
            self._make_directory()
            handle, aside = tempfile.mkstemp(dir=self.directory, prefix=".", suffix=_SUFFIX)
            try:
                with open(handle, "wb") as file:
                    file.write(_MAGIC + _digest(name, payload) + payload)
                os.replace(aside, self._file(name))
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
                raise
        except OSError as problem:
            self._unusable = f"{self.directory}: {problem.strerror or problem}"
            self._say()

    def _file(self, name: str) -> Path:
        assert self.directory is not None
        return self.directory / f"{name}{_SUFFIX}"

    def _is_trusted(self) -> bool:
        """Whether what lies in the directory may be loaded; asked once there is one."""
        if self._trusted is None and self.directory is not None:
            try:
                status = os.lstat(self.directory)
            except OSError:
                return False  # until it is there
            distrust = _reason_for_distrust(status)
            self._trusted = not distrust
            if distrust:
                self._unusable = f"{self.directory}: {distrust}"
                self._say()
        return bool(self._trusted)

    def _make_directory(self) -> None:
        assert self.directory is not None
        if self._trusted and self.directory.is_dir():
            return  # it may be gone: another checkout's process keeps the newest ones only
        self._trusted = None
        for parent in reversed(self.directory.parents):
            if not parent.exists():
                with contextlib.suppress(FileExistsError):
                    parent.mkdir(mode=0o700)
        try:
            self.directory.mkdir(mode=0o700)
        except FileExistsError:
            pass  # another process was first
        else:
            (self.directory / _MARKER).write_text(self.directory.name)
            prune(self.directory)
        if not self._is_trusted():
            raise OSError(errno.EPERM, "not trusted")

    def _say(self) -> None:
        """One line, the first time, that nothing can be kept."""
        if _SAID not in os.environ:
            os.environ[_SAID] = "1"
            line = f"compiled code cannot be kept, so each process compiles anew: {self._unusable}"
            print(f"cgsim: warning: {line}", file=sys.stderr, flush=True)


def prune(current: Path) -> None:
    """Remove the oldest cache directories beside `current`, keeping a few for other checkouts.

    Only what a `CodeStore` made, as the marker in it says, and of that only the files that it
    wrote: a directory that holds anything else stays, with that.
    """
    with contextlib.suppress(OSError):
        others = sorted(
            (d for d in current.parent.iterdir() if d != current and _is_store(d)),
            key=lambda d: d.stat().st_mtime,
            reverse=True,
        )
        for directory in others[_KEPT_DIRECTORIES:]:
            with contextlib.suppress(OSError):
                for file in directory.glob(f"*{_SUFFIX}"):
                    if _is_kept_code(file):
                        file.unlink()
                if [file.name for file in directory.iterdir()] == [_MARKER]:
                    (directory / _MARKER).unlink()
                    directory.rmdir()


def _is_store(directory: Path) -> bool:
    if not _DIRECTORY.fullmatch(directory.name):
        return False
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return not _reason_for_distrust(os.lstat(directory)) and (
            _read_plain(directory / _MARKER, 64) == directory.name.encode()
        )
    return False


def _is_kept_code(file: Path) -> bool:
    with contextlib.suppress(OSError):
        return _read_plain(file, len(_MAGIC)) == _MAGIC
    return False


def _read_plain(file: Path, size: int) -> bytes:
    with open(file, "rb", opener=_open_plain) as opened:
        return opened.read(size)


def _open_plain(path: str, flags: int) -> int:
    """Open a regular file, and nothing that a symbolic link or a FIFO leads to."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    return handle


def _reason_for_distrust(status: os.stat_result) -> str:
    if not stat.S_ISDIR(status.st_mode):
        return "not a directory"
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it"
    return ""


def _digest(name: str, payload: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + payload).digest()
