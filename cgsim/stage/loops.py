"""Loops that play lookups on any design, in any reading.

The type of the design's parameters chooses the design, the type of the space the reading; numba
compiles each pair once.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba.extending import overload

from cgsim.compile.block_access import element, get
from cgsim.compile.intrinsics import opaque
from cgsim.compile.jit import JIT_DISABLED, PART, njit
from cgsim.core.block_fields import C_CAUSES, C_PAUSED, C_RETIRE, CAUSES, WORK
from cgsim.core.calls import call_and_return
from cgsim.core.locks import rcu_read_lock, rcu_read_unlock
from cgsim.core.rng import random_bits, shuffled_range
from cgsim.core.space import (
    Timed,
    begin_chain,
    compute,
    fence,
    glance_of,
    now,
    pace,
    pause,
    peek,
    poke,
    scout_of,
    touch_lines,
    work,
)
from cgsim.designs.base import create, insert, lookup, put, register
from cgsim.stage.callers import (
    BARE,
    BEHIND_DISPATCH,
    IGNORE_DATUM,
    NO_CALLER,
    NO_LOOKUP,
    OF_TASK,
    Caller,
    arrive,
    dispatch,
    fetch,
    use_datum,
)
from cgsim.stage.callers import COUNT_DATUM as COUNT_DATUM
from cgsim.stage.callers import READ_DATUM as READ_DATUM

THROUGHPUT, DEPENDENT, SERIALIZED = range(3)
STREAM_COLUMNS = ("cgroup", "key", "actor", "hot_lines", "cold_lines", "ticks")

_CAUSES = len(CAUSES)
_SCOUTED = 32
"""Lookups that the scout plays ahead: what they touch fits a host's L1 and L2."""
_HOST_CACHED = 1 << 16
"""Data of a population that the host's own caches hold: to play ahead would only cost time."""


class Harness(NamedTuple):
    """The loop around lookups that run back to back.

    instructions : per lookup. ticks : least time per turn (the call and return). chain : ALU
    operations between a result and the next lookup's argument.
    """

    instructions: int
    ticks: int
    chain: int


class Scene(NamedTuple):
    """What surrounds the lookups of a workload; addresses and offsets in bytes.

    hot : lines that other code touches each time. ring : lines it streams through. actors : raw
    address of int64[n], the sockets or tasks. read_lock : 1 if the caller must take rcu_read_lock
    itself.
    """

    hot: int
    ring: int
    ring_lines: int
    actors: int
    read_lock: int
    seed: int
    caller: Caller


@njit
def _populate(space, design, keys, cgroups, seed):
    """The loop of `populate`."""
    for k in range(keys.size):
        keys[k] = register(space, design)
    order = keys.copy()
    failed = 0
    for c in range(cgroups.size):
        cgroups[c] = create(space, design)
        if cgroups[c] == 0:
            return failed + keys.size * (cgroups.size - c)
        shuffled_range(order, seed, c)
        for k in range(keys.size):
            if insert(space, design, cgroups[c], keys[order[k]], 0) == 0:
                failed += 1
    return failed


def scout_lookups(space, design, cgroups, keys, pairs):
    """Play lookups ahead in the timed reading (`cgsim.core.scout`); nothing in the others.

    pairs : int64[n, 2 or more], indices of cgroup and key in the first two columns.
    """


@overload(scout_lookups, jit_options=PART)
def _scout_lookups(space, design, cgroups, keys, pairs):
    if getattr(space, "instance_class", None) is not Timed:
        return lambda space, design, cgroups, keys, pairs: None

    def ahead(space, design, cgroups, keys, pairs):
        glance = glance_of(space)
        total = 0
        for i in range(pairs.shape[0]):
            datum, _ = lookup(glance, design, cgroups[pairs[i, 0]], keys[pairs[i, 1]], 0, 0)
            total += datum
        opaque(total)  # or the compiler would leave the lookups out
        scout = scout_of(space)
        for i in range(pairs.shape[0]):
            lookup(scout, design, cgroups[pairs[i, 0]], keys[pairs[i, 1]], 0, 0)

    return ahead


@njit
def _run_lookups(space, design, cgroups, keys, order, mode, harness, caller, ahead, no_bits):
    """The loop of `run_lookups`.

    order : uint64[n, 2]. ahead : lookups that the scout is in front; None: there is none. no_bits :
    0, which the compiler must not know: a datum masked with it, added to the next address, makes
    the host wait for it too.
    """
    token = 0
    last = 0
    total = 0
    argument = 0
    pause(space, 0, 0)  # what ran before is done: the first lookup starts with an empty window
    for i in range(order.shape[0]):
        if ahead is not None:  # noqa: SIM102, numba drops the branch
            if i % ahead == 0:
                scout_lookups(space, design, cgroups, keys, order[i : i + ahead])
        if mode == SERIALIZED:
            fence(space)
        pace(space, harness.ticks)
        if mode == THROUGHPUT:
            begin_chain(space)
        work(space, harness.instructions, 1)
        if caller.place == BARE:
            cgroup = cgroups[order[i, 0]] + (last & no_bits)
            key = keys[order[i, 1]]
            ready, key_ready = token, token
        else:
            cgroup, key, ready, key_ready = fetch(space, caller, argument + (last & no_bits), token)
            argument = argument + 1 if argument + 1 < caller.entries else 0
            if caller.place == BEHIND_DISPATCH:
                number = np.int64(order[i, 1])
                cgroup, ready = dispatch(space, caller, cgroup, ready, number)
            if caller.calls != 0:
                call_and_return(space)
        datum, found = 0, ready
        if caller.use != NO_LOOKUP:
            datum, found = lookup(space, design, cgroup, key, ready, key_ready)
            found = use_datum(space, caller, datum, found)
        if datum != 0:
            put(space, design, datum, found)
        total += datum
        if mode == DEPENDENT:
            token = compute(space, found, harness.chain, 0, 0)
            last = opaque(datum)
            if caller.use != IGNORE_DATUM and datum != 0:
                last = opaque(last + peek(space, datum, 8))  # the next waits for the value too
    return total


