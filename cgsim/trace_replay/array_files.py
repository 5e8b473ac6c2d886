"""Traces as arrays: .npy, .npz and Parquet."""

from __future__ import annotations

import tokenize
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cgsim.errors import UserError
from cgsim.memory import check_bytes
from cgsim.trace_replay.columns import choose_columns
from cgsim.trace_replay.trace import ANY_CPU, CpuLimit, Trace, trace_of_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCESS_BYTES = 24
"""Of an access, as it is read: an address, and as much again while it is checked."""


# numpy reads a header as the text of a Python dict
_BROKEN = (ValueError, OSError, SyntaxError, tokenize.TokenError)


def read_npy(source: str, file: BinaryIO, cpus: CpuLimit = ANY_CPU) -> Trace:
    """Addresses of reads by CPU 0, integers of any width and byte order."""
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            header = np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        check_bytes(
            f"{source}: an array of {shape}", dtype.itemsize * int(np.prod(shape, dtype=object))
        )
        file.seek(0)
        values = np.load(file, allow_pickle=False)
    except UserError:
        raise
    except (*_BROKEN, EOFError, MemoryError, TypeError) as error:
        raise UserError(
            f"{source}: not a whole .npy array of integers ({_told(error)}); it may be truncated"
        ) from None
    if values.dtype.names is not None:
        return read_columns(source, {name: values[name] for name in values.dtype.names}, None, cpus)
    return trace_of_arrays(values, source=source)


def read_npz(
    source: str, file: BinaryIO, columns: Mapping[str, str] | None, cpus: CpuLimit = ANY_CPU
) -> Trace:
    """Arrays address, op, cpu, size, or one array of any name, the addresses of reads by CPU 0."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        if not members or any(not member.filename.endswith(".npy") for member in members):
            raise UserError(f"{source}: is a ZIP archive that holds more than .npy; unpack it")
        check_bytes(f"{source}: its arrays", 2 * sum(member.file_size for member in members))
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except UserError:
        raise
    except (*_BROKEN, EOFError, MemoryError, zipfile.BadZipFile, RuntimeError) as error:
        raise UserError(
            f"{source}: not whole .npz arrays ({_told(error)}); it may be truncated"
        ) from None
    if len(arrays) == 1 and columns is None:
        return trace_of_arrays(*arrays.values(), source=source)
    return read_columns(source, arrays, columns, cpus)


def read_columns(
    source: str, arrays: Mapping[str, Any], columns: Mapping[str, str] | None, cpus: CpuLimit
) -> Trace:
    """A trace of arrays by name."""
    names = list(arrays)
    chosen = choose_columns(source, names, columns)
    return trace_of_arrays(
        **{column: arrays[names[place]] for column, place in chosen.items()},
        source=source,
        cpus=cpus,
    )


def read_parquet(
    source: str, file: BinaryIO, columns: Mapping[str, str] | None, cpus: CpuLimit = ANY_CPU
) -> Trace:
    """Columns address, and optionally op, cpu, size, as pandas, polars or duckdb write them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        chosen = choose_columns(source, names, columns, _pandas_index(table.schema_arrow))
        rows = table.metadata.num_rows
        check_bytes(f"{source}: a trace of {rows} accesses", ACCESS_BYTES * rows)
        used = [names[place] for place in chosen.values()]
        for name in used:
            if names.count(name) > 1:
                raise UserError(f"{source}: column {name!r} occurs twice; allowed: once")
        read = table.read(columns=used, use_pandas_metadata=False)
    except UserError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise UserError(
            f"{source}: not a whole Parquet file ({_told(error)}); it may be truncated"
        ) from None
    arrays = {
        column: _plain(source, column, read.column(names[at])) for column, at in chosen.items()
    }
    return trace_of_arrays(**arrays, source=source)


def _pandas_index(schema: Any) -> set[str]:
    """The columns that pandas notes as the index of the frame that it saved."""
    noted = (schema.pandas_metadata or {}).get("index_columns", [])
    return {name for name in noted if isinstance(name, str)}


def _plain(source: str, name: str, column: Any) -> Any:
    """A Parquet column as an array of integers, booleans or text."""
    import pyarrow as pa

    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise UserError(f"{source}: row {row}: {name} is missing (null); allowed: a value")
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return np.array([int(value) for value in column.to_pylist()], dtype=object)
    simple = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_boolean,
        pa.types.is_integer,
    )
    if name == "op" and not any(is_of(kind) for is_of in simple):
        raise UserError(f"{source}: column 'op' is of type {kind}; allowed: text of R, W, A")
    if name != "op" and not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise UserError(f"{source}: column {name!r} is of type {kind}; allowed: integers")
    return column.to_numpy()


def _told(error: BaseException) -> str:
    """The first line of an error, without unprintable characters."""
    lines = str(error).strip().splitlines()
    text = lines[0][:120] if lines else ""
    return text if text and text.isprintable() else type(error).__name__
