"""One step of one actor, and the breadth-first search over all states, compiled.

A state is some words of eight cells, a cell is a signed byte. States are compared in full; the hash
only says where to look. Programs are int64[n, 7] rows of (operation, d, a, b, t, module, position):
d, a and b are mostly cells of the working array, which holds a state, then the constants, then what
lives within one step only.
"""

# ruff: noqa: SIM109 -- `in` a tuple is a loop in compiled code

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.compile.jit import JIT_DISABLED, njit

(
    END, MOV, ADD, SUB, JMP, JEQ, JNE, JLT, JLE, FAIL, NOTE, ALLOC, PEEK, POKE, PEEK_AT, POKE_AT,
    PIN, ATOMIC,
    FIRST_SHARED, LOAD, STORE, LOAD_AT, STORE_AT, STEP, LOCK, UNLOCK, READ_LOCK, READ_UNLOCK,
    SYNC_BEGIN, SYNC_END, CALL_RCU, BARRIER, TAKE, FREE, INC, INC_NOT_ZERO, DEC_AND_TEST,
    ATOMIC_ADD, XCHG, MIGHT_SLEEP, WAIT_ZERO, CHOOSE,
) = range(42)  # fmt: skip
"""Operations; those behind `FIRST_SHARED` are steps, the others go with the step before them."""

OP, D, A, B, T, MODULE, POSITION = range(7)
UNUSED, LIVE, FREED, WAITING, IN_CALLBACK = range(5)
"""What the cell of an object says of it."""
DONE = 127
"""The position of an actor that has ended."""

_USE_AFTER_FREE, _DOUBLE_FREE, _LEAK, _SLEEP, _PERCPU, _UNLOADED, _OUTSIDE = 1, 2, 3, 5, 6, 7, 8
_DEADLOCK, _REFERENCE, _NULL, _BALANCE = 15, 16, 17, 18
N_PROPERTIES = 20
BLOCKED, EXHAUSTED = -1, -2
_RCU, _PREEMPT = 1, 8
"""One of each in an actor's context cell: read sections (up to 7), atomic (3)."""

MOST_OBJECTS, MOST_KINDS, MOST_WORDS, MOST_ACTORS, MOST_STEPS = 128, 16, 32, 8, 128
STATE_OF = 0
MASK_OF = STATE_OF + MOST_OBJECTS
BASE_OF = MASK_OF + MOST_OBJECTS
KIND_OF = BASE_OF + MOST_OBJECTS
FIXED = KIND_OF + MOST_OBJECTS
MASKS = FIXED + MOST_OBJECTS
WAITERS = MASKS + MOST_OBJECTS
OFFSET_OF = WAITERS + MOST_OBJECTS
POINTS = OFFSET_OF + MOST_KINDS * MOST_WORDS
SLOTS_AT = POINTS + MOST_KINDS * MOST_WORDS
N_SLOTS = SLOTS_AT + MOST_KINDS
LEN_AT = N_SLOTS + MOST_KINDS
PERCPU = LEN_AT + MOST_KINDS
FIRST_OF = PERCPU + MOST_KINDS
POOL_OF = FIRST_OF + MOST_KINDS
POSITION_OF = POOL_OF + MOST_KINDS
CONTEXT_OF = POSITION_OF + MOST_ACTORS
SYNC_OF = CONTEXT_OF + MOST_ACTORS
DAEMON = SYNC_OF + MOST_ACTORS
ROW_OF = DAEMON + MOST_ACTORS
N_WORDS = ROW_OF + MOST_ACTORS * MOST_STEPS
N_ACTORS, N_OBJECTS, N_MASKS, N_WAITERS, MODULE_CELL = range(N_WORDS + 1, N_WORDS + 6)
LAYOUT_SIZE = MODULE_CELL + 1
"""Where things stand in `Layout.table`, int64: one array, since each further one that a compiled
function is given costs it time.

By object: cell of its state, cell of the readers that a grace period waits for (-1: none), its
first word, its kind, whether it is there from the start. MASKS: all cells with readers in them.
WAITERS: objects that can wait for a grace period. By kind: offsets of words (-1: it has none),
which words and slots are pointers, offset and number of slots, offset of the word `len`, how
percpu it is, first object and number of those that can be allocated. By actor: cells of its
position, of its context and of the readers that its synchronize_rcu waits for; whether it is a
daemon; rows of its steps.
"""


