"""Calibration: measure this host, and write what was found into a profile of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.limits import check_switches
from cgsim.machines.host import host_document, host_machine, profile_text, read_host
from cgsim.validation.host.core import (
    measure_clock,
    measure_core,
    measure_parallelism,
    measure_window,
)
from cgsim.validation.host.core_to_core import measure_pairs, usable_cpus
from cgsim.validation.host.levels import (
    PAGES,
    Ladder,
    conflict_curve,
    half_left,
    inferred_sizes,
    measure_ladder,
    measure_retention,
    tlb_reach,
)
from cgsim.validation.host.memory import LINE_BYTES, Region
from cgsim.validation.host.profile import DISTANCES, MEASURED, Profile
from cgsim.validation.host.same_place import measure_same_place
from cgsim.validation.host.timing import Figure

if TYPE_CHECKING:
    from cgsim.machines.host import StatedHost
    from cgsim.machines.model import Machine

_NOISY = 0.1
_STEADY_CLOCK = 0.03
_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Effort:
    """How much is measured. window_bytes : beyond the caches."""

    repeats: int
    largest_bytes: int
    pages: tuple[int, ...]
    bursts: int
    window_bytes: int


QUICK = Effort(5, 4 * _MIB, PAGES[:14], 20, 16 * _MIB)


def full_effort(host: StatedHost) -> Effort:
    """Working sets beyond the caches of this host, 256 MiB at most."""
    last = host.caches[-1].size_bytes if host.caches else 32 * _MIB
    largest = 64 * _MIB
    while largest < 2 * last and largest < 256 * _MIB:
        largest *= 2
    return Effort(25, largest, PAGES, 400, largest)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured on this host, and the profile made of it.

    figures : by name. inferred_bytes : sizes of the caches as the ladder shows them. conflicts : by
    level, (lines one way apart, cycles). window : (no-operations between two loads, cycles).
    pairs : one-way times of pairs of CPUs; None: they never ran at once. fallen_back : fields that
    were to be measured and are another profile's, with why.
    """

    document: dict[str, Any]
    machine: Machine
    ladder: Ladder
    figures: dict[str, Figure]
    inferred_bytes: dict[str, int]
    conflicts: dict[str, list[tuple[int, float]]]
    window: list[tuple[int, float]]
    pairs: dict[tuple[int, int], Figure | None]
    warnings: tuple[str, ...]
    fallen_back: dict[str, str]
    seconds: float

    def text(self) -> str:
        """The profile as the text of a file."""
        head = ["Written by `cgsim calibrate`.", *self.warnings]
        return profile_text(self.document, head)


