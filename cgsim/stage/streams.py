"""The loop that plays a workload's rows on the timed machine, on one CPU or on many at once.

CPUs take turns in simulated time: the one with the smallest clock looks up next, so that what they
share moves between their caches in that order. A turn is a row, with what lies before it where it
begins an event.
"""

from typing import NamedTuple

import numpy as np

from cgsim.compile.block_access import get
from cgsim.compile.jit import njit
from cgsim.core.block_fields import C_ACCESSES, C_INSTRUCTIONS, C_MISPREDICTS
from cgsim.core.calls import call_and_return
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.rng import random_bits
from cgsim.core.space import (
    Timed,
    add_in_place,
    atomic_add,
    branch,
    load,
    now,
    pause,
    peek,
    poke,
    run_other_code,
    store,
    touch_lines,
    translate_pages,
    work,
)
from cgsim.designs.base import create, insert, lookup, put, remove, teardown
from cgsim.percpu.turns import CPU_BITS, CPU_MASK, leave, sift
from cgsim.stage.callers import (
    COUNT_COPY,
    NO_LOOKUP,
    Caller,
    come_from_task,
    dispatch,
    run_program,
    use_datum,
)
from cgsim.stage.loops import add_causes, compiled_for
from cgsim.workloads.acts import (
    CHARGE,
    COUNT,
    COUNT_ATOMIC,
    CREATE,
    FROM_CURRENT,
    FROM_SKB,
    HISTOGRAM,
    INSTALL,
    LOOKUP,
    OPERATION_SHIFT,
    PASS,
    POLICY,
    RATE_LIMIT,
    REACH_BITS,
    REACH_MASK,
    REACHES_AN_EVENT,
    REMOVE,
    UP,
    USE_MASK,
)

COLUMNS = ("cgroup", "key", "actor", "act", "hot_lines", "cold_lines", "before")
"""`before`: ticks of other code before an event; instructions of the program before other rows."""

_CGROUP, _KEY, _ACTOR, _ACT, _HOT, _COLD, _BEFORE = range(len(COLUMNS))
_SITE = 0x5000

# A CPU's words: the next row, whether other code has run before it, its place in the packets' ring
# and in the clients', the last row's cgroup and its token, the array of programs that runs.
_NEXT, _READY, _PLACE, _PLACE_2, _LAST, _TOKEN, _ARRAY = range(7)
_FEET = 7
OWN_STRIDE = 1 << 14


class Surroundings(NamedTuple):
    """What surrounds the lookups of a workload; addresses and offsets in bytes.

    hot, ring : CPU 0's lines that other code touches each time, and those it streams through; the
    next CPU's are `hot_stride` and `ring_stride` further. actors : raw address of int64[n], the
    sockets or tasks. parents : raw address of int64[cgroups], indices. own : CPU 0's packet, task
    and context, where each CPU has its own; 0: the caller's. read_lock : 1 if a task must take
    rcu_read_lock itself. hot_split, ring_split : of a CPU's lines, so many bytes and lines belong
    to packets and what follows to clients; 0: all belong to one of them. In the caches what both
    stream through is one ring (`cgsim.core.other_code`), in the TLB two. numbered : 1: other code's
    lines have numbers, on a machine that keeps them; 0: addresses, as a recording of them needs.
    """

    hot: int
    hot_stride: int
    hot_split: int
    ring: int
    ring_stride: int
    ring_split: int
    ring_lines: int
    actors: int
    parents: int
    parent_offset: int
    state_offset: int
    family_offset: int
    numbered: int
    own: int
    read_lock: int
    seed: int
    caller: Caller


CURRENT, CONTEXT, PACKET, TASK = 0, 64, 256, 1024
"""Where a CPU's own words begin: pointer to the task, running context, packet, task."""


@njit
def _caller_on(caller, own, cpu, stride):
    """The caller with a CPU's own packet, task and context."""
    base = own + cpu * stride
    return Caller(
        caller.place, caller.use, caller.calls, caller.stream, caller.entries,
        Task(base + CURRENT, base + TASK, caller.task.nesting_offset, caller.task.special_offset),
        caller.task_cgroups_offset, caller.css_set_cgroup_offset, base + PACKET,
        caller.skb_sk_offset, caller.sock_cgroup_offset, caller.effective_offset,
        caller.items_offset, caller.item_bytes, caller.programs, base + CONTEXT,
        caller.context_offset, caller.cpu_offset,
    )  # fmt: skip


@njit
def _check_socket(space, scene, sock):
    """The hook looks at the socket: a full one, of a family that it knows."""
    load(space, sock + scene.state_offset, 1, 0)
    load(space, sock + scene.family_offset, 2, 0)
    work(space, 8, 3)


