"""perfbook's counter and hash-table experiments: what is simulated for each published case."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.core.block_fields import TICKS
from cgsim.core.heap import PAGE_2M, Heap
from cgsim.core.host_memory import address_of
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.errors import UserError, unknown_name
from cgsim.experiments.counter_stand import Stand, busy_machine, counting_spec
from cgsim.experiments.counters import read_cost
from cgsim.percpu import many_cpus
from cgsim.percpu.base import get_layout
from cgsim.percpu.turns import clock_keys, idle
from cgsim.validation import perfbook_hash

if TYPE_CHECKING:
    from cgsim.machines.model import Machine

NR_THREADS = 512
"""Words that a reader of perfbook's per-thread arrays adds up (CodeSamples/api-pthreads)."""

_UPDATES_PER_CPU, _LEAST_UPDATES = 200, 20_000


class CountCase(NamedTuple):
    """One case of perfbook_count: a layout, what is added in turn, or a read."""

    layout: str
    amounts: tuple[int, ...] = (1,)
    reads: bool = False


COUNT_CASES = {
    "nonatomic update": CountCase("shared-plain"),
    "atomic update": CountCase("shared-atomic"),
    "stat update": CountCase("thread-array"),
    "end update": CountCase("thread-local"),
    # the thread that sums does so once a millisecond, which the updates do not notice
    "stat_eventual update": CountCase("thread-array"),
    # count_lim_app is measured adding and subtracting by turns, so the share is never used up
    "lim_app update": CountCase("limit", (1, -1)),
    "stat read (sum over threads)": CountCase("thread-array", reads=True),
}
HASH_BY_CPUS = "unsync lookups by CPUs, 262144 buckets"
HASH_BY_SIZE = "unsync lookups by table size, 448 readers"
HASH_CASES = (HASH_BY_CPUS, HASH_BY_SIZE)
HASH_SIZE, HASH_READERS = 262144, 448
MAX_HASH_SIZE = 1 << 24
_LOOKUPS = 20_000
"""Measured lookups, over all readers, at least."""


def predict_count(machine: Machine, case: str, threads: int, seed: int = 1) -> float:
    """ns per operation of one thread, while so many run.

    Raises UserError for an unknown case or more threads than the machine has CPUs.
    """
    if case not in COUNT_CASES:
        raise unknown_name("case", case, COUNT_CASES)
    _check("perfbook_count", machine, threads, machine.n_cpus)
    chosen = COUNT_CASES[case]
    if chosen.reads:
        frame = read_cost(chosen.layout, machine, threads, slots=NR_THREADS, rounds=6, seed=seed)
        return float(frame["ns"].iloc[0])
    model = busy_machine(_spread(machine), threads)
    stand = Stand(get_layout(chosen.layout), model, threads, seed=seed)
    count = max(_UPDATES_PER_CPU * threads, _LEAST_UPDATES)
    account = stand.update(2 * count, count, chosen.amounts)
    measured = int(account[many_cpus.STARTED] - account[many_cpus.BEGIN_STARTED])
    ticks = int(account[many_cpus.END_TICKS] - account[many_cpus.BEGIN_TICKS])
    return stand.ns(ticks) * threads / measured


def _spread(machine: Machine) -> Machine:
    """The machine as the scheduler fills it with threads that are not pinned: cores first.

    count_update_perf_test calls no run_on(), unlike the readers of the sum and of the hash table.
    """
    topology = dataclasses.replace(machine.topology, cpu_numbering="cores-first")
    return dataclasses.replace(machine, topology=topology)


def predict_hash(machine: Machine, case: str, x: int, seed: int = 1) -> float:
    """Lookups per millisecond of all readers together; x as the case means it.

    Raises UserError for an unknown case, more readers than CPUs, or too large a table.
    """
    if case not in HASH_CASES:
        raise unknown_name("case", case, HASH_CASES)
    if case == HASH_BY_CPUS:
        _check("perfbook_hash", machine, x, machine.n_cpus)
        return _zoo(machine, x, HASH_SIZE, seed)
    _check("perfbook_hash", machine, x, MAX_HASH_SIZE)
    return _zoo(machine, min(HASH_READERS, machine.n_cpus), x, seed)


