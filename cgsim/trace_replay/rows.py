"""Memory for the rows of all levels: where each one begins, and how wide it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.replay.lru_row import lanes_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cgsim.trace_replay.geometry import Level


def make_rows(
    levels: Sequence[Level], instances: Sequence[int], vector: bool
) -> tuple[NDArray[np.uint32], list[int], list[int]]:
    """Memory for the rows of all levels; the address of each level's first, and its lanes."""
    offsets, size, widths = row_offsets(levels, instances, vector)
    memory = np.empty(size // 4 + 32, np.uint32)
    skip = -memory.ctypes.data % 128 // 4
    rows = memory[skip : skip + size // 4]
    return rows, [rows.ctypes.data + offset for offset in offsets], widths


def row_offsets(
    levels: Sequence[Level], instances: Sequence[int], vector: bool
) -> tuple[list[int], int, list[int]]:
    """Where the rows of each level begin, where the last ones end, in bytes; the levels' lanes.

    Every level starts at a multiple of 128 bytes, so that no row's vector is cut.
    """
    widths = [lanes_for(level.ways, vector) for level in levels]
    offsets, end = [], 0
    for level, count, lanes in zip(levels, instances, widths, strict=True):
        offsets.append(end)
        end += -(-level.sets * count * 4 * (lanes or level.ways) // 128) * 128
    return offsets, end, widths


def divided(level: Level, shards: int) -> Level:
    """A level as one shard sees it."""
    return replace(level, sets=level.sets // shards)


def mask_of(sets: int) -> int:
    return sets - 1 if sets & (sets - 1) == 0 else -1
