"""The public replay: golden counts, another simulator, what it refuses, what it returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from examples import examples
from reference_cache import RefLevel, replay_reference

from benchmarks.reference_traces import (
    FULL_LENGTH,
    cpus_of,
    golden_counts,
    reference_trace,
    writes_of,
)
from cgsim.errors import UserError
from cgsim.trace_replay.geometry import parse_caches, parse_tlb
from cgsim.trace_replay.replay import FalselySharedLine, FalseSharing, Replay, replay, replay_file

GOLDEN = golden_counts()
SHORT = examples(60_000)
SMALL = "L1:2KiB/4,L2:12KiB/8,L3:96KiB/12"
slow = pytest.mark.slow
both = pytest.mark.parametrize("name", ["T1", "T2"])


def hits(result: Replay) -> list[int]:
    return [level.hits for level in result.levels]


def misses(result: Replay) -> list[int]:
    return [level.misses for level in result.levels]


def column(result: Replay, name: str) -> list[int]:
    return [getattr(level, name) for level in result.levels]


@slow
@both
@pytest.mark.parametrize("threads", [1, 2])
def test_golden_reads_and_tlb(name: str, threads: int) -> None:
    trace = reference_trace(name)
    tlb = GOLDEN["tlb"]["levels"]
    result = replay(trace, GOLDEN["caches"], threads=threads, tlb=tlb)
    assert hits(result) == GOLDEN["reads"][name]["hits"]
    assert misses(result) == GOLDEN["reads"][name]["misses"]
    assert [level.hits for level in result.tlb] == GOLDEN["tlb"][name]["hits"]
    assert [level.misses for level in result.tlb] == GOLDEN["tlb"][name]["misses"]
    assert len(np.unique(trace >> np.uint64(6))) == GOLDEN["traces"][name]["unique_lines"]


@slow
@both
def test_golden_write_backs(name: str) -> None:
    golden = GOLDEN["write_backs"][name]
    writes = writes_of(FULL_LENGTH)
    assert int(writes.sum()) == 1_000_010
    result = replay(reference_trace(name), GOLDEN["caches"], ops=writes)
    assert misses(result) == golden["misses"]
    for counter in ("writeback_misses", "dirty_victims"):
        assert column(result, counter) == golden[counter]
    assert result.writebacks == golden["writebacks"]


@slow
@both
@pytest.mark.parametrize(("cpus", "threads"), [(2, 1), (4, 2), (8, 1), (8, 2)])
def test_golden_coherence(name: str, cpus: int, threads: int) -> None:
    golden = GOLDEN["coherence"][name][str(cpus)]
    result = replay(
        reference_trace(name),
        GOLDEN["caches"],
        ops=writes_of(FULL_LENGTH),
        cpu=cpus_of(FULL_LENGTH, cpus),
        threads=threads,
    )
    assert hits(result) == golden["hits"]
    assert misses(result)[2] == golden["last_misses"]
    assert column(result, "invalidations")[:2] == golden["invalidations"]


@both
@pytest.mark.parametrize("cpus", [1, 2, 8])
@pytest.mark.parametrize("last_level", ["nine", "inclusive", "victim"])
def test_short_traces(name: str, cpus: int, last_level: str) -> None:
    """The same kinds of trace, short, against the plain Python reference; any threads."""
    trace = reference_trace(name, SHORT)
    writes, cpu = writes_of(SHORT), cpus_of(SHORT, cpus)
    traffic = cpus == 1 and last_level == "nine"
    levels = [RefLevel(8, 4, 1), RefLevel(24, 8, 1), RefLevel(128, 12, cpus)]
    accesses = zip(cpu.tolist(), (trace // np.uint64(64)).tolist(), writes.tolist(), strict=True)
    found = replay_reference(accesses, levels, cpus, last_level, traffic)
    for threads in (1, 2):
        result = replay(trace, SMALL, cpus, threads, ops=writes, cpu=cpu, last_level=last_level)
        for counter in ("hits", "misses", "invalidations", "dirty_victims", "writeback_misses"):
            assert column(result, counter) == [found[n, counter] for n in range(3)]
        assert result.writebacks == found["all", "writebacks"]
        assert result.write_backs == ("traffic" if traffic else "silent")


@both
def test_pycachesim(name: str) -> None:
    """Reads, against pycachesim (which does not refresh a line that a store hits)."""
    cachesim = pytest.importorskip("cachesim")
    trace = reference_trace(name, SHORT)
    memory = cachesim.MainMemory()
    last = cachesim.Cache("L3", 256, 16, 64, "LRU")
    middle = cachesim.Cache("L2", 64, 8, 64, "LRU", load_from=last, store_to=last)
    first = cachesim.Cache("L1", 8, 2, 64, "LRU", load_from=middle, store_to=middle)
    memory.load_to(last)
    memory.store_from(last)
    simulator = cachesim.CacheSimulator(first, memory)
    simulator.load(trace.tolist(), length=8)
    stats = list(simulator.stats())
    result = replay(trace, "L1:1KiB/2,L2:32KiB/8,L3:256KiB/16")
    assert hits(result) == [level["HIT_count"] for level in stats[:3]]
    assert misses(result) == [level["MISS_count"] for level in stats[:3]]


def test_accesses_that_cross_lines() -> None:
    """An access touches every line it lies in, in ascending order, and counts once."""
    address = np.array([0, 60, 64, 126], np.uint64)
    result = replay(address, "L1:4KiB/4", sizes=[8, 8, 8, 132], ops=list("WRRR"), tlb="L1:4/4")
    assert result.accesses == 4
    assert (hits(result), misses(result)) == ([3], [5])
    assert [(level.hits, level.misses) for level in result.tlb] == [(7, 1)]
    with pytest.raises(UserError, match=r"row 1: .* ends beyond"):
        replay(np.array([0, 2**64 - 4], np.uint64), sizes=[8, 8])


def test_json_and_frame() -> None:
    """The shape that the command line prints, and the table."""
    address = np.array([0, 64, 0, 0], np.uint64)
    result = replay(address, ops=list("RWAR"), cpu=[0, 0, 1, 0], tlb="L1:64/4,L2:2048/8")
    found: dict[str, Any] = json.loads(json.dumps(result.to_json_dict()))
    assert found.pop("seconds") > 0
    assert found.pop("accesses_per_second") > 0
    assert found == {
        "accesses": 4,
        "line_accesses": 4,
        "levels": [
            {"name": "L1", "hits": 0, "misses": 4},
            {"name": "L2", "hits": 0, "misses": 4},
            {"name": "L3", "hits": 2, "misses": 2},
        ],
        "invalidations": {"L1": 1, "L2": 1},
        "writebacks": 2,
        "tlb": [{"name": "L1", "hits": 2, "misses": 2}, {"name": "L2", "hits": 0, "misses": 2}],
    }
    frame = result.frame()
    assert list(frame.columns) == ["unit", "level", "counter", "count"]
    row = frame.query("unit == 'cache' and level == 'L3' and counter == 'misses'")
    assert row["count"].tolist() == [2]
    assert replay(np.zeros(0, np.uint64)).to_json_dict()["accesses_per_second"] == 0


def test_false_sharing() -> None:
    """Two counters in one line, a third one elsewhere; the same word is true sharing."""
    address = np.array([0, 8, 0, 8, 8, 4096, 4096], np.uint64)
    cpu = [0, 1, 0, 1, 0, 0, 1]
    ops = list("WWWWRWR")
    result = replay(address, "L1:4KiB/4", cpu=cpu, ops=ops, false_sharing=True)
    assert result.levels == replay(address, "L1:4KiB/4", cpu=cpu, ops=ops).levels
    assert result.false_sharing == FalseSharing(3, 2, (FalselySharedLine(0, (0, 1), 2),))
    assert result.to_json_dict()["false_sharing"] == {
        "coherence_misses": 3,
        "count": 2,
        "lines": [{"address": "0x0", "cpus": [0, 1], "count": 2}],
    }
    counts = result.frame().query("counter in ['coherence_misses', 'false_sharing']")
    assert counts.values.tolist() == [
        ["all", "", "coherence_misses", 3],
        ["all", "", "false_sharing", 2],
        ["line", "0x0", "false_sharing", 2],
    ]
    assert "false_sharing" not in replay(address, cpu=cpu, ops=ops).to_json_dict()
    with pytest.raises(UserError, match=r"false_sharing = 'yes' .*True, False"):
        replay(address, false_sharing="yes")  # type: ignore[arg-type]


@pytest.mark.compiled
def test_false_sharing_by_size() -> None:
    """An access touches the words that its bytes lie in, in each line, up to CPU 511."""
    for size, false in ((8, 1), (9, 0), (64, 0)):
        result = replay(
            np.array([0x1030, 0x1038, 0x1030], np.uint64),
            ops=[True] * 3,
            cpu=[511, 3, 511],
            sizes=[8, 8, size],
            false_sharing=True,
            threads=2,
        )
        assert result.false_sharing is not None
        assert (result.false_sharing.coherence_misses, result.false_sharing.count) == (1, false)
        lines = (FalselySharedLine(0x1000, (511,), 1),) if false else ()
        assert result.false_sharing.lines == lines


@pytest.mark.parametrize("scale", [1, 1 << 44])
def test_falsely_shared_lines(scale: int) -> None:
    """The ten lines with the most, wherever they lie, whatever the threads and the machine."""
    rng = np.random.default_rng(5)
    line = rng.integers(0, 30, 6000)
    cpu = rng.integers(0, 4, 6000).astype(np.uint16)
    address = (line * scale * 64 + 8 * cpu).astype(np.uint64)
    table = pd.DataFrame({"address": address, "op": "W", "cpu": cpu})
    found = replay(table, SMALL, false_sharing=True).false_sharing
    assert found is not None
    assert found.count == found.coherence_misses > 4000
    assert len(found.lines) == 10
    assert {x.address for x in found.lines} <= {x * scale * 64 for x in range(30)}
    assert all(x.cpus == (0, 1, 2, 3) for x in found.lines)
    assert [x.count for x in found.lines] == sorted((x.count for x in found.lines), reverse=True)
    assert replay(table, SMALL, threads=2, false_sharing=True).false_sharing == found


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files(tmp_path: Path, suffix: str) -> None:
    """A table in a file gives the counts of the same arrays."""
    trace = reference_trace("T1", 5000)
    table = pd.DataFrame(
        {
            "cpu": cpus_of(5000, 4),
            "op": np.where(writes_of(5000), "W", "R"),
            "address": trace,
            "size": np.full(5000, 8),
        }
    )
    file = tmp_path / f"trace.{suffix}"
    if suffix == "csv":
        table.to_csv(file, index=False)
    else:
        table.to_parquet(file)
    expected = replay(table, SMALL)
    assert expected.levels[0].invalidations > 0
    assert replay_file(file, SMALL, threads=2).levels == expected.levels
    np.save(tmp_path / "trace.npy", trace)
    assert replay_file(tmp_path / "trace.npy", SMALL).levels == replay(trace, SMALL).levels


def test_lackey(tmp_path: Path) -> None:
    """Loads, stores and modifies count, instructions and valgrind's own lines do not."""
    file = tmp_path / "trace.txt"
    file.write_text(
        "==12== Lackey\nI  04000a10,3\n L 1ffefffe78,8\n S 04222cac,4\n M 0421c7cc,4\n"
        " L 04222cbc,8\n==12==\n"
    )
    result = replay_file(file, "L1:32KiB/8")
    assert result.accesses == 4
    assert (hits(result), misses(result), result.writebacks) == ([1], [4], 2)


