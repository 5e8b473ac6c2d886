"""Every cache and TLB field of the schema: a replay honours it as the timed machine does.

What a replay leaves out, since it counts and takes no time, stands in docs/machine.md.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cgsim.compile.jit import njit
from cgsim.core.block_fields import TICKS
from cgsim.core.heap import PAGE_4K, Heap
from cgsim.core.space import Timed, load, now, pause
from cgsim.core.system import System
from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.machines import Machine, load_machine
from cgsim.machines.model import Cache, Tlb
from cgsim.machines.system_spec import system_spec
from cgsim.trace_replay.replay import Replay, replay_file

CPUS = 8  # one for each core
THREADS = 16
ACCESSES = 6000
NOT_STATED = {"unit": "name", "unverified": "for the test"}
# Field of a cache -> (level, value): another value than that of the small machine below.
HONOURED_CACHE = {
    "size_bytes": [("L1", 16384), ("L2", 65536), ("L3", 1 << 18), ("L3", 3 << 16)],
    "ways": [("L1", 4), ("L2", 16), ("L3", 8)],
    "index": [("L1", "hashed"), ("L2", "plain"), ("L3", "plain")],
    "shared_by": [("L2", "cluster"), ("L3", "socket")],
    "inclusion": [("L3", "inclusive"), ("L3", "victim")],
}
LEFT_OUT_CACHE = {
    "name": [],
    "line_bytes": [],  # the schema allows one value
    "load_to_use_cycles": [("L1", 9), ("L3", 99)],
    "cycles_per_line": [("L2", 7)],
    "cycles_per_line_of_place": [("L2", 7)],
    "retention_half_ms": [("L3", 0.001)],
    "replacement": [("L2", "random")],
}
HONOURED_TLB = {"l1_entries_4k": 16, "l1_ways_4k": 4, "l2_entries": 64, "l2_ways": 8}
LEFT_OUT_TLB = {
    "l1_entries_2m": 4,
    "l1_entries_1g": 4,
    "l1_structure": "split",
    "l2_pages": "4k-2m-1g",
    "entry_bytes_2m": 4096,
    "l2_hit_extra_cycles": 33,
    "walk_cycles_4k": 99,
    "walk_cycles_2m": 99,
}


@cache
def small() -> dict[str, Any]:
    """A profile of 2 sockets of 4 cores of 2 threads, with small caches that differ in kind."""
    profile: dict[str, Any] = yaml.safe_load(data_path("machines", "zen4-genoa.yml").read_text())
    topology = {"cores_per_socket": 4, "cores_per_cluster": 2, "clusters_per_numa_node": 2}
    for name, value in topology.items():
        profile["topology"][name]["value"] = value
    for level, size, ways in (("L1", 8192, 2), ("L2", 32768, 8), ("L3", 131072, 16)):
        profile["caches"][level]["size_bytes"]["value"] = size
        profile["caches"][level]["ways"]["value"] = ways
    profile["caches"]["L3"]["inclusion"]["value"] = "nine"
    for name, value in (("l1_entries_4k", 8), ("l1_ways_4k", 2), ("l2_entries", 32)):
        profile["tlb"][name]["value"] = value
    profile["tlb"]["l1_entries_2m"]["value"] = profile["tlb"]["l1_entries_1g"]["value"] = 8
    profile["tlb"]["l2_ways"]["value"] = 4
    return profile


def written(folder: Path, part: str, where: str | None, field: str | None, value: Any) -> Path:
    """The small profile with one other value."""
    profile = deepcopy(small())
    if field is not None:
        place = profile[part][where] if where else profile[part]
        leaf = "load_to_use" if field == "load_to_use_cycles" else field
        stated = place.get(leaf, NOT_STATED | {"unit": "cycles" if "cycles" in leaf else "name"})
        place[leaf] = {**stated, "value": value}
    file = folder / "small.yml"
    file.write_text(yaml.safe_dump(profile | {"name": "small"}))
    return file


@cache
def accesses() -> tuple[Heap, np.ndarray, np.ndarray]:
    """A heap, and accesses within it: a popular part, a long tail, strides of a page."""
    heap = Heap(1 << 26, seed=1)
    base = heap.place("object", 1 << 21, page_size=PAGE_4K)
    rng = np.random.default_rng(3)
    line = (6000 * rng.random(ACCESSES) ** 3).astype(np.int64)
    strided = rng.random(ACCESSES) < 0.4
    line[strided] = 64 * rng.integers(0, 200, int(strided.sum()))
    return heap, base + 64 * line, rng.integers(0, THREADS, ACCESSES)


@njit
def read_all(mem, heap, cpus, addresses, by):
    """Load the word at each address on the CPU with the block cpus[by[i]]."""
    for i in range(addresses.size):
        space = Timed(mem, heap, cpus[by[i]])
        # far apart in time: nobody waits for a line, or uses one that is on its way to another
        pause(space, max((i + 1) * 4000 * TICKS - now(space), 0), 0)
        load(space, addresses[i], 8, 0)


def timed_misses(machine: Machine, cpus: int) -> list[int]:
    """Of each cache level, then of each TLB level, summed over their instances."""
    heap, addresses, by = accesses()
    # a replay walks no page table
    system = System(system_spec(machine, cpus)._replace(reads_entries=False), heap)
    read_all(heap.mem, heap.block, system.cpu_row(), addresses, by % cpus)
    of = {"core": machine.core_of, "cluster": machine.cluster_of, "socket": machine.socket_of}
    counted = [system.counters(cpu) for cpu in range(cpus)]

    def summed(counter: str, shared_by: str) -> int:
        instances = {of[shared_by](cpu): counted[cpu][counter] for cpu in range(cpus)}
        return sum(instances.values())

    levels = [summed(f"L{n + 1}_misses", x.shared_by) for n, x in enumerate(machine.caches)]
    return levels + [summed(f"TLB{n}_misses", "core") for n in (1, 2)]


def replayed(machine: Path, folder: Path, cpus: int) -> Replay:
    _, addresses, by = accesses()
    np.savez(folder / "t.npz", address=addresses, cpu=by % cpus)
    return replay_file(folder / "t.npz", machine=str(machine), cpus=cpus)


def misses(result: Replay) -> list[int]:
    return [level.misses for level in (*result.levels, *result.tlb)]


HONOURED = [
    ("caches", level, field, value)
    for field, changes in HONOURED_CACHE.items()
    for level, value in changes
] + [("tlb", None, field, value) for field, value in HONOURED_TLB.items()]
LEFT_OUT = [
    ("caches", level, field, value)
    for field, changes in LEFT_OUT_CACHE.items()
    for level, value in changes
] + [("tlb", None, field, value) for field, value in LEFT_OUT_TLB.items()]


def test_every_field_is_here_or_in_the_docs() -> None:
    """A new field of the schema has to be honoured, or said to be left out."""
    assert {x.name for x in fields(Cache)} == set(HONOURED_CACHE) | set(LEFT_OUT_CACHE)
    assert {x.name for x in fields(Tlb)} == set(HONOURED_TLB) | set(LEFT_OUT_TLB)
    text = (Path(__file__).parents[2] / "docs" / "machine.md").read_text()
    said = text.split("## What a replay takes")[1].split("\n## ")[0]
    for field in (*LEFT_OUT_CACHE, *LEFT_OUT_TLB, *HONOURED_CACHE, *HONOURED_TLB):
        assert f"`{field.removesuffix('_cycles') if 'load_to' in field else field}`" in said, field


@pytest.mark.parametrize("cpus", [1, CPUS, THREADS])
def test_the_small_machine(tmp_path: Path, cpus: int) -> None:
    """Misses at all levels, of siblings, clusters and sockets, as the timed machine counts them.

    A thread of the timed machine asks the TLB again only when it comes to another page, so what its
    sibling lets the TLB forget in between is not noticed there.
    """
    file = written(tmp_path, "caches", None, None, None)
    result = replayed(file, tmp_path, cpus)
    timed = timed_misses(load_machine(str(file)), cpus)
    if cpus == THREADS:
        assert misses(result)[:3] == timed[:3]
        assert misses(result)[3:] == pytest.approx(timed[3:], rel=0.002)
    else:
        assert misses(result) == timed
    assert 0 < result.levels[-1].misses < result.levels[0].misses < ACCESSES
    assert result.private_levels == 2
    assert list(result.to_json_dict()["invalidations"]) == ["L1", "L2"]


@pytest.mark.compiled
@pytest.mark.parametrize(("part", "where", "field", "value"), HONOURED)
def test_fields_that_count(
    tmp_path: Path, part: str, where: str | None, field: str, value: Any
) -> None:
    cpus = 1 if field == "inclusion" else CPUS  # how far a cache must reach is another question
    before = replayed(written(tmp_path, part, where, None, None), tmp_path, cpus)
    file = written(tmp_path, part, where, field, value)
    after = replayed(file, tmp_path, cpus)
    assert misses(after) != misses(before)
    assert misses(after) == timed_misses(load_machine(str(file)), cpus)


@pytest.mark.parametrize(("part", "where", "field", "value"), LEFT_OUT)
def test_fields_of_time_and_of_other_pages(
    tmp_path: Path, part: str, where: str | None, field: str, value: Any
) -> None:
    before = replayed(written(tmp_path, part, where, None, None), tmp_path, CPUS)
    after = replayed(written(tmp_path, part, where, field, value), tmp_path, CPUS)
    assert misses(after) == misses(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"machine": "no-such", "caches": "L1:32KiB/8"}, "no-such"),
        ({"machine": "zen5-vm", "cpus": 8}, "cpus = 8 .*1 to 2 .machine zen5-vm has CPUs 0 to 1"),
        ({"machine": "zen5-vm", "line_bytes": 128}, "line_bytes = 128 .*machine zen5-vm"),
        ({"machine": "zen5-vm"}, "t.csv: line 3: cpu = '7' .*0 to 1 .machine zen5-vm has CPUs"),
        ({"caches": "L1:32KiB/8", "cpus": 4}, "t.csv: line 3: cpu = '7' .*0 to 3 .cpus = 4"),
        ({"machine": "zen5-vm", "caches": "L1:4KiB/4"}, "line 3: cpu = '7' .*machine zen5-vm"),
        ({"caches": "L1:32KiB/8@4+64KiB/8@4"}, "all instances of a level are alike"),
    ],
)
def test_refusals(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """An option is never ignored; limits name the file, the line, the CPU and the machine."""
    (tmp_path / "t.csv").write_text("address,cpu\n0,0\n64,7\n")
    with pytest.raises(UserError, match=message) as caught:
        replay_file(tmp_path / "t.csv", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "where", "field", "value", "message"),
    [
        ("caches", "L3", "size_bytes", [1 << 17, 1 << 18], "caches of one level.* are all alike"),
        ("topology", None, "cores_per_socket", [2, 2], "cores, are all alike"),
        ("caches", "L1", "line_bytes", 128, "line_bytes.value = 128 is not allowed; .*64"),
    ],
)
def test_machines_that_no_profile_can_say(
    tmp_path: Path, part: str, where: str | None, field: str, value: Any, message: str
) -> None:
    """Unequal caches, two kinds of core, other lines: refused in one line."""
    file = written(tmp_path, part, where, field, value)
    np.save(tmp_path / "t.npy", np.arange(3))
    with pytest.raises(UserError, match=message) as caught:
        replay_file(tmp_path / "t.npy", machine=str(file))
    assert "\n" not in str(caught.value)


def test_caches_replace_the_machines_caches_alone(tmp_path: Path) -> None:
    """Its TLB and its CPUs stay; a TLB replaces its TLB alone."""
    file = written(tmp_path, "caches", None, None, None)
    _, addresses, by = accesses()
    np.savez(tmp_path / "t.npz", address=addresses, cpu=by)
    own = replay_file(tmp_path / "t.npz", machine=str(file))
    other = replay_file(tmp_path / "t.npz", machine=str(file), caches="L1:8KiB/4,L2:256KiB/8")
    assert other.tlb == own.tlb
    assert other.last_level == "nine"
    plain = replay_file(tmp_path / "t.npz", caches="L1:8KiB/4,L2:256KiB/8")
    assert [x.name for x in other.levels] == ["L1", "L2"]
    assert sum(x.misses for x in other.levels) == sum(x.misses for x in plain.levels)
    tlb = replay_file(tmp_path / "t.npz", machine=str(file), tlb="L1:4/4")
    assert (tlb.levels, len(tlb.tlb)) == (own.levels, 1)


def test_a_thousand_cpus_and_more(tmp_path: Path) -> None:
    """CPUs 0 to 8191, by every loop that knows several."""
    by = np.array([0, 600, 8191, 0, 600, 8191, 0])
    address = np.array([0, 0, 0, 8, 8, 64, 0])
    np.savez(tmp_path / "t.npz", address=address, cpu=by, op=list("WWWRRRW"))
    for last_level in ("nine", "victim"):
        result = replay_file(tmp_path / "t.npz", "L1:1KiB/2,L2:16KiB/8", last_level=last_level)
        assert result.cpus == 8192
        assert (result.levels[0].hits, result.levels[0].invalidations) == (1, 4)
    below = replay_file(tmp_path / "t.npz", "L1:1KiB/2@2,L2:16KiB/8", false_sharing=True)
    assert below.levels[0].invalidations == 4


def test_lines_of_128_bytes(tmp_path: Path) -> None:
    """An access is cut, and caches are divided, by the lines that were asked for."""
    np.save(tmp_path / "t.npy", np.array([0, 64, 128, 0, 65536]))
    result = replay_file(tmp_path / "t.npy", "L1:1KiB/2", line_bytes=128, tlb="L1:4/4")
    assert (result.levels[0].hits, result.levels[0].misses) == (2, 3)
    assert result.tlb[0].misses == 2
    assert replay_file(tmp_path / "t.npy", "L1:1KiB/2").levels[0].misses == 4
    (tmp_path / "t.csv").write_text("address,size\n120,16\n100,64\n")
    for size, lines in ((64, 4), (128, 4), (256, 2)):
        result = replay_file(tmp_path / "t.csv", "L1:4KiB/4", line_bytes=size)
        assert (result.accesses, result.line_accesses) == (2, lines)
