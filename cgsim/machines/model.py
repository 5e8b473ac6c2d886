"""What a described machine is: frozen, hashable, picklable, plain numbers in fixed units.

The fields of the dataclasses below are also the schema of the files that `cgsim.machines.reader`
reads: a field that is a dataclass is a mapping in the file, every other field is a leaf whose unit
and range its `_number` or `_choice` states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from cgsim.errors import UserError

LINE_BYTES = 64


class Distance(IntEnum):
    """How far apart two CPUs are, for the movement of a cache line."""

    SAME_CORE = 0
    SAME_CLUSTER = 1
    SAME_SOCKET = 2
    OTHER_SOCKET = 3
    FAR_SOCKET = 4


class Provenance(NamedTuple):
    """Where one value of a profile comes from."""

    field: str
    """Dotted name, as `caches.L2.ways`."""
    value: int | float | str | None
    """As written in the file."""
    unit: str
    source: str
    """A citation, or `unverified: reason`."""

    @property
    def is_verified(self) -> bool:
        return not self.source.startswith("unverified: ")


class Leaf(NamedTuple):
    """What the file may hold for one field."""

    units: tuple[str, ...]
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    optional: bool = False
    names: tuple[str, ...] = ()
    default: str | None = None
    """What a file means that leaves the field out; None: it must not."""
    may_miss: bool = False
    """A file may leave it out, which is null."""


def _number(
    *units: str, high: float, low: float = 0, whole: bool = False, optional: bool = False
) -> Any:
    """A leaf that is a number in one of `units`; `optional` allows null (not known, not modelled).

    Where both cycles and ns are allowed, the value is held in cycles at the machine's clock.
    """
    return field(metadata={"leaf": Leaf(units, low, high, whole, optional)})


def _later(unit: str) -> Any:
    """A number that profiles may leave out, which is null: not known, not modelled."""
    return field(
        metadata={"leaf": Leaf((unit,), 0, 1e5, optional=True, may_miss=True)}, default=None
    )


def _choice(*names: str, default: str | None = None) -> Any:
    """A leaf that is one of `names`; a file may leave it out if there is a `default`."""
    return field(metadata={"leaf": Leaf(("name",), names=names, default=default)})


def _count(low: float = 1, high: float = 1 << 20, *, optional: bool = False) -> Any:
    return _number("count", low=low, high=high, whole=True, optional=optional)


def _cycles(low: float = 0, *, optional: bool = False) -> Any:
    return _number("cycles", low=low, high=1e5, optional=optional)


def _ns(low: float = 0) -> Any:
    return _number("ns", low=low, high=1e5)


@dataclass(frozen=True)
class Clock:
    """Core clock."""

    ghz: float = _number("GHz", low=0.1, high=10)
    """The clock at which ns and cycles are converted into each other."""
    single_core_ghz: float | None = _number("GHz", low=0.1, high=10, optional=True)
    """With one busy core on the socket."""
    all_core_ghz: float | None = _number("GHz", low=0.1, high=10, optional=True)
    """With all cores of the socket busy."""


@dataclass(frozen=True)
class Topology:
    """CPUs (hardware threads), cores, clusters, NUMA nodes, sockets.

    A cluster is the set of cores that share an L3: a CCX on AMD, the socket on Intel and Arm. The
    last cluster of a socket and the last NUMA node may be smaller than the others.
    """

    sockets: int = _count(high=64)
    cores_per_socket: int = _count(high=1024)
    threads_per_core: int = _count(high=8)
    cores_per_cluster: int = _count(high=1024)
    clusters_per_numa_node: int = _count(high=1024)
    sockets_per_interconnect: int = _count(high=64)
    """Sockets one hop apart; a socket outside of this group is far."""
    cpu_numbering: str = _choice("cores-first", "siblings-adjacent")
    """`cores-first`: CPU 0.. are the first threads of all cores, socket after socket, then the
    second threads in the same order. `siblings-adjacent`: the threads of a core are consecutive."""


@dataclass(frozen=True)
class Cache:
    """One cache level. Write-back and write-allocate are the engine's; not stated here."""

    name: str
    size_bytes: int = _number("bytes", low=64, high=1 << 40, whole=True)
    ways: int = _number("ways", low=1, high=1 << 12, whole=True)
    index: str = _choice("plain", "hashed")
    """How an address chooses its set: by the bits above the line, or by a hash of all bits, which
    spreads a power-of-two stride over all sets."""
    line_bytes: int = _number("bytes", low=LINE_BYTES, high=LINE_BYTES, whole=True)
    load_to_use_cycles: float = _number("cycles", "ns", low=0.1, high=1e5)
    """From the address being ready to the value being ready, when this level hits; the total, not
    the step from the level before. Without TLB misses. Given as `load_to_use`, in cycles or ns."""
    cycles_per_line: float | None = _cycles(optional=True)
    """One line at most per this time to one core (bandwidth); null: not limited."""
    shared_by: str = _choice("core", "cluster", "socket")
    inclusion: str = _choice("nine", "inclusive", "victim")
    """Towards the level before it: non-inclusive non-exclusive, inclusive with
    back-invalidation, or filled by that level's victims."""
    retention_half_ms: float | None = _number("ms", low=1e-3, high=1e6, optional=True)
    """Half of the lines are gone when not touched for this long, because strangers share the
    cache; null: nobody does."""
    replacement: str = _choice("lru", "random", default="lru")
    """Which line of a full set makes room: the one unused for longest, or any."""
    cycles_per_line_of_place: float | None = _later("cycles")
    """One line at most per this time to one core of those at the same place in their 4 KiB pages;
    null: not limited. Such lines share a set of L1 and what is interleaved below it."""

    @property
    def sets(self) -> int:
        return self.size_bytes // (self.ways * self.line_bytes)


