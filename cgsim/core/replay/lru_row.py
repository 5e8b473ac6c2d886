"""The operations on one row, as a vector or in plain loops, by its number of lanes."""

from cgsim.compile.jit import JIT_DISABLED, njit
from cgsim.core.replay import lru_scalar
from cgsim.core.replay.lru_scalar import DIRTY
from cgsim.core.replay.lru_vector import (
    holds_vector,
    mark_vector,
    remove_clean_vector,
    remove_others_vector,
    remove_vector,
    touch_dirty_vector,
    touch_vector,
)

_find_scalar = lru_scalar.find
_mark_scalar = lru_scalar.mark
_remove_scalar = lru_scalar.remove
_remove_clean_scalar = lru_scalar.remove_clean
_remove_others_scalar = lru_scalar.remove_others
_touch_scalar = lru_scalar.touch
_touch_dirty_scalar = lru_scalar.touch_dirty


def lanes_for(ways, vector=True):
    """The lanes of a row of `ways`: the narrowest vector that holds it, 0 for plain loops."""
    if vector and not JIT_DISABLED:
        for lanes in (8, 16, 32):
            if ways <= lanes:
                return lanes
    return 0


@njit(forceinline=True)
def touch(lanes, row, line, last):
    """See `lru_scalar.touch`."""
    return touch_vector(lanes, row, line, last) if lanes != 0 else _touch_scalar(row, line, last)


@njit(forceinline=True)
def holds(lanes, row, line, last):
    """1 if a row without dirty entries holds `line`."""
    if lanes != 0:
        return holds_vector(lanes, row, line)
    return 1 if _find_scalar(row, line, last) >= 0 else 0


@njit(forceinline=True)
def remove_clean(lanes, row, line, last, empty):
    """See `lru_scalar.remove_clean`."""
    if lanes != 0:
        return remove_clean_vector(lanes, row, line, last, empty)
    return _remove_clean_scalar(row, line, last, empty)


@njit(forceinline=True)
def remove_others(lanes, first, rows, row, line, last, empty):
    """See `lru_scalar.remove_others`."""
    if lanes != 0:
        return remove_others_vector(lanes, first, rows, row, line, empty)
    return _remove_others_scalar(first, rows, row, line, last, empty)


@njit(forceinline=True)
def touch_dirty(lanes, row, word, last):
    """See `lru_scalar.touch_dirty`."""
    if lanes != 0:
        return touch_dirty_vector(lanes, row, word, last)
    return _touch_dirty_scalar(row, word, last)


@njit(forceinline=True)
def remove(lanes, row, line, last):
    """See `lru_scalar.remove`."""
    return remove_vector(lanes, row, line, last) if lanes != 0 else _remove_scalar(row, line, last)


@njit(forceinline=True)
def stain(lanes, row, line, last):
    """Mark the copy of `line` in a row dirty; 1 if there is one."""
    word = line | DIRTY
    if lanes != 0:
        return mark_vector(lanes, row, word, last) & 1
    return _mark_scalar(row, word, last) & 1


@njit(forceinline=True)
def clean(lanes, row, line, last):
    """Mark the copy of `line` in a row clean; 1 if there was a dirty one."""
    if lanes != 0:
        return mark_vector(lanes, row, line, last) >> 1
    return _mark_scalar(row, line, last) >> 1
