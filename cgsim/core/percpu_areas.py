"""Percpu areas: one copy of a datum for every possible CPU, as alloc_percpu gives them.

All CPUs' copies stand at the same offset of their CPU's unit; a pointer is the address of CPU 0's
copy. Taking an area zeroes every copy, which touches a line per CPU.

Mirrors `pcpu_alloc_noprof` and `free_percpu` (mm/percpu.c) of Linux 6.12: the offset is found
under pcpu_lock. The search itself, a walk over bitmaps whose code is not recorded, is left out: a
stack of free offsets stands for it, so that the cost is a lower bound.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import PAGE_4K
from cgsim.core.locks import spin_lock, spin_unlock
from cgsim.core.space import load, store, work

MIN_UNIT_BYTES = 32 << 10
"""PCPU_MIN_UNIT_SIZE, include/linux/percpu.h."""
_LOCK, _FREE = 0, 8


class Percpu(NamedTuple):
    """A chunk for areas of one size; addresses and bytes."""

    chunk: int
    unit_bytes: int
    cpus: int  # copies: nr_possible_cpus
    area_bytes: int
    control: int  # simulated address: the lock, the number of free offsets, the offsets


NO_AREAS = Percpu(0, 0, 0, 0, 0)
"""For data that are regular memory."""


def add_areas(heap, areas, bytes_each, cpus):
    """A vmalloc'ed chunk with room for `areas` areas of `bytes_each` on `cpus` possible CPUs."""
    area = -(-bytes_each // 8) * 8
    unit = -(-max(area * areas, MIN_UNIT_BYTES) // MIN_UNIT_BYTES) * MIN_UNIT_BYTES
    chunk = heap.place("percpu:chunk", unit * cpus, page_size=PAGE_4K)
    control = heap.place("global:pcpu_lock", 16 + 8 * areas)
    heap.write(control + _FREE, areas)
    for i in range(areas):
        # the lowest offset is on top
        heap.write(control + _FREE + 8 * (i + 1), chunk + area * (areas - 1 - i))
    return Percpu(chunk, unit, cpus, area, control)


@njit
def take_area(space, percpu, token):
    """alloc_percpu: a zeroed area; returns (address of CPU 0's copy, token), address 0 if none."""
    spin_lock(space, percpu.control + _LOCK, token)
    count, count_token = load(space, percpu.control + _FREE, 8, token)
    area, area_token = 0, count_token
    if count != 0:
        area, area_token = load(space, percpu.control + _FREE + 8 * count, 8, count_token)
        store(space, percpu.control + _FREE, 8, count - 1, token, count_token)
    spin_unlock(space, percpu.control + _LOCK, token)
    if area != 0:
        for cpu in range(percpu.cpus):
            copy = area + percpu.unit_bytes * cpu
            work(space, 4, 1)  # next possible CPU, its unit's address
            for offset in range(0, percpu.area_bytes, 8):
                store(space, copy + offset, 8, 0, area_token, 0)
    return area, area_token


@njit
def give_area(space, percpu, area, token):
    """free_percpu."""
    spin_lock(space, percpu.control + _LOCK, token)
    count, count_token = load(space, percpu.control + _FREE, 8, token)
    store(space, percpu.control + _FREE + 8 * (count + 1), 8, area, count_token, token)
    store(space, percpu.control + _FREE, 8, count + 1, token, count_token)
    spin_unlock(space, percpu.control + _LOCK, token)
