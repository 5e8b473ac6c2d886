"""Address traces: read from files, checked, and cut at line borders.

A trace is a sequence of data accesses in one global order. Three forms are read:

* .npy of uint64: byte addresses, read by CPU 0;
* .parquet or .csv with columns address and op (R read, W write, A atomic), and optionally cpu (0 if
  absent) and size in bytes (without it an access lies within one line);
* anything else: the text of `valgrind --tool=lackey --trace-mem=yes`. Loads (L) are reads, stores
  (S) and modifies (M, one access that reads and writes) are writes by CPU 0. Instruction fetches
  (I) are skipped, since the levels hold data; lines of valgrind itself ("==") are skipped too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import UserError

if TYPE_CHECKING:
    import os

    import pandas as pd
    from numpy.typing import NDArray

MAX_CPUS = 512
MAX_SIZE_BYTES = 1 << 16
COLUMNS = ("cpu", "op", "address", "size")
READ, WRITE, ATOMIC = 0, 1, 2
_OPS = {"R": READ, "W": WRITE, "A": ATOMIC}


@dataclass(frozen=True)
class Trace:
    """A checked trace.

    address : uint64[n]  byte addresses
    op : uint8[n] of READ, WRITE, ATOMIC; None if all are reads
    cpu : uint16[n]; None if all are by CPU 0
    size : uint32[n] bytes, at least 1; None if every access lies within one line
    """

    address: NDArray[np.uint64]
    op: NDArray[np.uint8] | None = None
    cpu: NDArray[np.uint16] | None = None
    size: NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self.address)


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace file; see the module. Raises UserError naming the file and the row."""
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{file}: no such trace file")
    suffix = file.suffix.lower()
    if suffix == ".npy":
        return _read_npy(file)
    if suffix in {".parquet", ".pq"}:
        return _read_parquet(file)
    if suffix == ".csv":
        return _read_csv(file)
    return _read_lackey(file)


def trace_of_table(table: pd.DataFrame, source: str = "table") -> Trace:
    """Check a table with columns address, op and optionally cpu, size. Raises UserError."""
    unknown = [str(name) for name in table.columns if name not in COLUMNS]
    if unknown:
        raise UserError(f"{source}: unknown column {unknown[0]!r}; allowed: {', '.join(COLUMNS)}")
    for name in ("address", "op"):
        if name not in table.columns:
            raise UserError(f"{source}: column {name!r} is missing; columns: {', '.join(COLUMNS)}")
    return trace_of_arrays(
        table["address"].to_numpy(),
        op=table["op"].to_numpy(),
        cpu=table["cpu"].to_numpy() if "cpu" in table.columns else None,
        size=table["size"].to_numpy() if "size" in table.columns else None,
        source=source,
    )


def trace_of_arrays(
    address: Any, *, op: Any = None, cpu: Any = None, size: Any = None, source: str = "trace"
) -> Trace:
    """Check arrays of equal length. Raises UserError naming the column and the row.

    address : integers, 0 to 2**64 - 1      op : "R", "W", "A", or booleans (True writes)
    cpu : integers, 0 to 511                size : integers, 1 to 65536
    """
    addresses = np.ascontiguousarray(_integers(source, "address", address, 0, 2**64 - 1, np.uint64))
    count = len(addresses)
    for name, column in (("op", op), ("cpu", cpu), ("size", size)):
        if column is not None and np.shape(column) != (count,):
            raise UserError(
                f"{source}: {name} has shape {np.shape(column)}, address {(count,)}; allowed: equal"
            )
    return Trace(
        addresses,
        None if op is None else _ops(source, np.asarray(op)),
        None if cpu is None else _integers(source, "cpu", cpu, 0, MAX_CPUS - 1, np.uint16),
        None if size is None else _integers(source, "size", size, 1, MAX_SIZE_BYTES, np.uint32),
    )


