"""Random operations on a design beside plain arrays: is every answer what a dict would give?

The twin is one row of two words per (cgroup, key), number and address of the datum installed there,
kept outside of the simulated memory. Each datum's first two words carry the number of the operation
that installed it and its complement, so that a datum found at the wrong place, given out twice or
overwritten shows at the next lookup.

Long stretches mostly fill, the next ones mostly drain: structures grow, shrink and become empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.heap import Heap, grace_period
from cgsim.core.rng import random_bits
from cgsim.core.space import Native, peek, poke
from cgsim.designs.base import (
    Design,
    create,
    get_design,
    insert,
    lookup,
    put,
    register,
    remove,
    teardown,
)
from cgsim.kernel import load_kernel
from cgsim.limits import Range
from cgsim.stage.loops import compiled_for

if TYPE_CHECKING:
    pass

KINDS = ("install", "lookup", "miss", "remove", "teardown", "drop_key", "reuse")
"""What was played. miss: a lookup of what is not there. drop_key: a key is removed from every
cgroup, as a driver does that goes. reuse: an install where a datum has been before."""

FAULTS = ("refused", "lost", "wrong", "phantom", "misreported")
"""refused: an install failed. lost: an installed datum was not found. wrong: something else was
found. phantom: a datum was found where none is. misreported: remove's answer was wrong."""

(_INSTALL, _LOOKUP, _MISS, _REMOVE, _TEARDOWN, _DROP, _REUSE) = range(len(KINDS))
_GRACE = len(KINDS)
(_REFUSED, _LOST, _WRONG, _PHANTOM, _MISREPORTED) = range(len(FAULTS))
_NUMBER, _DATUM, _EVER = range(3)
_WORDS = 3
_OUT_OF = 1024
_STRETCH = 13  # log2 of the operations of a filling or draining stretch
_FILLING, _DRAINING = 640, 160  # installs of 1024 operations
_LOOKUPS, _TEARDOWNS, _DROPS, _GRACES = 200, 2, 1, 16  # the rest are removals
_CGROUPS, _KEYS = 12, 100
_MEMORY_BYTES = 1 << 28
_STREAM = 11


@njit
def _choose(bits, i):
    """What operation `i` is, by its random bits."""
    draw = bits % _OUT_OF
    installs = _FILLING if i >> _STRETCH & 1 == 0 else _DRAINING
    for what, share in ((_TEARDOWN, _TEARDOWNS), (_DROP, _DROPS), (_GRACE, _GRACES)):
        if draw < share:
            return what
        draw -= share
    if draw < _LOOKUPS:
        return _LOOKUP
    return _INSTALL if draw < _LOOKUPS + installs else _REMOVE


@njit
def _judge_lookup(space, datum, told, twin, counts, faults):
    if twin[_NUMBER] == 0:
        counts[_MISS] += 1
        if told != 0 and datum != 0:
            faults[_PHANTOM] += 1
        return
    counts[_LOOKUP] += 1
    if datum == 0:
        faults[_LOST] += 1
        return
    content = peek(space, datum, 8) == twin[_NUMBER] and peek(space, datum + 8, 8) == ~twin[_NUMBER]
    if datum != twin[_DATUM] or not content:
        faults[_WRONG] += 1


@njit
def _judge_install(space, datum, number, twin, counts, faults):
    counts[_INSTALL] += 1
    counts[_REUSE] += twin[_EVER]
    if datum == 0:
        faults[_REFUSED] += 1
        return
    poke(space, datum, 8, number)
    poke(space, datum + 8, 8, ~number)
    twin[_NUMBER] = number
    twin[_DATUM] = datum
    twin[_EVER] = 1


@njit
def _judge_remove(answer, told, twin, faults):
    present = twin[_NUMBER] != 0
    twin[_NUMBER] = 0
    if answer != present and (present or told != 0):
        faults[_MISREPORTED] += 1


