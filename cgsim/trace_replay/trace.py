"""Address traces: what an access is, checked, and cut at line borders.

A trace is a sequence of data accesses in one global order. `trace_files` reads it from files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.errors import UserError
from cgsim.memory import check_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CPUS = 8192
MAX_SIZE_BYTES = 1 << 16
READ, WRITE, ATOMIC = 0, 1, 2
OP_NAMES = {"R": READ, "W": WRITE, "A": ATOMIC}
ALLOWED_OPS = "R, W, A"
_SHOWN_CHARACTERS = 80


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


class CpuLimit(NamedTuple):
    """The CPUs that a trace may name: the first `cpus`; why: what sets the limit, for messages."""

    cpus: int
    why: str = ""

    def __str__(self) -> str:
        return f"0 to {self.cpus - 1}" + (f" ({self.why})" if self.why else "")


ANY_CPU = CpuLimit(MAX_CPUS)


def trace_of_arrays(
    address: Any,
    *,
    op: Any = None,
    cpu: Any = None,
    size: Any = None,
    source: str = "trace",
    cpus: CpuLimit = ANY_CPU,
) -> Trace:
    """Check arrays of equal length. Raises UserError naming the column and the row.

    address : integers of any width and byte order, -2**63 to 2**64 - 1; negative ones, as signed
              64-bit words hold kernel addresses, are read as two's complement
    op : "R", "W", "A" in any case, booleans (True writes), or the integers READ, WRITE, ATOMIC;
         None: all read
    cpu : integers, of those of `cpus`; None: all 0
    size : integers, 1 to 65536, None: every access lies within one line
    """
    addresses = np.ascontiguousarray(_addresses(source, address))
    count = len(addresses)
    for name, column in (("op", op), ("cpu", cpu), ("size", size)):
        if column is not None and np.shape(column) != (count,):
            raise UserError(
                f"{source}: {name} has shape {np.shape(column)}, address {(count,)}; allowed: equal"
            )
    return Trace(
        addresses,
        None if op is None else _ops(source, np.asarray(op)),
        None if cpu is None else _cpus(source, cpu, cpus),
        None if size is None else _sizes(source, size),
    )


def shown(value: Any) -> str:
    """A value as messages show it: on one line, cut, and without unprintable characters."""
    if is_missing(value):
        return "missing (NaN)"
    if isinstance(value, (str, bytes)):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not text.isprintable() or "\ufffd" in text:
            return "a value of unprintable characters"
        value = text
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def is_missing(value: Any) -> bool:
    """True for None, NaN and pandas' NA."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def op_code(name: Any) -> int | None:
    """READ, WRITE or ATOMIC from its letter in any case; None for anything else."""
    if isinstance(name, bytes):
        name = name.decode("ascii", "replace")
    return OP_NAMES.get(name.strip().upper()) if isinstance(name, str) else None


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
    check_bytes(f"trace: accesses to {int(times.sum())} lines", 48 * int(times.sum()))
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


def _addresses(source: str, column: Any) -> NDArray[np.uint64]:
    """A column of addresses as uint64[n]; signed 64-bit words are two's complement."""
    values = _whole(source, "address", column)
    if values.dtype.kind == "u":
        return values.astype(np.uint64, copy=False)
    if values.dtype.kind == "i" and values.dtype.itemsize == 8:
        return values.astype(np.int64, copy=False).view(np.uint64)
    # a narrow negative word may be the upper half of its range, or an address cut short
    lowest = -(2**63) if values.dtype == object else 0
    _check_range(source, "address", values, lowest, 2**64 - 1)
    if values.dtype == object:
        return np.array([int(value) % 2**64 for value in values], np.uint64)
    return values.astype(np.uint64)


def _cpus(source: str, column: Any, limit: CpuLimit) -> NDArray[np.uint16]:
    values = _whole(source, "cpu", column)
    _check_range(source, "cpu", values, 0, limit.cpus - 1, str(limit))
    return values.astype(np.uint16)


def _sizes(source: str, column: Any) -> NDArray[np.uint32]:
    values = _whole(source, "size", column)
    _check_range(source, "size", values, 1, MAX_SIZE_BYTES)
    return values.astype(np.uint32)


def _whole(source: str, name: str, column: Any) -> NDArray[Any]:
    """A column as an array of integers, or of objects that are integers."""
    values = np.asarray(column)
    if values.dtype.kind == "f" and isinstance(column, (list, tuple)):
        values = np.array(column, dtype=object)  # large words beside negative ones
    if values.ndim != 1:
        raise UserError(f"{source}: {name} has {values.ndim} dimensions; allowed: 1")
    if values.dtype.kind in "iu":
        return values
    for row, value in enumerate(values):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            kind = "" if values.dtype == object else f" (dtype {values.dtype})"
            plain = value.item() if isinstance(value, np.generic) else value
            raise UserError(
                f"{source}: row {row}: {name} is {shown(plain)}{kind}; allowed: integers"
            )
    if len(values) == 0 and values.dtype.kind not in "fO":
        raise UserError(f"{source}: {name} has dtype {values.dtype}; allowed: integers")
    return np.array([int(value) for value in values], dtype=object)


def _check_range(
    source: str,
    name: str,
    values: NDArray[Any],
    lowest: int,
    highest: int,
    allowed: str | None = None,
) -> None:
    """Raise for the first value outside a range; allowed: the range in words."""
    wrong = np.flatnonzero((values < lowest) | (values > highest))
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"{source}: row {row}: {name} = {shown(int(values[row]))} is not allowed; allowed:"
            f" {allowed or f'{lowest} to {highest}'}"
        )


def _ops(source: str, values: NDArray[Any]) -> NDArray[np.uint8]:
    """The op column as READ, WRITE, ATOMIC."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind in "iu":
        wrong = np.flatnonzero((values < READ) | (values > ATOMIC))
        codes = values
    else:
        import pandas as pd

        numbers, found = pd.factorize(values.astype(object))
        of_name = [op_code(name) for name in found]
        # the last one stands for missing values, whose number is -1
        known = np.array([255 if code is None else code for code in of_name] + [255], np.uint8)
        codes = known[numbers]
        wrong = np.flatnonzero(codes == 255)
    if len(wrong):
        row = int(wrong[0])
        raise UserError(f"{source}: row {row}: op is {shown(values[row])}; allowed: {ALLOWED_OPS}")
    return codes.astype(np.uint8)