@pytest.mark.compiled
def test_machine(tmp_path: Path) -> None:
    """A profile's caches, with CPUs that share them by its numbering."""
    from cgsim.machines import list_machines, load_machine
    from cgsim.trace_replay.geometry import levels_of_machine, places_on_machine

    np.save(tmp_path / "trace.npy", reference_trace("T1", 2000))
    for name in list_machines():
        machine = load_machine(name)
        places = places_on_machine(machine)
        assert len(set(places)) == machine.n_cpus
        shared = {level.name: level.cpus_per_instance for level in levels_of_machine(machine)}
        of = {"core": machine.core_of, "cluster": machine.cluster_of, "socket": machine.socket_of}
        for cache in machine.caches:
            instance = of[cache.shared_by]
            together: dict[int, set[int]] = {}
            for cpu in range(machine.n_cpus):
                together.setdefault(places[cpu] // shared[cache.name], set()).add(instance(cpu))
            assert all(len(found) == 1 for found in together.values())
            assert len(together) == len({instance(cpu) for cpu in range(machine.n_cpus)})
        result = replay_file(tmp_path / "trace.npy", machine=name)
        tlb = f"L1:{machine.tlb.l1_entries_4k}/{machine.tlb.l1_ways_4k}"
        tlb += f",L2:{machine.tlb.l2_entries}/{machine.tlb.l2_ways}"
        assert result.tlb == replay(reference_trace("T1", 2000), tlb=tlb).tlb
        assert result.last_level == machine.caches[-1].inclusion
        assert result.levels[0].hits + result.levels[0].misses == 2000


ROWS = np.arange(4, dtype=np.uint64)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"address": [1, 2], "op": ["R", "X"]}, "row 1: op is 'X'; allowed: R, W, A"),
        ({"address": [1, 2], "op": ["R", None]}, "row 1: op is missing"),
        ({"address": [1.0, 2.5], "op": ["R", "R"]}, "row 0: address is .*1.0.* float64"),
        ({"address": [1.0, float("nan")], "op": ["R", "R"]}, "row 0: address is"),
        ({"address": [1, None], "op": ["R", "R"]}, "row . ?: address is|row .: address is"),
        ({"address": ["a", "b"], "op": ["R", "R"]}, "row 0: address is"),
        ({"address": [1], "op": ["R"], "cpu": [8192]}, "row 0: cpu = 8192 is not allowed"),
        ({"address": [1], "op": ["R"], "cpu": [-1]}, "row 0: cpu = -1 is not allowed"),
        ({"address": [1], "op": ["R"], "size": [0]}, "row 0: size = 0 is not allowed"),
        ({"address": [1], "op": ["R"], "pid": [0]}, "unknown column 'pid'"),
        ({"op": ["R"]}, "column 'address' is missing"),
    ],
)
def test_malformed_tables(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    """One line that names the row, or the line of the text."""
    table = pd.DataFrame(columns)
    with pytest.raises(UserError, match=message):
        replay(table)
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    for file, place in (("t.parquet", "row"), ("t.csv", "line")):
        told = rf"{file}: ({place} \d+: |unknown column|column)"
        with pytest.raises(UserError, match=told) as caught:
            replay_file(tmp_path / file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caches": "L1:32KB/8"}, "is not NAME:SIZE/WAYS"),
        ({"caches": "L1:100B/8"}, "multiples of 512 bytes"),
        ({"caches": "L1:32KiB/0"}, "ways = 0"),
        ({"caches": "L1:32KiB/8,L1:1MiB/8"}, "two levels are named 'L1'"),
        ({"caches": "L1:32KiB/8@4,L2:1MiB/8@6"}, "a multiple from level to level"),
        ({"caches": ""}, "is not NAME"),
        ({"tlb": "L1:64"}, "is not NAME:ENTRIES/WAYS"),
        ({"tlb": "L1:64/5"}, "multiple of ways"),
        ({"cpus": 0}, "cpus = 0"),
        ({"cpus": 8193}, "cpus = 8193"),
        ({"line_bytes": 32}, "line_bytes = 32 .*64, 128"),
        ({"line_bytes": 128, "false_sharing": True}, "lines of 64 bytes, not of 128"),
        ({"caches": "L1:1KiB/8", "line_bytes": 256}, "multiples of 2048 bytes"),
        ({"caches": "L1:1TiB/1024"}, "level L1 above all, would take 64 GiB of memory; .*80%"),
        ({"caches": "L1:1GiB/8@1,L2:2GiB/8@1", "cpus": 8192}, "level L2 above all, would take"),
        ({"tlb": "L1:1000000000/4"}, "250000000 sets are not allowed"),
        ({"tlb": "L1:16384000000/1000"}, "TLB L1 above all, would take 61"),
        ({"threads": 1024}, "threads = 1024 .*1 to 256"),
        ({"cpus": 2, "cpu": [0, 1, 2, 1]}, "row 2: cpu = 2 .* 0 to 1"),
        ({"threads": 0}, "threads = 0"),
        ({"threads": 1.5}, "threads = 1.5"),
        ({"last_level": "exclusive"}, "last_level = 'exclusive'"),
        ({"caches": "L1:32KiB/8", "last_level": "victim"}, "two or more levels"),
        ({"write_backs": "traffic", "cpus": 2}, "defined for 1 CPU"),
        ({"ops": ["R"]}, "shape \\(1,\\)"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replay(ROWS, **options)


def test_geometry() -> None:
    """Sizes, sets that are no power of two, and who shares."""
    levels = parse_caches("L1:48KiB/12, L2:1280KiB/20, L3:36MiB/12@8")
    assert [(x.sets, x.ways, x.cpus_per_instance) for x in levels] == [
        (64, 12, 1),
        (1024, 20, 1),
        (49152, 12, 8),
    ]
    assert [x.cpus_per_instance for x in parse_caches("A:64B/1,B:128/2")] == [1, 0]
    assert [(x.sets, x.ways) for x in parse_tlb("L1:64/4,L2:1536/12")] == [(16, 4), (128, 12)]