@njit
def add_causes(space, causes, sign):
    """Add `sign` times the CPU's ticks of retirement so far, by cause; int64[len(CAUSES)]."""
    explained = 0
    for cause in range(_CAUSES):
        ticks = element(space.cpu, C_CAUSES + cause)
        causes[cause] += sign * ticks
        explained += ticks
    causes[WORK] += sign * (get(space.cpu, C_RETIRE) - get(space.cpu, C_PAUSED) - explained)


@njit
def _run_stream(space, design, cgroups, keys, stream, scene, costs, causes):
    """The loop of `run_stream`."""
    caller = scene.caller
    total = 0
    position = 0
    causes[:] = 0
    for i in range(stream.shape[0]):
        touch_lines(space, scene.hot, stream[i, 3], 0)
        left = stream[i, 4]
        while left > 0:
            step = min(left, scene.ring_lines - position)
            touch_lines(space, scene.ring + 64 * position, step, 0)
            position = (position + step) % scene.ring_lines
            left -= step
        actor = get(scene.actors, stream[i, 2])
        if caller.place == OF_TASK:
            poke(space, caller.task.current, 8, actor)
        pause(space, stream[i, 5], random_bits(scene.seed, 1, i))
        begin = now(space)
        add_causes(space, causes, -1)
        token = arrive(space, caller, actor, stream[i, 1])
        if scene.read_lock != 0:
            rcu_read_lock(space, caller.task)
        datum = 0
        if caller.use != NO_LOOKUP:
            cgroup = cgroups[stream[i, 0]]
            datum, found = lookup(space, design, cgroup, keys[stream[i, 1]], token, 0)
            found = use_datum(space, caller, datum, found)
            if datum != 0:
                put(space, design, datum, found)
        if scene.read_lock != 0:
            rcu_read_unlock(space, caller.task)
        costs[i] = now(space) - begin
        add_causes(space, causes, 1)
        total += datum
    return total


_FOREIGN: dict = {}
"""Loops compiled for designs from outside of the package, by loop and type of parameters."""


def compiled_for(loop, parameters):
    """The loop for a design's type of parameters.

    One that comes from outside of the package gets a copy that is not cached on disk: the cache's
    index would name a module that other processes cannot import, and would not notice its changes.
    """
    if JIT_DISABLED or parameters.__module__.partition(".")[0] == "cgsim":
        return loop
    if (loop, parameters) not in _FOREIGN:
        _FOREIGN[loop, parameters] = numba.njit(nogil=True)(loop.py_func)
    return _FOREIGN[loop, parameters]


def populate(space, design, keys, cgroups, seed):
    """Register `keys.size` keys and create `cgroups.size` cgroups with a datum for each key.

    keys, cgroups : int64[n], overwritten with the keys and the cgroups' addresses. Each cgroup
    installs its data in a random order of its own. Returns how many installs failed.
    """
    loop = compiled_for(_populate, type(design))
    return loop(space, design, keys, cgroups, seed)


def run_lookups(space, design, cgroups, keys, order, mode, use, harness, caller=NO_CALLER):
    """Play lookups back to back, as the recorded native loops do.

    order : int64[n, 2], indices of cgroup and key. mode : THROUGHPUT (independent), DEPENDENT (the
    next lookup's address waits for the result), SERIALIZED (a fence before each). use : what is
    done with the datum. harness : `Harness`, what the calling loop itself costs. caller : who
    calls (`cgsim.stage.callers`); its stream holds the arguments of `order` in turn. Returns the
    sum of the data's addresses, which is the same in every reading.
    """
    ahead = _ahead(cgroups, keys)
    return compiled_for(_run_lookups, type(design))(
        space, design, cgroups, keys, _unsigned(order), mode, harness, caller._replace(use=use),
        ahead, 0,
    )  # fmt: skip


def _ahead(cgroups, keys):
    return _SCOUTED if cgroups.size * keys.size > _HOST_CACHED else None


def _unsigned(indices):
    """Indices that compiled code need not look at for a count from the array's end."""
    return indices.view(np.uint64)


def run_stream(space, design, cgroups, keys, stream, scene, costs, causes):
    """Play a workload: other code between lookups, then reach the cgroup, look up, use the datum.

    stream : int64[n, 6], columns `STREAM_COLUMNS`. costs : int64[n], overwritten with the ticks of
    each lookup, from its first instruction to its last retirement. causes : int64[len(CAUSES)],
    overwritten with the ticks of all lookups by cause. Only in the timed reading. Returns the sum
    of the data's addresses.
    """
    return compiled_for(_run_stream, type(design))(
        space, design, cgroups, keys, stream, scene, costs, causes
    )