class Layout(NamedTuple):
    """What a model is to the search.

    table : int64[LAYOUT_SIZE]. code : int64[rows, 7]; an actor's steps are numbered, its positions.
    keep : int64[actors, MOST_STEPS, words], what stays of a state at a position.
    """

    table: np.ndarray
    code: np.ndarray
    keep: np.ndarray


@njit
def _word(table, cells, actor, item, offset):
    """The cell of an object's word, or minus the property that reaching for it violates."""
    if item <= 0:
        return -_NULL
    state = cells[table[STATE_OF + item]]
    if state == FREED or state == UNUSED:
        return -_USE_AFTER_FREE
    percpu = table[PERCPU + table[KIND_OF + item]]
    if percpu == 2 or (percpu == 1 and cells[table[CONTEXT_OF + actor]] < _PREEMPT):
        return -_PERCPU
    if offset < 0:
        return -_OUTSIDE
    return table[BASE_OF + item] + offset


@njit
def _slot(table, cells, actor, item, index):
    """As `_word`, of a slot."""
    if item <= 0:
        return -_NULL
    kind = table[KIND_OF + item]
    length = table[N_SLOTS + kind]
    if table[LEN_AT + kind] >= 0 and cells[table[STATE_OF + item]] != FREED:
        length = np.int64(cells[table[BASE_OF + item] + table[LEN_AT + kind]])
    offset = table[SLOTS_AT + kind] + index if 0 <= index < length else -1
    return _word(table, cells, actor, item, offset)


@njit
def _offset(table, item, word):
    return table[OFFSET_OF + MOST_WORDS * table[KIND_OF + item] + word]


@njit
def _field(table, cells, actor, item, word):
    if item <= 0:
        return -_NULL
    return _word(table, cells, actor, item, _offset(table, item, word))


@njit
def _local(table, code, cells, actor, row, notes):
    """One operation on local variables; returns the next row, or minus a property."""
    op, d, a, b, t = code[row, OP], code[row, D], code[row, A], code[row, B], code[row, T]
    if op == MOV:
        cells[d] = cells[a]
    elif op == ADD:
        cells[d] = cells[a] + cells[b]
    elif op == SUB:
        cells[d] = cells[a] - cells[b]
    elif op == JMP:
        return t
    elif op == JEQ:
        return t if cells[a] == cells[b] else 0
    elif op == JNE:
        return t if cells[a] != cells[b] else 0
    elif op == JLT:
        return t if cells[a] < cells[b] else 0
    elif op == JLE:
        return t if cells[a] <= cells[b] else 0
    elif op == FAIL:
        return -t
    elif op == NOTE:
        notes[0] |= 1 << t
    elif op == ALLOC:
        found = 0
        for i in range(table[FIRST_OF + t], table[FIRST_OF + t] + table[POOL_OF + t]):
            if cells[table[STATE_OF + i]] == UNUSED:
                found = i
                break
        if found == 0:
            return -64
        cells[table[STATE_OF + found]] = LIVE
        cells[d] = found
    elif op == PEEK:
        item = np.int64(cells[a])
        cells[d] = cells[table[BASE_OF + item] + _offset(table, item, b)]
    elif op == POKE:
        item = np.int64(cells[a])
        cells[table[BASE_OF + item] + _offset(table, item, b)] = cells[d]
    elif op == PEEK_AT:
        item = np.int64(cells[a])
        cells[d] = cells[table[BASE_OF + item] + table[SLOTS_AT + table[KIND_OF + item]] + cells[b]]
    elif op == POKE_AT:
        item = np.int64(cells[a])
        cells[table[BASE_OF + item] + table[SLOTS_AT + table[KIND_OF + item]] + cells[b]] = cells[d]
    elif op == PIN or op == ATOMIC:
        cells[table[CONTEXT_OF + actor]] += t
        if cells[table[CONTEXT_OF + actor]] < 0:
            return -_BALANCE
    return 0


