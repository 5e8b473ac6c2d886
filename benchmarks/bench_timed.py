"""Speed of the timed reading, and what a timed lookup costs against its native run."""

from __future__ import annotations

import statistics
import time

import numpy as np
from tabulate import tabulate

from cgsim.core.blocks import C_ACCESSES
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.drive import IGNORE_DATUM, THROUGHPUT, Harness, run_lookups
from cgsim.machines import load_machine
from cgsim.population import build_population
from cgsim.spec import system_spec

MACHINE = "zen4-genoa"
CASES = (
    ("list", 1, 8),
    ("list", 1, 1),
    ("idr", 1, 64),
    ("table", 1, 64),
    ("hash-rcu", 1, 8),
    ("idr", 1000, 64),
    ("list", 1000, 8),
    ("idr", 100_000, 16),
)
_HARNESS = Harness(instructions=5, ticks=0, chain=0)


def _median_seconds(repeats, call):
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(design, n_cgroups, n_keys, *, lookups, repeats=5):
    """Medians of one case: (million accesses/s, timed ns, native ns, accesses) per lookup."""
    population = build_population(design, n_cgroups=n_cgroups, n_keys=n_keys, seed=1)
    rng = np.random.default_rng(1)
    order = np.column_stack([rng.integers(0, n_cgroups, lookups), rng.integers(0, n_keys, lookups)])
    system = System(system_spec(load_machine(MACHINE)), population.heap)
    timed = Timed(population.heap.mem, population.heap.block, system.cpu())
    arguments = (population.parameters, population.cgroups, population.keys, order)
    loop = (THROUGHPUT, IGNORE_DATUM, _HARNESS)
    native_s = _median_seconds(repeats, lambda: run_lookups(population.native, *arguments, *loop))
    before = system.field(C_ACCESSES)
    timed_s = _median_seconds(repeats, lambda: run_lookups(timed, *arguments, *loop))
    accesses = (system.field(C_ACCESSES) - before) / (repeats + 1)
    return (
        accesses / timed_s / 1e6,
        timed_s / lookups * 1e9,
        native_s / lookups * 1e9,
        accesses / lookups,
    )


def section(*, quick: bool = False) -> str:
    """The benchmark's part of RESULTS.md."""
    lookups = 50_000 if quick else 300_000
    rows = []
    for design, n_cgroups, n_keys in CASES:
        speed, timed_ns, native_ns, accesses = measure(design, n_cgroups, n_keys, lookups=lookups)
        rows.append(
            (design, n_cgroups, n_keys, accesses, speed, timed_ns, native_ns, timed_ns / native_ns)
        )
    table = tabulate(
        rows,
        headers=(
            "design",
            "cgroups",
            "keys",
            "accesses a lookup",
            "M accesses/s",
            "timed [ns]",
            "native [ns]",
            "timed / native",
        ),
        floatfmt=("", "", "", ".1f", ".1f", ".1f", ".1f", ".1f"),
        tablefmt="github",
    )
    return (
        "## Timed reading\n\n"
        f"Lookups back to back on the machine {MACHINE}: caches, TLB, instruction window, branch "
        "predictor, store buffer and attribution all on, one thread. `native` is the same source "
        "read natively. Times are this host's, per lookup, medians.\n\n" + table + "\n"
    )


if __name__ == "__main__":
    print(section())
