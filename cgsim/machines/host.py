"""The machine this runs on, as far as the system states it, as a profile.

Linux states topology and cache geometry in /sys and the processor's family and model in
/proc/cpuinfo. What it does not state (latencies, window, TLB) is taken from a profile that is
named in each such value, and stands there as unverified.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.limits import check_choice
from cgsim.machines.model import LINE_BYTES
from cgsim.machines.reader import MOST_CACHES, list_machines, load_machine, machine_of
from cgsim.strict_yaml import read_yaml

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from cgsim.machines.model import Machine

HOST_NAME = "host"
_ROOT = Path("/")
_SYSTEM = "system"
_VENDORS = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
# (vendor, family, models): the profile of that core; a guest of Zen 5 has one of its own
_CORES: tuple[tuple[str, int, Container[object], str], ...] = (
    ("AMD", 26, range(256), "zen5-turin"),
    ("AMD", 25, (*range(0x10, 0x20), *range(0x60, 0x80), *range(0xA0, 0xB0)), "zen4-genoa"),
    ("AMD", 25, range(256), "zen3-milan"),
    ("AMD", 23, range(0x30, 0x100), "zen2-rome"),
    ("Intel", 6, (143, 207), "sapphire-rapids"),
    ("Intel", 6, (106, 108), "icelake-sp"),
    ("Intel", 6, (85,), "skylake-sp"),
    ("Arm", 8, (0xD0C,), "neoverse-n1"),
    ("Arm", 8, (0xD40,), "neoverse-v1"),
)
_GUESTS = {"zen5-turin": "zen5-vm"}


@dataclass(frozen=True)
class StatedCache:
    """A data cache as the system states it; `ways` is None where it does not."""

    size_bytes: int
    ways: int | None
    cpus: frozenset[int]


@dataclass(frozen=True)
class StatedHost:
    """What the system states of this machine; None: it does not.

    caches : by level, nearest first, those that CPU `first_cpu` uses.
    """

    model: str
    vendor: str
    family: int | None
    model_number: int | None
    guest: bool
    first_cpu: int
    sockets: int
    cores_per_socket: int
    threads_per_core: int
    siblings_adjacent: bool
    numa_nodes: int
    caches: tuple[StatedCache, ...]
    highest_ghz: float | None
    stated_mhz: float | None


def read_host(root: Path = _ROOT) -> StatedHost:
    """What /sys and /proc under `root` state; UserError where they state no topology."""
    system = root / "sys/devices/system"
    cpus = _cpu_list(_read(system / "cpu/online"))
    if not cpus:
        raise UserError(f"{system}/cpu/online is not readable: only Linux states its machine there")
    first = min(cpus)
    packages: dict[int, set[tuple[int, int]]] = {}
    for cpu in cpus:
        topology = system / f"cpu/cpu{cpu}/topology"
        package = _whole(_read(topology / "physical_package_id")) or 0
        siblings = _cpu_list(_read(topology / "thread_siblings_list")) or {cpu}
        packages.setdefault(package, set()).add((min(siblings), len(siblings)))
    siblings = _cpu_list(_read(system / f"cpu/cpu{first}/topology/thread_siblings_list")) or {first}
    info = _cpuinfo(root)
    frequency = _whole(_read(system / f"cpu/cpu{first}/cpufreq/cpuinfo_max_freq"))
    arm = "CPU part" in info
    return StatedHost(
        model=info.get("model name", "a processor without a name"),
        vendor="Arm" if arm else _VENDORS.get(info.get("vendor_id", ""), "unknown"),
        family=_whole(info.get("cpu family", info.get("CPU architecture", ""))),
        model_number=_whole(info.get("model", info.get("CPU part", ""))),
        guest="hypervisor" in info.get("flags", "").split(),
        first_cpu=first,
        sockets=len(packages),
        cores_per_socket=max(len(cores) for cores in packages.values()),
        threads_per_core=len(siblings),
        siblings_adjacent=len(siblings) > 1 and max(siblings) - min(siblings) == 1,
        numa_nodes=max(len(_cpu_list(_read(system / "node/online"))), 1),
        caches=_caches(system / f"cpu/cpu{first}/cache"),
        highest_ghz=frequency / 1e6 if frequency else None,
        stated_mhz=_real(info.get("cpu MHz", "")),
    )


def nearest_profile(host: StatedHost) -> tuple[str, str]:
    """(name of the profile nearest to a host, why that one).

    By family and model where a profile of that core is there; else by vendor and cache sizes.
    """
    for vendor, family, models, name in _CORES:
        if (host.vendor, host.family) == (vendor, family) and host.model_number in models:
            named = f"{vendor} family {family}, model {host.model_number}"
            if host.guest and name in _GUESTS:
                return _GUESTS[name], f"a guest on {named}"
            return name, named
    sizes = [cache.size_bytes for cache in host.caches]

    def apart(name: str) -> tuple[bool, float, str]:
        machine = load_machine(name)
        pairs = zip(sizes, machine.caches, strict=False)
        distance = sum(abs(math.log2(size / cache.size_bytes)) for size, cache in pairs)
        return machine.vendor != host.vendor, distance, name

    return min(map(apart, list_machines()))[2], "no profile of this core; nearest cache sizes"


def host_document(host: StatedHost, nearest: str | None = None) -> dict[str, Any]:
    """A profile's document of a host: what the system states, the rest of the profile `nearest`.

    Raises UserError for an unknown profile, or a host that the engine does not model.
    """
    if nearest is None:
        nearest, why = nearest_profile(host)
    else:
        check_choice("machines", "nearest", nearest, list_machines())
        why = "as asked"
    base = load_machine(nearest)
    document = copy.deepcopy(read_yaml(data_path("machines", f"{nearest}.yml"), "the profile"))
    origins = {row.field: row.source for row in base.provenance}
    document["sources"] = {_SYSTEM: "this system's /sys/devices/system and /proc/cpuinfo"}
    document["name"] = HOST_NAME
    document["title"] = f"{host.model}, as its system states it; the rest as {nearest} ({why})"
    document["vendor"] = host.vendor
    document["published_as"] = []
    for section in ("clock", "topology", "caches", "tlb", "window", "coherence", "memory"):
        _inherit(document[section], section, nearest, origins)
    _state_clock(document["clock"], host, nearest)
    _state_topology(document["topology"], host)
    document["caches"] = _stated_caches(document["caches"], host, base)
    return document


def host_machine(document: dict[str, Any]) -> Machine:
    """The machine of a host's document, checked as a file is."""
    return machine_of(document, f"{HOST_NAME} (this machine)")


