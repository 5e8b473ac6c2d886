"""The branch predictor: a small TAGE.

A bimodal table, then two tagged tables indexed by longer global histories; the longest match
predicts. It learns repeating patterns up to 64 branches back, and cannot learn random ones, which
is what decides the cost of a list walk of random length.

Idea: Seznec and Michaud, "A case for (partially) tagged geometric history length branch
prediction", JILP 8 (2006). Real predictors are larger; the history lengths here are an assumption.
"""

import numpy as np

from cgsim.compile.block_access import fixed, get, put
from cgsim.compile.intrinsics import peek_u16, poke_u16, unlikely, wrapping_product, wrapping_sum
from cgsim.compile.jit import inlined, internal
from cgsim.core.block_fields import C_HISTORY, C_PREDICTOR

TABLE_BITS = 10
TABLES = 2
_INDEX_MASK = (1 << TABLE_BITS) - 1
_TAG_BITS = 10
_TAG_MASK = (1 << _TAG_BITS) - 1
_COUNTER_SHIFT = _TAG_BITS
_USEFUL_SHIFT = _TAG_BITS + 3
_WEAK_TAKEN, _WEAK_NOT = 4, 3
# an entry of the bimodal table: its counter, whether the branch was seen, whether a tagged table
# may have an entry for it too
_SEEN, _ALLOCATED = 4, 8
_STRONG_NOT = _SEEN  # 3 more: strongly taken
_SHORT = 0xFFFF  # the last 16 branches; the longer history is 64

# Behind the tables stands what becomes of an entry, by its state and the outcome; the lowest bit is
# set if the prediction was right.
_STEPS = (TABLES + 1) << TABLE_BITS
_BIMODAL_STEPS = _STEPS + 128
ENTRIES = _STEPS + 256  # uint16: small enough for a host's L1


def new_tables():
    """uint16[ENTRIES] of an untrained predictor."""
    tables = np.zeros(ENTRIES, np.uint16)
    for outcome in (0, 1):
        step = 2 * outcome - 1
        for state in range(32):
            counter, useful = state & 7, state >> 3
            right = int((counter >= _WEAK_TAKEN) == outcome)
            counter = min(max(counter + step, 0), 7)
            useful = min(max(useful + 2 * right - 1, 0), 3)
            after = counter << _COUNTER_SHIFT | useful << _USEFUL_SHIFT
            tables[_STEPS + (state << 1 | outcome)] = after | right  # the tag's bits are free
        for state in range(16):
            right = int((state & 3 >= 2) == outcome)
            after = state & ~3 | min(max((state & 3) + step, 0), 3)
            tables[_BIMODAL_STEPS + (state << 1 | outcome)] = after << 1 | right
    return tables


_SITE_MIX, _HISTORY_MIX = 0x9E3779B97F4A7C15 - (1 << 64), 0xBF58476D1CE4E5B9 - (1 << 64)
_HASH_SHIFT = 34
_HASH_MASK = (1 << 64 - _HASH_SHIFT) - 1


@inlined
def _hash(site, history, table):
    z = wrapping_product((site << 3) + table, _SITE_MIX) ^ history
    return wrapping_product(z, _HISTORY_MIX) >> _HASH_SHIFT & _HASH_MASK


@internal
def _where(site, history, table):
    """(Byte offset of the entry of a table that a branch maps to, its tag)."""
    mixed = _hash(site, history, table)
    return 2 * ((table << TABLE_BITS) + (mixed & _INDEX_MASK)), mixed >> TABLE_BITS & _TAG_MASK


@inlined
def predict_and_train(cpu, site, taken):
    """True if the branch at `site` was predicted right; learns its outcome.

    A branch that the bimodal table has always served needs no other table.
    """
    tables = fixed(cpu, C_PREDICTOR)
    if tables == 0:
        return True
    history = get(cpu, C_HISTORY)
    outcome = 1 if taken else 0
    put(cpu, C_HISTORY, wrapping_sum(history, history) | outcome)  # one bit is shifted out
    where = tables + _where(site, 0, 0)[0]
    entry = peek_u16(where)
    # strongly so, and no tagged table has an entry for it
    if unlikely(entry != _STRONG_NOT + 3 * outcome):
        return _train(tables, site, history, outcome, where, entry) != 0
    return True


@internal
def _train(tables, site, history, outcome, where, entry):
    """`predict_and_train` with all tables; 1 if the prediction was right.

    where, entry : of the bimodal table.
    """
    if entry == 0:
        # never seen: predicted not taken, and no sign yet of a pattern worth a tagged entry
        poke_u16(where, _SEEN | (3 if outcome != 0 else 0))
        return 1 - outcome
    at, tag = _where(site, history, 2)
    longest = peek_u16(tables + at)
    if longest != 0 and longest & _TAG_MASK == tag:
        return _trained(tables, at, longest, outcome) & 1
    at, tag = _where(site, history & _SHORT, 1)
    shorter = peek_u16(tables + at)
    provider = 0
    if shorter != 0 and shorter & _TAG_MASK == tag:
        provider = 1
        right = _trained(tables, at, shorter, outcome) & 1
    else:
        step = peek_u16(tables + 2 * (_BIMODAL_STEPS + (entry << 1 | outcome)))
        poke_u16(where, step >> 1)
        right = step & 1
    if right == 0:
        poke_u16(where, peek_u16(where) | _ALLOCATED)
        _allocate(tables, site, history, provider, outcome)
    return right


@inlined
def _trained(tables, at, entry, outcome):
    """Train the entry of a tagged table; bit 0: the prediction was right."""
    step = peek_u16(tables + 2 * (_STEPS + (entry >> _TAG_BITS << 1 | outcome)))
    poke_u16(tables + at, step & ~_TAG_MASK | entry & _TAG_MASK)
    return step


@internal
def _allocate(tables, site, history, provider, outcome):
    """After a mispredict, try a longer history: take the first entry that is not useful."""
    for table in range(provider + 1, TABLES + 1):
        recent = history if table == TABLES else history & _SHORT
        at, tag = _where(site, recent, table)
        at += tables
        entry = peek_u16(at)
        useful = entry >> _USEFUL_SHIFT & 3
        if useful == 0:
            counter = _WEAK_TAKEN if outcome != 0 else _WEAK_NOT
            poke_u16(at, tag | counter << _COUNTER_SHIFT)
            return
        poke_u16(at, entry - (1 << _USEFUL_SHIFT))
