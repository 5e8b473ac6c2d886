"""The parts into which programs divide a cgroup's buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.compile.jit import njit
from cgsim.core.space import load, store

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALIGNMENT = 8


def first_fit(taken: Iterable[tuple[int, int]], size_bytes: int) -> int:
    """The lowest aligned offset at which so many bytes lie in none of the parts taken.

    taken : (offset, end) of parts, in any order, which may be given more than once.
    """
    offset = 0
    for start, end in sorted(taken):
        if offset + size_bytes <= start:
            break
        offset = max(offset, -(-end // _ALIGNMENT) * _ALIGNMENT)
    return offset


@njit
def clear(space, field, start, end):
    """Write zeros over bytes start..end of the buffer that a field points to, by words."""
    buffer, token = load(space, field, 8, 0)
    for offset in range(start, end, 8):
        store(space, buffer + offset, 8, 0, token, 0)