@njit
def _use(space, use, datum, token, number):
    """What the caller does with its datum; number : of the row, by which sizes differ."""
    if use == POLICY:
        load(space, datum, 8, token)
    elif use == COUNT:
        add_in_place(space, datum, 8, 1, token)
    elif use == COUNT_ATOMIC:
        atomic_add(space, datum, 8, 1, token)
    elif use == CHARGE:
        _, charged = atomic_add(space, datum, 8, 1, token)
        _, limit = load(space, datum + 8, 8, token)
        branch(space, _SITE, False, max(charged, limit))
    elif use == RATE_LIMIT:
        tokens, tokens_ready = load(space, datum, 8, token)
        last, last_ready = load(space, datum + 8, 8, token)
        work(space, 12, 1)
        branch(space, _SITE + 1, False, max(tokens_ready, last_ready))
        store(space, datum, 8, tokens - 1, token, tokens_ready)
        store(space, datum + 8, 8, last + 1, token, last_ready)
    elif use == HISTOGRAM:
        work(space, 6, 0)
        add_in_place(space, datum + 4 * (number & 3), 4, 1, token)


@njit
def _before(space, scene, feet, cpu, row, number):
    """Other code runs: its lines, then its time."""
    hot = scene.hot + cpu * scene.hot_stride
    ring = scene.ring + cpu * scene.ring_stride
    lines = scene.ring_lines
    which = _PLACE
    first = 0
    if scene.ring_split != 0:
        lines = scene.ring_split
        if row[_ACT] & REACH_MASK == FROM_CURRENT:
            first = scene.hot_split >> 6
            hot += scene.hot_split
            ring += 64 * scene.ring_split
            lines = scene.ring_lines - scene.ring_split
            which = _PLACE_2
    if scene.numbered != 0:
        translate_pages(space, hot, row[_HOT])
    else:
        touch_lines(space, hot, row[_HOT], 0)
    left = row[_COLD]
    place = feet[which]
    while left > 0:
        step = min(left, lines - place)
        if scene.numbered != 0:
            translate_pages(space, ring + 64 * place, step)
        else:
            touch_lines(space, ring + 64 * place, step, 0)
        place = (place + step) % lines
        left -= step
    feet[which] = place
    if scene.numbered != 0:
        run_other_code(space, first, row[_HOT], row[_COLD])
    pause(space, row[_BEFORE], random_bits(scene.seed + cpu, 1, number))


@njit
def _add_counts(space, passed, sign):
    """Instructions, accesses and mispredicts of rows that look nothing up."""
    passed[0] += sign * get(space.cpu, C_INSTRUCTIONS)
    passed[1] += sign * get(space.cpu, C_ACCESSES)
    passed[2] += sign * get(space.cpu, C_MISPREDICTS)


@njit
def _look_up(space, design, cgroups, keys, row, number, scene, caller, feet):
    """Reach the cgroup, look the datum up, use it; returns the datum's address."""
    looks = caller.use != NO_LOOKUP and row[_ACT] >> OPERATION_SHIFT != PASS
    calls = caller.calls != 0 and looks
    reach = row[_ACT] & REACH_MASK
    use = row[_ACT] >> REACH_BITS & USE_MASK
    token = 0
    if reach == FROM_SKB:
        sock = get(scene.actors, row[_ACTOR])
        _check_socket(space, scene, sock)
        cgroup, token = dispatch(space, caller, sock, 0, row[_KEY])
        feet[_ARRAY] = peek(space, cgroup + caller.effective_offset, 8)
    elif reach == FROM_CURRENT:
        poke(space, caller.task.current, 8, get(scene.actors, row[_ACTOR]))
        token = come_from_task(space, caller)
        if calls:
            call_and_return(space)
        feet[_ARRAY] = 0
    elif reach == UP:
        _, token = load(space, feet[_LAST] + scene.parent_offset, 8, feet[_TOKEN])
        work(space, 3, 1)
    elif feet[_ARRAY] != 0:
        run_program(space, caller, feet[_ARRAY], 0, row[_KEY])
    if calls and reach != FROM_CURRENT:
        call_and_return(space)
    locks = looks and scene.read_lock != 0 and reach == FROM_CURRENT
    if locks:
        rcu_read_lock(space, caller.task)
    cgroup = cgroups[row[_CGROUP]]
    datum = 0
    if looks:
        datum, found = lookup(space, design, cgroup, keys[row[_KEY]], token, 0)
        if datum != 0:
            if caller.use == COUNT_COPY:
                found = use_datum(space, caller, datum, found)
            else:
                _use(space, use, datum, found, number)
            put(space, design, datum, found)
    if locks:
        rcu_read_unlock(space, caller.task)
    feet[_LAST] = cgroup
    feet[_TOKEN] = token
    return datum