def cut_at_lines(trace: Trace, line_bytes: int) -> Trace:
    """The accesses to single lines: one that crosses a border touches every line it lies in.

    The lines are touched in ascending order, by the same CPU and op; sizes are those in each line.
    Raises UserError for an access that ends beyond the address space.
    """
    if trace.size is None:
        return trace
    ends = trace.address + (trace.size.astype(np.uint64) - np.uint64(1))
    wrapped = np.flatnonzero(ends < trace.address)
    if len(wrapped):
        row = int(wrapped[0])
        raise UserError(
            f"trace: row {row}: address {hex(trace.address[row])} with size {trace.size[row]} ends"
            " beyond 2**64; allowed: within the address space"
        )
    bits = np.uint64(line_bytes.bit_length() - 1)
    extra = ((ends >> bits) - (trace.address >> bits)).astype(np.int64)
    if not extra.any():
        return trace
    times = extra + 1
    rows = np.repeat(np.arange(len(trace)), times)
    nth = (np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)).astype(np.uint64)
    address = trace.address[rows]
    later = ((address >> bits) + nth) << bits
    starts = np.where(nth == 0, address, later)
    last = np.minimum(ends[rows], starts | np.uint64(line_bytes - 1))
    return Trace(
        starts,
        None if trace.op is None else trace.op[rows],
        None if trace.cpu is None else trace.cpu[rows],
        (last - starts).astype(np.uint32) + np.uint32(1),
    )


def words_touched(trace: Trace) -> NDArray[np.uint8]:
    """uint8[n]: a bit for each 8-byte word of its line that an access touches.

    trace : cut at lines of 64 bytes; without sizes an access touches the word that it begins in
    """
    first = trace.address >> np.uint64(3) & np.uint64(7)
    last = first
    if trace.size is not None:
        last = (trace.address & np.uint64(63)) + trace.size - np.uint64(1) >> np.uint64(3)
    one = np.uint64(1)
    return ((one << last + one) - (one << first)).astype(np.uint8)


def _integers(
    source: str, name: str, column: Any, lowest: int, highest: int, dtype: Any
) -> NDArray[Any]:
    """A column as `dtype`, if every value is an integer of the range."""
    values = np.asarray(column)
    if values.ndim != 1:
        raise UserError(f"{source}: {name} has {values.ndim} dimensions; allowed: 1")
    if values.dtype == dtype and highest == np.iinfo(dtype).max and lowest == 0:
        return values
    if values.dtype.kind not in "iu":
        _refuse_non_integers(source, name, values)
        values = np.array([int(value) for value in values], dtype=object)
    wrong = np.flatnonzero((values < lowest) | (values > highest))
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"{source}: row {row}: {name} = {values[row]} is not allowed; allowed: {lowest} to"
            f" {highest}"
        )
    return values.astype(dtype)


def _refuse_non_integers(source: str, name: str, values: NDArray[Any]) -> None:
    """Raise for the first value that is no integer; only an object array can be without one."""
    for row, value in enumerate(values):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            shown = "missing (NaN)" if _missing(value) else repr(value)
            kind = "" if values.dtype == object else f" (dtype {values.dtype})"
            raise UserError(f"{source}: row {row}: {name} is {shown}{kind}; allowed: integers")


def _missing(value: Any) -> bool:
    """True for None, NaN and pandas' NA."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _ops(source: str, values: NDArray[Any]) -> NDArray[np.uint8]:
    """The op column as READ, WRITE, ATOMIC."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype == np.uint8:
        wrong = np.flatnonzero(values > ATOMIC)
        codes = values
    else:
        import pandas as pd

        codes = np.full(len(values), 255, np.uint8)
        series = pd.Series(values, dtype=object)
        for name, code in _OPS.items():
            codes[(series == name).to_numpy(dtype=bool, na_value=False)] = code
        wrong = np.flatnonzero(codes == 255)
    if len(wrong):
        row = int(wrong[0])
        shown = "missing (NaN)" if _missing(values[row]) else repr(values[row])
        raise UserError(f"{source}: row {row}: op is {shown}; allowed: R, W, A")
    return codes


def _read_npy(file: Path) -> Trace:
    try:
        values = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{file}: not a whole .npy array of uint64 ({_first_line(error)}); it may be truncated"
        ) from None
    if not isinstance(values, np.ndarray) or values.dtype != np.uint64 or values.ndim != 1:
        array = isinstance(values, np.ndarray)
        shape = f"{values.dtype} of shape {values.shape}" if array else "no array"
        raise UserError(
            f"{file}: {_first_bad_row(values)}holds {shape}; allowed: one dimension of uint64 byte"
            " addresses"
        )
    return Trace(np.ascontiguousarray(values))


