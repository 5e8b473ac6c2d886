"""Trace files of every kind that is read, told by their content.

* CSV with a header and any separator, and Parquet: columns address and optionally op (R read, W
  write, A atomic, in any case; without the column all are reads), cpu (0 without it) and size in
  bytes (without it an access lies within one line). Further columns are refused, unless `columns`
  names those that count; pandas' own index is left out;
* .npy: integers, the addresses of reads by CPU 0; .npz: arrays of the names above;
* the texts of valgrind's lackey, of Dinero and of DynamoRIO's view, see `tool_text`.

Any of them may be compressed (gzip, bzip2, xz, zstd, lz4), or come from standard input ("-") or a
pipe. Numbers are integers, decimal or 0x...; negative addresses are signed 64-bit words.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from cgsim.errors import UserError
from cgsim.memory import check_bytes
from cgsim.trace_replay.trace import ANY_CPU, CpuLimit

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from cgsim.trace_replay.text_lines import Bytes, Text
    from cgsim.trace_replay.trace import Trace

STANDARD_INPUT = "-"
_LAYERS = 3
_PIECE_BYTES = 1 << 24


@dataclass(frozen=True)
class _Bytes:
    """The bytes of a trace.

    head : the first ones    rest : those after them
    whole : all of them, where they can be had at any place
    """

    head: bytes
    rest: Bytes
    whole: BinaryIO | None


def read_trace(
    path: str | os.PathLike[str],
    columns: str | Mapping[str, str] | None = None,
    cpus: CpuLimit = ANY_CPU,
) -> Trace:
    """Read a trace file; see the module. Raises UserError naming the file and the line or row.

    path : a file, or "-" for standard input
    columns : see `columns.parse_columns`
    cpus : those that accesses may be by
    """
    from cgsim.trace_replay.columns import parse_columns

    names = parse_columns(columns)
    if str(path) == STANDARD_INPUT:
        return _read("standard input", sys.stdin.buffer, names, cpus)
    file = Path(path)
    if not file.exists():
        raise UserError(f"{file}: no such trace file")
    if file.is_dir():
        raise UserError(f"{file}: is a directory; allowed: a trace file")
    try:
        with file.open("rb") as stream:
            return _read(str(file), stream, names, cpus)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from None


def _read(source: str, stream: BinaryIO, columns: dict[str, str] | None, cpus: CpuLimit) -> Trace:
    """The trace of a stream."""
    from cgsim.trace_replay.kinds import array_kind_of, compression_of

    found = _begin(stream, stream if stream.seekable() else None)
    for _ in range(_LAYERS):
        compression = compression_of(found.head)
        if compression is None:
            break
        found = _uncompressed(source, found, compression)
    if not found.head.strip():
        told = "is empty" if not found.head else "holds nothing but spaces"
        raise UserError(f"{source}: {told}; it may be truncated")
    try:
        kind = array_kind_of(found.head)
        if kind is None:
            return _read_text(source, found, columns, cpus)
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith(source) else f"{source}: {message}") from None
    return _read_arrays(source, kind, found, columns, cpus)


def _read_arrays(
    source: str, kind: str, found: _Bytes, columns: dict[str, str] | None, cpus: CpuLimit
) -> Trace:
    from cgsim.trace_replay import array_files

    file = found.whole or _in_memory(source, found)
    file.seek(0)
    if kind == "npz":
        return array_files.read_npz(source, file, columns, cpus)
    if kind == "parquet":
        return array_files.read_parquet(source, file, columns, cpus)
    _refuse_columns(columns, "an array of addresses")
    return array_files.read_npy(source, file, cpus)


def _read_text(source: str, found: _Bytes, columns: dict[str, str] | None, cpus: CpuLimit) -> Trace:
    from cgsim.trace_replay.csv_text import Csv, find_separator, sniff_separator
    from cgsim.trace_replay.kinds import refuse_known_text, tool_of, unknown_text
    from cgsim.trace_replay.text_lines import Text, read_text

    head = found.head.removeprefix(b"\xef\xbb\xbf")
    text = Text(head, _Checked(source, found.rest))
    sample = head.decode("utf-8", "replace").split("\n")
    lines = [line.removesuffix("\r") for line in sample if line.strip()]
    tool = tool_of(lines, cpus)
    if tool is not None:
        _refuse_columns(columns, "lines of another tool")
        return read_text(source, text, tool)
    if not lines:
        raise unknown_text("")
    separator = find_separator(lines[0], columns)
    if separator is None:
        refuse_known_text(lines[0])
        separator = sniff_separator(lines)
    if separator is None:
        raise unknown_text(lines[0])
    return read_text(source, _after_header(text), Csv(source, lines[0], separator, columns, cpus))


def _after_header(text: Text) -> Text:
    """The text behind its first line that is not empty."""
    at, line = 0, text.line
    while True:
        end = text.head.find(b"\n", at)
        stop = len(text.head) if end < 0 else end + 1
        line += 1
        if text.head[at:stop].strip():
            return replace(text, head=text.head[stop:], line=line)
        at = stop


def _refuse_columns(columns: dict[str, str] | None, kind: str) -> None:
    if columns is not None:
        raise UserError(f"--columns is for tables; the trace is {kind}, which have no names")


def _begin(stream: Bytes, whole: BinaryIO | None = None) -> _Bytes:
    """The bytes of a stream; whole: the stream, if it can be read at any place."""
    from cgsim.trace_replay.kinds import HEAD_BYTES

    head = b""
    while len(head) < HEAD_BYTES:
        more = stream.read(HEAD_BYTES - len(head))
        if not more:
            break
        head += more
    return _Bytes(head, stream, whole)


def _uncompressed(source: str, found: _Bytes, compression: str) -> _Bytes:
    """What compressed bytes stand for."""
    packed: BinaryIO
    if found.whole is not None:
        found.whole.seek(0)
        packed = found.whole
    else:
        packed = io.BufferedReader(_Joined(found.head, found.rest))
    stream: Any
    if compression == "gzip":
        stream = gzip.GzipFile(fileobj=packed)
    elif compression == "bzip2":
        stream = bz2.BZ2File(packed)
    elif compression == "xz":
        stream = lzma.LZMAFile(packed)  # noqa: SIM115
    else:
        import pyarrow as pa

        stream = pa.CompressedInputStream(pa.PythonFile(packed, "r"), compression)
    checked = _Checked(f"{source}: damaged or truncated {compression} data", stream)
    return _begin(checked)


def _in_memory(source: str, found: _Bytes) -> BinaryIO:
    """All bytes, of a stream that can only be read in order."""
    pieces, size = [found.head], len(found.head)
    while piece := found.rest.read(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        check_bytes(f"{source}: {size >> 20} MiB of arrays and more", 3 * size)
    return io.BytesIO(b"".join(pieces))


class _Joined(io.RawIOBase):
    """Bytes that were read, and the stream that they were read from."""

    def __init__(self, head: bytes, rest: Bytes) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            piece, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            piece = self._rest.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Checked:
    """A stream whose errors are one line of the user's."""

    def __init__(self, told: str, stream: Any) -> None:
        self._told, self._stream = told, stream

    def read(self, size: int, /) -> bytes:
        try:
            piece: bytes = self._stream.read(size)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            told = str(error).splitlines()[0][:80] if str(error).isprintable() else ""
            raise UserError(f"{self._told} ({told or type(error).__name__})") from None
        return piece
