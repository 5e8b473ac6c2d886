"""Cache and TLB levels of a replay, read from short texts such as "L1:32KiB/8,L3:16MiB/16"."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from cgsim.errors import UserError
from cgsim.trace_replay.trace import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.machines.model import Machine

LINE_BYTES = 64
PAGE_BITS = 12
DEFAULT_CACHES = "L1:32KiB/8,L2:512KiB/8,L3:16MiB/16"

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_CACHE = re.compile(r"(\w{1,32}):(\d{1,18})\s*(\w*)/(\d{1,18})(?:@(\d{1,18}|all))?", re.ASCII)
_TLB = re.compile(r"(\w{1,32}):(\d{1,18})/(\d{1,18})", re.ASCII)
_MAX_WAYS = 1024
_MAX_SETS = 1 << 24


@dataclass(frozen=True)
class Level:
    """A level of caches or of TLBs.

    sets : sets of one instance; need not be a power of two
    ways : entries of a set
    cpus_per_instance : CPUs that share an instance; 0 means all of them
    hashed : the set is chosen by a hash of the line's number, see `cgsim.core.replay.index`, not by
             its last bits
    """

    name: str
    sets: int
    ways: int
    cpus_per_instance: int = 1
    hashed: bool = False

    @property
    def fold(self) -> int:
        """Bits by which a hashed line's number is folded onto itself; 0 where it is not."""
        return max((self.sets - 1).bit_length(), 1) if self.hashed else 0


def parse_caches(text: str, line_bytes: int = LINE_BYTES) -> tuple[Level, ...]:
    """Levels from "NAME:SIZE/WAYS[@CPUS],...", the one nearest to the CPU first.

    SIZE is a number with B, KiB, MiB, GiB or TiB. @CPUS is the number of CPUs that
    share an instance, or "all". Without it the last of several levels is shared by all and every
    other level is private. Raises UserError.
    """
    levels = []
    parts = [part.strip() for part in text.split(",")]
    for number, part in enumerate(parts):
        match = _CACHE.fullmatch(part)
        unit = (match[3] or "B") if match else ""
        if match is None or unit not in _UNITS:
            raise UserError(
                f"caches: {shown(part)} is not NAME:SIZE/WAYS[@CPUS] with a size in B, KiB, MiB,"
                " GiB or TiB, such as L1:32KiB/8; all instances of a level are alike"
            )
        size, ways = int(match[2]) * _UNITS[unit], int(match[4])
        shared = match[5]
        if shared is None:
            cpus = 0 if number == len(parts) - 1 and number > 0 else 1
        else:
            cpus = 0 if shared == "all" else int(shared)
            if shared == "0":
                raise UserError(
                    f"caches: {shown(part)}: 0 CPUs cannot share a level; allowed: 1 or more"
                )
        levels.append(cache_level(match[1], size, ways, cpus, line_bytes))
    return check_levels("caches", levels)


def cache_level(
    name: str, size_bytes: int, ways: int, cpus_per_instance: int, line_bytes: int = LINE_BYTES
) -> Level:
    """A cache level from its size; raises UserError if its sets are not a whole number."""
    if not 1 <= ways <= _MAX_WAYS:
        raise UserError(f"caches: {name}: ways = {ways} is not allowed; allowed: 1 to {_MAX_WAYS}")
    sets, rest = divmod(size_bytes, line_bytes * ways)
    if sets < 1 or rest:
        raise UserError(
            f"caches: {name}: a size of {size_bytes} bytes is not allowed; allowed: multiples of"
            f" {line_bytes * ways} bytes ({ways} ways of {line_bytes} bytes)"
        )
    if sets > _MAX_SETS:
        raise UserError(f"caches: {name}: {sets} sets are not allowed; allowed: up to {_MAX_SETS}")
    return Level(name, sets, ways, cpus_per_instance)


