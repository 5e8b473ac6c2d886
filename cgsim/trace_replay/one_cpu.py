"""Replay of one CPU that no other one disturbs: level by level, and the TLBs likewise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.replay import reads, traffic
from cgsim.core.replay.lru_scalar import EMPTY
from cgsim.trace_replay.general import run_by_number
from cgsim.trace_replay.host_threads import on_threads
from cgsim.trace_replay.numbering import (
    OutsideWindowError,
    compacted,
    numbered,
    window_start,
)
from cgsim.trace_replay.plan import COUNT_COLUMNS, LINE_BITS, Counts, Options, Plan
from cgsim.trace_replay.rows import make_rows, mask_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cgsim.trace_replay.geometry import Level

MAX_LINE = EMPTY - 1
ALIASED_BYTES = 4096


def run_reads(
    address: NDArray[np.uint64], levels: Sequence[Level], bits: int, options: Options
) -> NDArray[np.int64]:
    """The misses of each level for reads of one CPU, of lines (or pages) of 2**bits bytes.

    On one host thread: to split the sets takes each of several longer than the reads themselves.
    """
    multiple = math.lcm(*(level.sets for level in levels))
    first = window_start(address, bits, reads.WINDOW_BITS, multiple)
    misses = _reads_in_window(address, first, levels, bits, options)
    if misses is None and not any(level.hashed for level in levels):
        try:
            near, _, _ = compacted(address, multiple << (bits - LINE_BITS))
            misses = _reads_in_window(near, 0, levels, bits, options)
        except OutsideWindowError:
            misses = None
    if misses is None:
        plan = Plan(tuple(levels), 1, "nine", False)
        nobody = np.zeros(1, np.uint16), np.zeros(1, np.uint8)
        misses = run_by_number(address, *nobody, None, plan, options, bits).levels[:, 1]
    return misses


def run_tlb(
    address: NDArray[np.uint64],
    cpu: NDArray[np.uint16] | None,
    levels: Sequence[Level],
    page_bits: int,
    options: Options,
) -> NDArray[np.int64]:
    """The misses of each TLB level, summed over its instances.

    All levels have as many CPUs to an instance: each CPU, or each core, has its own TLB.
    """
    if cpu is None:
        return run_reads(address, levels, page_bits, options)
    owner = cpu // np.uint16(levels[0].cpus_per_instance)
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner))
    parts = [part for part in np.split(address[order], ends[:-1]) if len(part)]

    def one(part: int) -> NDArray[np.int64]:
        return run_reads(parts[part], levels, page_bits, options)

    misses = on_threads(one, len(parts), options.threads)
    return np.sum([np.zeros(len(levels), np.int64), *misses], axis=0)


def _reads_in_window(
    address: NDArray[np.uint64],
    first: int,
    levels: Sequence[Level],
    bits: int,
    options: Options,
) -> NDArray[np.int64] | None:
    """`run_reads` with line `first` as number 0; None if a line lies outside the window."""
    rows, starts, widths = make_rows(levels, [1] * len(levels), options.vector)
    geometry = np.empty((len(levels), reads.COLUMNS), np.int64)
    for level, (described, start, lanes) in enumerate(zip(levels, starts, widths, strict=True)):
        last = described.ways - 1
        geometry[level] = (
            described.sets,
            mask_of(described.sets),
            last,
            lanes,
            start,
            described.fold,
        )
    rows[:] = EMPTY
    queue = np.zeros(reads.BLOCK + reads.AHEAD + ALIASED_BYTES // 4, np.uint32)
    behind = starts[0] + levels[0].sets * 4 * (widths[0] or levels[0].ways)
    place = queue.ctypes.data + (behind - queue.ctypes.data) % ALIASED_BYTES
    misses = np.zeros(len(levels), np.int64)
    done = reads.replay_reads(
        address.ctypes.data, len(address), bits, first, geometry, place, misses
    )
    return None if done < 0 else misses


def run_traffic(
    address: NDArray[np.uint64],
    write: NDArray[np.uint8] | None,
    plan: Plan,
    options: Options,
) -> Counts:
    """Replay with `replay_traffic`; raises OutsideWindowError if no line numbers fit."""
    address, numbering = numbered(address, plan, options, MAX_LINE, 0)
    write = np.zeros(len(address), np.uint8) if write is None else write
    rows, starts, widths = make_rows(plan.levels, [1] * len(plan.levels), options.vector)
    rows[:] = EMPTY
    geometry = np.array(
        [
            (x.sets, mask_of(x.sets), x.ways - 1, lanes, 4 * (lanes or x.ways), start, x.fold)
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
