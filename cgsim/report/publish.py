"""Putting finished files into a directory that may hold other people's.

A file is cgsim's own if it is a regular file whose SHA-256 stands in the directory's manifest, or
in the journal of a run that was broken off; a manifest and a journal are cgsim's own if the
checksum over their content, which they hold, is right. Only such files are replaced or removed, one
by one and under a lock; all else is left as it is, and a file of someone else's under a name that
is to be written is a refusal. The manifest comes last. A run that is broken off at any moment
leaves every file whole, old or new, and still known as cgsim's own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError, shown
from cgsim.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

MANIFEST = "manifest.json"
_JOURNAL = ".cgsim-journal.json"
_ASIDE = ".cgsim-unfinished-"
_MARKER = "written-by-cgsim"
_LONGEST_RECORD_BYTES = 16 << 20


class _NotRegular(Exception):
    """A link, a directory, a device: nothing that cgsim writes."""


# with other errors nothing is known, and a run breaks off
_UNPROVEN = (FileNotFoundError, PermissionError, _NotRegular)


class Foreign(UserError):
    """A file in the way that cgsim did not write, or that was changed since."""


def seal(content: dict[str, Any]) -> str:
    """The text of a manifest: `content` and its checksum, as JSON."""
    sealed = {**content, "checksum": checksum(content)}
    return json.dumps(sealed, indent=2, ensure_ascii=False) + "\n"


def check_free(target: Path, names: Iterable[str] = ()) -> None:
    """Refuse (UserError) a directory into which a report cannot go.

    That is: no directory, one that holds files but no report, one whose manifest or one of whose
    files called `names` is not as cgsim wrote it.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise UserError(f"{target}: is not a directory")
    entries = [entry.name for entry in target.iterdir() if not entry.name.startswith(_ASIDE)]
    if not entries:
        return
    if not _is_record(target / MANIFEST) and not _is_record(target / _JOURNAL):
        reason = "holds files but no report of this version (manifest.json with checksums)"
        raise UserError(f"{target}: {reason}; give a new or an empty directory")
    _refuse_foreign(target, [*names, MANIFEST], _owned(target))


@contextlib.contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """A hidden directory within `target` for a run's own files; removed at the end.

    `target` is made if it is not there, and removed if the run leaves it empty. What runs that
    were killed have left is removed.
    """
    made = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    aside = target / f"{_ASIDE}{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack:
        try:
            with _locked(target):
                _remove_abandoned(target)
                aside.mkdir()
                marker = stack.enter_context((aside / _MARKER).open("x"))
                _try_lock(marker.fileno())
            yield aside
        finally:
            _remove(aside, target, made)


def _remove(aside: Path, target: Path, made: bool) -> None:
    """Remove a run's hidden directory, and `target` too if the run `made` it for nothing."""
    with contextlib.suppress(OSError):
        shutil.rmtree(aside)
    if made:
        with contextlib.suppress(OSError):
            target.rmdir()


def place(aside: Path, content: dict[str, Any], target: Path) -> None:
    """Move the files of `aside` into `target`, each under its own name, then the manifest.

    `aside` is a directory on the same file system; hidden files, the marker and directories in it
    are left.

    Files of the report before, which are no longer written, are removed. The manifest is
    `content` with the files' names and hashes. Raises `Foreign` if a file in the way is not
    cgsim's own; then nothing has been changed.
    """
    files = sorted(
        path
        for path in aside.iterdir()
        if path.is_file() and path.name not in (MANIFEST, _MARKER) and path.name[0] != "."
    )
    new = {file.name: _sha256(file) for file in files}
    with _locked(target):
        owned = _owned(target)
        _refuse_foreign(target, [*new, MANIFEST, _JOURNAL], owned)
        journal = {name: sorted(hashes) for name, hashes in owned.items()}
        for name, digest in new.items():
            journal[name] = sorted({*journal.get(name, ()), digest})
        record = {"tool": "cgsim", "files": journal}
        os.replace(write_atomically(aside / _JOURNAL, seal(record)), target / _JOURNAL)
        for file in files:
            _refuse_foreign(target, [file.name], owned)
            with contextlib.suppress(FileNotFoundError):
                file.chmod(stat.S_IMODE((target / file.name).lstat().st_mode))
            os.replace(file, target / file.name)
        for name in owned.keys() - new.keys() - {MANIFEST}:
            if _is_own(target / name, owned[name]):
                (target / name).unlink()
        record = {**content, "files": new}
        os.replace(write_atomically(aside / MANIFEST, seal(record)), target / MANIFEST)
        (target / _JOURNAL).unlink()