def calibrate(nearest: str | None = None, *, quick: bool = False) -> Calibration:
    """Measure this host.

    Parameters
    ----------
    nearest : profile that completes what cannot be measured; None: the nearest one
    quick : few repetitions and small working sets, to try it out; memory is not reached

    Returns a `Calibration`. Raises UserError for an unknown profile, or where the system states no
    topology.
    """
    check_switches("calibrate", quick=quick)
    begin = time.perf_counter()
    host = read_host()
    document = host_document(host, nearest)
    effort = QUICK if quick else full_effort(host)
    measure_clock()  # the quickest is known before anything is counted in cycles
    earlier = measure_pairs(usable_cpus(), effort.bursts)
    region = Region(effort.window_bytes, huge=True)
    figures = measure_core(region, effort.repeats)
    conflicts = _conflicts(region, host, effort)
    for name, size in _parallel_sizes(host, effort).items():
        figures[name] = measure_parallelism(region, size // LINE_BYTES, effort.repeats)
    sizes = [cache.size_bytes for cache in host.caches]
    figures |= measure_same_place(sizes, 4 * effort.largest_bytes, effort.repeats)
    entries, window = measure_window(region, effort.repeats)
    retention = _retention(region, host, effort)
    del region
    ladder = measure_ladder(effort.largest_bytes, effort.pages, effort.repeats)
    later = measure_pairs(usable_cpus(), effort.bursts)
    pairs = {pair: _quicker(earlier[pair], later[pair]) for pair in later}
    figures["clock"] = measure_clock()
    if entries is not None:
        figures["window"] = entries

    profile = Profile(document)
    _put_core(profile, figures, entries is not None)
    plateaus = _put_levels(profile, host, ladder, figures, conflicts, effort)
    _put_retention(profile, host, retention, figures)
    _put_same_place(profile, host, figures)
    _put_pairs(profile, host_machine(profile.document), pairs, figures)
    inferred = {
        f"L{i + 1}": size
        for i, size in enumerate(inferred_sizes(ladder, plateaus) if plateaus else [])
    }
    _put_share(profile, host, inferred)
    warnings = _warnings(host, ladder, figures, inferred, pairs)
    moved = [pair for pair in pairs if _apart(earlier[pair], later[pair])]
    if moved:
        warnings.append(
            f"{len(moved)} of {len(pairs)} pairs of CPUs were farther apart at one time than at "
            "another: the host below moves them. The quicker time is taken."
        )
    return Calibration(
        profile.document,
        host_machine(profile.document),
        ladder,
        figures,
        inferred,
        conflicts,
        window,
        pairs,
        tuple(warnings),
        profile.kept,
        time.perf_counter() - begin,
    )


def _quicker(one: Figure | None, other: Figure | None) -> Figure | None:
    known = [figure for figure in (one, other) if figure is not None]
    return min(known, key=lambda figure: figure.value, default=None)


def _apart(one: Figure | None, other: Figure | None) -> bool:
    if one is None or other is None:
        return False
    return max(one.value, other.value) > 1.5 * min(one.value, other.value)


def _parallel_sizes(host: StatedHost, effort: Effort) -> dict[str, int]:
    """Bytes, powers of two, that lie within each level and beyond all caches."""
    sizes = [16 * _KIB, *(cache.size_bytes // 2 for cache in host.caches[1:])]
    if len(sizes) == 1:
        sizes.append(_MIB // 2)
    largest = 1 << (effort.window_bytes.bit_length() - 1)
    found = {f"line interval L{i + 1}": min(size, largest) for i, size in enumerate(sizes)}
    found["line interval memory"] = largest
    return {name: 1 << (size.bit_length() - 1) for name, size in found.items()}


def _put_share(profile: Profile, host: StatedHost, inferred: dict[str, int]) -> None:
    """What strangers leave of a guest's last level, where that is less than half."""
    name = f"L{len(host.caches)}"
    seen = inferred.get(name)
    if host.guest and seen is not None and seen < host.caches[-1].size_bytes / 2:
        detail = f"a chase keeps so much of {host.caches[-1].size_bytes // _KIB} KiB"
        profile.put(f"caches.{name}.size_bytes", seen, "bytes", detail)


def _put_same_place(profile: Profile, host: StatedHost, figures: dict[str, Figure]) -> None:
    ghz = figures["clock"].value
    fields = {f"L{i + 1}": f"caches.L{i + 1}.cycles_per_line" for i in range(1, len(host.caches))}
    for name, field in (fields | {"memory": "memory.ns_per_line"}).items():
        figure, others = (figures.get(f"{what} {name}") for what in ("same place", "line interval"))
        if figure is None or others is None:
            continue
        unit = "ns" if name == "memory" else "cycles"
        detail = "independent loads of lines a page apart"
        if figure.value < 1.5 * others.value:
            profile.put(f"{field}_of_place", None, unit, f"{detail} take no longer")
            continue
        value = figure.value * (1.0 if name == "memory" else ghz)
        profile.put(f"{field}_of_place", value, unit, detail)


def _conflicts(
    region: Region, host: StatedHost, effort: Effort
) -> dict[str, list[tuple[int, float]]]:
    """By level, cycles of a load where so many lines lie one way's size apart."""
    found = {}
    for number, cache in enumerate(host.caches[:2]):
        if not cache.ways:
            continue
        counts = [n for n in range(1, 2 * cache.ways + 1) if n >= cache.ways - 4 or n == 1]
        stride = cache.size_bytes // cache.ways
        if counts[-1] * stride <= effort.window_bytes:
            curve = conflict_curve(region, stride, counts, effort.repeats)
            found[f"L{number + 1}"] = list(zip(counts, curve, strict=True))
    return found


def _retention(region: Region, host: StatedHost, effort: Effort) -> list[tuple[float, float]]:
    """Of lines that only the last level can hold; empty where there are none."""
    if len(host.caches) < 2:
        return []
    size = 2 * host.caches[-2].size_bytes
    if size > min(host.caches[-1].size_bytes // 2, effort.window_bytes):
        return []
    return measure_retention(region, size, min(effort.repeats, 9))


def _put_retention(
    profile: Profile,
    host: StatedHost,
    curve: list[tuple[float, float]],
    figures: dict[str, Figure],
) -> None:
    field = f"caches.L{len(host.caches)}.retention_half_ms"
    if not curve:
        profile.keep(field, "no working set is held by the last level alone")
        return
    half = half_left(curve)
    if half is None:
        profile.put(field, None, "ms", f"nothing is gone after {curve[-1][0]:g} ms")
        return
    figures["retention"] = half
    profile.put(field, half.value, "ms", f"lines untouched for up to {curve[-1][0]:g} ms")


def _put_core(profile: Profile, figures: dict[str, Figure], window_seen: bool) -> None:
    clock = figures["clock"]
    profile.put("clock.ghz", clock.value, "GHz", "dependent additions, one a cycle")
    put = profile.put
    put("window.alu_cycles", 1, "cycles", "dependent additions define the cycle")
    put("window.multiply_cycles", figures["multiply"].value, "cycles", "dependent products")
    put("window.dispatch_width", figures["width"].value, "ops/cycle", "no-operations or zeroings")
    put("window.load_ports", 1 / figures["load"].value, "ops/cycle", "8 loads of one line")
    put("window.mispredict_cycles", figures["mispredict"].value, "cycles", "random less steady")
    put("window.locked_rmw_cycles", figures["locked"].value, "cycles", "locked additions")
    put("window.store_forward_cycles", figures["forward"].value, "cycles", "add to memory, less 1")
    if "call" in figures:
        put("window.call_return_cycles", figures["call"].value, "cycles", "calls and returns")
    if window_seen:
        entries = int(figures["window"].value)
        put("window.rob_entries", entries, "count", "no-operations between two loads from memory")
    else:
        profile.keep("window.rob_entries", "two loads from memory showed no step")
    # an interval that the first level has beside the ports would have to be the same
    level = profile.document["caches"]["L1"]
    if level["cycles_per_line"]["value"] is not None:
        level["cycles_per_line"] = {
            "value": None, "unit": "cycles", "source": f"{MEASURED}; load_ports limits it",
        }  # fmt: skip
        put("window.load_ports", 1 / figures["load"].value, "ops/cycle", "8 loads of one line")
        profile.kept.pop("window.load_ports", None)


def _put_levels(
    profile: Profile,
    host: StatedHost,
    ladder: Ladder,
    figures: dict[str, Figure],
    conflicts: dict[str, list[tuple[int, float]]],
    effort: Effort,
) -> list[float]:
    """Caches, TLB and memory; returns the plateaus of the ladder in cycles."""
    small, huge = tlb_reach(ladder, "4k"), tlb_reach(ladder, "huge")
    extra = small.second_extra or 0.0
    tlb_huge = extra if huge.second_extra is not None else 0.0
    sizes = [cache.size_bytes for cache in host.caches]
    plateaus: list[float] = []
    for number, size in enumerate(sizes):
        # the quietest working set that lies in this level and not in the one before
        low = 2 * sizes[number - 1] if number else 4096
        inside = [
            rung for rung in ladder.sizes if low <= rung.size_bytes <= max(size // 2, low * 2)
        ]
        field = f"caches.L{number + 1}.load_to_use"
        if not inside:
            profile.keep(field, f"no working set up to {effort.largest_bytes} bytes lies in it")
            continue
        rung = min(inside, key=lambda rung: rung.figure.value)
        pages = rung.size_bytes // 4096
        beyond = small.first_entries is not None and pages > small.first_entries
        own = rung.figure.value - (tlb_huge if rung.pages == "huge" else extra) * beyond
        figures[f"load L{number + 1}"] = rung.figure._replace(value=own)
        detail = f"chase through {rung.size_bytes // _KIB} KiB, {rung.pages} pages"
        profile.put(field, own, "cycles", detail + (", less the TLB" if beyond else ""))
        plateaus.append(own)
    first = figures.get("load L1")
    if first is not None:
        added = max(figures["indexed"].value - first.value, 0.0)
        profile.put("window.indexed_load_extra_cycles", added, "cycles", "chase by an index")
    _put_index(profile, conflicts, plateaus)
    _put_tlb(profile, small, huge)
    _put_memory(profile, sizes, ladder, figures, huge, tlb_huge, plateaus)
    return plateaus


def _put_index(
    profile: Profile, conflicts: dict[str, list[tuple[int, float]]], plateaus: list[float]
) -> None:
    for number, (name, curve) in enumerate(conflicts.items()):
        if number + 1 >= len(plateaus):
            continue
        border = (plateaus[number] + plateaus[number + 1]) / 2
        ways = profile.document["caches"][name]["ways"]["value"]
        far = [cycles for count, cycles in curve if count > ways + 2]
        plain = float(np.median(far)) > border
        within = [count for count, cycles in curve if cycles <= border]
        detail = f"{curve[-1][0]} lines one way apart {'miss' if plain else 'still hit'}"
        if plain and max(within) != ways:
            detail += f"; {max(within)} hit"
        profile.put(f"caches.{name}.index", "plain" if plain else "hashed", "name", detail)


def _put_tlb(profile: Profile, small: Any, huge: Any) -> None:
    put, keep = profile.put, profile.keep
    if small.first_entries is None:
        keep("tlb.l1_entries_4k", "one line a page showed no step")
        keep("tlb.l2_hit_extra_cycles", "one line a page showed no step")
        return
    put("tlb.l2_hit_extra_cycles", small.second_extra, "cycles", "one line of each 4 KiB page")
    entries = small.first_entries
    tlb = profile.document["tlb"]
    detail = "the step of one line a page"
    if tlb["l1_ways_4k"]["value"] == tlb["l1_entries_4k"]["value"]:
        # fully associative: the ways follow the entries, so no order of two changes is valid
        for field, unit in (("l1_ways_4k", "ways"), ("l1_entries_4k", "count")):
            tlb[field] = {"value": entries, "unit": unit, "source": f"{MEASURED}; {detail}"}
    else:
        put("tlb.l1_entries_4k", entries, "count", detail)
    if small.walk is None:
        keep("tlb.walk_cycles_4k", "no step of page walks within the strides")
    else:
        ways = profile.document["tlb"]["l2_ways"]["value"]
        put("tlb.l2_entries", max(small.second_entries // ways * ways, ways), "count",
            "the second step of one line a page")  # fmt: skip
        put("tlb.walk_cycles_4k", small.walk, "cycles", "most pages, less caches and second level")
    if huge.first_entries is not None and huge.first_entries == small.first_entries:
        put("tlb.entry_bytes_2m", 4096, "bytes", "huge pages step at as many 4 KiB pages")
        if huge.walk is not None:
            put(
                "tlb.walk_cycles_2m",
                huge.walk,
                "cycles",
                "most pages, less caches and second level",
            )
        else:
            keep("tlb.walk_cycles_2m", "huge pages showed no walks")
    elif huge.first_entries is None:
        put("tlb.entry_bytes_2m", 2 * _MIB, "bytes", "huge pages show no step within 64 MiB")
        keep("tlb.walk_cycles_2m", "huge pages showed no walks")


def _put_memory(
    profile: Profile,
    sizes: list[int],
    ladder: Ladder,
    figures: dict[str, Figure],
    huge: Any,
    tlb_huge: float,
    plateaus: list[float],
) -> None:
    ghz = figures["clock"].value
    beyond = [r for r in ladder.sizes if r.pages == "huge" and sizes and r.size_bytes > sizes[-1]]
    if not beyond:
        profile.keep("memory.local_ns", "no working set lies beyond the caches")
        return
    cycles = float(np.median([rung.figure.value for rung in beyond]))
    own = cycles - tlb_huge - (huge.walk or 0.0)
    plateaus.append(own)
    spread = max(rung.figure.spread for rung in beyond)
    latency = Figure(own / ghz, "ns", spread, len(beyond))
    figures["memory"] = latency
    for name in ("far_ns", "remote_ns", "local_ns"):
        if name == "local_ns" or profile.document["memory"][name]["value"] < latency.value:
            detail = f"chase through {beyond[-1].size_bytes // _MIB} MiB, huge pages, less the TLB"
            if name != "local_ns":
                detail = "one node was measured; not nearer than local_ns"
            profile.put(f"memory.{name}", latency.value, "ns", detail)
    interval = figures["line interval memory"]
    profile.put("memory.ns_per_line", interval.value, "ns", "independent loads, huge pages")
    buffers = max(round(latency.value / interval.value), 1)
    profile.put("window.line_fill_buffers", buffers, "count", "memory latency / interval of lines")
    second, floor = figures["line interval L2"], figures["line interval L1"]
    if second.value > 1.3 * floor.value:
        profile.put("caches.L2.cycles_per_line", second.value * ghz, "cycles", "independent loads")
    else:
        profile.keep("caches.L2.cycles_per_line", "the loop of loads itself takes as long")


def _put_pairs(
    profile: Profile,
    machine: Machine,
    pairs: dict[tuple[int, int], Figure | None],
    figures: dict[str, Figure],
) -> None:
    """One way less the rest of the atomic is the transfer of a line."""
    rest_ns = (
        machine.window.locked_rmw_cycles - machine.caches[0].load_to_use_cycles
    ) / machine.ghz
    by_distance: dict[str, list[float]] = {}
    for (cpu, other), one_way in pairs.items():
        if one_way is not None and max(cpu, other) < machine.n_cpus:
            name = machine.distance(cpu, other).name.lower()
            by_distance.setdefault(name, []).append(one_way.value - rest_ns)
            key = f"one way {name}"
            if key not in figures or one_way.spread > figures[key].spread:
                figures[key] = one_way
    for name in reversed(DISTANCES):
        if name not in by_distance:
            if name in ("same_cluster", "same_socket"):
                profile.kept[f"coherence.transfer_ns.{name}"] = "no two such CPUs, or none answered"
            continue
        value = max(float(np.median(by_distance[name])), 0.0)
        for group, detail in (
            ("transfer_ns", f"{len(by_distance[name])} pairs, one way less the rest of an atomic"),
            ("invalidate_ns", "taken to cost as much as a transfer over the same distance"),
        ):
            times = profile.document["coherence"][group]
            origin = "source" if group == "transfer_ns" else "unverified"
            text = f"{MEASURED}; {detail}" if origin == "source" else detail
            times[name] = {"value": float(f"{value:.3g}"), "unit": "ns", origin: text}
            if name == "same_core" and group == "invalidate_ns":
                times[name]["value"] = 0
            profile.raise_farther(group, name)
    for group in ("transfer_ns", "invalidate_ns"):
        nearest = profile.document["coherence"][group]
        # a nearer distance that was not measured is not slower than one that was
        least = min((nearest[name]["value"] for name in by_distance), default=None)
        for name in DISTANCES:
            if name in by_distance:
                break
            if least is not None and nearest[name]["value"] > least:
                nearest[name] |= {"value": least}


def _warnings(
    host: StatedHost,
    ladder: Ladder,
    figures: dict[str, Figure],
    inferred: dict[str, int],
    pairs: dict[tuple[int, int], Figure | None],
) -> list[str]:
    found = []
    if host.guest:
        found.append("This is a virtual machine: strangers share its caches and take its time.")
    load, cpus = os.getloadavg()[0], len(usable_cpus())
    if load > 0.5 * cpus:
        found.append(f"Other work ran: the load average was {load:.1f} on {cpus} CPUs.")
    if figures["clock"].spread > _STEADY_CLOCK:
        found.append(
            f"The clock is not steady (spread {figures['clock'].spread:.0%}): something else takes "
            "part of the core; what was measured at its quickest was taken."
        )
    spreads = [f.spread for f in figures.values()] + [rung.figure.spread for rung in ladder.sizes]
    noisy = sum(spread > _NOISY for spread in spreads)
    if noisy > len(spreads) // 10:
        found.append(f"{noisy} of {len(spreads)} figures spread by more than {_NOISY:.0%}.")
    if not ladder.got_huge:
        found.append("The system gave no huge pages: what was measured on them is of 4 KiB pages.")
    for number, cache in enumerate(host.caches):
        name = f"L{number + 1}"
        seen = inferred.get(name)
        if seen is not None and seen < cache.size_bytes / 2:
            found.append(
                f"{name}: {cache.size_bytes // _KIB} KiB stated, a chase keeps {seen // _KIB} KiB."
            )
    lost = [pair for pair, one_way in pairs.items() if one_way is None]
    if lost:
        found.append(f"{len(lost)} of {len(pairs)} pairs of CPUs never ran at once.")
    return found
