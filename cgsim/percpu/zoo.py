"""perfbook's hash table of animals: many CPUs look up names, nobody updates.

Mirrors zoo_lookup of CodeSamples/datastruct/hash/hashtorture.h with hash_unsync.c: names of 32
bytes in one array ("a" and a number), a hash sum * 29 + character, a 64-bit division to find the
bucket (a list head of 16 bytes), elements of 56 bytes that malloc puts 64 apart. Half of the names
have an element. Reader n looks up every p-th name, p being the n-th prime number.

The chains stand in host arrays; the simulated memory only gives the lines their addresses.
"""

from typing import NamedTuple

import numpy as np

from cgsim.core.jit import njit
from cgsim.core.rng import random_below
from cgsim.core.space import Timed, branch, compute, join, load, now, touch_lines, work
from cgsim.percpu.turns import _CPU_BITS, _CPU_MASK, _sift

NAME_BYTES, BUCKET_BYTES, ELEMENT_BYTES = 32, 16, 64
PREFETCHED_STRIDE = 2048
"""Bytes between two loads of one instruction that the L1's stride prefetcher still follows (Intel's
optimisation manual)."""

_ELEMENT_OFFSET = 16  # malloc's header
_SITE = 0x3500

# As compiled for x86-64: five instructions per character of the hash, a division that is microcode,
# and two calls of strncmp for a name that is found (the comparison and the assertion after it).
_HASH_WORK = 5
_CALL_WORK = 12
_COMPARE_WORK = 30


class Zoo(NamedTuple):
    """Addresses of names, buckets and elements, and how many buckets and names there are.

    division_cycles : latency of a 64-bit division, its instructions by `division_work`.
    """

    names: int
    buckets: int
    elements: int
    size: int
    division_cycles: int
    division_work: int


@njit
def fill_zoo(heads, chain, hashes, members, seed):
    """Hash all names and put a random half of them into the table.

    heads : int64[size], first element + 1 by bucket; chain : int64[size], next element + 1 by name;
    hashes : int64[size]; members : int64[size], element's number + 1 by name, as inserted.
    """
    size = hashes.size
    count = 0
    for name in range(size):
        divisor = 1
        while divisor * 10 <= name:
            divisor *= 10
        value = 97
        while divisor > 0:
            value = value * 29 + 48 + name // divisor % 10
            divisor //= 10
        hashes[name] = value
        left = size // 2 - count
        if left > 0 and (size - name <= left or random_below(seed, 3, name, 2) == 1):
            count += 1
            members[name] = count
            bucket = value % size
            chain[name] = heads[bucket]
            heads[bucket] = name + 1
    return count


@njit
def _lookup(space, zoo, heads, chain, hashes, members, name):
    """Returns whether the name was found."""
    length = 2
    left = name
    while left >= 10:
        left //= 10
        length += 1
    _, token = load(space, zoo.names + NAME_BYTES * name, 8, 1)
    work(space, _HASH_WORK * length, length)
    token = compute(space, token, length + zoo.division_cycles, length, 0)
    work(space, zoo.division_work, 0)
    bucket = hashes[name] % zoo.size
    head = zoo.buckets + BUCKET_BYTES * bucket
    _, next_token = load(space, head, 8, token)
    entry = heads[bucket]
    work(space, _CALL_WORK, 2)
    branch(space, _SITE, entry != 0, next_token)
    while entry != 0:
        element = zoo.elements + ELEMENT_BYTES * (members[entry - 1] - 1) + _ELEMENT_OFFSET
        _, hash_token = load(space, element + 16, 8, next_token)
        same = hashes[entry - 1] == hashes[name]
        branch(space, _SITE + 1, same, join(space, hash_token, token))
        if same:
            load(space, element + 24, 8, next_token)
            work(space, 2 * _COMPARE_WORK, 6)
            return True
        _, next_token = load(space, element, 8, next_token)
        entry = chain[entry - 1]
        work(space, 3, 0)
        branch(space, _SITE, entry != 0, next_token)
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
def run_zoo(space, zoo, blocks, heads, chain, hashes, members, strides, keys, rounds, warm):
    """Every CPU looks up names, `rounds` times in all; returns (ticks of the measured part, found).

    strides : int64[cpus]. The first `warm` rounds are not measured.
    """
    cpus = blocks.size
    at = np.zeros(cpus, dtype=np.int64)
    for cpu in range(cpus):
        at[cpu] = random_below(11, cpu, 0, zoo.size)
    begin = 0
    found = 0
    for turn in range(rounds * cpus):
        cpu = keys[0] & _CPU_MASK
        if turn == warm * cpus:
            begin = keys[0] >> _CPU_BITS
        own = Timed(space.mem, space.heap, blocks[cpu])
        work(own, 10, 3)
        found += _lookup(own, zoo, heads, chain, hashes, members, at[cpu])
        at[cpu] = (at[cpu] + strides[cpu]) % zoo.size
        if NAME_BYTES * strides[cpu] <= PREFETCHED_STRIDE:
            touch_lines(own, zoo.names + NAME_BYTES * at[cpu] & ~63, 1, 0)
        keys[0] = now(own) << _CPU_BITS | cpu
        _sift(keys, cpus)
    return (keys[0] >> _CPU_BITS) - begin, found


def primes(count: int) -> np.ndarray:
    """The first primes: int64[count]."""
    limit = 100 + 12 * count
    sieve = np.ones(limit, dtype=bool)
    sieve[:2] = False
    for i in range(2, int(limit**0.5) + 1):
        if sieve[i]:
            sieve[i * i :: i] = False
    return np.flatnonzero(sieve)[:count].astype(np.int64)
