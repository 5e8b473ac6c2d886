"""Machine profiles: load, validate, list, explain.

A profile is one YAML file that describes one machine: clock, topology, caches, TLB, instruction
window, coherence, memory. Every value stands there with its unit and either its
source or the reason why it is unverified (`data/machines/README.md` has the schema). Here it
becomes a `Machine`: frozen, hashable, picklable, plain numbers in fixed units, without numba.

The fields of the dataclasses below are the schema: a field that is a dataclass is a mapping in the
file, every other field is a leaf whose unit and range its `_number` or `_choice` states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from enum import IntEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import yaml

from cgsim.data import StrictLoader, data_path
from cgsim.errors import UserError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA_VERSION = 1
LINE_BYTES = 64

_SUFFIXES = (".yml", ".yaml")


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


class _Leaf(NamedTuple):
    """What the file may hold for one field."""

    units: tuple[str, ...]
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    optional: bool = False
    names: tuple[str, ...] = ()


def _number(
    *units: str, high: float, low: float = 0, whole: bool = False, optional: bool = False
) -> Any:
    """A leaf that is a number in one of `units`; `optional` allows null (not known, not modelled).

    Where both cycles and ns are allowed, the value is held in cycles at the machine's clock.
    """
    return field(metadata={"leaf": _Leaf(units, low, high, whole, optional)})


def _choice(*names: str) -> Any:
    """A leaf that is one of `names`."""
    return field(metadata={"leaf": _Leaf(("name",), names=names)})


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
    """One cache level. True LRU, write-back, write-allocate are the engine's; not stated here."""

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


@dataclass(frozen=True)
class Machine:
    """One machine. `provenance` says where every value comes from (see `explain`)."""

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


def list_machines() -> tuple[str, ...]:
    """The names of the profiles that come with the package, sorted."""
    return tuple(sorted(path.stem for path in data_path("machines").glob("*.yml")))


