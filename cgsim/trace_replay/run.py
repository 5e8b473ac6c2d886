"""Which kernel replays a trace, the memory it needs, and the host threads it runs on."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.core.host_memory import reserve
from cgsim.core.replay import coherent, general, partition, reads, sharing, traffic
from cgsim.core.replay.lru_row import lanes_for
from cgsim.core.replay.lru_scalar import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from cgsim.trace_replay.geometry import Level

LINE_BITS = 6
MAX_SHARDS = 64
ROWS_AT_ONCE = 8
SHARD_ACCESSES = 1 << 12  # with fewer, it takes longer to set a shard up than it saves
SMALL_TRACE = 1 << 16  # below it, setting up many shards costs more than they save
MAX_LINE = EMPTY - 1
MAX_DIRECTORY_WORDS = 1 << 27  # 1 GiB for each host thread
MIN_CHUNK_LINES = 1024
CHUNK_SLOTS = 1 << 18
PIECE = 1 << 19  # accesses that a host thread scatters at a time
# A host looks at the last 12 bits of addresses to see whether a load needs an earlier store. What
# is written while the rows of a first level are read had better not share them.
ALIASED_BYTES = 4096
MOST_LINES = 10  # lines with the most false sharing that are named
POLICIES = {"nine": general.NINE, "inclusive": general.INCLUSIVE, "victim": general.VICTIM}

COUNT_COLUMNS = (
    "hits",
    "misses",
    "invalidations",
    "back_invalidations",
    "dirty_victims",
    "writeback_hits",
    "writeback_misses",
)


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    levels : with every cpus_per_instance at least 1
    traffic : write-backs are accesses to the next level
    """

    levels: tuple[Level, ...]
    cpus: int
    policy: str
    traffic: bool


@dataclass(frozen=True)
class Options:
    """How it is computed; none of it changes a count. None: what is best for the plan."""

    threads: int = 1
    kernel: str | None = None
    vector: bool = True
    shards: int | None = None
    piece: int = PIECE
    few_cpus: int | None = None


@dataclass(frozen=True)
class Sharing:
    """Misses on lines that another CPU's store had taken, and those of them shared falsely.

    lines : the first of the lines with the most false sharing: (line number, CPUs that missed,
            count), by count, then by line
    """

    coherence_misses: int
    false_sharing: int
    lines: tuple[FalselyShared, ...]


@dataclass(frozen=True)
class Counts:
    """levels : int64[levels, len(COUNT_COLUMNS)]; the others as in `cgsim.replay.Replay`."""

    levels: NDArray[np.int64]
    writebacks: int = 0
    downgrades: int = 0
    upgrades: int = 0
    sharing: Sharing | None = None


FalselyShared = tuple[int, tuple[int, ...], int]
"""A line's number, the CPUs that missed, and the count."""


class _OutsideWindowError(Exception):
    """The lines do not fit the numbers that a kernel can hold."""


def choose_kernel(plan: Plan, writes: bool, false_sharing: bool = False) -> str:
    """The fastest kernel that covers a plan: "reads", "traffic", "coherent" or "general"."""
    if plan.policy != "nine" or (false_sharing and not 1 < plan.cpus <= sharing.MAX_CPUS):
        return "general"
    if plan.cpus == 1 and not writes:
        return "reads"
    if plan.traffic:
        return "traffic"
    private, shared = _split(plan)
    return "coherent" if 1 <= private <= 2 and shared <= 1 else "general"


def run(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16] | None,
    write: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
    words: NDArray[np.uint8] | None = None,
) -> Counts:
    """Replay a trace of accesses that lie within one line each.

    address : uint64[n] byte addresses    cpu : uint16[n], None: CPU 0
    write : uint8[n], not 0 where the access writes, None: all read
    words : uint8[n], see `trace_files.words_touched`; if given, false sharing is counted
    """
    kernel = options.kernel or choose_kernel(plan, write is not None, words is not None)
    address = np.ascontiguousarray(address)
    cpu = None if cpu is None else np.ascontiguousarray(cpu)
    write = None if write is None else np.ascontiguousarray(write)
    if kernel == "reads":
        misses = run_reads(address, plan.levels, LINE_BITS, options)
        levels = np.zeros((len(plan.levels), len(COUNT_COLUMNS)), np.int64)
        levels[:, 1] = misses
        levels[:, 0] = np.concatenate([[len(address)], misses[:-1]]) - misses
        return Counts(levels)
    nobody, nothing = np.zeros(1, np.uint16), np.zeros(1, np.uint8)
    try:
        if kernel == "coherent":
            return _coherent(address, cpu, write, words, plan, options)
        if kernel == "traffic":
            return _traffic(address, write, plan, options)
    except _OutsideWindowError:
        pass
    cpu = nobody if cpu is None else cpu
    write = nothing if write is None else write
    try:
        shards = _partition(address, cpu, write, words, plan, options)
        return _general_shards(shards, plan, options, words is not None)
    except _OutsideWindowError:
        return _general_by_number(address, cpu, write, words, plan, options)


