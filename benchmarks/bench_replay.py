"""Counting accesses: cgsim's replay beside pycachesim, cachegrind and a C reference, in one run.

Every row replays the same trace; its counts are checked against the golden ones (or, for shorter
traces, against each other), so that no row is fast by being wrong.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reference_traces import (
    FULL_LENGTH,
    NAMES,
    cpus_of,
    golden_counts,
    reference_trace,
    writes_of,
)
from cgsim.trace_replay.replay import replay

QUICK_LENGTH = 1_000_000
CACHES = golden_counts()["caches"]
TLB = golden_counts()["tlb"]["levels"]
C_SOURCE = Path(__file__).with_name("reference.c")
TARGETS = (
    "Targets: counts only within 10 % of C and at least 10 times pycachesim's list path; 8 CPUs"
    " with 10 % writes at 50 M/s on one thread and 120 on two."
)

Row = tuple[str, list[float] | None, str]


def section(quick: bool = False) -> str:
    """The Markdown of this part of RESULTS.md."""
    length = QUICK_LENGTH if quick else FULL_LENGTH
    repeats = 3 if quick else 7
    lines = [
        "## Replay of address traces",
        "",
        f"{length:,} accesses, caches `{CACHES}`. M/s: million accesses a second, the median of"
        f" {repeats} runs in turn and their range, the replay alone. The traces are those of"
        " `data/golden/counts.json`; CPUs take turns, and 10 % of the accesses write where several"
        " CPUs take part. Counts only take one thread, though two are allowed."
        f" The C reference is the same algorithm. {TARGETS}",
        "",
    ]
    for name in NAMES:
        rows = _rows(name, length, repeats)
        lines += [f"### {name}", "", *_table(rows, length), ""]
    return "\n".join(lines)


def _table(rows: list[Row], length: int) -> list[str]:
    median = {name: statistics.median(times) for name, times, _ in rows if times}
    bases = [base for base in ("C reference", "pycachesim, list") if base in median]
    lines = [
        f"| what | M/s | range | {' | '.join(f'times {base}' for base in bases)} | note |",
        f"| --- | ---: | ---: | {' | '.join('---:' for _ in bases)} | --- |",
    ]
    for name, times, note in rows:
        if not times:
            lines.append(f"| {name} | - | - | {' | '.join('-' for _ in bases)} | {note} |")
            continue
        speeds = sorted(length / t / 1e6 for t in times)
        ratios = [f"{median[base] / median[name]:.2f}" for base in bases]
        lines.append(
            f"| {name} | {length / median[name] / 1e6:.1f} | {speeds[0]:.1f}-{speeds[-1]:.1f} |"
            f" {' | '.join(ratios)} | {note} |"
        )
    return lines


def _rows(name: str, length: int, repeats: int) -> list[Row]:
    """All measurements of one trace; those that can take turns do."""
    trace = reference_trace(name, length)
    writes = writes_of(length)
    tasks: dict[str, Callable[[], float]] = {}
    seen: dict[str, Any] = {}

    def cgsim(key: str, **options: Any) -> Callable[[], float]:
        def run() -> float:
            result = replay(trace, CACHES, **options)
            counts = [(x.hits, x.misses, x.invalidations) for x in result.levels]
            assert seen.setdefault(key, counts) == counts, f"{name}, {key}: the counts differ"
            return result.seconds

        return run

    tasks["cgsim, counts only, 1 thread"] = cgsim("reads")
    tasks["cgsim, counts only, 2 threads"] = cgsim("reads", threads=2)
    tasks["cgsim, counts and TLB, 1 thread"] = cgsim("reads", tlb=TLB)
    tasks["cgsim, 1 CPU, 10 % writes with write-back traffic, 1 thread"] = cgsim(
        "traffic", ops=writes
    )
    for cpus in (2, 8, 64):
        for threads, told in ((1, "1 thread"), (2, "2 threads")):
            tasks[f"cgsim, coherent, {cpus} CPUs, {told}"] = cgsim(
                f"{cpus} CPUs", ops=writes, cpu=cpus_of(length, cpus), threads=threads
            )
    for threads, told in ((1, "1 thread"), (2, "2 threads")):
        tasks[f"cgsim, coherent, 8 CPUs with false sharing, {told}"] = cgsim(
            "8 CPUs", ops=writes, cpu=cpus_of(length, 8), threads=threads, false_sharing=True
        )
    notes = {}
    if importlib.util.find_spec("cachesim") is not None:
        addresses = trace.tolist()
        tasks = {"pycachesim, list": lambda: _pycachesim(addresses, seen), **tasks}
    else:
        notes["pycachesim, list"] = "skipped: pycachesim is not installed"

    with tempfile.TemporaryDirectory() as directory:
        program = _compiled(Path(directory))
        raw = Path(directory) / "trace"
        trace.tofile(raw)
        if program:
            tasks = {"C reference": lambda: _c_counts(program, raw, seen), **tasks}
        else:
            notes["C reference"] = "skipped: no C compiler"
        for run in tasks.values():  # compiles, and loads what is cached
            run()
        times: dict[str, list[float]] = {task: [] for task in tasks}
        for _ in range(repeats):
            for task, run in tasks.items():
                times[task].append(run())
        rows: list[Row] = [(task, None, note) for task, note in notes.items()]
        rows += [(task, measured, "") for task, measured in times.items()]
        rows.insert(0, _cachegrind(program, raw, Path(directory)))
    if length == FULL_LENGTH:
        golden = golden_counts()
        assert [hits for hits, _, _ in seen["reads"]] == golden["reads"][name]["hits"], name
        found = [misses for _, misses, _ in seen["traffic"]]
        assert found == golden["write_backs"][name]["misses"], name
        for cpus in (2, 8):
            found = [hits for hits, _, _ in seen[f"{cpus} CPUs"]]
            assert found == golden["coherence"][name][str(cpus)]["hits"], (name, cpus)
    return rows


def _pycachesim(addresses: list[int], seen: dict[str, Any]) -> float:
    import cachesim

    memory = cachesim.MainMemory()
    last = cachesim.Cache("L3", 16384, 16, 64, "LRU")
    middle = cachesim.Cache("L2", 1024, 8, 64, "LRU", load_from=last, store_to=last)
    first = cachesim.Cache("L1", 64, 8, 64, "LRU", load_from=middle, store_to=middle)
    memory.load_to(last)
    memory.store_from(last)
    simulator = cachesim.CacheSimulator(first, memory)
    begin = time.perf_counter()
    simulator.load(addresses, length=8)
    seconds = time.perf_counter() - begin
    hits = [level["HIT_count"] for level in list(simulator.stats())[:3]]
    _agree("pycachesim", hits, seen)
    return seconds


def _agree(what: str, hits: list[int], seen: dict[str, Any]) -> None:
    """Compare with cgsim's reads, once those have run."""
    if "reads" in seen:
        assert hits == [found for found, _, _ in seen["reads"]], f"{what}: the counts differ"


