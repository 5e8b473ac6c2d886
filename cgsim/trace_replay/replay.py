"""Replay of an address trace through caches and TLBs: exact counts of hits, misses and transfers.

What is counted
---------------
Caches have lines of 64 bytes (`line_bytes`: up to 4096), set = line modulo sets, or a hash of the
line's number where a profile says so, true LRU, write-back, write-allocate, no prefetch. CPU c uses
instance c // n of a level whose instances are shared by n CPUs; by default the last of several
levels is shared by all CPUs and the others are private.

Lookup. An access goes down the levels of its CPU until one holds the line (a hit there, a miss at
each level above). Every level above then holds it as its most recent line; a level below the hit
is not touched. An access that crosses a line border is one access to each line, in ascending
order: `accesses` counts it once, `line_accesses`, like all hits and misses, for each line.

Last level. nine: filled like the others, never removes lines elsewhere. inclusive: a line that it
evicts is removed from all levels above (`back_invalidations`). victim: it is filled only by what
the level above evicts, clean or dirty, and a hit moves the line out of it and up.

Coherence, write-invalidate. A write removes every copy in caches that do not serve the writer
(`invalidations`, by level); an `upgrade` is a write that hits in a private cache and removes at
least one such copy. A read that misses its first level finds the line dirty in caches that do not
serve the reader: it cleans those copies (one `downgrade`), and their data go to the nearest level
that serves both and holds the line, else to memory.

Dirty lines. A write makes the copy in the writer's first level dirty; removed copies take their
mark along (the writer's copy has it). A dirty line that a level evicts (`dirty_victims`) goes to
the next levels, after the demand fill that pushed it out, the lowest level's victim first; lines
still dirty at the end are flushed, level by level in set order, and counted alike. `writebacks` is
the number of lines written to memory. Two conventions, see `replay`'s `write_backs`:

* traffic: a write-back is a whole-line write access to the next level, which refreshes its recency
  there, and allocates without a fetch where the line is absent (as Dinero IV does). `hits` and
  `misses` count demand accesses, `writeback_hits` and `writeback_misses` these.
* silent: it marks the nearest lower copy dirty, and disturbs nothing; without such a copy memory is
  written (the presence of lines is then that of drcachesim).

False sharing (`false_sharing`), in constant time per access. A CPU loses a line when another CPU's
write removes a copy from a cache that serves it; its next access to the line is a coherence miss.
That miss is false sharing if no other CPU has written, since the line was lost, any of the words
that the access touches (Torrellas, Lam and Hennessy, IEEE Transactions on Computers, 1994; the
counter of `cgsim.attribute` is the same). Words have 8 bytes; an access without a size touches the
word that it begins in. A replay takes longer with it.

TLB. One or more levels per CPU, of a machine per core, pages of 4 KiB, LRU, filled like nine
caches; one lookup for every line touched.

With a machine, CPU c is the profile's CPU c, and its caches and TLB serve the CPUs that the profile
says; `docs/machine.md` lists the fields that a replay takes from it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import UserError, out_of_range
from cgsim.trace_replay.columns import trace_of_table
from cgsim.trace_replay.estimate import check_memory
from cgsim.trace_replay.geometry import (
    DEFAULT_CACHES,
    LINE_BYTES,
    PAGE_BITS,
    Level,
    levels_for_cpus,
    levels_of_machine,
    parse_caches,
    parse_tlb,
    places_on_machine,
    tlb_of_machine,
)
from cgsim.trace_replay.one_cpu import run_tlb
from cgsim.trace_replay.plan import Options, Plan, Sharing
from cgsim.trace_replay.run import choose_loop, compile_loop, run
from cgsim.trace_replay.trace import (
    ANY_CPU,
    MAX_CPUS,
    CpuLimit,
    Trace,
    cut_at_lines,
    trace_of_arrays,
    words_touched,
)
from cgsim.trace_replay.trace_files import read_trace

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from cgsim.machines.model import Machine

POLICIES = ("nine", "inclusive", "victim")
WRITE_BACKS = ("auto", "traffic", "silent")
MAX_THREADS = 256


@dataclass(frozen=True)
class LevelCounts:
    """What happened at one level, summed over its instances; see the module for the words."""

    name: str
    hits: int
    misses: int
    invalidations: int = 0
    back_invalidations: int = 0
    dirty_victims: int = 0
    writeback_hits: int = 0
    writeback_misses: int = 0


@dataclass(frozen=True)
class FalselySharedLine:
    """A line with false sharing.

    address : of its first byte
    cpus : those whose misses were false sharing, ascending
    count : of those misses
    """

    address: int
    cpus: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class FalseSharing:
    """Misses on lost lines, and those of them that were false sharing; see the module.

    lines : the ten with the most false sharing, those with more first
    """

    coherence_misses: int
    count: int
    lines: tuple[FalselySharedLine, ...]


@dataclass(frozen=True)
class Replay:
    """The counts of one replay.

    accesses : of the trace    line_accesses : to single lines, what the levels count
    seconds : of the replay alone, without reading the trace and without compiling
    private_levels : the first levels whose instances do not serve all CPUs, of a machine: that a
                     core has for itself
    writebacks : lines written to memory
    false_sharing : None if it was not asked for
    """

    accesses: int
    line_accesses: int
    seconds: float
    cpus: int
    threads: int
    last_level: str
    write_backs: str
    levels: tuple[LevelCounts, ...]
    tlb: tuple[LevelCounts, ...]
    private_levels: int
    writebacks: int
    downgrades: int
    upgrades: int
    false_sharing: FalseSharing | None = None

    @property
    def accesses_per_second(self) -> float:
        """Accesses over seconds; 0 for an empty trace."""
        return self.accesses / self.seconds if self.seconds > 0 else 0.0

    def to_json_dict(self) -> dict[str, Any]:
        """The counts as `cgsim replay --json` prints them."""
        counts = {
            "accesses": self.accesses,
            "line_accesses": self.line_accesses,
            "seconds": self.seconds,
            "accesses_per_second": self.accesses_per_second,
            "levels": [_hits_and_misses(level) for level in self.levels],
            "invalidations": {
                level.name: level.invalidations for level in self.levels[: self.private_levels]
            },
            "writebacks": self.writebacks,
            "tlb": [_hits_and_misses(level) for level in self.tlb],
        }
        if self.false_sharing is not None:
            counts["false_sharing"] = {
                "coherence_misses": self.false_sharing.coherence_misses,
                "count": self.false_sharing.count,
                "lines": [
                    {"address": hex(line.address), "cpus": list(line.cpus), "count": line.count}
                    for line in self.false_sharing.lines
                ],
            }
        return counts

    def frame(self) -> pd.DataFrame:
        """One row for each counter: unit (cache, tlb, memory, all), level, counter, count.

        With false sharing also one for each line named: unit line, its address as the level.
        """
        import pandas as pd

        rows: list[tuple[str, str, str, int]] = []
        for unit, levels in (("cache", self.levels), ("tlb", self.tlb)):
            for level in levels:
                names = ["hits", "misses"]
                if unit == "cache":
                    names += ["invalidations", "back_invalidations", "dirty_victims"]
                    names += ["writeback_hits", "writeback_misses"]
                rows += [(unit, level.name, name, getattr(level, name)) for name in names]
        rows.append(("memory", "", "writebacks", self.writebacks))
        rows += [("all", "", name, getattr(self, name)) for name in ("downgrades", "upgrades")]
        rows.append(("all", "", "accesses", self.accesses))
        rows.append(("all", "", "line_accesses", self.line_accesses))
        if (sharing := self.false_sharing) is not None:
            rows.append(("all", "", "coherence_misses", sharing.coherence_misses))
            rows.append(("all", "", "false_sharing", sharing.count))
            rows += [("line", hex(x.address), "false_sharing", x.count) for x in sharing.lines]
        return pd.DataFrame(rows, columns=["unit", "level", "counter", "count"])


def replay(
    addresses: Any,
    caches: str | tuple[Level, ...] = DEFAULT_CACHES,
    cpus: int | None = None,
    threads: int = 1,
    tlb: str | None = None,
    ops: Any = None,
    cpu: Any = None,
    sizes: Any = None,
    *,
    last_level: str = "nine",
    write_backs: str = "auto",
    false_sharing: bool = False,
    line_bytes: int = LINE_BYTES,
) -> Replay:
    """Replay a trace given as arrays or as a table; the module defines what is counted.

    addresses : integers[n], byte addresses (see `trace.trace_of_arrays`), or a DataFrame with
                columns address, and optionally op, cpu and size, or a `Trace`
    caches : levels as "NAME:SIZE/WAYS[@CPUS],...", see `cgsim.trace_replay.geometry.parse_caches`
    cpus : number of CPUs, up to 8192; by default the highest CPU of the trace, plus one
    threads : host threads; the counts do not depend on it, and reads of one CPU take one thread
    tlb : TLB levels as "NAME:ENTRIES/WAYS,..."
    ops : n of "R", "W", "A", or booleans (True writes); by default all reads. A is an access that
          reads and writes, and is counted as a write.
    cpu : integers[n], the CPU of each access; by default CPU 0
    sizes : integers[n], bytes; by default no access crosses a line
    last_level : "nine", "inclusive" or "victim"
    write_backs : "traffic" (one CPU and a nine last level), "silent", or "auto": traffic where it
                  is possible, else silent
    false_sharing : count it, too
    line_bytes : a power of two, 64 to 4096; false sharing is counted in lines of 64

    Returns a `Replay`: the counts, and the seconds that it took. Raises UserError for a malformed
    trace or geometry.
    """
    if isinstance(addresses, Trace):
        trace = addresses
    elif hasattr(addresses, "columns"):
        trace = trace_of_table(addresses)
    else:
        trace = trace_of_arrays(addresses, op=ops, cpu=cpu, size=sizes)
    return _replay(
        trace,
        caches,
        cpus,
        threads,
        tlb,
        last_level,
        write_backs,
        false_sharing=false_sharing,
        line_bytes=line_bytes,
    )


def replay_file(
    path: str | os.PathLike[str],
    caches: str | None = None,
    machine: str | None = None,
    cpus: int | None = None,
    threads: int = 1,
    tlb: str | None = None,
    *,
    last_level: str | None = None,
    write_backs: str = "auto",
    false_sharing: bool = False,
    columns: str | Mapping[str, str] | None = None,
    line_bytes: int | None = None,
) -> Replay:
    """Replay a trace file (`cgsim.trace_replay.trace_files` has the kinds); as `replay`.

    path : a file, or "-" for standard input
    machine : name or file of a profile whose CPUs, caches, inclusion policy of the last level and
              TLB are taken; `caches` replaces its caches and their policy, `tlb` its TLB. Levels
              before the last are filled like nine ones
    columns : names of a table's columns, as "address=addr,op=type"; others are left out then

    last_level : None: the machine's, "nine" without one

    Raises UserError for an unreadable file, a malformed trace or geometry.
    """
    described = None
    pages: str | tuple[Level, ...] | None = tlb
    levels: str | tuple[Level, ...] = DEFAULT_CACHES if caches is None else caches
    policy = "nine" if last_level is None else last_level
    limit = ANY_CPU
    if machine is not None:
        from cgsim.machines import load_machine

        described = load_machine(machine)
        pages = tlb_of_machine(described) if tlb is None else tlb
        last = described.n_cpus - 1
        limit = CpuLimit(described.n_cpus, f"machine {described.name} has CPUs 0 to {last}")
        if caches is None:
            levels = levels_of_machine(described)
            policy = described.caches[-1].inclusion if last_level is None else last_level
            if line_bytes not in (None, LINE_BYTES):
                raise UserError(
                    f"replay: line_bytes = {line_bytes!r} is not allowed; allowed: {LINE_BYTES},"
                    f" as machine {described.name} has them, or other caches"
                )
    if cpus is not None:
        count = _whole("cpus", cpus, 1, limit.cpus, limit.why)
        limit = limit if count == limit.cpus else CpuLimit(count, f"cpus = {count}")
    if isinstance(levels, str):
        levels = parse_caches(levels, _line_bytes(line_bytes))
    return _replay(
        read_trace(path, columns, limit),
        levels,
        cpus,
        threads,
        parse_tlb(pages) if isinstance(pages, str) else pages,
        policy,
        write_backs,
        false_sharing=false_sharing,
        source=str(path),
        machine=described,
        own_caches=machine is not None and caches is None,
        line_bytes=_line_bytes(line_bytes),
    )


def _hits_and_misses(level: LevelCounts) -> dict[str, Any]:
    return {"name": level.name, "hits": level.hits, "misses": level.misses}


def _replay(
    trace: Trace,
    caches: str | tuple[Level, ...],
    cpus: int | None,
    threads: int,
    tlb: str | tuple[Level, ...] | None,
    last_level: str,
    write_backs: str,
    *,
    false_sharing: bool = False,
    source: str = "trace",
    machine: Machine | None = None,
    own_caches: bool = False,
    line_bytes: int = LINE_BYTES,
    options: Options | None = None,
) -> Replay:
    """Check the parameters, then replay.

    own_caches : the levels are the machine's own
    """
    line_bytes = _line_bytes(line_bytes)
    used = int(trace.cpu.max()) + 1 if trace.cpu is not None and len(trace) else 1
    most = MAX_CPUS if machine is None else min(MAX_CPUS, machine.n_cpus)
    cpus = _whole("cpus", used if cpus is None else cpus, 1, most)
    if used > cpus:
        assert trace.cpu is not None
        row = int(np.argmax(trace.cpu >= cpus))
        raise UserError(
            f"{source}: row {row}: cpu = {trace.cpu[row]} is not allowed; allowed: 0 to {cpus - 1}"
            f" (cpus = {cpus})"
        )
    threads = _whole("threads", threads, 1, MAX_THREADS)
    for name, value, allowed in (
        ("last_level", last_level, POLICIES),
        ("write_backs", write_backs, WRITE_BACKS),
    ):
        if value not in allowed:
            raise out_of_range("replay", name, value, ", ".join(allowed))
    if not isinstance(false_sharing, (bool, np.bool_)):
        raise out_of_range("replay", "false_sharing", false_sharing, "True, False")
    if false_sharing and line_bytes != LINE_BYTES:
        raise UserError(
            f"replay: false sharing is counted in lines of {LINE_BYTES} bytes, not of {line_bytes}"
        )
    described = parse_caches(caches, line_bytes) if isinstance(caches, str) else caches
    if last_level == "victim" and len(described) < 2:
        raise UserError("replay: last_level = 'victim' needs two or more levels of caches")
    places = list(range(cpus))
    if machine is not None:
        places = places_on_machine(machine)[:cpus]
        if trace.cpu is not None:
            trace = replace(trace, cpu=np.array(places, np.uint16)[trace.cpu])
        cpus = max(places) + 1
    levels = levels_for_cpus(described, cpus)
    pages = levels_for_cpus(parse_tlb(tlb) if isinstance(tlb, str) else tuple(tlb or ()), cpus)

    cut = cut_at_lines(trace, line_bytes)
    writes = None if cut.op is None or not cut.op.any() else cut.op
    possible = cpus == 1 and last_level == "nine"
    if write_backs == "traffic" and not possible:
        raise UserError(
            f"replay: write_backs = 'traffic' is defined for 1 CPU and a nine last level, not for"
            f" {cpus} CPUs and {last_level}; allowed: silent"
        )
    traffic = write_backs == "traffic" or (write_backs == "auto" and possible)

    plan = Plan(levels, cpus, last_level, traffic)
    options = replace(options or Options(), threads=threads)
    words = words_touched(cut) if false_sharing else None
    loop = options.loop or choose_loop(plan, writes is not None, false_sharing)
    check_memory(len(cut), plan, pages, loop, options)
    compile_loop(loop, levels, cpus, bool(pages), false_sharing)
    # to the loops a line has 64 bytes: longer ones are addressed in larger steps
    address = cut.address
    if line_bytes != LINE_BYTES:
        address = address >> np.uint64((line_bytes // LINE_BYTES).bit_length() - 1)
    begin = time.perf_counter()
    counts = run(address, cut.cpu, writes, plan, replace(options, loop=loop), words)
    tlb_misses: Iterable[int] = ()
    if pages:
        tlb_misses = run_tlb(cut.address, cut.cpu, pages, PAGE_BITS, options).tolist()
    seconds = time.perf_counter() - begin

    return Replay(
        accesses=len(trace),
        line_accesses=len(cut),
        seconds=seconds,
        cpus=cpus,
        threads=threads,
        last_level=last_level,
        write_backs="traffic" if traffic else "silent",
        levels=tuple(
            LevelCounts(level.name, *row)
            for level, row in zip(levels, counts.levels.tolist(), strict=True)
        ),
        tlb=tuple(_tlb_counts(pages, tlb_misses, len(cut))),
        private_levels=_private_levels(levels, cpus, machine if own_caches else None),
        writebacks=counts.writebacks,
        downgrades=counts.downgrades,
        upgrades=counts.upgrades,
        false_sharing=None if counts.sharing is None else _named(counts.sharing, places),
    )


def _private_levels(levels: Sequence[Level], cpus: int, machine: Machine | None) -> int:
    """See `Replay`."""
    if machine is not None:
        return sum(cache.shared_by == "core" for cache in machine.caches)
    return sum(
        level.cpus_per_instance < cpus or number == 0 or (cpus == 1 and number < len(levels) - 1)
        for number, level in enumerate(levels)
    )


def _line_bytes(line_bytes: int | None) -> int:
    """The bytes of a line, checked."""
    size = LINE_BYTES if line_bytes is None else line_bytes
    allowed = [LINE_BYTES << shift for shift in range(7)]
    if isinstance(size, bool) or size not in allowed:
        raise out_of_range("replay", "line_bytes", size, ", ".join(map(str, allowed)))
    return int(size)


def _named(sharing: Sharing, places: Sequence[int]) -> FalseSharing:
    """False sharing with addresses, and with the trace's CPUs."""
    return FalseSharing(
        sharing.coherence_misses,
        sharing.false_sharing,
        tuple(
            FalselySharedLine(
                line * LINE_BYTES, tuple(sorted(places.index(cpu) for cpu in missed)), count
            )
            for line, missed, count in sharing.lines
        ),
    )


def _tlb_counts(levels: Sequence[Level], misses: Iterable[int], lookups: int) -> list[LevelCounts]:
    counts = []
    for level, missed in zip(levels, misses, strict=True):
        counts.append(LevelCounts(level.name, lookups - int(missed), int(missed)))
        lookups = int(missed)
    return counts


def _whole(name: str, value: Any, lowest: int, highest: int, why: str = "") -> int:
    """An integer of a range; why: what sets the range."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise out_of_range("replay", name, value, f"integers {lowest} to {highest}")
    if not lowest <= value <= highest:
        told = f" ({why})" if why else ""
        raise out_of_range("replay", name, value, f"{lowest} to {highest}{told}")
    return int(value)