@njit
def _may_not_sleep(table, cells, actor):
    context = cells[table[CONTEXT_OF + actor]]
    return (context & 7) != 0 or ((context >> 3) & 3) != 0


@njit
def _readers(table, cells):
    """A bit for each actor in a read section."""
    mask = 0
    for actor in range(table[N_ACTORS]):
        if cells[table[CONTEXT_OF + actor]] & 7:
            mask |= 1 << actor
    return mask


@njit
def _shared(table, code, cells, actor, choice, row):
    """One step; returns 0, BLOCKED, or the property that it violates."""
    op, d, a, b, t = code[row, OP], code[row, D], code[row, A], code[row, B], code[row, T]
    context = table[CONTEXT_OF + actor]
    if code[row, MODULE] != 0 and table[MODULE_CELL] >= 0 and cells[table[MODULE_CELL]] == 0:
        return _UNLOADED
    if op == STEP:
        return 0
    if op == CHOOSE:
        if choice >= t:
            return BLOCKED
        cells[d] = choice
        return 0
    if op == TAKE:
        item = table[WAITERS + choice] if choice < table[N_WAITERS] else 0
        if (
            item == 0
            or cells[table[STATE_OF + item]] != WAITING
            or cells[table[MASK_OF + item]] != 0
        ):
            return BLOCKED
        cells[table[STATE_OF + item]] = IN_CALLBACK
        cells[d] = item
        return 0
    if choice > 0:
        return BLOCKED
    if op == READ_LOCK:
        cells[context] += _RCU
        return 0
    if op == READ_UNLOCK:
        if cells[context] & 7 == 0:
            return _BALANCE
        cells[context] -= _RCU
        if cells[context] & 7 == 0:
            for i in range(table[N_MASKS]):
                cells[table[MASKS + i]] &= ~(1 << actor)
        return 0
    if op == SYNC_BEGIN or op == MIGHT_SLEEP:
        if _may_not_sleep(table, cells, actor):
            return _SLEEP
        if op == SYNC_BEGIN:
            cells[table[SYNC_OF + actor]] = _readers(table, cells)
        return 0
    if op == SYNC_END:
        return 0 if cells[table[SYNC_OF + actor]] == 0 else BLOCKED
    if op == BARRIER:
        if _may_not_sleep(table, cells, actor):
            return _SLEEP
        for i in range(table[N_WAITERS]):
            item = table[WAITERS + i]
            if cells[table[STATE_OF + item]] >= WAITING:
                return BLOCKED
        return 0
    item = np.int64(cells[a])
    if op == LOAD_AT or op == STORE_AT:
        cell = _slot(table, cells, actor, item, np.int64(cells[b]))
    elif op == CALL_RCU or op == FREE:
        if item <= 0:
            return 0 if op == FREE else _NULL
        state = cells[table[STATE_OF + item]]
        if state == FREED or state == WAITING or state == UNUSED:
            return _DOUBLE_FREE
        if op == FREE:
            cells[table[STATE_OF + item]] = FREED
            # what was in it is gone: states that differ in it alone are one
            kind = table[KIND_OF + item]
            end = table[SLOTS_AT + kind] + table[N_SLOTS + kind]
            for i in range(table[BASE_OF + item], table[BASE_OF + item] + end):
                cells[i] = 0
        else:
            cells[table[STATE_OF + item]] = WAITING
            cells[table[MASK_OF + item]] = _readers(table, cells)
        return 0
    else:
        cell = _field(table, cells, actor, item, b)
    if cell < 0:
        return -cell
    if op == LOAD or op == LOAD_AT:
        cells[d] = cells[cell]
    elif op == STORE or op == STORE_AT:
        cells[cell] = cells[d]
    elif op == LOCK:
        if t == 0 and _may_not_sleep(table, cells, actor):
            return _SLEEP
        if cells[cell] != 0:
            return BLOCKED
        cells[cell] = actor + 1
        cells[context] += t * _PREEMPT
    elif op == UNLOCK:
        if cells[cell] != actor + 1:
            return _BALANCE
        cells[cell] = 0
        cells[context] -= t * _PREEMPT
    elif op == INC:
        if cells[cell] == 0:
            return _REFERENCE
        cells[cell] += 1
    elif op == INC_NOT_ZERO:
        cells[d] = 1 if cells[cell] != 0 else 0
        cells[cell] += cells[d]
    elif op == DEC_AND_TEST:
        if cells[cell] == 0:
            return _REFERENCE
        cells[cell] -= 1
        cells[d] = 1 if cells[cell] == 0 else 0
    elif op == ATOMIC_ADD:
        cells[cell] += t
    elif op == XCHG:
        old = cells[cell]
        cells[cell] = cells[t]
        cells[d] = old
    elif op == WAIT_ZERO:
        if _may_not_sleep(table, cells, actor):
            return _SLEEP
        if cells[cell] != 0:
            return BLOCKED
    return 0