@dataclass(frozen=True)
class Tlb:
    """Two-level data TLB. Fully associative where the ways equal the entries."""

    l1_entries_4k: int = _count()
    l1_ways_4k: int = _number("ways", low=1, high=1 << 20, whole=True)
    l1_entries_2m: int = _count()
    """Equal to `l1_entries_4k` where the entries are shared by all page sizes."""
    l1_entries_1g: int = _count()
    l1_structure: str = _choice("shared", "split")
    """One structure for all page sizes, or one per size."""
    l2_entries: int = _count()
    l2_ways: int = _number("ways", low=1, high=1 << 20, whole=True)
    l2_pages: str = _choice("4k-2m", "4k-2m-1g")
    """The page sizes that the second level holds; a 1 GiB page it does not hold is walked."""
    entry_bytes_2m: int = _number("bytes", low=4096, high=1 << 30, whole=True)
    """What one entry covers of a 2 MiB page; less where the host backs a guest by small pages."""
    l2_hit_extra_cycles: float = _cycles()
    """Added to a load that misses the first level and hits the second."""
    walk_cycles_4k: float = _cycles()
    """Added on top of `l2_hit_extra_cycles` by a miss of both levels, page-table entries cached."""
    walk_cycles_2m: float = _cycles()


@dataclass(frozen=True)
class Window:
    """The out-of-order instruction window of one core."""

    dispatch_width: float = _number("ops/cycle", low=1, high=64)
    rob_entries: int = _count(high=1 << 14)
    alu_scheduler_entries: int | None = _count(high=1 << 14, optional=True)
    """ALU operations that may wait for their operands; null: it does not bind."""
    agu_scheduler_entries: int | None = _count(high=1 << 14, optional=True)
    """Loads and stores that may wait for their addresses; null: it does not bind."""
    load_ports: float = _number("ops/cycle", low=0.5, high=16)
    store_ports: float = _number("ops/cycle", low=0.5, high=16)
    integer_alus: float = _number("ops/cycle", low=1, high=64)
    """Integer operations per cycle: what bounds code of little else, where dispatch is wider."""
    store_buffer_entries: int = _count(high=1 << 12)
    line_fill_buffers: int = _count(high=1 << 12)
    """Lines that may be on their way into L1 at once."""
    mispredict_cycles: float = _cycles()
    alu_cycles: float = _cycles(low=0.1)
    multiply_cycles: float = _cycles(low=0.1)
    indexed_load_extra_cycles: float = _cycles()
    """Added to a load whose address has an index register."""
    locked_rmw_cycles: float = _cycles(low=0.1)
    """An atomic read-modify-write whose line is owned and in L1, its load included."""
    store_forward_cycles: float = _cycles()
    """From the stored value being ready to a load of the same address having it."""
    call_return_cycles: float | None = _cycles(optional=True)
    """A call and its return, back to back."""
    lfence_cycles: float | None = _cycles(optional=True)


@dataclass(frozen=True)
class ByDistance:
    """One time per distance, nearest first."""

    same_core: float = _ns()
    same_cluster: float = _ns()
    same_socket: float = _ns()
    other_socket: float = _ns()
    far_socket: float = _ns()

    def __getitem__(self, distance: int) -> float:
        return self.as_tuple()[distance]

    def as_tuple(self) -> tuple[float, float, float, float, float]:
        """Indexed by `Distance`."""
        return (
            self.same_core,
            self.same_cluster,
            self.same_socket,
            self.other_socket,
            self.far_socket,
        )


@dataclass(frozen=True)
class Coherence:
    """Movement of lines between cores, by the distance of the two CPUs."""

    transfer_ns: ByDistance
    """Until a line that another core has modified is here, in the state asked for. It takes the
    place of the L1 latency: a load takes this, an atomic takes this + `locked_rmw_cycles` - L1."""
    invalidate_ns: ByDistance
    """Until a store to a shared line has rid the farthest other copy of it (upgrade)."""


