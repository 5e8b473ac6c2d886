"""What is replayed, how it is computed, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from cgsim.trace_replay.geometry import Level

LINE_BITS = 6

PIECE = 1 << 19  # accesses that a host thread scatters at a time
# A host looks at the last 12 bits of addresses to see whether a load needs an earlier store. What
# is written while the rows of a first level are read had better not share them.

MOST_LINES = 10  # lines with the most false sharing that are named

COUNT_COLUMNS = (
    "hits",
    "misses",
    "invalidations",
    "back_invalidations",
    "dirty_victims",
    "writeback_hits",
    "writeback_misses",
)


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    levels : with every cpus_per_instance at least 1
    traffic : write-backs are accesses to the next level
    """

    levels: tuple[Level, ...]
    cpus: int
    policy: str
    traffic: bool


@dataclass(frozen=True)
class Options:
    """How it is computed; none of it changes a count. None: what is best for the plan."""

    threads: int = 1
    loop: str | None = None
    vector: bool = True
    shards: int | None = None
    piece: int = PIECE
    few_cpus: int | None = None


@dataclass(frozen=True)
class Sharing:
    """Misses on lines that another CPU's store had taken, and those of them shared falsely.

    lines : the first of the lines with the most false sharing: (line number, CPUs that missed,
            count), by count, then by line
    """

    coherence_misses: int
    false_sharing: int
    lines: tuple[FalselyShared, ...]


@dataclass(frozen=True)
class Counts:
    """levels : int64[levels, len(COUNT_COLUMNS)]; the others as in `cgsim.replay.Replay`."""

    levels: NDArray[np.int64]
    writebacks: int = 0
    downgrades: int = 0
    upgrades: int = 0
    sharing: Sharing | None = None


FalselyShared = tuple[int, tuple[int, ...], int]
"""A line's number, the CPUs that missed, and the count."""


def most_shared(parts: Iterable[list[FalselyShared]]) -> tuple[FalselyShared, ...]:
    """The lines with the most false sharing of those of all shards."""
    found = [line for part in parts for line in part]
    return tuple(sorted(found, key=lambda line: (-line[2], line[0]))[:MOST_LINES])


def private_and_shared(plan: Plan) -> tuple[int, int]:
    """How many levels are private and how many shared by all; (0, 0) if some are neither."""
    sharing = [level.cpus_per_instance for level in plan.levels]
    if plan.cpus == 1:
        return (len(sharing) - 1, 1) if len(sharing) > 1 else (1, 0)
    private, shared = sharing.count(1), sharing.count(plan.cpus)
    return (private, shared) if private + shared == len(sharing) else (0, 0)
