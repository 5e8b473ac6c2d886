"""Traces as text: blocks of lines, parsed as a whole, and the line that an error is about."""

from __future__ import annotations

from binascii import unhexlify
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from cgsim.errors import UserError
from cgsim.memory import check_bytes
from cgsim.trace_replay.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 24
_NO_SEPARATOR = "\x01"
_HEX_DIGITS = 16


class Accesses(NamedTuple):
    """Those of a block of lines; as in `Trace`, but None means the same for every block."""

    address: NDArray[np.uint64]
    op: NDArray[np.uint8] | None = None
    cpu: NDArray[np.uint16] | None = None
    size: NDArray[np.uint32] | None = None


class Bytes(Protocol):
    """What bytes are read from, in order."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end."""


class LineKind(Protocol):
    """How the lines of one kind of text are read."""

    def read(self, block: bytes) -> Accesses:
        """The accesses of whole lines; ValueError if one of them is wrong."""

    def wrong(self, line: str) -> str | None:
        """What is wrong with a line, None if nothing is."""


@dataclass(frozen=True)
class Text:
    """Where lines come from.

    head : the first bytes    rest : the bytes after them
    line : the number of the line that `head` begins with
    """

    head: bytes
    rest: Bytes
    line: int = 1

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """The number of its first line, and the bytes, of each block of whole lines."""
        line, left = self.line, self.head
        while True:
            more = self.rest.read(BLOCK_BYTES)
            cut = left.rfind(b"\n") + 1 if not more else more.rfind(b"\n") + 1
            if not more:
                if left.strip():
                    yield line, left
                return
            if cut == 0:
                left += more
                continue
            block, left = left + more[:cut], more[cut:]
            yield line, block
            line += block.count(b"\n")


def read_text(source: str, text: Text, kind: LineKind) -> Trace:
    """The trace of all lines. Raises UserError naming the line of the text."""
    parts: list[Accesses] = []
    size = 0
    for first, block in text.blocks():
        part = _read_block(source, kind, block, first)
        parts.append(part)
        size += sum(column.nbytes for column in part if column is not None)
        check_bytes(f"{source}: a trace of {size >> 20} MiB and more", 2 * size)
    if not parts:
        parts.append(kind.read(b""))
    columns: list[Any] = [
        None if column[0] is None else np.concatenate(column) for column in zip(*parts, strict=True)
    ]
    return Trace(*columns)


def _read_block(source: str, kind: LineKind, block: bytes, first: int) -> Accesses:
    """The accesses of a block that begins with line `first`."""
    try:
        return kind.read(block)
    except ValueError:
        pass
    lines = block.split(b"\n")
    for number, raw in enumerate(lines, first):
        line = raw.decode("utf-8", "replace").removesuffix("\r")
        wrong = kind.wrong(line) if line.strip() else None
        if wrong is not None:
            raise UserError(f"{source}: line {number}: {wrong}")
    try:  # every line is right by itself: lines of spaces stood between them
        return kind.read(b"\n".join(line for line in lines if line.strip()))
    except ValueError as error:
        told = str(error).splitlines()[0][:80] if str(error).isprintable() else "?"
        raise UserError(f"{source}: from line {first} on: cannot be read ({told})") from None


# --- columns of text -----------------------------------------------------------------------------


def fields(block: bytes, names: list[str], separator: str, used: list[str]) -> pa.Table:
    """The used columns of lines with separated fields, as text. Empty lines are left out."""
    return pacsv.read_csv(
        pa.BufferReader(block),
        read_options=pacsv.ReadOptions(column_names=names, block_size=len(block) + 1),
        parse_options=pacsv.ParseOptions(delimiter=separator),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), include_columns=used
        ),
    ).combine_chunks()


def lines_of(block: bytes) -> pa.Array:
    """The lines as text, without their ends and without empty ones."""
    if not block.strip():
        return pa.array([], pa.string())
    table = pacsv.read_csv(
        pa.BufferReader(block),
        read_options=pacsv.ReadOptions(column_names=["line"], block_size=len(block) + 1),
        parse_options=pacsv.ParseOptions(
            delimiter=_NO_SEPARATOR, quote_char=False, escape_char=False
        ),
        convert_options=pacsv.ConvertOptions(column_types={"line": pa.string()}),
    )
    return joined(table.column("line"))


def joined(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one piece."""
    if isinstance(column, pa.Array):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def hexadecimal(column: pa.Array) -> NDArray[np.uint64]:
    """Hexadecimal digits without 0x, up to 64 bits each; ValueError for anything else."""
    if len(column) == 0:
        return np.zeros(0, np.uint64)
    for text in (column, pc.ascii_ltrim(column, "0")):
        padded = pc.ascii_lpad(text, _HEX_DIGITS, "0")
        ends = np.frombuffer(padded.buffers()[1], np.int32)[padded.offset :]
        start, stop = int(ends[0]), int(ends[len(padded)])
        if stop - start == _HEX_DIGITS * len(padded):
            digits = memoryview(padded.buffers()[2])[start:stop]
            return np.frombuffer(unhexlify(digits), ">u8").astype(np.uint64)
    raise ValueError("a number of more than 64 bits")


def integers(column: pa.Array) -> NDArray[np.uint64]:
    """Integers, decimal or 0x..., -2**63 to 2**64 - 1, negative ones as two's complement.

    ValueError for anything else.
    """
    text = pc.ascii_trim_whitespace(column)
    negative = pc.starts_with(text, "-")
    if pc.any(negative).as_py():
        signed = pc.cast(pc.if_else(negative, text, "0"), pa.int64()).to_numpy()
        rest = pc.cast(pc.if_else(negative, "0", text), pa.uint64()).to_numpy()
        return np.where(signed < 0, signed.view(np.uint64), rest)
    values: NDArray[np.uint64] = pc.cast(text, pa.uint64()).to_numpy()
    return values


def counts(column: pa.Array, lowest: int, highest: int) -> NDArray[np.uint64]:
    """Integers of a range; ValueError for anything else."""
    values = integers(column)
    if len(values) and not lowest <= int(values.min()) <= int(values.max()) <= highest:
        raise ValueError(f"allowed: {lowest} to {highest}")
    return values