@dataclass(frozen=True)
class Memory:
    """DRAM, seen by a load that misses all caches. Without TLB misses."""

    local_ns: float = _ns(low=1)
    remote_ns: float = _ns(low=1)
    """On another socket, or on another NUMA node of this one where a socket has several."""
    far_ns: float = _ns(low=1)
    """On a far socket."""
    ns_per_line: float | None = _number("ns", low=0, high=1e3, optional=True)
    """One line at most per this time to one core; null: limited by the line-fill buffers only."""
    node_ns_per_line: float | None = _number("ns", low=0, high=1e3, optional=True)
    """One line at most per this time from one node's memory to all cores; null: not limited."""
    link_ns_per_line: float | None = _number("ns", low=0, high=1e3, optional=True)
    """Likewise over the node's links to the other nodes; only with `node_ns_per_line`."""
    ns_per_line_of_place: float | None = _later("ns")
    """One line at most per this time to one core of those at the same place in their 4 KiB pages;
    null: not limited."""


@dataclass(frozen=True)
class Machine:
    """One machine. `provenance` says where every value comes from (see
    `cgsim.machines.explain`)."""

    name: str
    title: str
    vendor: str
    published_as: tuple[str, ...]
    """Names of this machine in `data/published/published.csv`."""
    clock: Clock
    topology: Topology
    caches: tuple[Cache, ...]
    tlb: Tlb
    window: Window
    coherence: Coherence
    memory: Memory
    provenance: tuple[Provenance, ...] = field(repr=False, compare=False)

    @property
    def ghz(self) -> float:
        return self.clock.ghz

    def cycles(self, ns: float) -> float:
        """Nanoseconds in cycles of this machine's clock."""
        return ns * self.clock.ghz

    def ns(self, cycles: float) -> float:
        """Cycles of this machine's clock in nanoseconds."""
        return cycles / self.clock.ghz

    def busy_ghz(self, busy_cores: int) -> float:
        """The clock of a socket with so many busy cores: linear between the two stated clocks.

        `clock.ghz` where the profile does not state them.
        """
        single, loaded = self.clock.single_core_ghz, self.clock.all_core_ghz
        if single is None or loaded is None:
            return self.clock.ghz
        share = (busy_cores - 1) / max(self.topology.cores_per_socket - 1, 1)
        return single + (loaded - single) * min(max(share, 0.0), 1.0)

    @property
    def n_cores(self) -> int:
        return self.topology.sockets * self.topology.cores_per_socket

    @property
    def n_cpus(self) -> int:
        return self.n_cores * self.topology.threads_per_core

    @property
    def clusters_per_socket(self) -> int:
        return math.ceil(self.topology.cores_per_socket / self.topology.cores_per_cluster)

    @property
    def numa_nodes_per_socket(self) -> int:
        return math.ceil(self.clusters_per_socket / self.topology.clusters_per_numa_node)

    @property
    def n_clusters(self) -> int:
        return self.topology.sockets * self.clusters_per_socket

    @property
    def n_numa_nodes(self) -> int:
        return self.topology.sockets * self.numa_nodes_per_socket

    def core_of(self, cpu: int) -> int:
        """The core of a CPU, counted over the whole machine."""
        if not 0 <= cpu < self.n_cpus:
            raise UserError(
                f"machine {self.name}: cpu = {cpu!r} is not allowed; allowed: 0..{self.n_cpus - 1}"
            )
        if self.topology.cpu_numbering == "cores-first":
            return cpu % self.n_cores
        return cpu // self.topology.threads_per_core

    def socket_of(self, cpu: int) -> int:
        return self.core_of(cpu) // self.topology.cores_per_socket

    def cluster_of(self, cpu: int) -> int:
        """The cluster of a CPU, counted over the whole machine."""
        socket, core = divmod(self.core_of(cpu), self.topology.cores_per_socket)
        return socket * self.clusters_per_socket + core // self.topology.cores_per_cluster

    def numa_node_of(self, cpu: int) -> int:
        """The NUMA node of a CPU, counted over the whole machine."""
        socket, cluster = divmod(self.cluster_of(cpu), self.clusters_per_socket)
        return socket * self.numa_nodes_per_socket + (
            cluster // self.topology.clusters_per_numa_node
        )

    def distance(self, cpu: int, other: int) -> Distance:
        """How far apart two CPUs are; a CPU is at `SAME_CORE` from itself."""
        if self.core_of(cpu) == self.core_of(other):
            return Distance.SAME_CORE
        if self.cluster_of(cpu) == self.cluster_of(other):
            return Distance.SAME_CLUSTER
        socket, other_socket = self.socket_of(cpu), self.socket_of(other)
        if socket == other_socket:
            return Distance.SAME_SOCKET
        group = self.topology.sockets_per_interconnect
        if socket // group == other_socket // group:
            return Distance.OTHER_SOCKET
        return Distance.FAR_SOCKET

    def memory_ns(self, cpu: int, node: int) -> float:
        """Latency of a load by `cpu` from the memory of NUMA node `node`."""
        if not 0 <= node < self.n_numa_nodes:
            raise UserError(
                f"machine {self.name}: node = {node!r} is not allowed; "
                f"allowed: 0..{self.n_numa_nodes - 1}"
            )
        if self.numa_node_of(cpu) == node:
            return self.memory.local_ns
        group = self.topology.sockets_per_interconnect
        if self.socket_of(cpu) // group == node // self.numa_nodes_per_socket // group:
            return self.memory.remote_ns
        return self.memory.far_ns
