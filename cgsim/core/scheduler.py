"""The schedulers: where operations wait for their operands, and what holds dispatch back.

An operation takes an entry at dispatch and gives it back a fixed time after its operands are ready:
loads and stores one of the AGUs', branches one of the ALUs', and of 16 instructions that `work`
stands for, 6 are taken to do so too; the rest takes no entry or gives it back at once (moves, nops,
stack accesses, compares that fuse with a branch, operations on constants). An access waits for its
address, all others for the load before the youngest: what a function computes between its loads
stands behind them in one call of `work`, so on average it waits for an earlier value than the last.
Dispatch stands still while either scheduler is full. That is what ends the overlap of chains whose
values come from L1: they never fill the reorder buffer.

Both counts stand packed in one int64, each from a start at which bit 30 of its half is set once it
is full; 0 entries: it does not bind. Entries to give back are noted by bucket of dispatch clock.
They are given back when a scheduler seems full, so that an access costs additions only.
"""

from cgsim.compile.block_access import add, add_element, element, fixed, get, put, put_element
from cgsim.compile.jit import inlined, internal
from cgsim.core.block_fields import (
    C_DISPATCH,
    C_FRONT_CAUSE,
    C_HOLD,
    C_LOADED,
    C_WAIT,
    C_WAIT_BUCKET,
    C_WAIT_LIMIT,
    C_WAITING,
    C_YOUNGEST,
    WAIT_BUCKETS,
    WORK,
)

_SHIFT = 11  # log2 of the ticks in a bucket: 2.4 cycles
_LAG = WAIT_BUCKETS // 2  # buckets that may pass before entries are given back
FIRST_LIMIT = _LAG << _SHIFT  # `C_WAIT_LIMIT` at the start
ALU_ENTRY, AGU_ENTRY = 1, 1 << 32
_SPAN = 1 << 30
_FULL = _SPAN * (ALU_ENTRY + AGU_ENTRY)


def empty(alu_entries, agu_entries):
    """`C_WAITING` of empty schedulers with so many entries; 0 entries do not bind."""
    units = ((ALU_ENTRY, alu_entries), (AGU_ENTRY, agu_entries))
    return sum(unit * (_SPAN - entries) for unit, entries in units if entries)


@inlined
def binds(cpu):
    """Whether a scheduler ever holds dispatch back."""
    return fixed(cpu, C_HOLD) >= 0


@inlined
def entries_of(work, tests):
    """ALU entries of pending instructions: `tests` branches and `work` others."""
    return (6 * work + 8 >> 4) + tests


@inlined
def bucket_at(cpu, dispatched, start):
    """The bucket in which an operation that starts at a tick gives its entry back."""
    furthest = (dispatched >> _SHIFT) + WAIT_BUCKETS - 1
    return min(max(dispatched, start) + fixed(cpu, C_HOLD) >> _SHIFT, furthest) & WAIT_BUCKETS - 1


@inlined
def is_crowded(cpu, dispatched, entries):
    """Whether a scheduler may be full with `entries` more, or many buckets have passed."""
    return (get(cpu, C_WAITING) + entries & _FULL != 0) | (dispatched >= get(cpu, C_WAIT_LIMIT))


@inlined
def take(cpu, dispatched, token, alu, agu):
    """Take entries: the ALUs' until `C_LOADED`, the AGUs' until `token`."""
    add(cpu, C_WAITING, alu + agu)
    add_element(cpu, C_WAIT + bucket_at(cpu, dispatched, get(cpu, C_LOADED)), alu)
    add_element(cpu, C_WAIT + bucket_at(cpu, dispatched, token), agu)


@inlined
def loaded(cpu, ready):
    """A load has its value at `ready`."""
    put(cpu, C_LOADED, get(cpu, C_YOUNGEST))
    put(cpu, C_YOUNGEST, ready)


@internal
def _give_back(cpu, bucket):
    """The dispatch clock has reached a bucket: the entries of those before it are free."""
    waiting = get(cpu, C_WAITING)
    first = get(cpu, C_WAIT_BUCKET)
    for passed in range(first, min(bucket, first + WAIT_BUCKETS)):
        slot = C_WAIT + (passed & WAIT_BUCKETS - 1)
        waiting -= element(cpu, slot)
        put_element(cpu, slot, 0)
    put(cpu, C_WAIT_BUCKET, max(bucket, first))
    put(cpu, C_WAIT_LIMIT, max(bucket, first) + _LAG << _SHIFT)
    put(cpu, C_WAITING, waiting)


@inlined
def hold(cpu, work, tests, dispatched, token, agu):
    """Take the entries of pending instructions and of an access (`agu`: its AGU entry, or 0).

    `token`: of the address. The front end stands still until there is room for what comes next.
    """
    if not binds(cpu):
        return
    bucket = dispatched >> _SHIFT
    if get(cpu, C_WAIT_BUCKET) < bucket:
        _give_back(cpu, bucket)
    take(cpu, dispatched, token, entries_of(work, tests), agu)
    if get(cpu, C_WAITING) & _FULL == 0:
        return
    while get(cpu, C_WAITING) & _FULL != 0:
        bucket += 1
        _give_back(cpu, bucket)
    if bucket << _SHIFT > get(cpu, C_DISPATCH):
        put(cpu, C_DISPATCH, bucket << _SHIFT)
        put(cpu, C_FRONT_CAUSE, WORK)