def run_reads(
    address: NDArray[np.uint64], levels: Sequence[Level], bits: int, options: Options
) -> NDArray[np.int64]:
    """The misses of each level for reads of one CPU, of lines (or pages) of 2**bits bytes.

    On one host thread: to split the sets takes each of several longer than the reads themselves.
    """
    multiple = math.lcm(*(level.sets for level in levels))
    first = _window(address, bits, reads.WINDOW_BITS, multiple)
    misses = _reads_in_window(address, first, levels, bits, options)
    if misses is None:
        try:
            near, _, _ = _compacted(address, multiple << (bits - LINE_BITS))
            misses = _reads_in_window(near, 0, levels, bits, options)
        except _OutsideWindowError:
            misses = None
    if misses is None:
        plan = Plan(tuple(levels), 1, "nine", False)
        nobody = np.zeros(1, np.uint16), np.zeros(1, np.uint8)
        misses = _general_by_number(address, *nobody, None, plan, options, bits).levels[:, 1]
    return misses


def run_tlb(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16] | None,
    levels: Sequence[Level],
    page_bits: int,
    options: Options,
) -> NDArray[np.int64]:
    """The misses of each TLB level, summed over the CPUs, each of which has its own."""
    if cpu is None:
        return run_reads(address, levels, page_bits, options)
    order = np.argsort(cpu, kind="stable")
    ends = np.cumsum(np.bincount(cpu))
    parts = [part for part in np.split(address[order], ends[:-1]) if len(part)]

    def one(part: int) -> NDArray[np.int64]:
        return run_reads(parts[part], levels, page_bits, options)

    misses = _on_threads(one, len(parts), options.threads)
    return np.sum([np.zeros(len(levels), np.int64), *misses], axis=0)