def _compiled(directory: Path) -> Path | None:
    """The C reference, or None without a compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        return None
    program = directory / "reference"
    subprocess.run(
        [compiler, "-O3", "-march=native", os.fspath(C_SOURCE), "-o", os.fspath(program)],
        check=True,
    )
    return program


def _c_counts(program: Path, raw: Path, seen: dict[str, Any]) -> float:
    """The best-effort equal of a call in this process: the second of two repeats, caches warm."""
    done = subprocess.run([program, "counts", raw, "2"], check=True, capture_output=True, text=True)
    first, _, seconds = done.stdout.splitlines()
    _agree("C reference", [int(x) for x in first.split()], seen)
    return float(seconds)


def _cachegrind(program: Path | None, raw: Path, directory: Path) -> Row:
    """One run of cachegrind; it replays two references an access and two levels only."""
    name = "cachegrind (2 levels), as run"
    valgrind = shutil.which("valgrind")
    if program is None or valgrind is None:
        return name, None, "skipped: valgrind or a C compiler is not installed"
    out = directory / "cachegrind.out"
    # AVX-512 is unknown to valgrind, so the walk is compiled for any host.
    plain = directory / "plain"
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    assert compiler is not None
    subprocess.run([compiler, "-O3", os.fspath(C_SOURCE), "-o", os.fspath(plain)], check=True)
    done = subprocess.run(
        [
            valgrind,
            "--tool=cachegrind",
            "--cache-sim=yes",
            f"--cachegrind-out-file={out}",
            "--I1=32768,8,64",
            "--D1=32768,8,64",
            "--LL=16777216,16,64",
            plain,
            "walk",
            raw,
            "1",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        return name, None, f"skipped: valgrind failed ({done.stderr.strip().splitlines()[-1]})"
    native = subprocess.run(
        [program, "walk", raw, "2"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    seconds = float(done.stdout.splitlines()[0])
    slowdown = seconds / float(native[1])
    return name, [seconds], f"one run; {slowdown:.0f} times the native loop"


if __name__ == "__main__":
    print(section(quick=True))
