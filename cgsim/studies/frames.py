"""Result frames: assembled in the order of the study, and as files that say what they are.

A frame carries in `attrs` the version and commit that computed it and its parameters; the Parquet
file holds the same under the key `cgsim` of its metadata.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cgsim.errors import UserError
from cgsim.files import write_atomically
from cgsim.studies.store import ARGUMENTS, KEY, ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = 1
_MARK = b"cgsim"


def assemble(table: pa.Table, labels: Sequence[dict[str, Any]], counts: Sequence[int]) -> pa.Table:
    """The rows of points with what the study says of each in front.

    table : rows from the store, in the points' order. labels : columns of each point, all alike.
    counts : rows of each point.
    """
    names = list(dict.fromkeys(name for label in labels for name in label))
    repeat = [number for number, count in enumerate(counts) for _ in range(count)]
    rest = table.drop_columns([n for n in (KEY, ROW, ARGUMENTS) if n in table.column_names])
    columns = {
        name: pa.array([labels[number].get(name) for number in repeat])
        for name in names
        if name not in rest.column_names
    }
    columns |= {name: rest[name] for name in rest.column_names}
    return pa.table(columns)


def write_frame(path: Path, table: pa.Table, attrs: dict[str, Any]) -> Path:
    """Write a table as Parquet with its `attrs`; returns the path.

    Raises UserError if it cannot be written.
    """
    mark = json.dumps({"schema": SCHEMA, **attrs}, sort_keys=True, ensure_ascii=False)
    sink = pa.BufferOutputStream()
    content = table.replace_schema_metadata({_MARK: mark.encode()})
    pq.write_table(content, sink, compression="zstd", write_page_checksum=True)
    try:
        return write_atomically(path, sink.getvalue().to_pybytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None


def read_frame(path: str | os.PathLike[str]) -> pd.DataFrame:
    """A frame that `write_frame` has written, with its `attrs`.

    Raises UserError for a file that is not such a one, or damaged.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        attrs = json.loads((file.schema_arrow.metadata or {})[_MARK])
        table = file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: cannot be read as Parquet: {reason}") from None
    except (KeyError, ValueError):
        raise UserError(f"{path}: is no frame of cgsim") from None
    return to_pandas(table, attrs)


def to_pandas(table: pa.Table, attrs: dict[str, Any]) -> pd.DataFrame:
    """A table as pandas' frame, with `attrs`."""
    frame = table.replace_schema_metadata(None).to_pandas()
    frame.attrs.update(attrs)
    return frame
