"""The two deterministic address traces of the golden counts and the benchmarks.

T1: lines of 64 MiB by Zipf's law, exponent 0.99, ranks scattered by a permutation.
T2: 95 % uniform in 24 KiB, 5 % uniform in 256 MiB.

`data/golden/counts.json` holds their SHA-256 at full length and the counts.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.data import data_path
from cgsim.errors import UserError, unknown_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL_LENGTH = 10_000_000
NAMES = ("T1", "T2")


def reference_trace(name: str, length: int = FULL_LENGTH) -> NDArray[np.uint64]:
    """Byte addresses of `length` 8-byte reads.

    At full length the result is checked against its SHA-256; a shorter trace is of the same kind,
    not a part of the full one. Raises UserError for an unknown name, or if this numpy draws other
    numbers.
    """
    if name not in NAMES:
        raise unknown_name("trace", name, NAMES)
    trace = _zipf(length) if name == "T1" else _hot_and_cold(length)
    if length == FULL_LENGTH:
        expected = golden_counts()["traces"][name]["sha256"]
        found = hashlib.sha256(trace.astype("<u8", copy=False).tobytes()).hexdigest()
        if found != expected:
            raise UserError(
                f"trace {name}: SHA-256 {found}, allowed: {expected}; numpy {np.__version__} draws"
                " other numbers"
            )
    return trace


def writes_of(length: int, percent: int = 10) -> NDArray[np.bool_]:
    """Which accesses write: access i if (uint32)(i * 2654435761 >> 8) % 100 < percent."""
    number = np.arange(length, dtype=np.uint64)
    mixed = (number * np.uint64(2654435761) >> np.uint64(8)).astype(np.uint32)
    return mixed % np.uint32(100) < np.uint32(percent)


def cpus_of(length: int, cpus: int) -> NDArray[np.uint16]:
    """The CPU of each access: access i is done by CPU i modulo `cpus`."""
    return (np.arange(length) % cpus).astype(np.uint16)


@cache
def golden_counts() -> dict[str, Any]:
    """`data/golden/counts.json`."""
    counts: dict[str, Any] = json.loads(data_path("golden", "counts.json").read_text())
    return counts


def _zipf(length: int) -> NDArray[np.uint64]:
    rng = np.random.Generator(np.random.PCG64(12345))
    lines = 64 * 2**20 // 64
    weights = 1.0 / np.arange(1, lines + 1, dtype=np.float64) ** 0.99
    cumulated = np.cumsum(weights)
    cumulated /= cumulated[-1]
    rank = np.searchsorted(cumulated, rng.random(length), side="left")
    line = rng.permutation(lines).astype(np.uint64)[np.minimum(rank, lines - 1)]
    slot = rng.integers(0, 8, length, dtype=np.uint64)
    return np.uint64(0x10000000) + line * np.uint64(64) + slot * np.uint64(8)


def _hot_and_cold(length: int) -> NDArray[np.uint64]:
    rng = np.random.Generator(np.random.PCG64(54321))
    hot = rng.integers(0, 24 * 1024 // 8, length, dtype=np.uint64) * np.uint64(8)
    cold = rng.integers(0, 256 * 2**20 // 8, length, dtype=np.uint64) * np.uint64(8)
    is_cold = rng.random(length) < 0.05
    return np.where(is_cold, np.uint64(0x40000000) + cold, np.uint64(0x10000000) + hot)