def parse_tlb(text: str) -> tuple[Level, ...]:
    """TLB levels from "NAME:ENTRIES/WAYS,...", all private to a CPU. Raises UserError."""
    levels = []
    for part in (part.strip() for part in text.split(",")):
        match = _TLB.fullmatch(part)
        if match is None:
            raise UserError(f"tlb: {shown(part)} is not NAME:ENTRIES/WAYS, such as L1:64/4")
        entries, ways = int(match[2]), int(match[3])
        if not 1 <= ways <= _MAX_WAYS or entries < ways or entries % ways:
            raise UserError(
                f"tlb: {shown(part)}: entries must be a multiple of ways, and ways 1 to {_MAX_WAYS}"
            )
        if entries // ways > _MAX_SETS:
            raise UserError(
                f"tlb: {shown(part)}: {entries // ways} sets are not allowed; allowed: up to"
                f" {_MAX_SETS}"
            )
        levels.append(Level(match[1], entries // ways, ways))
    return check_levels("tlb", levels)


def check_levels(kind: str, levels: Sequence[Level]) -> tuple[Level, ...]:
    """Check names and sharing: each level is shared by a multiple of the CPUs of the one above."""
    names = [level.name for level in levels]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{kind}: two levels are named {name!r}; allowed: different names")
    for above, below in pairwise(levels):
        inner, outer = above.cpus_per_instance, below.cpus_per_instance
        if outer and (inner == 0 or outer % inner):
            raise UserError(
                f"{kind}: {below.name} is shared by {outer} CPUs, {above.name} by"
                f" {inner or 'all'}; allowed: a multiple from level to level"
            )
    return tuple(levels)


def levels_for_cpus(levels: Sequence[Level], cpus: int) -> tuple[Level, ...]:
    """The levels with "all" spelt out, and no instance larger than the machine."""
    return tuple(
        replace(level, cpus_per_instance=min(level.cpus_per_instance or cpus, cpus))
        for level in levels
    )


def levels_of_machine(machine: Machine) -> tuple[Level, ...]:
    """The data caches of a machine profile, for CPUs numbered by `places_on_machine`."""
    spans = _spans(machine)
    levels = [
        replace(
            cache_level(cache.name, cache.size_bytes, cache.ways, spans[cache.shared_by]),
            hashed=cache.index == "hashed",
        )
        for cache in machine.caches
    ]
    return check_levels(f"machine {machine.name}", levels)


def tlb_of_machine(machine: Machine) -> tuple[Level, ...]:
    """The data TLB of a machine profile for pages of 4 KiB, one for each core."""
    tlb = machine.tlb
    threads = machine.topology.threads_per_core
    return (
        Level("L1", tlb.l1_entries_4k // tlb.l1_ways_4k, tlb.l1_ways_4k, threads),
        Level("L2", tlb.l2_entries // tlb.l2_ways, tlb.l2_ways, threads),
    )


def places_on_machine(machine: Machine) -> list[int]:
    """A number for each CPU, such that instance number // CPUs of an instance serves it.

    The CPUs of a core, a cluster and a socket are consecutive; a smaller last cluster leaves a gap.
    """
    spans = _spans(machine)
    seen: dict[int, int] = {}
    places = []
    for cpu in range(machine.n_cpus):
        core = machine.core_of(cpu)
        thread = seen.get(core, 0)
        seen[core] = thread + 1
        within = core % machine.topology.cores_per_socket % machine.topology.cores_per_cluster
        cluster = machine.cluster_of(cpu) * spans["cluster"]
        places.append(cluster + within * spans["core"] + thread)
    return places


def _spans(machine: Machine) -> dict[str, int]:
    """The CPUs of a core, of a full cluster, and of a socket of full clusters."""
    core = machine.topology.threads_per_core
    cluster = core * machine.topology.cores_per_cluster
    return {"core": core, "cluster": cluster, "socket": cluster * machine.clusters_per_socket}
