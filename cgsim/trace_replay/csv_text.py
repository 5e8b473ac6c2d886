"""CSV with a header, whatever separates its fields."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from cgsim.trace_replay.columns import COLUMNS, choose_columns
from cgsim.trace_replay.text_lines import Accesses, counts, fields, integers, joined
from cgsim.trace_replay.trace import (
    ALLOWED_OPS,
    ANY_CPU,
    MAX_SIZE_BYTES,
    CpuLimit,
    op_code,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

_TRUTH = {"true": 1, "false": 0}


def find_separator(header: str, columns: Mapping[str, str] | None) -> str | None:
    """The character that cuts most names of columns out of a header; None if there are none."""
    wanted = {*COLUMNS, *(columns or {}).values()}
    found: dict[str, int] = {}
    for character in {c for c in header if not (c.isalnum() or c in "_\"'")} | {","}:
        names = [name.strip() for name in split(header, character)]
        found[character] = sum(name in wanted or name.lower() in COLUMNS for name in names)
    best = max(sorted(found), key=lambda character: (found[character], character == ","))
    return best if found[best] else None


def sniff_separator(lines: list[str]) -> str | None:
    """What separates the fields of a table whose names are others; None if it is no table.

    Below a header of names, a table of accesses has a number in each line.
    """
    if len(lines) < 2 or not any(c.isdigit() for c in lines[1]) or not lines[0][:1].isalpha():
        return None
    try:
        separator = csv.Sniffer().sniff("\n".join(lines[:2]), ",;\t|:^~ ").delimiter
    except csv.Error:
        return None
    fields = len(split(lines[0], separator))
    return separator if fields == len(split(lines[1], separator)) > 1 else None


def split(line: str, separator: str) -> list[str]:
    """The fields of one line."""
    if separator == " ":
        line = " ".join(line.split())
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # a carriage return within a field, or more than a field may hold
        return line.split(separator)


class Csv:
    """Lines of fields; see `text_lines.LineKind`.

    header : the first line    columns : see `columns.choose_columns`
    """

    def __init__(
        self,
        source: str,
        header: str,
        separator: str,
        columns: Mapping[str, str] | None,
        cpus: CpuLimit = ANY_CPU,
    ) -> None:
        self.separator = separator
        names = split(header, separator)
        self.places = choose_columns(source, names, columns)
        self.names = [str(place) for place in range(len(names))]
        self._limit = cpus
        self._ranges = {
            "address": (-(2**63), 2**64 - 1),
            "cpu": (0, cpus.cpus - 1),
            "size": (1, MAX_SIZE_BYTES),
        }

    def read(self, block: bytes) -> Accesses:
        """See `text_lines.LineKind`."""
        if not block.strip():
            return self._accesses({column: None for column in self.places})
        if self.separator == " ":  # of which several may stand between two fields
            block = b"\n".join(b" ".join(line.split()) for line in block.split(b"\n"))
        used = [self.names[place] for place in self.places.values()]
        table = fields(block, self.names, self.separator, used)
        return self._accesses(
            {
                column: joined(table.column(name))
                for column, name in zip(self.places, used, strict=True)
            }
        )

    def _accesses(self, text: Mapping[str, pa.Array | None]) -> Accesses:
        numbers = {
            column: np.zeros(0, np.uint64) if texts is None else self._numbers(column, texts)
            for column, texts in text.items()
            if column != "op"
        }
        op = None
        if "op" in text:
            op = np.zeros(0, np.uint8) if text["op"] is None else _ops(text["op"])
        cpu, size = numbers.get("cpu"), numbers.get("size")
        return Accesses(
            numbers["address"],
            op,
            None if cpu is None else cpu.astype(np.uint16),
            None if size is None else size.astype(np.uint32),
        )

    def _numbers(self, column: str, text: pa.Array) -> NDArray[np.uint64]:
        if column == "address":
            return integers(text)
        return counts(text, *self._ranges[column])

    def wrong(self, line: str) -> str | None:
        """See `text_lines.LineKind`."""
        found = split(line, self.separator)
        if len(found) != len(self.names):
            return f"has {len(found)} fields, the header {len(self.names)}; allowed: as many"
        for column, place in self.places.items():
            text = found[place].strip()
            value = "missing" if text.lower() in {"", "nan", "na", "null", "none"} else shown(text)
            if column == "op":
                if _op(text) is None:
                    return f"op is {value}; allowed: {ALLOWED_OPS}"
                continue
            try:
                number = int(text, 16 if text.lower().startswith("0x") else 10)
            except ValueError:
                return f"{column} is {value}; allowed: integers, decimal or 0x..."
            lowest, highest = self._ranges[column]
            if not lowest <= number <= highest:
                allowed = str(self._limit) if column == "cpu" else f"{lowest} to {highest}"
                return f"{column} = {value} is not allowed; allowed: {allowed}"
        return None


def _op(text: str) -> int | None:
    """The code of an op, of which truth values are those of `replay`: whether it writes."""
    return _TRUTH.get(text.strip().lower(), op_code(text))


def _ops(text: pa.Array) -> NDArray[np.uint8]:
    distinct = pc.dictionary_encode(text)
    codes = [_op(name) for name in distinct.dictionary.to_pylist()]
    if None in codes:
        raise ValueError("op")
    return np.array(codes, np.uint8)[distinct.indices.to_numpy()]
