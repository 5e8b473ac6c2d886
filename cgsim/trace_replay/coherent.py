"""Replay of many CPUs with private levels and one that all share, in shards."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.core.host_memory import reserve
from cgsim.core.replay import coherent, partition, sharing
from cgsim.trace_replay.host_threads import on_threads
from cgsim.trace_replay.numbering import MAX_DIRECTORY_WORDS, Numbering, numbered, window_start
from cgsim.trace_replay.plan import (
    COUNT_COLUMNS,
    LINE_BITS,
    MOST_LINES,
    Counts,
    FalselyShared,
    Options,
    Plan,
    Sharing,
    most_shared,
    private_and_shared,
)
from cgsim.trace_replay.rows import divided, mask_of, row_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SHARDS = 64
ROWS_AT_ONCE = 8
SHARD_ACCESSES = 1 << 12  # with fewer, it takes longer to set a shard up than it saves


@dataclass(frozen=True)
class _Scattered:
    """A trace split into shards, piece by piece, see `partition.scatter_near`.

    lowest, highest : lines, as they are numbered within the shards
    """

    numbering: Numbering
    memory: NDArray[np.int64]
    pieces: int
    room_bytes: int
    lowest: int
    highest: int


def run_coherent(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16] | None,
    write: NDArray[np.uint8] | None,
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
) -> Counts:
    """Replay with `replay_coherent`; raises OutsideWindowError if no line numbers fit.

    The whole trace is scattered, which takes 4 bytes an access, 8 with words. Then each shard is
    replayed by the thread that is free, with rows and tables of its own.
    """
    shards, cpu_bits = coherent_shards(len(address), plan, options), (plan.cpus - 1).bit_length()
    many = words is not None or plan.cpus > (options.few_cpus or coherent.FEW_CPUS)
    group_bits = max(0, cpu_bits - (coherent.GROUPS - 1).bit_length()) if many else None
    trace = _scattered(address, cpu, write, words, plan, options, shards, many)
    lines, empty = trace.highest - trace.lowest + 2, trace.highest + 1
    geometry, row_bytes = _coherent_geometry(plan, shards, cpu_bits, options.vector)
    common_lanes = geometry[:, coherent.LANES].tolist() == [8, 8, 16]
    powers = (geometry[:, coherent.KEYS] >= 0).all() and geometry[:, coherent.PRESENT].all()
    usual = 1 if common_lanes and powers else None

    def one(shard: int) -> tuple[NDArray[np.int64], list[FalselyShared]]:
        out = np.zeros(coherent.COUNTERS, np.int64)
        states = np.zeros(lines, np.uint16)
        index = np.zeros(lines if words is not None else 0, np.uint32)
        entries = _sharing_entries(index, trace.lowest)
        holders = np.zeros(lines if many else 1, np.uint64)
        rows = np.full(row_bytes // 4 + 32, empty, np.uint32)
        queues = np.empty((2, coherent.queue_words()), np.int64)
        coherent.replay_coherent(
            shard,
            trace.pieces,
            trace.memory.ctypes.data,
            trace.room_bytes,
            plan.cpus,
            cpu_bits,
            trace.lowest,
            empty,
            states.ctypes.data,
            holders.ctypes.data,
            rows.ctypes.data + -rows.ctypes.data % 128,
            geometry,
            queues[0].ctypes.data,
            queues[1].ctypes.data,
            out,
            usual,
            group_bits,
            None if words is None else entries.ctypes.data,
        )
        return out, [] if words is None else _falsely_shared(
            entries, shard, shards, trace.numbering
        )

    parts = on_threads(one, shards, options.threads)
    total = np.sum([out for out, _ in parts], axis=0)
    counts = _coherent_counts(plan, len(address), total)
    if words is None:
        return counts
    misses, false = total[coherent.COHERENCE_MISSES], total[coherent.FALSE_SHARING]
    most = most_shared([lines for _, lines in parts])
    return replace(counts, sharing=Sharing(int(misses), int(false), most))


def coherent_shards(accesses: int, plan: Plan, options: Options) -> int:
    """Into how many shards `replay_coherent` takes a trace: a power of two that divides all sets.

    The more, the smaller each one's tables; but one access to a row waits for the one before, so a
    shard should have several rows of level 1. Several shards for each thread let all end together.
    """
    common = math.gcd(*(level.sets for level in plan.levels))
    rows = plan.levels[0].sets * plan.cpus
    wanted = max(rows // ROWS_AT_ONCE, 8 * options.threads)
    wanted = options.shards or max(min(wanted, accesses // SHARD_ACCESSES), 1)
    return min(common & -common, 1 << min(wanted, MAX_SHARDS).bit_length() - 1)


def _scattered(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16] | None,
    write: NDArray[np.uint8] | None,
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
    shards: int,
    many: bool,
) -> _Scattered:
    """Scatter a trace for `replay_coherent`; raises OutsideWindowError if no line numbers fit.

    Most traces lie in a window around their first address. Others are looked through for the best
    one, and brought together where they are too far apart.
    """
    shard_bits, cpu_bits = shards.bit_length() - 1, (plan.cpus - 1).bit_length()
    entry_bytes = coherent.STATE_BYTES + coherent.HOLDERS_BYTES * many
    entry_bytes += sharing.INDEX_BYTES * (words is not None)
    most = 30 - max(cpu_bits, 1) + shard_bits
    window = min(most, (8 * MAX_DIRECTORY_WORDS // entry_bytes).bit_length() - 1)
    room_bytes = partition.room_bytes(min(options.piece, len(address)), shards, words is not None)
    pieces = max(1, -(-len(address) // options.piece))
    memory = reserve(room_bytes * pieces)
    cpu = np.zeros(len(address), np.uint16) if cpu is None else _plain(cpu)
    write = np.zeros(len(address), np.uint8) if write is None else _plain(write)
    touched = np.zeros(0, np.uint8) if words is None else _plain(words)

    def scatter(address: NDArray[np.uint64], first: int, window: int) -> tuple[int, int]:
        near = _plain(address)

        def fill(piece: int) -> tuple[int, int]:
            start = piece * options.piece
            return partition.scatter_near(
                near,
                cpu,
                write,
                touched,
                start,
                min(start + options.piece, len(near)),
                first,
                window,
                shard_bits,
                cpu_bits,
                memory.ctypes.data + piece * room_bytes,
            )

        low, high = zip(*on_threads(fill, pieces, options.threads), strict=True)
        return min(low), -1 if min(high) < 0 else max(high)

    multiple = math.lcm(*(level.sets for level in plan.levels))
    numbering = Numbering(window_start(address, LINE_BITS, window, multiple))
    lowest, highest = scatter(address, numbering.first, window)
    if highest < 0:
        address, numbering = numbered(address, plan, options, 1 << most, entry_bytes)
        lowest, highest = scatter(address, numbering.first, most)
    return _Scattered(numbering, memory, pieces, room_bytes, min(lowest, highest), highest)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """An array that numba takes for a writable one: for others, it would compile anew."""
    return np.ctypeslib.as_array(
        (np.ctypeslib.as_ctypes_type(array.dtype) * array.size).from_address(array.ctypes.data)
    )


def _coherent_geometry(
    plan: Plan, shards: int, cpu_bits: int, vector: bool
) -> tuple[NDArray[np.int64], int]:
    """The geometry of a shard for `replay_coherent`, and the bytes of its rows."""
    private, shared = private_and_shared(plan)
    counts = [1 << cpu_bits] * private + [1] * shared
    levels = [divided(level, shards) for level in plan.levels]
    offsets, row_bytes, widths = row_offsets(levels, counts, vector)
    geometry = np.tile(np.array([1, 0, 0, 8, 32, 0, 0], np.int64), (3, 1))
    for place, level, count, offset, lanes in zip(
        _places(plan), levels, counts, offsets, widths, strict=True
    ):
        keys = level.sets * count - 1 if mask_of(level.sets) >= 0 else -1
        stride = 4 * (lanes or level.ways)
        geometry[place] = level.sets, keys, level.ways - 1, lanes, stride, 1, offset
    return geometry, row_bytes


def _places(plan: Plan) -> list[int]:
    """The levels of `replay_coherent` that those of a plan are."""
    private, shared = private_and_shared(plan)
    return [0, 1][:private] + [2] * shared


def _coherent_counts(plan: Plan, accesses: int, total: NDArray[np.int64]) -> Counts:
    """The counts from the counters of `replay_coherent`."""
    c = coherent
    misses = [total[c.MISSES_1], total[c.MISSES_2], total[c.MISSES_SHARED]]
    gone = [total[c.INVALIDATED_1], total[c.INVALIDATED_2], 0]
    dirty = [total[c.DIRTY_VICTIMS_1], total[c.DIRTY_VICTIMS_2], total[c.DIRTY_VICTIMS_SHARED]]
    levels = np.zeros((len(plan.levels), len(COUNT_COLUMNS)), np.int64)
    looked_up = accesses
    for number, place in enumerate(_places(plan)):
        missed = misses[place]
        levels[number, :5] = looked_up - missed, missed, gone[place], 0, dirty[place]
        looked_up = missed
    return Counts(
        levels, int(total[c.WRITEBACKS]), int(total[c.DOWNGRADES]), int(total[c.UPGRADES])
    )


def _sharing_entries(index: NDArray[np.uint32], lowest: int) -> NDArray[np.int64]:
    """Entries as `sharing.come_back` expects them; index: their table, from line `lowest` on."""
    entries = np.empty((len(index) + 1, sharing.FIELDS), np.int64)
    entries[0] = 0
    entries[0, sharing.LINE] = index.ctypes.data - sharing.INDEX_BYTES * lowest
    return entries


def _falsely_shared(
    entries: NDArray[np.int64], shard: int, shards: int, numbering: Numbering
) -> list[FalselyShared]:
    """The lines of a shard with the most false sharing."""
    used = entries[1 : entries[0, sharing.COUNT] + 1]
    used = used[used[:, sharing.COUNT] > 0]
    lines = numbering.lines(used[:, sharing.LINE] * shards + shard)
    order = np.lexsort((lines, -used[:, sharing.COUNT]))[:MOST_LINES]
    return [
        (
            int(line),
            tuple(cpu for cpu in range(sharing.MAX_CPUS) if entry[sharing.FALSE_CPUS] >> cpu & 1),
            int(entry[sharing.COUNT]),
        )
        for line, entry in zip(lines[order], used[order], strict=True)
    ]