@njit
def settle(table, code, keep, cells, words, actor, row, notes):
    """Run an actor's local work from a row to its next step; returns 0 or what went wrong."""
    while FIRST_SHARED > code[row, OP] > END:
        following = _local(table, code, cells, actor, row, notes)
        if following < 0:
            return EXHAUSTED if following == -64 else -following
        row = following if following > 0 else row + 1
    position = code[row, POSITION]
    cells[table[POSITION_OF + actor]] = position
    for i in range(table[N_WORDS]):
        words[i] &= keep[actor, position, i]
    return 0


@njit
def advance(table, code, keep, cells, words, actor, choice, notes):
    """One step of an actor, in place; returns 0, BLOCKED, EXHAUSTED, or a violated property."""
    position = np.int64(cells[table[POSITION_OF + actor]])
    if position == DONE:
        return BLOCKED
    row = table[ROW_OF + MOST_STEPS * actor + position]
    status = _shared(table, code, cells, actor, choice, row)
    if status != 0:
        return status
    return settle(table, code, keep, cells, words, actor, row + 1, notes)


if JIT_DISABLED:

    def _hash(words, n):
        """As below, of Python's integers: numpy's warn where a product is cut to 64 bits."""
        value = 0x9E3779B97F4A7C15
        for i in range(n):
            value = (value ^ int(words[i])) * 0xD6E8FEB86659FD93 & (1 << 64) - 1
            value ^= value >> 32
        return np.uint64(value)

else:

    @njit
    def _hash(words, n):
        value = np.uint64(0x9E3779B97F4A7C15)
        for i in range(n):
            value = (value ^ np.uint64(words[i])) * np.uint64(0xD6E8FEB86659FD93)
            value ^= value >> np.uint64(32)
        return value


@njit
def _place(states, slots, words, n):
    """The slot of a state, and its number there, -1 if it is new."""
    mask = np.uint64(slots.size - 1)
    slot = _hash(words, n) & mask
    while True:
        number = slots[slot]
        if number < 0:
            return np.int64(slot), -1
        same = True
        for i in range(n):
            if states[number, i] != words[i]:
                same = False
                break
        if same:
            return np.int64(slot), np.int64(number)
        slot = (slot + np.uint64(1)) & mask