def load_machine(name_or_path: str | Path) -> Machine:
    """The machine of a profile: its name, or the path of a YAML file.

    What ends in .yml or .yaml or has a directory part is taken as a path. Raises `UserError` with
    one line that names the file, the field, the value and what is allowed.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(_SUFFIXES) or "/" in text or "\\" in text:
        return _read(Path(name_or_path))
    names = list_machines()
    if text not in names:
        raise unknown_name("machine", text, names)
    return _load_builtin(text)


def find_published(machine: str) -> Machine:
    """The machine that `data/published/published.csv` calls `machine`.

    Raises `UserError` if no profile claims that name.
    """
    known: dict[str, str] = {}
    for name in list_machines():
        known.update(dict.fromkeys(_load_builtin(name).published_as, name))
    if machine not in known:
        raise unknown_name("published machine", machine, known)
    return _load_builtin(known[machine])


def explain(machine: Machine) -> tuple[Provenance, ...]:
    """One row per value of a machine: field, value, unit, source or `unverified: reason`."""
    return machine.provenance


@cache
def _load_builtin(name: str) -> Machine:
    machine = _read(data_path("machines", f"{name}.yml"))
    if machine.name != name:
        raise UserError(
            f"{name}.yml: name = {machine.name!r} is not allowed; allowed: {name!r}, as the file"
        )
    return machine


def _read(path: Path) -> Machine:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{path}: cannot read the machine profile: {reason}") from None
    try:
        document = yaml.load(text, Loader=StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{where}: not valid YAML: {problem}") from None
    return _Reader(str(path)).machine(document)


class _Reader:
    """Turns one parsed document into a `Machine`, collecting the provenance of every leaf."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.sources: dict[str, str] = {}
        self.used: set[str] = set()
        self.rows: list[Provenance] = []
        self.ghz = math.nan

    def error(self, name: str, value: object, allowed: str) -> UserError:
        shown = repr(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return UserError(f"{self.file}: {name} = {shown} is not allowed; allowed: {allowed}")

    def machine(self, document: object) -> Machine:
        if not isinstance(document, dict):
            raise UserError(f"{self.file}: not a machine profile: the file must be a mapping")
        # The version first: a file of another schema is wrong in ways not worth listing.
        if document.get("schema") != SCHEMA_VERSION or isinstance(document.get("schema"), bool):
            raise self.error("schema", document.get("schema"), str(SCHEMA_VERSION))
        hints = get_type_hints(Machine)
        sections = [item.name for item in fields(Machine) if is_dataclass(hints[item.name])]
        plain = ["schema", "name", "title", "vendor", "published_as", "sources"]
        self.check_keys("", document, [*plain, *sections, "caches"])
        self.read_sources(document["sources"])

        # The clock comes first, since it converts the latencies given in ns.
        clock = self.section("clock", Clock, document["clock"])
        self.ghz = clock.ghz
        values = {
            "clock": clock,
            "topology": self.section("topology", Topology, document["topology"]),
        }
        values["caches"] = self.caches(document["caches"])
        for name in sections:
            if name not in values:
                values[name] = self.section(name, hints[name], document[name])
        machine = Machine(
            name=self.text("name", document["name"]),
            title=self.text("title", document["title"]),
            vendor=self.text("vendor", document["vendor"]),
            published_as=self.texts("published_as", document["published_as"]),
            provenance=tuple(self.rows),
            **values,
        )
        for key in self.sources:
            if key not in self.used:
                raise self.error(f"sources.{key}", self.sources[key], "sources that a value cites")
        self.check_consistent(machine)
        return machine

    def check_keys(self, where: str, mapping: object, allowed: Iterable[str]) -> None:
        names = list(allowed)
        label = where or "the file"
        if not isinstance(mapping, dict):
            raise self.error(label, mapping, f"a mapping with {', '.join(names)}")
        for key in mapping:
            if key not in names:
                close = get_close_matches(str(key), names, n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                raise UserError(
                    f"{self.file}: unknown field {_join(where, key)!r}{hint}; "
                    f"allowed in {label}: {', '.join(names)}"
                )
        for key in names:
            if key not in mapping:
                raise UserError(f"{self.file}: missing field {_join(where, key)!r}")

    def text(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.error(name, value, "text")
        return value

    def texts(self, name: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.error(name, value, "a list of text")
        return tuple(self.text(name, item) for item in value)

    def read_sources(self, value: object) -> None:
        if not isinstance(value, dict):
            raise self.error("sources", value, "a mapping of short keys to citations")
        self.sources = {key: self.text(f"sources.{key}", text) for key, text in value.items()}

    def caches(self, value: object) -> tuple[Cache, ...]:
        if not isinstance(value, dict) or not value:
            raise self.error("caches", value, "a mapping L1, L2, ...")
        self.check_keys("caches", value, [f"L{i + 1}" for i in range(len(value))])
        return tuple(
            self.section(f"caches.{name}", Cache, value[name], name=name) for name in sorted(value)
        )

    def section(self, where: str, cls: type, value: object, **given: str) -> Any:
        """An instance of the dataclass `cls` from the mapping `value`."""
        hints = get_type_hints(cls)
        wanted = [item for item in fields(cls) if item.name not in given]
        self.check_keys(where, value, [_key(item.name) for item in wanted])
        mapping: Mapping[str, Any] = value  # type: ignore[assignment]
        values: dict[str, Any] = dict(given)
        for item in wanted:
            name = _join(where, _key(item.name))
            entry = mapping[_key(item.name)]
            if "leaf" in item.metadata:
                values[item.name] = self.leaf(name, item.metadata["leaf"], entry)
            else:
                values[item.name] = self.section(name, hints[item.name], entry)
        return cls(**values)

    def leaf(self, name: str, leaf: _Leaf, entry: object) -> Any:
        """The value of one leaf, in the unit its field's name ends in."""
        if not isinstance(entry, dict):
            raise self.error(name, entry, "{value, unit, source} or {value, unit, unverified}")
        origin = "unverified" if "unverified" in entry else "source"
        self.check_keys(name, entry, ["value", "unit", origin])
        value, unit = entry["value"], entry["unit"]
        if unit not in leaf.units:
            raise self.error(f"{name}.unit", unit, " or ".join(leaf.units))
        self.check_value(f"{name}.value", value, leaf)
        self.rows.append(Provenance(name, value, unit, self.origin(name, origin, entry[origin])))
        if unit == "ns" and "cycles" in leaf.units:
            return value * self.ghz if value is not None else None
        return float(value) if value is not None and not (leaf.whole or leaf.names) else value

    def check_value(self, name: str, value: object, leaf: _Leaf) -> None:
        if leaf.names:
            if value not in leaf.names or not isinstance(value, str):
                raise self.error(name, value, " or ".join(leaf.names))
            return
        if value is None and leaf.optional:
            return
        kind = "a whole number" if leaf.whole else "a number"
        allowed = f"{kind} in {leaf.low:g}..{leaf.high:g}" + (" or null" if leaf.optional else "")
        right_type = isinstance(value, int) or (isinstance(value, float) and not leaf.whole)
        if isinstance(value, bool) or not right_type:
            raise self.error(name, value, allowed)
        if not leaf.low <= value <= leaf.high:  # type: ignore[arg-type, operator]
            raise self.error(name, value, allowed)

    def origin(self, name: str, kind: str, value: object) -> str:
        text = self.text(f"{name}.{kind}", value)
        if kind == "unverified":
            return f"unverified: {text}"
        key, _, detail = text.partition("; ")
        if key not in self.sources:
            raise self.error(
                f"{name}.source", text, f"'KEY' or 'KEY; detail', KEY of {', '.join(self.sources)}"
            )
        self.used.add(key)
        return f"{detail}; {self.sources[key]}" if detail else self.sources[key]

    def check_consistent(self, machine: Machine) -> None:
        """What no single field can be blamed for: orders and divisibility."""
        for level in machine.caches:
            if level.size_bytes % (level.ways * level.line_bytes):
                raise self.error(
                    f"caches.{level.name}.size_bytes.value",
                    level.size_bytes,
                    f"a multiple of ways * line_bytes = {level.ways * level.line_bytes}",
                )
        tlb = machine.tlb
        for entries, ways in (("l1_entries_4k", "l1_ways_4k"), ("l2_entries", "l2_ways")):
            if getattr(tlb, entries) % getattr(tlb, ways):
                raise self.error(
                    f"tlb.{entries}.value",
                    getattr(tlb, entries),
                    f"a multiple of {ways} = {getattr(tlb, ways)}",
                )
        latencies = [(f"caches.{c.name}.load_to_use", c.load_to_use_cycles) for c in machine.caches]
        memory = machine.memory
        latencies += [
            (f"memory.{name}", machine.cycles(getattr(memory, name)))
            for name in ("local_ns", "remote_ns", "far_ns")
        ]
        self.check_ascending(latencies, "cycles")
        self.check_ascending(
            [(f"caches.{c.name}.size_bytes", c.size_bytes) for c in machine.caches]
        )
        reach = ("core", "cluster", "socket")
        self.check_ascending(
            [(f"caches.{c.name}.shared_by", reach.index(c.shared_by)) for c in machine.caches]
        )
        for group in ("transfer_ns", "invalidate_ns"):
            times: ByDistance = getattr(machine.coherence, group)
            self.check_ascending(
                [
                    (f"coherence.{group}.{item.name}", getattr(times, item.name))
                    for item in fields(ByDistance)
                ]
            )
        topology = machine.topology
        if topology.cores_per_cluster > topology.cores_per_socket:
            raise self.error(
                "topology.cores_per_cluster.value",
                topology.cores_per_cluster,
                f"at most cores_per_socket = {topology.cores_per_socket}",
            )

    def check_ascending(self, steps: list[tuple[str, float]], unit: str = "") -> None:
        for (before, low), (name, high) in pairwise(steps):
            if high < low:
                raise self.error(
                    name, round(high, 3), f"at least {before} = {round(low, 3):g} {unit}".rstrip()
                )


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _key(field_name: str) -> str:
    """The name of a field in the file, where the unit of a load-to-use time is free."""
    return "load_to_use" if field_name == "load_to_use_cycles" else field_name
