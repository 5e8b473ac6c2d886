"""Numbers for the lines of a trace that fit the entries of rows and tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.replay import partition
from cgsim.trace_replay.host_threads import on_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsim.trace_replay.plan import Options, Plan

MAX_DIRECTORY_WORDS = 1 << 27  # 1 GiB for each host thread
MIN_CHUNK_LINES = 1024
CHUNK_SLOTS = 1 << 18


class OutsideWindowError(Exception):
    """The lines do not fit the numbers that a loop can hold."""


@dataclass(frozen=True)
class Numbering:
    """How the lines of a trace are numbered: from `first` on, or in chunks that were brought
    together.

    chunk : the lines of one    origins : the number of each chunk before; None: none was moved
    """

    first: int
    chunk: int = 1
    origins: NDArray[np.int64] | None = None

    def lines(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lines of the trace that have these numbers."""
        if self.origins is None:
            return self.first + numbers
        chunks, within = np.divmod(self.first + numbers, self.chunk)
        return self.origins[chunks] * self.chunk + within


def window_start(address: NDArray[np.uint64], bits: int, window_bits: int, multiple: int) -> int:
    """The line numbered 0, a multiple of `multiple`, where the first of 2**window_bits is in the
    middle."""
    if not len(address):
        return 0
    middle = (int(address[0]) >> bits) - (1 << (window_bits - 1))
    return max(middle, 0) // multiple * multiple


def numbered(
    address: NDArray[np.uint64], plan: Plan, options: Options, most: int, entry_bytes: int
) -> tuple[NDArray[np.uint64], Numbering]:
    """Addresses whose lines have numbers below `most`; they are brought together if need be.

    entry_bytes : of the directory, for each line; it has to fit, too. Raises OutsideWindowError,
                  also where lines would have to be moved and their addresses matter
    """
    multiple = math.lcm(*(level.sets for level in plan.levels))
    lowest, highest = line_range(address, options.threads)
    if (highest - lowest + 1) * entry_bytes <= 8 * MAX_DIRECTORY_WORDS:
        first = lowest // multiple * multiple
        if highest - first < most:
            return address, Numbering(first)
    if any(level.hashed for level in plan.levels):
        raise OutsideWindowError
    address, chunk, origins = compacted(address, multiple)
    _, highest = line_range(address, options.threads)
    if highest >= most or (highest + 1) * entry_bytes > 8 * MAX_DIRECTORY_WORDS:
        raise OutsideWindowError
    return address, Numbering(0, chunk, origins)


def compacted(
    address: NDArray[np.uint64], multiple: int
) -> tuple[NDArray[np.uint64], int, NDArray[np.int64]]:
    """Addresses of the same sets that lie close together; see `partition.compact_chunks`.

    Also the lines of a chunk, and which chunk each one was.
    """
    chunk = multiple
    while chunk < MIN_CHUNK_LINES:
        chunk *= 2
    if chunk >= 1 << 57:
        raise OutsideWindowError
    numbers = np.full(CHUNK_SLOTS, -1, np.int64)
    out = np.empty(len(address), np.uint64)
    keys = np.zeros(CHUNK_SLOTS, np.uint64)
    used = partition.compact_chunks(address, np.uint64(chunk), keys, numbers, out)
    if used < 0 or used * chunk >= 1 << 57:
        raise OutsideWindowError
    origins = np.empty(used, np.int64)
    origins[numbers[numbers >= 0]] = keys[numbers >= 0]
    return out, chunk, origins


def line_range(address: NDArray[np.uint64], threads: int) -> tuple[int, int]:
    """The lowest and the highest line."""
    if not len(address):
        return 0, 0
    parts = np.array_split(address, min(threads, len(address)))
    ends = on_threads(lambda part: partition.line_range(parts[part]), len(parts), threads)
    return min(int(low) for low, _ in ends), max(int(high) for _, high in ends)