@njit
def _end(table, cells):
    """What is wrong with a state that nobody can leave: who waits for ever, what is lost."""
    for actor in range(table[N_ACTORS]):
        if table[DAEMON + actor] == 0 and cells[table[POSITION_OF + actor]] != DONE:
            return _DEADLOCK
    reached = table[FIXED : FIXED + table[N_OBJECTS]].copy()
    growing = True
    while growing:
        growing = False
        for item in range(1, reached.size):
            if reached[item] == 0 or cells[table[STATE_OF + item]] == FREED:
                continue
            for offset in range(MOST_WORDS):
                if table[POINTS + MOST_WORDS * table[KIND_OF + item] + offset] != 0:
                    other = np.int64(cells[table[BASE_OF + item] + offset])
                    if other > 0 and reached[other] == 0:
                        reached[other] = 1
                        growing = True
    for item in range(1, reached.size):
        state = cells[table[STATE_OF + item]]
        if reached[item] == 0 and state != UNUSED and state != FREED:
            return _LEAK
    return 0


@njit
def search(
    table, code, keep, cells, words, choices, states, slots, parents, moves, found, noted, ended
):
    """Visit every state that can be reached, nearest first; `cells` holds the first one.

    cells, words : int8 and int64 views of the same working array, overwritten. choices : most
    choices of a step. states : int64[capacity, n_words], parents : int32[capacity], moves :
    int16[capacity] (actor * 64 + choice), overwritten. slots : int32[power of two], filled with -1.
    found : int64[N_PROPERTIES, 2] of -1, becomes (state, actor * 64 + choice or -1 if it is the
    state itself) of the first violation of each property. noted : int64[64, 2] of -1,
    likewise for notes. ended : int64[1], becomes the first state where all have ended well.

    Returns (states visited, 1 if all were, greatest depth, transitions).
    """
    n = table[N_WORDS]
    capacity = states.shape[0]
    notes = np.zeros(1, dtype=np.int64)
    count, head, transitions, depth, depth_end = 1, 0, 0, 0, 1
    complete = 1
    ended[0] = -1
    for i in range(n):
        states[0, i] = words[i]
    parents[0], moves[0] = -1, -1
    slot, _ = _place(states, slots, words, n)
    slots[slot] = 0
    while head < count:
        if head == depth_end:
            depth += 1
            depth_end = count
        stuck = True
        for actor in range(table[N_ACTORS]):
            for i in range(n):
                words[i] = states[head, i]
            ways = choices if _has_choice(table, code, cells, actor) else 1
            for choice in range(ways):
                if choice > 0:
                    for i in range(n):
                        words[i] = states[head, i]
                notes[0] = 0
                status = advance(table, code, keep, cells, words, actor, choice, notes)
                if status == BLOCKED:
                    continue
                stuck = False
                transitions += 1
                if notes[0] != 0:
                    for note in range(64):
                        if notes[0] >> note & 1 and noted[note, 0] < 0:
                            noted[note, 0], noted[note, 1] = head, actor * 64 + choice
                if status == EXHAUSTED:
                    complete = 0
                    continue
                if status > 0:
                    if found[status, 0] < 0:
                        found[status, 0], found[status, 1] = head, actor * 64 + choice
                    continue
                slot, number = _place(states, slots, words, n)
                if number < 0:
                    if count == capacity:
                        return count, 0, depth, transitions
                    for i in range(n):
                        states[count, i] = words[i]
                    parents[count], moves[count] = head, actor * 64 + choice
                    slots[slot] = count
                    count += 1
        if stuck:
            for i in range(n):
                words[i] = states[head, i]
            status = _end(table, cells)
            if status > 0:
                if found[status, 0] < 0:
                    found[status, 0] = head
            elif ended[0] < 0:
                ended[0] = head
        head += 1
    return count, complete, depth, transitions


@njit
def _has_choice(table, code, cells, actor):
    """Whether an actor's next step can go several ways."""
    position = np.int64(cells[table[POSITION_OF + actor]])
    if position == DONE:
        return False
    op = code[table[ROW_OF + MOST_STEPS * actor + position], OP]
    return op == TAKE or op == CHOOSE
