"""From a machine profile to what the engine takes."""

from __future__ import annotations

import numpy as np

from cgsim.core.block_fields import INCLUSIVE, NINE, VICTIM
from cgsim.core.system import CLUSTER, PRIVATE, SOCKET, LevelSpec, SystemSpec, TlbSpec
from cgsim.errors import UserError
from cgsim.machines.model import ByDistance, Distance, Machine

INSTRUCTIONS_PER_OP = 1.5
"""Instructions that one slot of the dispatch width takes: compares fuse with branches, nops and
register moves take none. Fitted on the native cycles of the recorded kernel functions on Zen 5
(benchmarks/TRACES.md); taken to hold for the other machines too."""

HOLD_CYCLES = 7
"""Cycles that a scheduler entry is held beyond the wait for operands: from dispatch to execution,
and until a loaded value is certain. Fitted likewise, on some families (benchmarks/TRACES.md)."""

_SHARED_BY = {"core": PRIVATE, "cluster": CLUSTER, "socket": SOCKET}
_INCLUSION = {"nine": NINE, "inclusive": INCLUSIVE, "victim": VICTIM}


def system_spec(machine: Machine, cpus: int = 1, *, prefetch_next_line: bool = False) -> SystemSpec:
    """The engine's parameters for the first `cpus` CPUs of a machine.

    Raises UserError if the machine has fewer CPUs, or private and shared levels in an order that
    the engine does not model.
    """
    if not 1 <= cpus <= machine.n_cpus:
        raise UserError(
            f"machine {machine.name}: cpus = {cpus!r} is not allowed; allowed: 1..{machine.n_cpus}"
        )
    shared = [cache.shared_by for cache in machine.caches]
    reach = [_SHARED_BY[by] for by in shared]
    if shared[0] != "core" or shared[-1] == "core" or reach != sorted(reach):
        raise UserError(
            f"machine {machine.name}: caches shared by {', '.join(shared)} are not modelled; "
            "allowed: levels of a core, then of a cluster, then of a socket, the last one shared"
        )
    numbers = sorted({machine.core_of(cpu) for cpu in range(cpus)})
    index = {core: i for i, core in enumerate(numbers)}
    first_cpu: dict[int, int] = {}
    for cpu in range(cpus):
        first_cpu.setdefault(machine.core_of(cpu), cpu)
    owners = [first_cpu[core] for core in numbers]
    cycles = machine.cycles
    interval_ns = machine.memory.ns_per_line
    return SystemSpec(
        ghz=machine.ghz,
        levels=tuple(_level(machine, number) for number in range(len(machine.caches))),
        tlb=_tlb(machine),
        width=machine.window.dispatch_width * INSTRUCTIONS_PER_OP,
        rob_entries=machine.window.rob_entries,
        store_entries=machine.window.store_buffer_entries,
        store_interval_cycles=1 / machine.window.store_ports,
        fill_entries=machine.window.line_fill_buffers,
        memory_interval_cycles=cycles(interval_ns) if interval_ns else 0.0,
        alu_entries=machine.window.alu_scheduler_entries or 0,
        agu_entries=machine.window.agu_scheduler_entries or 0,
        hold_cycles=HOLD_CYCLES,
        retention_cycles=cycles(1e6 * (machine.caches[-1].retention_half_ms or 0)),
        mispredict_cycles=machine.window.mispredict_cycles,
        locked_cycles=machine.window.locked_rmw_cycles,
        forward_cycles=machine.window.store_forward_cycles,
        fence_cycles=machine.window.lfence_cycles or 0.0,
        alu_cycles=machine.window.alu_cycles,
        multiply_cycles=machine.window.multiply_cycles,
        indexed_cycles=machine.window.indexed_load_extra_cycles,
        prefetch_next_line=prefetch_next_line,
        core_of_cpu=tuple(index[machine.core_of(cpu)] for cpu in range(cpus)),
        cluster_of_core=tuple(machine.cluster_of(cpu) for cpu in owners),
        socket_of_core=tuple(machine.socket_of(cpu) for cpu in owners),
        node_of_core=tuple(machine.numa_node_of(cpu) for cpu in owners),
        memory_cycles=_memory(machine),
        transfer_cycles=_by_distance(machine, machine.coherence.transfer_ns, owners),
        invalidate_cycles=_by_distance(machine, machine.coherence.invalidate_ns, owners),
        sibling_cycles=cycles(machine.coherence.transfer_ns.same_core),
        node_interval_cycles=cycles(machine.memory.node_ns_per_line or 0.0),
        link_interval_cycles=cycles(machine.memory.link_ns_per_line or 0.0),
        memory_same_place_cycles=cycles(machine.memory.ns_per_line_of_place or 0.0),
    )


def _level(machine: Machine, number: int) -> LevelSpec:
    cache = machine.caches[number]
    # the first level's interval is that of the load ports
    interval = 1 / machine.window.load_ports if number == 0 else cache.cycles_per_line or 0.0
    return LevelSpec(
        cache.size_bytes,
        cache.ways,
        cache.load_to_use_cycles,
        interval,
        _SHARED_BY[cache.shared_by],
        _INCLUSION[cache.inclusion],
        cache.index == "hashed",
        cache.replacement == "random",
        cache.cycles_per_line_of_place or 0.0,
    )


def _tlb(machine: Machine) -> TlbSpec:
    tlb = machine.tlb
    sizes = (tlb.l1_entries_4k, tlb.l1_entries_2m, tlb.l1_entries_1g)
    ways = tuple(_whole_sets(entries, tlb.l1_ways_4k) for entries in sizes)
    return TlbSpec(
        entries_1=sizes,
        ways_1=ways,
        shared_1=tlb.l1_structure == "shared",
        entries_2=tlb.l2_entries,
        ways_2=tlb.l2_ways,
        giant_in_2=tlb.l2_pages == "4k-2m-1g",
        extra_cycles=tlb.l2_hit_extra_cycles,
        walk_cycles=(tlb.walk_cycles_4k, tlb.walk_cycles_2m, tlb.walk_cycles_2m),
        huge_bytes=tlb.entry_bytes_2m,
    )


def _whole_sets(entries: int, most: int) -> int:
    """The most ways, up to `most`, by which `entries` make whole sets.

    The other page sizes' ways are not stated; 32 entries beside 6 ways are 8 sets of 4.
    """
    return next(ways for ways in range(min(most, entries), 0, -1) if entries % ways == 0)


def _memory(machine: Machine) -> tuple[tuple[float, ...], ...]:
    """memory_cycles[node][home] for the nodes of the whole machine."""
    first_cpu: dict[int, int] = {}
    for cpu in range(machine.n_cpus):
        first_cpu.setdefault(machine.numa_node_of(cpu), cpu)
    nodes = range(machine.n_numa_nodes)
    return tuple(
        tuple(machine.cycles(machine.memory_ns(first_cpu[node], home)) for home in nodes)
        for node in nodes
    )


def _by_distance(machine: Machine, times: ByDistance, owners: list[int]) -> np.ndarray:
    """Cycles by core and other core, float64."""
    cycles = [machine.cycles(times[distance]) for distance in Distance]
    return np.array([[cycles[machine.distance(cpu, other)] for other in owners] for cpu in owners])
