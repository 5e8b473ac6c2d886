"""The branch predictor: a small TAGE.

A bimodal table, then three tagged tables indexed by ever longer global histories; the longest match
predicts. It learns repeating patterns up to 64 branches back, and cannot learn random ones, which
is what decides the cost of a list walk of random length.

Idea: Seznec and Michaud, "A case for (partially) tagged geometric history length branch
prediction", JILP 8 (2006). Real predictors are larger; the history lengths here are an assumption.
"""

import numpy as np

from cgsim.core.blocks import C_HISTORY, C_PREDICTOR
from cgsim.core.fields import get, put
from cgsim.core.jit import JIT_DISABLED, njit
from cgsim.core.raw import peek_u16, poke_u16

TABLE_BITS = 10
TABLES = 3
ENTRIES = (TABLES + 1) << TABLE_BITS  # uint16 entries of all tables: small enough for a host's L1
_INDEX_MASK = (1 << TABLE_BITS) - 1
_TAG_BITS = 10
_TAG_MASK = (1 << _TAG_BITS) - 1
_COUNTER_SHIFT = _TAG_BITS
_USEFUL_SHIFT = _TAG_BITS + 3
_WEAK_TAKEN, _WEAK_NOT = 4, 3

_SITE_MIX, _HISTORY_MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9

if JIT_DISABLED:

    def _hash(site, history, table):
        z = ((site << 3) + table) * _SITE_MIX ^ (history & (1 << 64) - 1)
        return (z * _HISTORY_MIX & (1 << 64) - 1) >> 34

else:

    @njit(inline="always")
    def _hash(site, history, table):
        z = np.uint64((site << 3) + table) * np.uint64(_SITE_MIX) ^ np.uint64(history)
        return np.int64((z * np.uint64(_HISTORY_MIX)) >> np.uint64(34))


@njit(inline="always")
def _recent(history, table):
    """The part of the history that a tagged table sees: 8, 24, 64 branches."""
    if table == 3:
        return history
    return history & (0xFFFFFF if table == 2 else 0xFF)


@njit(inline="always")
def _entry_address(tables, table, mixed):
    return tables + 2 * ((table << TABLE_BITS) + (mixed & _INDEX_MASK))


@njit(inline="always")
def _matches(entry, mixed):
    return entry != 0 and (entry ^ mixed >> TABLE_BITS) & _TAG_MASK == 0


@njit
def _bump(counter, taken, top):
    if taken:
        return min(counter + 1, top)
    return max(counter - 1, 0)


@njit
def predict_and_train(cpu, site, taken):
    """True if the branch at `site` was predicted right; learns its outcome."""
    tables = get(cpu, C_PREDICTOR)
    history = get(cpu, C_HISTORY)
    put(cpu, C_HISTORY, history << 1 | (1 if taken else 0))

    provider = 0
    where = 0
    entry = 0
    for table in range(TABLES, 0, -1):
        mixed = _hash(site, _recent(history, table), table)
        where = _entry_address(tables, table, mixed)
        entry = peek_u16(where)
        if _matches(entry, mixed):
            provider = table
            break
    if provider == 0:
        where = _entry_address(tables, 0, _hash(site, 0, 0))
        entry = peek_u16(where)
        prediction = entry >= 2
    else:
        prediction = entry >> _COUNTER_SHIFT & 7 >= _WEAK_TAKEN

    right = prediction == taken
    if provider == 0:
        poke_u16(where, _bump(entry, taken, 3))
    else:
        counter = _bump(entry >> _COUNTER_SHIFT & 7, taken, 7)
        useful = entry >> _USEFUL_SHIFT & 3
        useful = min(useful + 1, 3) if right else max(useful - 1, 0)
        tag = entry & _TAG_MASK
        poke_u16(where, tag | counter << _COUNTER_SHIFT | useful << _USEFUL_SHIFT)
    if not right and provider < TABLES:
        _allocate(tables, site, history, provider, taken)
    return right


@njit
def _allocate(tables, site, history, provider, taken):
    """After a mispredict, try a longer history: take the first entry that is not useful."""
    for table in range(provider + 1, TABLES + 1):
        mixed = _hash(site, _recent(history, table), table)
        at = _entry_address(tables, table, mixed)
        entry = peek_u16(at)
        useful = entry >> _USEFUL_SHIFT & 3
        if useful == 0:
            counter = _WEAK_TAKEN if taken else _WEAK_NOT
            poke_u16(at, mixed >> TABLE_BITS & _TAG_MASK | counter << _COUNTER_SHIFT)
            return
        poke_u16(at, entry - (1 << _USEFUL_SHIFT))
