"""Machine profiles: from a file to a `Machine`, checked field by field.

A profile is one YAML file that describes one machine: clock, topology, caches, TLB, instruction
window, coherence, memory. Every value stands there with its unit and either its source or the
reason why it is unverified (`data/machines/README.md` has the schema; the dataclasses of
`cgsim.machines.model` are it).
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from cgsim.data import data_path
from cgsim.errors import UserError, shown, unknown_name
from cgsim.machines.model import ByDistance, Cache, Clock, Leaf, Machine, Provenance, Tlb, Topology
from cgsim.strict_yaml import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA_VERSION = 1
MOST_CACHES = 4
MOST_NUMA_NODES = 1024
SAME_RATE = 0.1
"""Relative difference of two statements of one rate that counts as rounding."""

_SUFFIXES = (".yml", ".yaml")


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
    known = published_names()
    if machine not in known:
        raise unknown_name("published machine", machine, known)
    return _load_builtin(known[machine])


def published_names() -> dict[str, str]:
    """What `data/published/published.csv` calls machines -> the name of the profile."""
    known: dict[str, str] = {}
    for name in list_machines():
        known.update(dict.fromkeys(_load_builtin(name).published_as, name))
    return known


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


def machine_of(document: object, file: str) -> Machine:
    """The machine of a profile's parsed document; `file` is what errors call it."""
    return _Reader(file).machine(document)


def _read(path: Path) -> Machine:
    return machine_of(read_yaml(path, "the machine profile"), str(path))