def profile_text(document: dict[str, Any], comments: Iterable[str] = ()) -> str:
    """A document as the text of a profile file, one line a value."""
    head = "".join(f"# {line}\n" for line in comments)
    return head + yaml.safe_dump(
        document, sort_keys=False, default_flow_style=None, width=1000, allow_unicode=True
    )


def stated(value: object, unit: str, where: str) -> dict[str, Any]:
    """A leaf whose value the system states."""
    return {"value": value, "unit": unit, "source": f"{_SYSTEM}; {where}"}


def _inherit(mapping: dict[str, Any], where: str, nearest: str, origins: dict[str, str]) -> None:
    """Mark each value of a section as the other profile's."""
    for key, entry in mapping.items():
        name = f"{where}.{key}"
        if "value" in entry:
            origin = origins[name].removeprefix("unverified: ")
            entry.pop("source", None)
            entry["unverified"] = f"as {nearest}: {origin}"
        else:
            _inherit(entry, name, nearest, origins)


def _state_clock(clock: dict[str, Any], host: StatedHost, nearest: str) -> None:
    if host.highest_ghz is not None:
        clock["ghz"] = stated(host.highest_ghz, "GHz", "cpu0/cpufreq/cpuinfo_max_freq")
    elif host.stated_mhz is not None:
        # of a guest it is the clock of the time-stamp counter, not the core's
        clock["ghz"]["unverified"] = (
            f"as {nearest}; /proc/cpuinfo states {host.stated_mhz:g} MHz, "
            "which need not be the core's"
        )
    for key in ("single_core_ghz", "all_core_ghz"):
        clock[key] = {"value": None, "unit": "GHz", "unverified": "the system does not state it"}