def _check(benchmark: str, machine: Machine, x: int, most: int) -> None:
    if not 1 <= x <= most:
        raise UserError(
            f"{benchmark} on {machine.name}: x = {x!r} is not allowed; allowed: 1..{most}"
        )


class _Division(NamedTuple):
    """A 64-bit division: cycles of latency, cycles between two, micro-operations."""

    latency: int
    busy: int
    instructions: int
    signed_latency: int
    signed_busy: int
    signed_instructions: int


_DIVISION = {"Intel": _Division(35, 21, 36, 42, 24, 57), "AMD": _Division(10, 7, 2, 10, 7, 2)}
"""From memory: the lower ends of what Agner Fog measured on Skylake and on Zen 3, as dividends are
small here. Other vendors: as AMD."""


@functools.lru_cache(maxsize=64)
def _zoo(machine: Machine, cpus: int, size: int, seed: int) -> float:
    model = busy_machine(machine, cpus)
    names, buckets = perfbook_hash.NAME_BYTES * size, perfbook_hash.BUCKET_BYTES * size
    elements = perfbook_hash.ELEMENT_BYTES * max(size // 2, 1)
    total = names + buckets + elements
    # the simulated page allocator aligns a block to its size; one thread fills the table, so all
    # of it lies on that thread's NUMA node
    heap = Heap(2 * total + (16 << 20), seed=seed, cpus=model.n_cpus)
    first = heap.place("zoo", total, page_size=PAGE_2M)
    heads, chain, hashes, members = np.zeros((4, size), dtype=np.int64)
    perfbook_hash.fill_zoo(heads, chain, hashes, members)
    # the engine has a next-line prefetcher for one core only
    spec = counting_spec(model, cpus, prefetch_next_line=cpus == 1)
    cores = np.array(spec.core_of_cpu, dtype=np.int64)
    dividers = np.zeros(cores.max() + 1, dtype=np.int64)
    table = perfbook_hash.Zoo(
        first, first + names, first + names + buckets, size, address_of(dividers),
        address_of(cores), *_DIVISION.get(model.vendor, _DIVISION["AMD"]),
    )  # fmt: skip
    system = System(spec, heap)
    blocks = system.cpu_row()
    space = Timed(heap.mem, heap.block, int(blocks[0]))
    lines = -(-total // 64)
    _warm(space, model, blocks, first, lines, seed)
    system.settle()
    for cpu in range(cpus):
        idle(space._replace(cpu=int(blocks[cpu])), cpu * TICKS)
    # an even number of segments of each reader, or many readers
    rounds = max(
        2 * perfbook_hash.SEGMENT, _LOOKUPS // cpus // perfbook_hash.SEGMENT * perfbook_hash.SEGMENT
    )
    warm = perfbook_hash.SEGMENT
    ticks, _ = perfbook_hash.run_zoo(
        space, table, blocks, heads, chain, hashes, members, perfbook_hash.primes(cpus),
        clock_keys(blocks), rounds + warm, warm, seed,
    )  # fmt: skip
    ns = ticks / TICKS / model.ghz
    return cpus * rounds / ns * 1e6


def _warm(
    space: Timed, machine: Machine, blocks: np.ndarray, first: int, lines: int, seed: int
) -> None:
    """Fill the last level of each cluster through one CPU, then every core's private levels."""
    last = machine.caches[-1].size_bytes // 64
    private = machine.caches[-2].size_bytes // 64
    seen: set[int] = set()
    for cpu, block in enumerate(blocks):
        cluster = machine.cluster_of(cpu)
        if cluster not in seen:
            seen.add(cluster)
            perfbook_hash.warm_up(space, int(block), first, lines, last + private, seed + cpu)
    done: set[int] = set()
    for cpu, block in enumerate(blocks):
        core = machine.core_of(cpu)
        if core not in done:
            done.add(core)
            perfbook_hash.warm_up(space, int(block), first, lines, private, seed + 1000 + cpu)