class _Reader:
    """Turns one parsed document into a `Machine`, collecting the provenance of every leaf."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.sources: dict[str, str] = {}
        self.used: set[str] = set()
        self.rows: list[Provenance] = []
        self.ghz = math.nan

    def error(self, name: str, value: object, allowed: str) -> UserError:
        return UserError(f"{self.file}: {name} = {shown(value)} is not allowed; allowed: {allowed}")

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

    def check_keys(
        self, where: str, mapping: object, allowed: Iterable[str], may_lack: Iterable[str] = ()
    ) -> None:
        names, spared = list(allowed), set(may_lack)
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
            if key not in mapping and key not in spared:
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
        if len(value) > MOST_CACHES:
            raise UserError(
                f"{self.file}: caches has {len(value)} levels; allowed: at most {MOST_CACHES}"
            )
        names = [f"L{i + 1}" for i in range(len(value))]
        self.check_keys("caches", value, names)
        return tuple(
            self.section(f"caches.{name}", Cache, value[name], name=name) for name in names
        )

    def section(self, where: str, cls: type, value: object, **given: str) -> Any:
        """An instance of the dataclass `cls` from the mapping `value`."""
        hints = get_type_hints(cls)
        wanted = [item for item in fields(cls) if item.name not in given]
        leaves = {key_of(i.name): i.metadata["leaf"] for i in wanted if "leaf" in i.metadata}
        defaults = {
            key: leaf.default
            for key, leaf in leaves.items()
            if leaf.may_miss or leaf.default is not None
        }
        self.check_keys(where, value, [key_of(item.name) for item in wanted], defaults)
        mapping: Mapping[str, Any] = value  # type: ignore[assignment]
        values: dict[str, Any] = dict(given)
        for item in wanted:
            name = _join(where, key_of(item.name))
            key = key_of(item.name)
            if key in defaults and key not in mapping:
                values[item.name] = defaults[key]
                continue
            entry = mapping[key]
            if "leaf" in item.metadata:
                values[item.name] = self.leaf(name, item.metadata["leaf"], entry)
            else:
                values[item.name] = self.section(name, hints[item.name], entry)
        return cls(**values)

    def leaf(self, name: str, leaf: Leaf, entry: object) -> Any:
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

    def check_value(self, name: str, value: object, leaf: Leaf) -> None:
        if leaf.names:
            if value not in leaf.names or not isinstance(value, str):
                raise self.error(name, value, " or ".join(leaf.names))
            return
        if value is None and leaf.optional:
            return
        kind = "a whole number" if leaf.whole else "a number"
        allowed = f"{kind} in {leaf.low:g}..{leaf.high:g}" + (" or null" if leaf.optional else "")
        right_type = isinstance(value, int) or (isinstance(value, float) and not leaf.whole)
        if isinstance(value, (list, dict)):
            allowed += "; caches of one level, and cores, are all alike"
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
        """What no single field can be blamed for: orders, divisibility, what would be ignored."""
        self.check_caches(machine)
        self.check_tlb(machine.tlb)
        self.check_order(machine)
        topology = machine.topology
        if topology.cores_per_cluster > topology.cores_per_socket:
            raise self.error(
                "topology.cores_per_cluster.value",
                topology.cores_per_cluster,
                f"at most cores_per_socket = {topology.cores_per_socket}",
            )
        if machine.n_numa_nodes > MOST_NUMA_NODES:
            raise self.error(
                "topology.clusters_per_numa_node.value",
                topology.clusters_per_numa_node,
                f"what gives at most {MOST_NUMA_NODES} NUMA nodes; "
                f"this gives {machine.n_numa_nodes}",
            )
        memory = machine.memory
        if memory.link_ns_per_line and not memory.node_ns_per_line:
            raise self.error(
                "memory.link_ns_per_line.value",
                memory.link_ns_per_line,
                "null, or give memory.node_ns_per_line too: links are modelled with their node",
            )

    def check_caches(self, machine: Machine) -> None:
        """Sizes in whole sets, and nothing stated of a level that has an effect only of another."""
        for level in machine.caches:
            where = f"caches.{level.name}"
            if level.size_bytes % (level.ways * level.line_bytes):
                raise self.error(
                    f"{where}.size_bytes.value",
                    level.size_bytes,
                    f"a multiple of ways * line_bytes = {level.ways * level.line_bytes}",
                )
            if level is machine.caches[-1]:
                continue
            if level.inclusion != "nine":
                raise self.error(
                    f"{where}.inclusion.value",
                    level.inclusion,
                    "nine; only the last level may be inclusive or a victim cache",
                )
            if level.retention_half_ms is not None:
                raise self.error(
                    f"{where}.retention_half_ms.value",
                    level.retention_half_ms,
                    "null; strangers are modelled in the last level alone",
                )
        first, ports = machine.caches[0], machine.window.load_ports
        if first.cycles_per_line_of_place is not None:
            raise self.error(
                "caches.L1.cycles_per_line_of_place.value",
                first.cycles_per_line_of_place,
                "null; it is of lines that come into L1",
            )
        interval = first.cycles_per_line
        if interval is not None and abs(interval * ports - 1) > SAME_RATE:
            raise self.error(
                "caches.L1.cycles_per_line.value",
                interval,
                f"null, or 1 / window.load_ports = {1 / ports:.3g}, by which L1 is limited",
            )

    def check_tlb(self, tlb: Tlb) -> None:
        """Entries in whole sets."""
        for entries, ways in (("l1_entries_4k", "l1_ways_4k"), ("l2_entries", "l2_ways")):
            if getattr(tlb, entries) % getattr(tlb, ways):
                raise self.error(
                    f"tlb.{entries}.value",
                    getattr(tlb, entries),
                    f"a multiple of {ways} = {getattr(tlb, ways)}",
                )
        if tlb.entry_bytes_2m & (tlb.entry_bytes_2m - 1):
            raise self.error("tlb.entry_bytes_2m.value", tlb.entry_bytes_2m, "a power of two")

    def check_order(self, machine: Machine) -> None:
        """What lies farther is not quicker, larger or shared by fewer."""
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

    def check_ascending(self, steps: list[tuple[str, float]], unit: str = "") -> None:
        for (before, low), (name, high) in pairwise(steps):
            if high < low:
                raise self.error(
                    name, round(high, 3), f"at least {before} = {round(low, 3):g} {unit}".rstrip()
                )


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def key_of(field_name: str) -> str:
    """The name of a field in the file, where the unit of a load-to-use time is free."""
    return "load_to_use" if field_name == "load_to_use_cycles" else field_name
