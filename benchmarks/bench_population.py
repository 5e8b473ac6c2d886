"""What a large population takes: a million cgroups with 16 keys each, looked up from 64 CPUs.

Run as a module it measures in a process of its own, whose peak memory is the figure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from tabulate import tabulate

MACHINE = "zen4-genoa"
DESIGN, KEYS, CPUS = "table", 16, 64
SIZES = (1000, 10_000, 100_000, 1_000_000)


def measure(n_cgroups: int, lookups_per_cpu: int = 2000) -> dict[str, float]:
    """Build the population and the machine, look up on each CPU in turn."""
    import numpy as np

    from cgsim.core.space import Timed
    from cgsim.core.system import System
    from cgsim.machines import load_machine
    from cgsim.machines.system_spec import system_spec
    from cgsim.stage.loops import IGNORE_DATUM, THROUGHPUT, Harness, run_lookups
    from cgsim.stage.population import build_population

    start = time.perf_counter()
    population = build_population(DESIGN, n_cgroups=n_cgroups, n_keys=KEYS, seed=1)
    built = time.perf_counter()
    system = System(system_spec(load_machine(MACHINE), CPUS), population.heap)
    rng = np.random.default_rng(1)
    looked_up = 0.0
    for cpu in range(CPUS):
        space = Timed(population.heap.mem, population.heap.block, system.cpu(cpu))
        count = lookups_per_cpu
        order = np.column_stack([rng.integers(0, n_cgroups, count), rng.integers(0, KEYS, count)])
        what = (population.parameters, population.cgroups, population.keys, order)
        if cpu == 0:
            run_lookups(space, *what, THROUGHPUT, IGNORE_DATUM, Harness(5, 0, 0))
        begin = time.perf_counter()
        run_lookups(space, *what, THROUGHPUT, IGNORE_DATUM, Harness(5, 0, 0))
        looked_up += time.perf_counter() - begin
    return {
        "build_s": built - start,
        "lookup_ns": looked_up / CPUS / lookups_per_cpu * 1e9,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """The process' own peak; ru_maxrss would be its parent's where that is larger."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def section(*, quick: bool = False) -> str:
    """The benchmark's part of RESULTS.md."""
    rows = []
    for size in SIZES[: 3 if quick else None]:
        command = [sys.executable, "-m", "benchmarks.bench_population", str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout)
        rows.append((size, row["peak_mib"], row["build_s"], row["lookup_ns"]))
    table = tabulate(
        rows,
        headers=("cgroups", "peak memory [MiB]", "build [s]", "timed lookup [ns]"),
        floatfmt=("", ".0f", ".1f", ".0f"),
        tablefmt="github",
    )
    return (
        "## Large populations\n\n"
        f"Design {DESIGN}, {KEYS} keys per cgroup, each installed by the design's own code, then "
        f"lookups on {CPUS} coherent CPUs of {MACHINE}; each size in a process of its own. Goal: a "
        "million cgroups within 8 GiB.\n\n" + table + "\n"
    )


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
