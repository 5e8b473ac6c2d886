"""Which columns of a table are an access' address, op, cpu and size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError
from cgsim.trace_replay.trace import Trace, shown, trace_of_arrays

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

COLUMNS = ("cpu", "op", "address", "size")
_HINT = "name those that count, as in --columns address=addr,op=type, and the others are left out"
# What pandas calls the index of a frame that it saves, and of one that it reads back.
_INDEX = re.compile(r"|__index_level_\d+__|Unnamed: \d+")


def parse_columns(columns: str | Mapping[str, str] | None) -> dict[str, str] | None:
    """{column: its name in the table} from "address=addr,op=type"; "op" alone is "op=op".

    Raises UserError for what is no column, and for one that is named twice.
    """
    if columns is None:
        return None
    if isinstance(columns, str):
        pairs = [part.strip() for part in columns.split(",")]
        parted = [part.partition("=") for part in pairs]
        named = [(left.strip(), right.strip() if sign else left) for left, sign, right in parted]
    else:
        named = list(columns.items())
    found: dict[str, str] = {}
    for column, name in named:
        if column not in COLUMNS or not isinstance(name, str):
            raise UserError(
                f"columns: {shown(column)} is not allowed; allowed: {', '.join(COLUMNS)}, each"
                " followed by = and its name in the table"
            )
        if column in found:
            raise UserError(f"columns: {column!r} is named twice; allowed: once")
        found[column] = name
    return found


def choose_columns(
    source: str,
    names: Sequence[str],
    columns: Mapping[str, str] | None = None,
    index: Collection[str] = (),
) -> dict[str, int]:
    """{column: its place among `names`}, for those of COLUMNS that the table has.

    columns : as of `parse_columns`; with it, what is not needed is left out, otherwise refused
    index : further names of pandas' index, which is left out unless it is one of COLUMNS

    Raises UserError naming the column.
    """
    plain = [name.strip() for name in names]
    chosen: dict[str, int] = {}
    for column, name in (columns or {}).items():
        if plain.count(name) != 1:
            many = "occurs twice" if name in plain else "is missing"
            raise UserError(f"{source}: column {shown(name)} {many}; columns: {_listed(plain)}")
        chosen[column] = plain.index(name)
    for place, name in enumerate(plain):
        column = name.lower()
        if place in chosen.values() or (column in chosen and columns and column in columns):
            continue
        if column in chosen:
            raise UserError(f"{source}: column {shown(name)} occurs twice; allowed: once")
        if column in COLUMNS:
            chosen[column] = place
        elif columns is None and name not in index and not _INDEX.fullmatch(name):
            raise UserError(
                f"{source}: unknown column {shown(name)}; allowed: {', '.join(COLUMNS)}; {_HINT}"
            )
    if "address" not in chosen:
        raise UserError(
            f"{source}: column 'address' is missing; columns: {_listed(plain)}; {_HINT}"
        )
    return chosen


def trace_of_table(
    table: pd.DataFrame, source: str = "table", columns: Mapping[str, str] | None = None
) -> Trace:
    """Check a table with columns address and optionally op, cpu, size. Raises UserError."""
    chosen = choose_columns(source, [str(name) for name in table.columns], columns)
    arrays: dict[str, Any] = {
        column: table[table.columns[at]].to_numpy() for column, at in chosen.items()
    }
    return trace_of_arrays(**arrays, source=source)


def _listed(names: Sequence[str]) -> str:
    """The first names, as messages list them."""
    listed = ", ".join(shown(name) for name in names[:8])
    return listed + (", ..." if len(names) > 8 else "")