def recorded(target: Path) -> dict[str, Any]:
    """The manifest of the report in `target`; empty unless cgsim wrote it as it is."""
    return _record(target / MANIFEST) or {}


def copy_own(target: Path, names: Iterable[str], aside: Path) -> bool:
    """Copy a report's files into `aside`; False, and none there, if one is not as written."""
    hashes = recorded(target).get("files", {})
    copied = []
    for name in names:
        copied.append(aside / name)
        with contextlib.suppress(*_UNPROVEN), _regular(target / name) as stream:
            copied[-1].write_bytes(stream.read())
        if not _is_own(copied[-1], {hashes.get(name, "")}):
            for path in copied:
                path.unlink(missing_ok=True)
            return False
    return True


def remove(target: Path) -> list[Path]:
    """Remove a report's own files, and `target` if nothing is left; returns what is."""
    if _is_record(target / MANIFEST):
        with _locked(target):
            _remove_abandoned(target)
            owned = _owned(target)
            for name, hashes in owned.items():
                if _is_own(target / name, hashes):
                    (target / name).unlink()
            for record in (_JOURNAL, MANIFEST):
                if _is_record(target / record):
                    (target / record).unlink()
    left = sorted(target.iterdir())
    if not left:
        target.rmdir()
    return left


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of what can be JSON, however its keys are ordered."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _record(path: Path) -> dict[str, Any] | None:
    """The content of a manifest or journal; None unless cgsim wrote it as it is."""
    data = _read(path, _LONGEST_RECORD_BYTES)
    if data is None:
        return None
    try:
        content = json.loads(data)
        claimed = content.pop("checksum")
        right = content["tool"] == "cgsim" and claimed == checksum(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return content if right and isinstance(content.get("files"), dict) else None


def _is_record(path: Path) -> bool:
    return _record(path) is not None


def _owned(target: Path) -> dict[str, set[str]]:
    """The hashes under which each name in `target` is cgsim's own."""
    owned: dict[str, set[str]] = {}
    for record in (MANIFEST, _JOURNAL):
        files = (_record(target / record) or {"files": {}})["files"]
        for name, hashes in files.items():
            if name == Path(name).name and name not in ("", ".", "..", MANIFEST, _JOURNAL):
                known = [hashes] if isinstance(hashes, str) else hashes
                owned.setdefault(name, set()).update(known)
    return owned


def _refuse_foreign(target: Path, names: Iterable[str], owned: dict[str, set[str]]) -> None:
    for name in names:
        path = target / name
        if not os.path.lexists(path):
            continue
        is_record = name in (MANIFEST, _JOURNAL)
        if not (_is_record(path) if is_record else _is_own(path, owned.get(name, set()))):
            raise Foreign(
                f"{target}: {shown(name)} there is not as cgsim wrote it and is left alone; "
                "move it away, or give another directory"
            )


def _is_own(path: Path, hashes: set[str]) -> bool:
    """Whether a file is a regular one with one of the hashes."""
    if not hashes:
        return False
    with contextlib.suppress(*_UNPROVEN), _regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() in hashes
    return False


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(path: Path, longest: int) -> bytes | None:
    """The content of a regular file that is no symbolic link; None where there is none."""
    with contextlib.suppress(*_UNPROVEN), _regular(path) as stream:
        return stream.read(longest)
    return None


@contextlib.contextmanager
def _regular(path: Path) -> Iterator[BufferedReader]:
    """A regular file, opened; `_NotRegular` for anything else, links included."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _NotRegular from None
        raise
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _NotRegular
        yield stream


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One process at a time within the block, where the file system has locks."""
    handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # some network file systems have none; each file is still replaced as a whole
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_abandoned(target: Path) -> None:
    """Remove the hidden directories of runs that no longer live.

    Each holds a marker, which a living run has locked.
    """
    for aside in target.glob(f"{_ASIDE}*"):
        if aside.is_symlink():
            continue
        # one that was killed before it had written its marker left nothing else
        with contextlib.suppress(OSError):
            aside.rmdir()
        with contextlib.suppress(OSError, _NotRegular), _regular(aside / _MARKER) as marker:
            if _try_lock(marker.fileno()):
                shutil.rmtree(aside)


def _try_lock(handle: int) -> bool:
    """Lock a file for this process; False where another has, or the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
