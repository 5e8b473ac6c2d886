"""The store of computed points: Parquet files in one directory, addressed by content.

A file holds rows of some points of one experiment, complete points only, in columns

===============  ==================================================================================
point_key        of the point (`cgsim.studies.identity`): arguments, seed, sources, data, machine
point_row        number of the row within the point's result
point_arguments  JSON: what was asked for
others           the experiment's own columns
===============  ==================================================================================

so that pandas, DuckDB or any reader of Parquet can query it. A file is written aside and renamed,
never changed, and carries the schema's version. A point may be in two files (two runs at a time
computed it): its rows are the same. Compaction joins small files.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cgsim.errors import UserError
from cgsim.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cgsim.studies.points import Point

SCHEMA = 1
KEY, ROW, ARGUMENTS = "point_key", "point_row", "point_arguments"
_MARK = b"cgsim_points"
_LOCK = ".lock"
_LEFTOVER_S = 600
_SMALL_FILES = 64
_ROWS_PER_FILE = 100_000


class Result(NamedTuple):
    """A computed point: its key, the point and its rows."""

    key: str
    point: Point
    rows: list[dict[str, Any]]


def table_of(results: Sequence[Result]) -> pa.Table:
    """The rows of some results, as a file of the store holds them."""
    rows = [
        {KEY: result.key, ROW: number, ARGUMENTS: result.point.to_json(), **row}
        for result in results
        for number, row in enumerate(result.rows)
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


class Store:
    """The points below a directory, which is made when the first result is written.

    Raises UserError, on opening, for a file that is truncated, damaged or not a store's.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._files: dict[Path, str] = {}
        self._where: dict[str, Path] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the keys of files that have come since the store was opened; forget those gone."""
        if self.directory.exists() and not self.directory.is_dir():
            raise UserError(f"{self.directory}: is not a directory; a store is one")
        try:
            paths = sorted(self.directory.rglob("*.parquet"))
        except OSError as error:
            raise UserError(f"{self.directory}: cannot be read: {error.strerror}") from None
        gone = self._files.keys() - set(paths)
        for path in gone:
            del self._files[path]
        self._where = {key: path for key, path in self._where.items() if path not in gone}
        for path in paths:
            if path.name.startswith(".") or path in self._files:
                continue
            with contextlib.suppress(FileNotFoundError):  # compacted by another process meanwhile
                self._files[path] = _experiment_of(path)
                for key in _read(path, [KEY])[KEY].unique().to_pylist():
                    self._where[key] = path

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._where)

    @property
    def files(self) -> list[Path]:
        """The files, sorted."""
        return sorted(self._files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        self.refresh()
        return sum(path.stat().st_size for path in self._files)

    def add(self, experiment: str, results: Sequence[Result]) -> None:
        """Keep the results of some points of one experiment.

        Raises UserError if they cannot be written; the store is then as it was.
        """
        path = self._write(experiment, table_of(results), [r.key for r in results])
        self._files[path] = experiment
        for result in results:
            self._where[result.key] = path

    def table(self, keys: Iterable[str]) -> pa.Table:
        """The rows of some points, in the order of `keys`, their rows in the points' own order.

        Another process may compact the store meanwhile: the rows are then in other files. Raises
        UserError for a damaged file. KeyError: a point is not there.
        """
        wanted = list(keys)
        while True:
            try:
                return self._table(wanted)
            except FileNotFoundError:
                self.refresh()

    def _table(self, wanted: Sequence[str]) -> pa.Table:
        """The kernel of `table`; FileNotFoundError if a file has gone."""
        parts = []
        for path in sorted({self._where[key] for key in wanted}):
            here = [key for key in wanted if self._where[key] == path]
            table = _read(path)
            parts.append(table.filter(pc.is_in(table[KEY], pa.array(here, pa.string()))))
        if not parts:
            return pa.table({KEY: pa.array([], pa.string())})
        table = pa.concat_tables(parts, promote_options="permissive")
        place = {key: number for number, key in enumerate(wanted)}
        order = pa.array([place[key] for key in table[KEY].to_pylist()], pa.int64())
        sorted_rows = table.append_column("_order", order).sort_by(
            [("_order", "ascending"), (ROW, "ascending")]
        )
        return sorted_rows.drop_columns(["_order"])

    def compact(self, *, at_least: int = _SMALL_FILES) -> None:
        """Join small files where there are `at_least` so many of an experiment.

        Does nothing while another process does the same. A crash in between leaves points in two
        files, with the same rows.
        """
        if len(self._files) < at_least or not self.directory.is_dir():
            return
        with self._alone() as alone:
            if not alone:
                return
            self._remove_leftovers()
            self.refresh()  # those that another process has joined meanwhile are gone
            small: dict[str, list[Path]] = {}
            for path, experiment in sorted(self._files.items()):
                small.setdefault(experiment, []).append(path)
            for experiment, paths in small.items():
                if len(paths) < at_least:
                    continue
                for batch in _batches(paths):
                    self._join(experiment, batch)

    def empty(self) -> int:
        """Remove all points; returns how many there were."""
        count = len(self)
        for path in self.files:
            path.unlink(missing_ok=True)
        self._files.clear()
        self._where.clear()
        return count

    def shrink(self, limit_bytes: int) -> None:
        """Remove the files that were written first until the others fit into a limit."""
        size = self.size_bytes
        ages = sorted(self._files, key=lambda path: (path.stat().st_mtime, path.name))
        for path in ages:
            if size <= limit_bytes:
                return
            size -= path.stat().st_size
            path.unlink(missing_ok=True)
            del self._files[path]
            self._where = {key: at for key, at in self._where.items() if at != path}

    def _join(self, experiment: str, paths: Sequence[Path]) -> None:
        """Put the rows of some files into one."""
        table = pa.concat_tables([_read(path) for path in paths], promote_options="permissive")
        keys = table[KEY].to_pylist()
        numbers = table[ROW].to_pylist()
        first: dict[tuple[str, int], int] = {}
        for at, name in enumerate(zip(keys, numbers, strict=True)):
            first.setdefault(name, at)
        table = table.take(pa.array(sorted(first.values()), pa.int64()))
        joined = self._write(experiment, table, sorted(set(keys)))
        self._files[joined] = experiment
        for key in set(keys):
            self._where[key] = joined
        for path in set(paths) - {joined}:
            path.unlink(missing_ok=True)
            del self._files[path]

    def _write(self, experiment: str, table: pa.Table, keys: Sequence[str]) -> Path:
        """Write a file, named by what is in it; returns its path."""
        mark = json.dumps({"schema": SCHEMA, "experiment": experiment})
        table = table.replace_schema_metadata({_MARK: mark.encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        name = hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
        path = self.directory / f"{experiment}-{name}.parquet"
        try:
            return write_atomically(path, sink.getvalue().to_pybytes())
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written: {error.strerror or error}; "
                "what was computed before is kept"
            ) from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process compacts meanwhile."""
        try:
            handle = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            yield False
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(handle)

    def _remove_leftovers(self) -> None:
        """Remove what writers that were killed have left aside."""
        old = time.time() - _LEFTOVER_S
        for path in self.directory.glob(".*.parquet"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < old:
                    path.unlink()


def _batches(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The files that are not full, in groups that fill one each."""
    batch: list[Path] = []
    rows = 0
    for path in paths:
        count = pq.read_metadata(path).num_rows
        if count >= _ROWS_PER_FILE:
            continue
        if batch and rows + count > _ROWS_PER_FILE:
            yield batch
            batch, rows = [], 0
        batch.append(path)
        rows += count
    if len(batch) > 1:
        yield batch


def _experiment_of(path: Path) -> str:
    """What a file holds the points of."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise _broken(path, error) from None
    try:
        mark = json.loads(metadata[_MARK])
        schema, experiment = mark["schema"], str(mark["experiment"])
    except (KeyError, ValueError, TypeError):
        raise UserError(
            f"{path}: is Parquet, but no file of a store of cgsim; move it away"
        ) from None
    if schema != SCHEMA:
        raise UserError(f"{path}: schema = {schema!r} is not allowed; allowed: {SCHEMA}")
    return experiment


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A file's rows, its pages' checksums verified."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read(columns)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> UserError:
    """The error for a file that cannot be read."""
    reason = " ".join(str(error).split())[:120]
    return UserError(
        f"{path}: cannot be read as Parquet: {reason}; remove it and run again: "
        "its points alone are computed anew"
    )