def _first_bad_row(values: Any) -> str:
    """The start of a message about the first row that is no address; "" if there is none."""
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "if":
        return ""
    with np.errstate(invalid="ignore"):
        bad = ~(values >= 0) if values.dtype.kind == "i" else ~((values >= 0) & (values % 1 == 0))
    rows = np.flatnonzero(bad)
    return f"row {rows[0]} is {values[rows[0]]}; the file " if len(rows) else ""


def _read_parquet(file: Path) -> Trace:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"{file}: not a whole Parquet file ({_first_line(error)}); it may be truncated"
        ) from None
    _check_columns(file, table.column_names)
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise UserError(f"{file}: row {row}: {name} is missing (null); allowed: a value")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        columns[name] = column.to_numpy()
    return trace_of_arrays(
        columns["address"],
        op=columns["op"],
        cpu=columns.get("cpu"),
        size=columns.get("size"),
        source=str(file),
    )


def _check_columns(file: Path, names: list[str]) -> None:
    """Raise unless the columns are allowed, each once, and none that is needed is missing."""
    for name in names:
        if name not in COLUMNS:
            raise UserError(f"{file}: unknown column {name!r}; allowed: {', '.join(COLUMNS)}")
        if names.count(name) > 1:
            raise UserError(f"{file}: column {name!r} occurs twice; allowed: once")
    for name in ("address", "op"):
        if name not in names:
            raise UserError(f"{file}: column {name!r} is missing; columns: {', '.join(COLUMNS)}")


def _read_csv(file: Path) -> Trace:
    import pandas as pd

    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a CSV table ({_first_line(error)})") from None
    _check_columns(file, [str(name) for name in table.columns])
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{file}: row 0 has more fields than the header; allowed: as many")
    columns = {
        name: table[name].to_numpy(dtype=object) if name == "op" else _numbers(file, name, table)
        for name in table.columns
    }
    return trace_of_arrays(
        columns["address"],
        op=columns["op"],
        cpu=columns.get("cpu"),
        size=columns.get("size"),
        source=str(file),
    )


def _numbers(file: Path, name: str, table: pd.DataFrame) -> NDArray[Any]:
    """A text column as integers: decimal, or hexadecimal with 0x."""
    texts = table[name]
    decimal = texts.str.fullmatch(r"\d{1,19}")
    if bool(decimal.all()):
        return texts.astype(np.uint64).to_numpy()
    values = np.empty(len(texts), dtype=object)
    for row, text in enumerate(texts):
        try:
            values[row] = int(text, 0) if text[:2].lower() == "0x" else int(text)
        except ValueError:
            shown = "missing" if text.strip().lower() in {"", "nan", "na", "null"} else repr(text)
            raise UserError(
                f"{file}: row {row}: {name} is {shown}; allowed: integers, decimal or 0x..."
            ) from None
    return values


def _read_lackey(file: Path) -> Trace:
    addresses, ops, sizes = [], [], []
    kinds = {" L": READ, " S": WRITE, " M": WRITE}
    with file.open(encoding="utf-8", errors="replace") as lines:
        for row, text in enumerate(lines):
            if text.startswith(("==", "--", "I ")) or not text.strip():
                continue
            try:
                kind = kinds[text[:2]]
                address, size = text[2:].split(",")
                addresses.append(int(address, 16))
                sizes.append(int(size))
                ops.append(kind)
            except (KeyError, ValueError):
                raise UserError(
                    f"{file}: row {row}: {text.rstrip()[:60]!r} is no line of valgrind's lackey;"
                    " allowed: I, L, S or M with address,size (or a .npy, .parquet or .csv file)"
                ) from None
    return trace_of_arrays(
        np.array(addresses, dtype=object) if addresses else np.zeros(0, np.uint64),
        op=np.array(ops, dtype=np.uint8),
        size=np.array(sizes, dtype=np.int64),
        source=str(file),
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
