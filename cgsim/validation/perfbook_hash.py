"""perfbook's hash table of animals: many CPUs look up names, nobody updates.

Mirrors zoo_reader and zoo_lookup of CodeSamples/datastruct/hash/hashtorture.h with hash_unsync.c,
as gcc -O3 compiles them: names of 32 bytes in one array ("a" and a number), a hash sum * 29 +
character, a 64-bit division to find the bucket (a list head of 16 bytes), elements of 56 bytes that
malloc puts 64 apart, in the order of their names. The list macro evaluates the bucket's address,
and so the division, again at every element it passes. Half of the names have an element: the first
half, since zoo_updater_init adds while it may still reach half, which is always. Reader n looks up
every p-th name, p being the n-th prime number, and divides once more when it wraps around.

The chains stand in host arrays; the simulated memory only gives the lines their addresses.
"""

from typing import NamedTuple

import numpy as np

from cgsim.compile.block_access import get, put
from cgsim.compile.jit import njit
from cgsim.core.block_fields import TICKS
from cgsim.core.rng import random_below
from cgsim.core.space import Timed, branch, compute, join, load, now, touch_lines, work
from cgsim.percpu.turns import CPU_BITS, CPU_MASK, sift

NAME_BYTES, BUCKET_BYTES, ELEMENT_BYTES = 32, 16, 64
PREFETCHED_STRIDE = 2048
"""Bytes between two loads of one instruction that the L1's stride prefetcher still follows (Intel's
optimisation manual)."""

SEGMENT = 100
"""Lookups after which a simulated reader goes on elsewhere, in the table's other half by turns: a
walk of the whole table would take too long."""

_ELEMENT_OFFSET = 16  # malloc's header
_SITE = 0x3500

# Fused micro-operations as gcc 12 -O3 and glibc 2.36 compile it for x86-64, without loads of the
# table, branches on it, and divisions: a call and a return take two each, a call through memory
# three, vzeroupper four (Agner Fog's tables, from memory).
_LOOP_WORK = 38  # the reader's loop, the call of zoo_lookup, what that saves and restores
_HASH_WORK, _HASH_CHAIN = 7, 4  # per character: operations, and those on the dependence chain
_BUCKET_WORK = 8
_ELEMENT_WORK = 6
_COMPARE_WORK = 80  # zoo_cmp and twice strncmp (the comparison and the assertion after it)


class Zoo(NamedTuple):
    """Addresses of names, buckets and elements, how many buckets and names, and the divider.

    dividers : raw address of a row of int64, core -> when its divider is free (ticks);
    core_of : raw address of the row CPU -> core. Cycles of latency and occupancy, and
    instructions, of an unsigned and of a signed 64-bit division.
    """

    names: int
    buckets: int
    elements: int
    size: int
    dividers: int
    core_of: int
    latency: int
    busy: int
    instructions: int
    signed_latency: int
    signed_busy: int
    signed_instructions: int


@njit
def fill_zoo(heads, chain, hashes, members):
    """Hash all names and put the first half of them into the table.

    heads : int64[size], first element + 1 by bucket; chain : int64[size], next element + 1 by name;
    hashes : int64[size]; members : int64[size], element's number + 1 by name, as inserted.
    """
    size = hashes.size
    for name in range(size):
        divisor = 1
        while divisor * 10 <= name:
            divisor *= 10
        value = 97
        while divisor > 0:
            value = value * 29 + 48 + name // divisor % 10
            divisor //= 10
        hashes[name] = value
        if name < size // 2:
            members[name] = name + 1
            bucket = value % size
            chain[name] = heads[bucket]
            heads[bucket] = name + 1


@njit
def _divide(space, zoo, core, token):
    """The token of a 64-bit quotient; the hardware threads of a core share its divider."""
    begin = max(compute(space, token, 0, 0, 0), get(zoo.dividers, core))
    put(zoo.dividers, core, begin + zoo.busy * TICKS)
    work(space, zoo.instructions, 0)
    return begin + zoo.latency * TICKS


@njit
def _wrap_around(space, zoo, core):
    """The reader's own signed division, when it passes the end of the names."""
    begin = max(compute(space, 0, 0, 0, 0), get(zoo.dividers, core))
    put(zoo.dividers, core, begin + zoo.signed_busy * TICKS)
    work(space, zoo.signed_instructions + 4, 1)
    return begin + zoo.signed_latency * TICKS