def _state_topology(topology: dict[str, Any], host: StatedHost) -> None:
    last = host.caches[-1].cpus if host.caches else frozenset()
    cluster = max(len(last) // host.threads_per_core, 1) if len(host.caches) > 2 else None
    cluster = min(cluster or host.cores_per_socket, host.cores_per_socket)
    clusters = math.ceil(host.cores_per_socket / cluster)
    nodes_per_socket = max(host.numa_nodes // host.sockets, 1)
    numbering = "siblings-adjacent" if host.siblings_adjacent else "cores-first"
    topology |= {
        "sockets": stated(host.sockets, "count", "topology/physical_package_id"),
        "cores_per_socket": stated(host.cores_per_socket, "count", "topology/thread_siblings_list"),
        "threads_per_core": stated(host.threads_per_core, "count", "topology/thread_siblings_list"),
        "cores_per_cluster": stated(cluster, "count", "cache/shared_cpu_list of the last level"),
        "clusters_per_numa_node": stated(
            max(clusters // nodes_per_socket, 1), "count", "node/online"
        ),
        "sockets_per_interconnect": {
            "value": host.sockets,
            "unit": "count",
            "unverified": "the system does not state it; taken as all",
        },
        "cpu_numbering": stated(numbering, "name", "topology/thread_siblings_list"),
    }


def _stated_caches(
    caches: dict[str, Any], host: StatedHost, base: Machine
) -> dict[str, dict[str, Any]]:
    """The levels that the system states, the nearest profile's where it states fewer."""
    found = {}
    for number in range(max(len(host.caches), len(base.caches))):
        name = f"L{number + 1}"
        if number >= len(host.caches):
            found[name] = caches[name]
            continue
        if number >= len(base.caches):
            raise UserError(
                f"this machine has {len(host.caches)} levels of cache, the profile {base.name} "
                f"{len(base.caches)}: choose one with as many by --nearest"
            )
        own = host.caches[number]
        level = caches[name]
        where = f"cache of level {number + 1}"
        level["size_bytes"] = stated(own.size_bytes, "bytes", f"{where}, size")
        if own.ways:
            level["ways"] = stated(own.ways, "ways", f"{where}, ways_of_associativity")
        level["line_bytes"] = stated(LINE_BYTES, "bytes", f"{where}, coherency_line_size")
        if number + 1 < len(host.caches):
            by = "core" if len(own.cpus) <= host.threads_per_core else "cluster"
            level["shared_by"] = stated(by, "name", f"{where}, shared_cpu_list")
        found[name] = level
    return found


def _caches(folder: Path) -> tuple[StatedCache, ...]:
    levels: dict[int, StatedCache] = {}
    for index in sorted(folder.glob("index*")):
        level = _whole(_read(index / "level"))
        size = _size(_read(index / "size"))
        if level is None or not size or _read(index / "type") not in ("Data", "Unified"):
            continue
        line = _whole(_read(index / "coherency_line_size")) or LINE_BYTES
        if line != LINE_BYTES:
            raise UserError(f"{index}: lines of {line} bytes are not modelled; allowed: 64")
        ways = _whole(_read(index / "ways_of_associativity")) or None
        if ways and size % (ways * LINE_BYTES):
            ways = None
        levels[level] = StatedCache(
            size, ways, frozenset(_cpu_list(_read(index / "shared_cpu_list")))
        )
    known = [levels[number] for number in range(1, MOST_CACHES + 1) if number in levels]
    return tuple(known) if sorted(levels)[: len(known)] == list(range(1, len(known) + 1)) else ()


def _cpuinfo(root: Path) -> dict[str, str]:
    """The fields of the first processor."""
    fields: dict[str, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, separator, value = line.partition(":")
        if not separator and fields:
            break
        fields.setdefault(name.strip(), value.strip())
    return fields


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _cpu_list(text: str) -> set[int]:
    """The numbers of a list such as 0-3,8."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        if low.isdigit() and (high or low).isdigit():
            found.update(range(int(low), int(high or low) + 1))
    return found


def _size(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number = text.rstrip("KMG")
    return int(number) * units.get(text[len(number) :], 1) if number.isdigit() else 0


def _whole(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def _real(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