def _reads_in_window(
    address: NDArray[np.uint64],
    first: int,
    levels: Sequence[Level],
    bits: int,
    options: Options,
) -> NDArray[np.int64] | None:
    """`run_reads` with line `first` as number 0; None if a line lies outside the window."""
    rows, starts, widths = _rows(levels, [1] * len(levels), options.vector)
    geometry = np.empty((len(levels), 5), np.int64)
    for level, (described, start, lanes) in enumerate(zip(levels, starts, widths, strict=True)):
        last = described.ways - 1
        geometry[level] = described.sets, _mask(described.sets), last, lanes, start
    rows[:] = EMPTY
    queue = np.zeros(reads.BLOCK + reads.AHEAD + ALIASED_BYTES // 4, np.uint32)
    behind = starts[0] + levels[0].sets * 4 * (widths[0] or levels[0].ways)
    place = queue.ctypes.data + (behind - queue.ctypes.data) % ALIASED_BYTES
    misses = np.zeros(len(levels), np.int64)
    done = reads.replay_reads(
        address.ctypes.data, len(address), bits, first, geometry, place, misses
    )
    return None if done < 0 else misses


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


def _partition(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16],
    write: NDArray[np.uint8],
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
) -> _Shards:
    """Split a trace into shards; raises _OutsideWindowError if no line numbers fit.

    words : if given, lines must keep their addresses: they are not brought together
    """
    divisor = math.gcd(*(level.sets for level in plan.levels))
    wanted = options.shards or (MAX_SHARDS if len(address) >= SMALL_TRACE else 1)
    number = max(n for n in range(1, wanted + 1) if divisor % n == 0)
    multiple = math.lcm(*(level.sets for level in plan.levels))
    counts, lowest, highest = _count(address, number, options.threads)
    first = lowest // multiple * multiple
    size = ((highest - lowest) // number + 1) * _words(plan.cpus)
    if (highest - first) // number > MAX_LINE or size > MAX_DIRECTORY_WORDS:
        if words is not None:
            raise _OutsideWindowError
        address, _, _ = _compacted(address, multiple)
        counts, lowest, highest = _count(address, number, options.threads)
        first = 0
        if highest // number > MAX_LINE:
            raise _OutsideWindowError
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

    _on_threads(fill, len(counts), options.threads)
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

    ends = _on_threads(one, threads, threads)
    return counts, min(int(low) for low, _ in ends), max(int(high) for _, high in ends)


def _slice(length: int, number: int, of: int) -> tuple[int, int]:
    return length * number // of, length * (number + 1) // of


@dataclass(frozen=True)
class _Numbering:
    """How the lines of a trace are numbered: from `first` on, or in chunks that were brought
    together.

    chunk : the lines of one    origins : the number of each chunk before; None: none was moved
    """

    first: int
    chunk: int = 1
    origins: NDArray[np.int64] | None = None

    def lines(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lines of the trace that have these numbers."""
        if self.origins is None:
            return self.first + numbers
        chunks, within = np.divmod(self.first + numbers, self.chunk)
        return self.origins[chunks] * self.chunk + within


def _compacted(
    address: NDArray[np.uint64], multiple: int
) -> tuple[NDArray[np.uint64], int, NDArray[np.int64]]:
    """Addresses of the same sets that lie close together; see `partition.compact_chunks`.

    Also the lines of a chunk, and which chunk each one was.
    """
    chunk = multiple
    while chunk < MIN_CHUNK_LINES:
        chunk *= 2
    if chunk >= 1 << 57:
        raise _OutsideWindowError
    numbers = np.full(CHUNK_SLOTS, -1, np.int64)
    out = np.empty(len(address), np.uint64)
    keys = np.zeros(CHUNK_SLOTS, np.uint64)
    used = partition.compact_chunks(address, np.uint64(chunk), keys, numbers, out)
    if used < 0 or used * chunk >= 1 << 57:
        raise _OutsideWindowError
    origins = np.empty(used, np.int64)
    origins[numbers[numbers >= 0]] = keys[numbers >= 0]
    return out, chunk, origins


@dataclass(frozen=True)
class _Scattered:
    """A trace split into shards, piece by piece, see `partition.scatter_near`.

    lowest, highest : lines, as they are numbered within the shards
    """

    numbering: _Numbering
    memory: NDArray[np.int64]
    pieces: int
    room_bytes: int
    lowest: int
    highest: int


def _coherent(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16] | None,
    write: NDArray[np.uint8] | None,
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
) -> Counts:
    """Replay with `replay_coherent`; raises _OutsideWindowError if no line numbers fit.

    The whole trace is scattered, which takes 4 bytes an access, 8 with words. Then each shard is
    replayed by the thread that is free, with rows and tables of its own.
    """
    shards, cpu_bits = _shards(len(address), plan, options), (plan.cpus - 1).bit_length()
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

    parts = _on_threads(one, shards, options.threads)
    total = np.sum([out for out, _ in parts], axis=0)
    counts = _coherent_counts(plan, len(address), total)
    if words is None:
        return counts
    misses, false = total[coherent.COHERENCE_MISSES], total[coherent.FALSE_SHARING]
    most = _most_shared([lines for _, lines in parts])
    return replace(counts, sharing=Sharing(int(misses), int(false), most))


def _sharing_entries(index: NDArray[np.uint32], lowest: int) -> NDArray[np.int64]:
    """Entries as `sharing.come_back` expects them; index: their table, from line `lowest` on."""
    entries = np.empty((len(index) + 1, sharing.FIELDS), np.int64)
    entries[0] = 0
    entries[0, sharing.LINE] = index.ctypes.data - sharing.INDEX_BYTES * lowest
    return entries


def _falsely_shared(
    entries: NDArray[np.int64], shard: int, shards: int, numbering: _Numbering
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


def _most_shared(parts: Iterable[list[FalselyShared]]) -> tuple[FalselyShared, ...]:
    """The lines with the most false sharing of those of all shards."""
    found = [line for part in parts for line in part]
    return tuple(sorted(found, key=lambda line: (-line[2], line[0]))[:MOST_LINES])


def _shards(accesses: int, plan: Plan, options: Options) -> int:
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
    """Scatter a trace for `replay_coherent`; raises _OutsideWindowError if no line numbers fit.

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

        low, high = zip(*_on_threads(fill, pieces, options.threads), strict=True)
        return min(low), -1 if min(high) < 0 else max(high)

    multiple = math.lcm(*(level.sets for level in plan.levels))
    numbering = _Numbering(_window(address, LINE_BITS, window, multiple))
    lowest, highest = scatter(address, numbering.first, window)
    if highest < 0:
        address, numbering = _numbered(address, plan, options, 1 << most, entry_bytes)
        lowest, highest = scatter(address, numbering.first, most)
    return _Scattered(numbering, memory, pieces, room_bytes, min(lowest, highest), highest)


def _window(address: NDArray[np.uint64], bits: int, window_bits: int, multiple: int) -> int:
    """The line numbered 0, a multiple of `multiple`, where the first of 2**window_bits is in the
    middle."""
    if not len(address):
        return 0
    middle = (int(address[0]) >> bits) - (1 << (window_bits - 1))
    return max(middle, 0) // multiple * multiple


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """An array that numba takes for a writable one: for others, it would compile anew."""
    return np.ctypeslib.as_array(
        (np.ctypeslib.as_ctypes_type(array.dtype) * array.size).from_address(array.ctypes.data)
    )


def _coherent_geometry(
    plan: Plan, shards: int, cpu_bits: int, vector: bool
) -> tuple[NDArray[np.int64], int]:
    """The geometry of a shard for `replay_coherent`, and the bytes of its rows."""
    private, shared = _split(plan)
    counts = [1 << cpu_bits] * private + [1] * shared
    levels = [_divided(level, shards) for level in plan.levels]
    offsets, row_bytes, widths = _row_offsets(levels, counts, vector)
    geometry = np.tile(np.array([1, 0, 0, 8, 32, 0, 0], np.int64), (3, 1))
    for place, level, count, offset, lanes in zip(
        _places(plan), levels, counts, offsets, widths, strict=True
    ):
        keys = level.sets * count - 1 if _mask(level.sets) >= 0 else -1
        stride = 4 * (lanes or level.ways)
        geometry[place] = level.sets, keys, level.ways - 1, lanes, stride, 1, offset
    return geometry, row_bytes


def _places(plan: Plan) -> list[int]:
    """The levels of `replay_coherent` that those of a plan are."""
    private, shared = _split(plan)
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


def _traffic(
    address: NDArray[np.uint64],
    write: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
) -> Counts:
    """Replay with `replay_traffic`; raises _OutsideWindowError if no line numbers fit."""
    address, numbering = _numbered(address, plan, options, MAX_LINE, 0)
    write = np.zeros(len(address), np.uint8) if write is None else write
    rows, starts, widths = _rows(plan.levels, [1] * len(plan.levels), options.vector)
    rows[:] = EMPTY
    geometry = np.array(
        [
            (x.sets, _mask(x.sets), x.ways - 1, lanes, 4 * (lanes or x.ways), start)
            for x, lanes, start in zip(plan.levels, widths, starts, strict=True)
        ],
        np.int64,
    )
    queues = np.zeros((2, traffic.queue_words(len(plan.levels))), np.uint32)
    counts = np.zeros((len(plan.levels), traffic.COUNTERS), np.int64)
    written = traffic.replay_traffic(
        address.ctypes.data,
        write.ctypes.data,
        len(address),
        numbering.first,
        geometry,
        queues[0].ctypes.data,
        queues[1].ctypes.data,
        counts,
    )
    levels = np.zeros((len(plan.levels), len(COUNT_COLUMNS)), np.int64)
    misses = counts[:, traffic.MISSES]
    levels[:, 0] = np.concatenate([[len(address)], misses[:-1]]) - misses
    levels[:, 1] = misses
    levels[:, 4:] = counts[:, traffic.DIRTY_VICTIMS :]
    return Counts(levels, int(written))


def _numbered(
    address: NDArray[np.uint64], plan: Plan, options: Options, most: int, entry_bytes: int
) -> tuple[NDArray[np.uint64], _Numbering]:
    """Addresses whose lines have numbers below `most`; they are brought together if need be.

    entry_bytes : of the directory, for each line; it has to fit, too. Raises _OutsideWindowError
    """
    multiple = math.lcm(*(level.sets for level in plan.levels))
    lowest, highest = _line_range(address, options.threads)
    if (highest - lowest + 1) * entry_bytes <= 8 * MAX_DIRECTORY_WORDS:
        first = lowest // multiple * multiple
        if highest - first < most:
            return address, _Numbering(first)
    address, chunk, origins = _compacted(address, multiple)
    _, highest = _line_range(address, options.threads)
    if highest >= most or (highest + 1) * entry_bytes > 8 * MAX_DIRECTORY_WORDS:
        raise _OutsideWindowError
    return address, _Numbering(0, chunk, origins)


def _line_range(address: NDArray[np.uint64], threads: int) -> tuple[int, int]:
    """The lowest and the highest line."""
    if not len(address):
        return 0, 0
    parts = np.array_split(address, min(threads, len(address)))
    ends = _on_threads(lambda part: partition.line_range(parts[part]), len(parts), threads)
    return min(int(low) for low, _ in ends), max(int(high) for _, high in ends)


def _general_shards(shards: _Shards, plan: Plan, options: Options, false_sharing: bool) -> Counts:
    """Replay the shards with `replay_general`."""
    words = _words(plan.cpus)
    size = shards.directory_words(plan.cpus)
    if plan.cpus == 1 or size > MAX_DIRECTORY_WORDS:
        size = 0
    count = len(plan.levels)
    counts = np.zeros((shards.number, count, general.COUNTERS), np.int64)
    totals = np.zeros((shards.number, general.TOTALS), np.int64)
    local = threading.local()
    lines = shards.highest - shards.lowest + 1

    def one(shard: int) -> list[FalselyShared]:
        if not hasattr(local, "tags"):
            levels = [_divided(level, shards.number) for level in plan.levels]
            instances = [-(-plan.cpus // level.cpus_per_instance) for level in levels]
            local.tags, starts, widths = _rows(levels, instances, options.vector)
            local.geometry = np.zeros((count, general.COLUMNS), np.int64)
            for place, level in enumerate(levels):
                local.geometry[place] = (
                    level.sets,
                    _mask(level.sets),
                    level.ways - 1,
                    widths[place],
                    4 * (widths[place] or level.ways),
                    level.cpus_per_instance,
                    instances[place],
                    starts[place],
                    shards.sets_of[place].ctypes.data if shards.sets_of.size else 0,
                )
            local.directory = np.empty(size, np.uint64)
            local.victims = np.zeros(count, np.int64)
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

    parts = _on_threads(one, shards.number, options.threads)
    total = totals.sum(axis=0)
    return Counts(
        counts.sum(axis=0),
        int(total[general.WRITEBACKS]),
        int(total[general.DOWNGRADES]),
        int(total[general.UPGRADES]),
        Sharing(
            int(total[general.COHERENCE_MISSES]),
            int(total[general.FALSE_SHARING]),
            _most_shared(parts),
        )
        if false_sharing
        else None,
    )


def _general_by_number(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16],
    write: NDArray[np.uint8],
    words: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
    bits: int = LINE_BITS,
) -> Counts:
    """Replay lines that no window holds: in ascending order, with a table of their sets."""
    lines, numbers = np.unique(address >> np.uint64(bits), return_inverse=True)
    sets = [(lines % np.uint64(level.sets)).astype(np.uint32) for level in plan.levels]
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


def _rows(
    levels: Sequence[Level], instances: Sequence[int], vector: bool
) -> tuple[NDArray[np.uint32], list[int], list[int]]:
    """Memory for the rows of all levels; the address of each level's first, and its lanes."""
    offsets, size, widths = _row_offsets(levels, instances, vector)
    memory = np.empty(size // 4 + 32, np.uint32)
    skip = -memory.ctypes.data % 128 // 4
    rows = memory[skip : skip + size // 4]
    return rows, [rows.ctypes.data + offset for offset in offsets], widths


def _row_offsets(
    levels: Sequence[Level], instances: Sequence[int], vector: bool
) -> tuple[list[int], int, list[int]]:
    """Where the rows of each level begin, where the last ones end, in bytes; the levels' lanes.

    Every level starts at a multiple of 128 bytes, so that no row's vector is cut.
    """
    widths = [lanes_for(level.ways, vector) for level in levels]
    offsets, end = [], 0
    for level, count, lanes in zip(levels, instances, widths, strict=True):
        offsets.append(end)
        end += -(-level.sets * count * 4 * (lanes or level.ways) // 128) * 128
    return offsets, end, widths


def _divided(level: Level, shards: int) -> Any:
    """A level as one shard sees it."""
    return replace(level, sets=level.sets // shards)


def _mask(sets: int) -> int:
    return sets - 1 if sets & (sets - 1) == 0 else -1


def _words(cpus: int) -> int:
    """uint64 words for one line of the directory: a bit for each CPU and one more."""
    return cpus // 64 + 1


def _split(plan: Plan) -> tuple[int, int]:
    """How many levels are private and how many shared by all; (0, 0) if some are neither."""
    sharing = [level.cpus_per_instance for level in plan.levels]
    if plan.cpus == 1:
        return (len(sharing) - 1, 1) if len(sharing) > 1 else (1, 0)
    private, shared = sharing.count(1), sharing.count(plan.cpus)
    return (private, shared) if private + shared == len(sharing) else (0, 0)


def _on_threads(task: Callable[[int], Any], number: int, threads: int) -> list[Any]:
    """[task(0), ...]: each host thread, this one among them, takes the next one that is left."""
    results: list[Any] = [None] * number
    errors: list[BaseException] = []
    left = iter(range(number))
    lock = threading.Lock()

    def work() -> None:
        try:
            while not errors:
                with lock:
                    i = next(left, None)
                if i is None:
                    return
                results[i] = task(i)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(min(threads, number) - 1)]
    for worker in workers:
        worker.start()
    work()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return results