@njit
def _play(space, design, caches, cgroups, keys, operations, seed, told, twin, counts, faults):
    """Play `operations` random operations, then look every pair up.

    twin : int64[cgroups, keys, 3]. counts, faults : int64 by `KINDS` and `FAULTS`, added to. told :
    1 if the design's lookup tells an absent datum. Returns False if the memory is exhausted.
    """
    for i in range(operations + cgroups.size * keys.size):
        if i < operations:
            bits = random_bits(seed, _STREAM, i)
            what = _choose(bits, i)
            c, k = (bits >> 10) % cgroups.size, (bits >> 32) % keys.size
        else:
            what = _LOOKUP
            c, k = (i - operations) // keys.size, (i - operations) % keys.size
        row = twin[c, k]
        if what == _INSTALL and row[_NUMBER] != 0:
            what = _LOOKUP  # nothing is installed twice: cgsim.interface shows what that does
        if what == _INSTALL:
            datum = insert(space, design, cgroups[c], keys[k], 0)
            _judge_install(space, datum, i + 1, row, counts, faults)
        elif what == _LOOKUP:
            datum, _ = lookup(space, design, cgroups[c], keys[k], 0, 0)
            _judge_lookup(space, datum, told, row, counts, faults)
            if datum != 0 and row[_NUMBER] != 0:
                put(space, design, datum, 0)
        elif what == _TEARDOWN:
            teardown(space, design, cgroups[c], 0)
            cgroups[c] = create(space, design)
            twin[c, :, _NUMBER] = 0
            counts[_TEARDOWN] += 1
            if cgroups[c] == 0:
                return False
        elif what == _GRACE:
            for cache in range(caches):
                grace_period(space, cache)
        else:
            counts[what] += 1
            first, last = (0, cgroups.size) if what == _DROP else (c, c + 1)
            for other in range(first, last):
                answer = remove(space, design, cgroups[other], keys[k], 0)
                _judge_remove(answer, told, twin[other, k], faults)
    return True


@njit
def _begin(space, design, cgroups, keys):
    for k in range(keys.size):
        keys[k] = register(space, design)
    for c in range(cgroups.size):
        cgroups[c] = create(space, design)


@njit
def _end(space, design, caches, cgroups):
    """Take all cgroups away and wait for the grace period."""
    for c in range(cgroups.size):
        teardown(space, design, cgroups[c], 0)
    for cache in range(caches):
        grace_period(space, cache)


def compare_with_dict(
    design: str | Design, operations: int, *, seed: int = 1, kernel: str = "7.3.4"
) -> dict[str, Any]:
    """Play random operations on a design and on a dict, and count where they differ.

    Parameters
    ----------
    design : name of a design, or the design
    operations : how many, 1 to 10**9
    seed : decides all of them
    kernel : whose offsets and code

    Returns
    -------
    dict: design, kernel, seed, operations, keys, cgroups, the counts of `KINDS` and `FAULTS`,
    `tells_absence` (False for a design whose lookup answers without looking: misses are then not
    judged), `leaked_bytes` (still allocated after the last cgroup went) and `differences` (faults
    in all).

    Raises UserError for an unknown design or kernel, or a number out of range.
    """
    Range(1, 10**9).check("compare_with_dict", "operations", operations)
    chosen = get_design(design) if isinstance(design, str) else design
    heap = Heap(_MEMORY_BYTES, seed=seed)
    keys = np.zeros(min(chosen.max_keys, _KEYS), dtype=np.int64)
    cgroups = np.zeros(_CGROUPS, dtype=np.int64)
    parameters = chosen.new(heap, load_kernel(kernel), keys.size)
    kind = type(parameters)
    space = Native(heap.mem, heap.block)
    compiled_for(_begin, kind)(space, parameters, cgroups[:0], keys)
    before = _live_bytes(heap)
    compiled_for(_begin, kind)(space, parameters, cgroups, keys[:0])
    twin = np.zeros((cgroups.size, keys.size, _WORDS), dtype=np.int64)
    counts = np.zeros(len(KINDS), dtype=np.int64)
    faults = np.zeros(len(FAULTS), dtype=np.int64)
    caches = len(heap.caches)
    told = int(chosen.checks_presence)
    arguments = (space, parameters, caches, cgroups)
    judges = (told, twin, counts, faults)
    if not compiled_for(_play, kind)(*arguments, keys, operations, seed, *judges):
        raise MemoryError("the simulated memory is exhausted")
    compiled_for(_end, kind)(*arguments)
    row: dict[str, Any] = {
        "design": chosen.name,
        "kernel": kernel,
        "seed": seed,
        "operations": operations,
        "cgroups": cgroups.size,
        "keys": keys.size,
        "tells_absence": bool(told),
    }
    row |= dict(zip(KINDS, counts.tolist(), strict=True))
    row |= dict(zip(FAULTS, faults.tolist(), strict=True))
    row["leaked_bytes"] = _live_bytes(heap) - before
    row["differences"] = int(faults.sum())
    return row


def _live_bytes(heap: Heap) -> int:
    return sum(heap.live(i) * cache.stride_bytes for i, cache in enumerate(heap.caches))