@njit
def _lookup(space, zoo, core, heads, chain, hashes, members, name, ready):
    """Returns whether the name was found. `ready`: token of its number."""
    length = 2
    left = name
    while left >= 10:
        left //= 10
        length += 1
    _, token = load(space, zoo.names + NAME_BYTES * name, 8, ready)
    work(space, _HASH_WORK * length, length)
    hash_token = compute(space, token, _HASH_CHAIN * length, 0, 0)
    bucket = hashes[name] % zoo.size
    head = zoo.buckets + BUCKET_BYTES * bucket
    _, next_token = load(space, head, 8, _divide(space, zoo, core, hash_token))
    entry = heads[bucket]
    work(space, _BUCKET_WORK, 0)
    branch(space, _SITE, entry != 0, next_token)
    while entry != 0:
        element = zoo.elements + ELEMENT_BYTES * (members[entry - 1] - 1) + _ELEMENT_OFFSET
        _, other_token = load(space, element + 16, 8, next_token)
        same = hashes[entry - 1] == hashes[name]
        branch(space, _SITE + 1, same, join(space, other_token, hash_token))
        if same:
            # the comparison loads 32 bytes, which two lines hold
            load(space, element + 24, 8, next_token)
            load(space, element + 24 + NAME_BYTES - 8, 8, next_token)
            work(space, _COMPARE_WORK, 6)
            return True
        _, next_token = load(space, element, 8, next_token)
        entry = chain[entry - 1]
        work(space, _ELEMENT_WORK, 0)
        end_token = _divide(space, zoo, core, hash_token)
        branch(space, _SITE + 2, entry != 0, join(space, next_token, end_token))
    return False


@njit
def warm_up(space, block, first, lines, count, seed):
    """A CPU touches `count` random lines of the `lines` from address `first`, at most all."""
    own = Timed(space.mem, space.heap, block)
    if count >= lines:
        touch_lines(own, first, lines, 0)
        return
    for i in range(count):
        touch_lines(own, first + 64 * random_below(seed, 5, i, lines), 1, 0)


@njit
def run_zoo(space, zoo, blocks, heads, chain, hashes, members, strides, keys, rounds, warm, seed):
    """Every CPU looks up names, `rounds` times in all; returns (ticks of the measured part, found).

    strides : int64[cpus]. The first `warm` rounds are not measured.
    """
    cpus = blocks.size
    half = max(zoo.size // 2, 1)
    at = np.zeros(cpus, dtype=np.int64)
    ready = np.zeros(cpus, dtype=np.int64)
    played = np.zeros(cpus, dtype=np.int64)
    begin = 0
    found = 0
    for turn in range(rounds * cpus):
        cpu = keys[0] & CPU_MASK
        core = get(zoo.core_of, cpu)
        if turn == warm * cpus:
            begin = keys[0] >> CPU_BITS
        own = Timed(space.mem, space.heap, blocks[cpu])
        if played[cpu] % SEGMENT == 0:
            segment = played[cpu] // SEGMENT
            at[cpu] = random_below(seed, 11 + cpu, segment, half)
            if (segment + cpu) % 2 == 1:
                at[cpu] = (at[cpu] + half) % zoo.size
        played[cpu] += 1
        work(own, _LOOP_WORK, 3)
        found += _lookup(own, zoo, core, heads, chain, hashes, members, at[cpu], ready[cpu])
        stride = strides[cpu]
        following = at[cpu] + stride
        ready[cpu] = 0
        wraps = following >= zoo.size
        branch(own, _SITE + 3, wraps, 0)
        if wraps:
            following = following % zoo.size + (1 if zoo.size % stride == 0 else 0)
            ready[cpu] = _wrap_around(own, zoo, core)
        at[cpu] = following % zoo.size
        _prefetch(own, zoo, members, at[cpu], stride)
        keys[0] = now(own) << CPU_BITS | cpu
        sift(keys, cpus)
    return (keys[0] >> CPU_BITS) - begin, found


@njit
def _prefetch(space, zoo, members, name, stride):
    """The L1's stride prefetcher fetches for the loads that walk names and elements."""
    if NAME_BYTES * stride <= PREFETCHED_STRIDE:
        touch_lines(space, zoo.names + NAME_BYTES * name & ~63, 1, 0)
    if ELEMENT_BYTES * stride <= PREFETCHED_STRIDE and members[name] > 0:
        touch_lines(space, zoo.elements + ELEMENT_BYTES * (members[name] - 1), 1, 0)


def primes(count: int) -> np.ndarray:
    """The first primes: int64[count]."""
    limit = 100 + 12 * count
    sieve = np.ones(limit, dtype=bool)
    sieve[:2] = False
    for i in range(2, int(limit**0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = False
    return np.flatnonzero(sieve)[:count].astype(np.int64)
