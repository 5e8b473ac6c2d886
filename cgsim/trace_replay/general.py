"""Replay of any hierarchy, in shards that never meet."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.host_memory import reserve
from cgsim.core.replay import general, partition
from cgsim.core.replay.index import PLAIN_BITS, folded
from cgsim.core.replay.lru_scalar import EMPTY
from cgsim.trace_replay.host_threads import on_threads
from cgsim.trace_replay.numbering import MAX_DIRECTORY_WORDS, OutsideWindowError, compacted
from cgsim.trace_replay.plan import (
    LINE_BITS,
    MOST_LINES,
    Counts,
    FalselyShared,
    Options,
    Plan,
    Sharing,
    most_shared,
)
from cgsim.trace_replay.rows import divided, make_rows, mask_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SHARDS = 64
SMALL_TRACE = 1 << 16  # below it, setting up many shards costs more than they save
MAX_LINE = EMPTY - 1
POLICIES = {"nine": general.NINE, "inclusive": general.INCLUSIVE, "victim": general.VICTIM}


@dataclass(frozen=True)
class _Shards:
    """A trace split by line modulo `number`; lines are divided by it.

    starts : int64[number + 1], where each shard lies in `records`
    first : the line numbered 0, or all lines, by number
    """

    number: int
    starts: NDArray[np.int64]
    records: NDArray[np.int64]
    lowest: int
    highest: int
    sets_of: NDArray[np.uint32]
    first: int | NDArray[np.uint64]

    def line(self, shard: int, number: int) -> int:
        """A line of the trace."""
        if isinstance(self.first, int):
            return self.first + number * self.number + shard
        return int(self.first[number])

    def directory_words(self, cpus: int) -> int:
        return (self.highest - self.lowest + 1) * _words(cpus)


def run_general(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16],
    write: NDArray[np.uint8],
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
) -> Counts:
    """Replay with `replay_general`. cpu, write: of one element where all are alike."""
    try:
        shards = _partition(address, cpu, write, words, plan, options)
    except OutsideWindowError:
        return run_by_number(address, cpu, write, words, plan, options)
    return _general_shards(shards, plan, options, words is not None)


def general_shards(accesses: int, plan: Plan, options: Options) -> int:
    """Into how many shards `replay_general` takes a trace: a divisor of all numbers of sets.

    A hash leaves the lowest bits of a line's number alone, and only those.
    """
    hashed = any(level.hashed for level in plan.levels)
    divisor = math.gcd(*(level.sets for level in plan.levels), (1 << PLAIN_BITS) * hashed)
    wanted = options.shards or (MAX_SHARDS if accesses >= SMALL_TRACE else 1)
    return max(n for n in range(1, wanted + 1) if divisor % n == 0)


def _partition(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16],
    write: NDArray[np.uint8],
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
) -> _Shards:
    """Split a trace into shards; raises OutsideWindowError if no line numbers fit.

    words : if given, lines must keep their addresses: they are not brought together
    """
    hashed = any(level.hashed for level in plan.levels)
    number = general_shards(len(address), plan, options)
    multiple = math.lcm(*(level.sets for level in plan.levels))
    counts, lowest, highest = _count(address, number, options.threads)
    first = lowest // multiple * multiple
    size = ((highest - lowest) // number + 1) * _words(plan.cpus)
    if (highest - first) // number > MAX_LINE or size > MAX_DIRECTORY_WORDS:
        if hashed or words is not None:
            raise OutsideWindowError
        address, _, _ = compacted(address, multiple)
        counts, lowest, highest = _count(address, number, options.threads)
        first = 0
        if highest // number > MAX_LINE:
            raise OutsideWindowError
    records = np.empty(len(address), np.int64)
    starts = np.concatenate([[0], np.cumsum(counts.sum(axis=0))]).astype(np.int64)
    places = records.ctypes.data + 8 * (starts[:-1] + np.cumsum(counts, axis=0) - counts)

    def fill(slice_: int) -> None:
        begin, end = _slice(len(address), slice_, len(counts))
        partition.scatter(
            address,
            cpu,
            int(len(cpu) > 1),
            write,
            int(len(write) > 1),
            np.zeros(1, np.uint8) if words is None else words,
            int(words is not None),
            begin,
            end,
            np.uint64(first),
            number,
            places[slice_].ctypes.data,
        )

    on_threads(fill, len(counts), options.threads)
    return _Shards(
        number,
        starts,
        records,
        (lowest - first) // number,
        max(highest - first, 0) // number,
        np.zeros((len(plan.levels), 0), np.uint32),
        first,
    )


def _count(
    address: NDArray[np.uint64], number: int, threads: int
) -> tuple[NDArray[np.int64], int, int]:
    """Accesses by slice of the trace and shard, the lowest and the highest line."""
    counts = np.zeros((threads, number), np.int64)
    if not len(address):
        return counts, 0, 0

    def one(slice_: int) -> tuple[int, int]:
        begin, end = _slice(len(address), slice_, threads)
        return partition.count_shards(address, begin, end, number, counts[slice_])

    ends = on_threads(one, threads, threads)
    return counts, min(int(low) for low, _ in ends), max(int(high) for _, high in ends)


def _slice(length: int, number: int, of: int) -> tuple[int, int]:
    return length * number // of, length * (number + 1) // of


def _general_shards(shards: _Shards, plan: Plan, options: Options, false_sharing: bool) -> Counts:
    """Replay the shards with `replay_general`."""
    words = _words(plan.cpus)
    size = shards.directory_words(plan.cpus)
    if plan.cpus == 1 or size > MAX_DIRECTORY_WORDS:
        size = 0
    count = len(plan.levels)
    hashed = any(level.hashed for level in plan.levels)
    counts = np.zeros((shards.number, count, general.COUNTERS), np.int64)
    totals = np.zeros((shards.number, general.TOTALS), np.int64)
    local = threading.local()
    lines = shards.highest - shards.lowest + 1

    def one(shard: int) -> list[FalselyShared]:
        if not hasattr(local, "tags"):
            levels = [divided(level, shards.number) for level in plan.levels]
            instances = [-(-plan.cpus // level.cpus_per_instance) for level in levels]
            local.tags, starts, widths = make_rows(levels, instances, options.vector)
            local.geometry = np.zeros((count, general.COLUMNS), np.int64)
            for place, level in enumerate(levels):
                table = general.HASHED if level.hashed else 0
                if shards.sets_of.size:
                    table = shards.sets_of[place].ctypes.data
                local.geometry[place] = (
                    level.sets,
                    mask_of(level.sets),
                    level.ways - 1,
                    widths[place],
                    4 * (widths[place] or level.ways),
                    level.cpus_per_instance,
                    instances[place],
                    starts[place],
                    table,
                    plan.levels[place].fold,
                    shards.number.bit_length() - 1,
                    0,
                )
            local.directory = np.empty(size, np.uint64)
            local.victims = np.zeros(count, np.int64)
        if isinstance(shards.first, int):
            local.geometry[:, general.FIRST] = shards.first + shard
        local.tags[:] = EMPTY
        local.directory[:] = 0
        fields = np.zeros(general.SHARING_FIELDS, np.int64)
        if false_sharing:
            stamps = reserve(4 * general.WORDS * lines, huge=False)
            lost, false = (reserve(4 * plan.cpus * lines, huge=False) for _ in range(2))
            of_line = reserve(4 * lines, huge=False)
            fields[: general.STORES] = [x.ctypes.data for x in (stamps, lost, false, of_line)]
        general.replay_general(
            shards.records,
            shards.starts[shard],
            shards.starts[shard + 1],
            plan.cpus,
            words,
            shards.lowest,
            POLICIES[plan.policy],
            int(plan.traffic),
            count,
            local.geometry.ctypes.data,
            local.directory,
            local.victims.ctypes.data,
            counts[shard].ctypes.data,
            totals[shard].ctypes.data,
            fields.ctypes.data if false_sharing else 0,
            1 if hashed or shards.sets_of.size else None,
        )
        if not false_sharing or totals[shard, general.FALSE_SHARING] == 0:
            return []
        by_cpu = false.view(np.uint32)[: plan.cpus * lines].reshape(lines, plan.cpus)
        by_line = of_line.view(np.uint32)[:lines].astype(np.int64)
        shared = np.flatnonzero(by_line)
        most = shared[np.argsort(-by_line[shared], kind="stable")[:MOST_LINES]]
        return [
            (
                shards.line(shard, shards.lowest + int(line)),
                tuple(np.flatnonzero(by_cpu[line]).tolist()),
                int(by_line[line]),
            )
            for line in most
        ]

    parts = on_threads(one, shards.number, options.threads)
    total = totals.sum(axis=0)
    return Counts(
        counts.sum(axis=0),
        int(total[general.WRITEBACKS]),
        int(total[general.DOWNGRADES]),
        int(total[general.UPGRADES]),
        Sharing(
            int(total[general.COHERENCE_MISSES]),
            int(total[general.FALSE_SHARING]),
            most_shared(parts),
        )
        if false_sharing
        else None,
    )


def _words(cpus: int) -> int:
    """uint64 words for one line of the directory: a bit for each CPU and one more."""
    return cpus // 64 + 1


def run_by_number(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16],
    write: NDArray[np.uint8],
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
    bits: int = LINE_BITS,
) -> Counts:
    """Replay lines that no window holds: in ascending order, with a table of their sets."""
    lines, numbers = _numbers(address >> np.uint64(bits))
    names = [folded(lines.astype(np.int64), level.fold) for level in plan.levels]
    sets = [
        (name % level.sets).astype(np.uint32)
        for name, level in zip(names, plan.levels, strict=True)
    ]
    records = numbers.astype(np.int64) | (2 * cpu.astype(np.int64) + (write != 0)) << 32
    if words is not None:
        records |= words.astype(np.int64) << general.WORDS_BIT
    shards = _Shards(
        1,
        np.array([0, len(address)], np.int64),
        records,
        0,
        max(len(lines) - 1, 0),
        np.array(sets),
        lines,
    )
    return _general_shards(shards, plan, options, words is not None)


def _numbers(values: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The values that occur, ascending, and which of them each one is."""
    import pandas as pd

    # by a hash table: np.unique, which sorts, takes several times as long
    codes, found = pd.factorize(values)
    order = np.argsort(found)
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    return found[order], rank[codes]