@njit
def _change(space, design, cgroups, keys, row, scene):
    """Install, remove, create or destroy; returns 0 where it failed."""
    operation = row[_ACT] >> OPERATION_SHIFT
    c = row[_CGROUP]
    if operation == INSTALL:
        return insert(space, design, cgroups[c], keys[row[_KEY]], 0)
    if operation == REMOVE:
        return 1 if remove(space, design, cgroups[c], keys[row[_KEY]], 0) else 0
    if operation == CREATE:
        cgroups[c] = create(space, design)
        if cgroups[c] == 0:
            return 0
        parent = get(scene.parents, c)
        if parent >= 0:
            store(space, cgroups[c] + scene.parent_offset, 8, cgroups[parent], 0, 0)
        installed = 1
        for k in range(keys.size):
            installed = min(installed, insert(space, design, cgroups[c], keys[k], 0))
        return installed
    teardown(space, design, cgroups[c], 0)
    return 1


@njit
def _run_rows(
    space, design, cgroups, keys, rows, begins, ends, blocks, order, scene, changes, costs, causes,
    passed,
):  # fmt: skip
    """The loop of `run_rows`."""
    feet = np.zeros((blocks.size, _FEET), np.int64)
    total = 0
    causes[:] = 0
    passed[:] = 0
    live = 0
    for place in range(order.size):
        cpu = order[place] & CPU_MASK
        feet[cpu, _NEXT] = begins[cpu]
        if begins[cpu] < ends[cpu]:
            order[live] = order[place]  # in order still
            live += 1
    while live > 0:
        cpu = order[0] & CPU_MASK
        own = Timed(space.mem, space.heap, blocks[cpu])
        mine = feet[cpu]
        i = mine[_NEXT]
        row = rows[i]
        event = row[_ACT] & REACH_MASK >= REACHES_AN_EVENT
        if event and mine[_READY] == 0:
            _before(own, scene, mine, cpu, row, i - begins[cpu])
            mine[_READY] = 1
            if live > 1:
                order[0] = now(own) << CPU_BITS | cpu
                sift(order, live)
                continue
        passes = row[_ACT] >> OPERATION_SHIFT == PASS
        if passes:
            now(own)
            _add_counts(own, passed, -1)
        if not event:
            work(own, row[_BEFORE], row[_BEFORE] >> 3)
        begin = now(own)
        if changes is not None:  # noqa: SIM102, numba drops the branch
            if row[_ACT] >> OPERATION_SHIFT != LOOKUP and not passes:
                total += _change(own, design, cgroups, keys, row, scene)
                costs[i] = now(own) - begin
                mine[_READY] = 0
                mine[_NEXT] = i + 1
                if i + 1 == ends[cpu]:
                    live = leave(order, live)
                else:
                    order[0] = now(own) << CPU_BITS | cpu
                    sift(order, live)
                continue
        if not passes:
            add_causes(own, causes, -1)
        caller = scene.caller
        if scene.own != 0:
            caller = _caller_on(caller, scene.own, cpu, OWN_STRIDE)
        number = i - begins[cpu]
        total += _look_up(own, design, cgroups, keys, row, number, scene, caller, mine)
        costs[i] = now(own) - begin
        if passes:
            _add_counts(own, passed, 1)
        else:
            add_causes(own, causes, 1)
        mine[_READY] = 0
        mine[_NEXT] = i + 1
        if i + 1 == ends[cpu]:
            live = leave(order, live)
        else:
            order[0] = now(own) << CPU_BITS | cpu
            sift(order, live)
    return total


def run_rows(
    space, design, cgroups, keys, rows, begins, ends, blocks, order, scene, changes, costs, causes,
    passed,
):  # fmt: skip
    """Play rows of a workload on CPUs, in simulated time.

    space : Timed, whose `cpu` is replaced by that of the turn. rows : int64[n, 7], columns
    `COLUMNS`. begins, ends : int64[cpus], each CPU's rows. blocks : int64[cpus], raw addresses of
    the CPUs' blocks. order : the heap of their clocks, overwritten. changes : None where all rows
    are lookups, else 1: `cgroups`, int64[n], is overwritten with the addresses of new ones. costs :
    int64[n], overwritten with the ticks of each row, from its first instruction to its last
    retirement. causes : int64[len(CAUSES)], overwritten with the ticks of all lookups by cause.
    passed : int64[3], overwritten with the instructions, accesses and mispredicts of rows that look
    nothing up. Returns the sum of the data's addresses.
    """
    return compiled_for(_run_rows, type(design))(
        space, design, cgroups, keys, rows, begins, ends, blocks, order, scene, changes, costs,
        causes, passed,
    )  # fmt: skip


@njit
def link_parents(space, cgroups, parents, offset):
    """Write each cgroup's parent, without cost."""
    for c in range(cgroups.size):
        if parents[c] >= 0:
            poke(space, cgroups[c] + offset, 8, cgroups[parents[c]])
