"""Speed of the timed reading, against the native run, and what each of its features costs."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tabulate import tabulate

from cgsim.core.block_fields import C_ACCESSES
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.loops import DEPENDENT, IGNORE_DATUM, THROUGHPUT, Harness, run_lookups
from cgsim.stage.population import build_population

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.stage.population import Population

WITH_SCHEDULERS = "zen5-turin"
NO_SCHEDULERS = "zen4-genoa"  # its profile does not say how many entries they have, as most do not
FITTING_L1 = (
    ("list", 1, 8),
    ("list", 1, 1),
    ("idr", 1, 64),
    ("table", 1, 64),
    ("hash-rcu", 1, 8),
    ("storage", 1, 8),
)
LARGER = (("idr", 1000, 64), ("list", 1000, 8))
BEYOND_L2 = (("idr", 100_000, 16), ("list", 100_000, 16), ("table", 100_000, 16))
_HARNESS = Harness(instructions=5, ticks=0, chain=0)
_FEATURES: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("everything", {}, {}),
    ("without TLB", {"tlb": None}, {}),
    ("without schedulers", {"alu_entries": 0, "agu_entries": 0, "hold_cycles": 0.0}, {}),
    ("without branch predictor", {"predicts": False}, {}),
    ("caches and reorder buffer only", {
        "tlb": None, "alu_entries": 0, "agu_entries": 0, "hold_cycles": 0.0, "predicts": False,
    }, {}),
    ("everything, and attribution to words", {}, {"places": True}),
)  # fmt: skip


class Case(NamedTuple):
    """One population and the order in which it is looked up, and what one lookup costs."""

    accesses: float
    timed_s: float
    native_s: float
    dependent_s: float


def _median_seconds(repeats: int, *calls: Callable[[], object]) -> list[float]:
    """The median CPU time of each call, the calls in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, own in zip(calls, times, strict=True):
            start = time.thread_time()
            call()
            if repeat > 0:
                own.append(time.thread_time() - start)
    return [statistics.median(own) for own in times]


def _order(n_cgroups: int, n_keys: int, lookups: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.column_stack([rng.integers(0, n_cgroups, lookups), rng.integers(0, n_keys, lookups)])


def _machine(
    population: Population,
    machine: str,
    cpus: int = 1,
    changes: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[System, Timed]:
    spec = system_spec(load_machine(machine), cpus)._replace(**(changes or {}))
    system = System(spec, population.heap, **options)
    return system, Timed(population.heap.mem, population.heap.block, system.cpu())


def measure(
    machine: str, design: str, n_cgroups: int, n_keys: int, *, lookups: int, repeats: int = 5
) -> Case:
    """Accesses of a lookup and medians of its seconds: timed, native and native in a chain."""
    population = build_population(design, n_cgroups=n_cgroups, n_keys=n_keys, seed=1)
    order = _order(n_cgroups, n_keys, lookups)
    system, timed = _machine(population, machine)
    what = (population.parameters, population.cgroups, population.keys, order)
    seconds = _median_seconds(
        repeats,
        lambda: run_lookups(timed, *what, THROUGHPUT, IGNORE_DATUM, _HARNESS),
        lambda: run_lookups(population.native, *what, THROUGHPUT, IGNORE_DATUM, _HARNESS),
        lambda: run_lookups(population.native, *what, DEPENDENT, IGNORE_DATUM, _HARNESS),
    )
    accesses = system.field(C_ACCESSES) / (repeats + 1) / lookups
    return Case(accesses, *(value / lookups for value in seconds))


def _row(case: tuple[str, int, int], measured: Case) -> tuple[Any, ...]:
    return (
        *case,
        measured.accesses,
        measured.accesses / measured.timed_s / 1e6,
        measured.timed_s * 1e9,
        measured.native_s * 1e9,
        measured.dependent_s * 1e9,
        measured.timed_s / measured.native_s,
        measured.timed_s / measured.dependent_s,
    )


def _feature_rows(lookups: int) -> list[tuple[Any, ...]]:
    rows = []
    for design, n_cgroups, n_keys in (("list", 1, 8), ("idr", 1, 64), ("idr", 1000, 64)):
        population = build_population(design, n_cgroups=n_cgroups, n_keys=n_keys, seed=1)
        order = _order(n_cgroups, n_keys, lookups)
        what = (population.parameters, population.cgroups, population.keys, order)
        machines = [
            (name, *_machine(population, WITH_SCHEDULERS, 1, changes, **options))
            for name, changes, options in _FEATURES
        ]
        machines.append(
            ("everything, and the directory of 2 CPUs", *_machine(population, WITH_SCHEDULERS, 2))
        )

        def play(space: Timed, what: tuple[Any, ...] = what) -> object:
            return run_lookups(space, *what, THROUGHPUT, IGNORE_DATUM, _HARNESS)

        calls = [lambda space=space: play(space) for _, _, space in machines]
        seconds = _median_seconds(3, *calls)
        first = seconds[0]
        rows += [
            (f"{design}, {n_cgroups} cgroups", name, value / lookups * 1e9, value / first)
            for (name, _, _), value in zip(machines, seconds, strict=True)
        ]
    return rows


def _thread_rows(lookups: int, repeats: int = 5) -> list[tuple[Any, ...]]:
    """Two replicates, each with a machine of its own, one after the other and side by side."""
    rows = []
    for design, n_cgroups, n_keys in (("list", 1, 8), ("idr", 1, 64), ("idr", 1000, 64)):
        replicates = []
        for seed in (1, 2):
            population = build_population(design, n_cgroups=n_cgroups, n_keys=n_keys, seed=seed)
            what = (population.parameters, population.cgroups, population.keys)
            order = _order(n_cgroups, n_keys, lookups)
            system, space = _machine(population, WITH_SCHEDULERS)
            replicates.append((system, (space, *what, order, THROUGHPUT, IGNORE_DATUM, _HARNESS)))
        seconds = {}
        for threads in (1, 2):
            with ThreadPoolExecutor(max_workers=threads) as pool:
                times = []
                for _ in range(repeats + 1):  # the first one warms
                    start = time.perf_counter()
                    list(pool.map(lambda replicate: run_lookups(*replicate[1]), replicates))
                    times.append(time.perf_counter() - start)
            seconds[threads] = statistics.median(times[1:])
        accesses = sum(system.field(C_ACCESSES) for system, _ in replicates) / (2 * repeats + 2)
        one, two = (accesses / seconds[threads] / 1e6 for threads in (1, 2))
        rows.append((design, n_cgroups, n_keys, one, two, two / one))
    return rows


def _table(machine: str, lookups: int) -> str:
    rows = [_row(case, measure(machine, *case, lookups=lookups)) for case in (*FITTING_L1, *LARGER)]
    # enough lookups that their data do not stay in the host's last cache between two runs
    rows += [
        _row(case, measure(machine, *case, lookups=2 * lookups, repeats=3)) for case in BEYOND_L2
    ]
    return tabulate(
        rows,
        headers=(
            "design", "cgroups", "keys", "accesses a lookup", "M accesses/s", "timed [ns]",
            "native [ns]", "native, chained [ns]", "timed / native", "timed / chained",
        ),
        floatfmt=("", "", "", ".1f", ".1f", ".1f", ".1f", ".1f", ".1f", ".1f"),
        tablefmt="github",
    )  # fmt: skip


def section(*, quick: bool = False) -> str:
    """The benchmark's part of RESULTS.md."""
    lookups = 50_000 if quick else 300_000
    features = tabulate(
        _feature_rows(lookups // 3),
        headers=("lookups", "machine", "timed [ns]", "times everything"),
        floatfmt=("", "", ".1f", ".2f"),
        tablefmt="github",
    )
    threads = tabulate(
        _thread_rows(lookups),
        headers=("design", "cgroups", "keys", "1 thread", "2 threads", "times 1 thread"),
        floatfmt=("", "", "", ".1f", ".1f", ".2f"),
        tablefmt="github",
    )
    return (
        "## Timed reading\n\n"
        "Lookups of random cgroups and keys: caches, TLB, ROB, branch predictor, store buffer and "
        "CPI stack all on, one thread, generation of the accesses included. `native` is the same "
        "source read natively, its lookups back to back; `chained`: each lookup's address waits "
        "for the last one's result. CPU time of this host per lookup, medians. Goals: 60 M "
        "accesses/s where lookups mostly hit; at most 5 times native (chained) where the "
        "structure fits L1, at most once where it does not fit L2.\n\n"
        f"### With schedulers: {WITH_SCHEDULERS}\n\n{_table(WITH_SCHEDULERS, lookups)}\n\n"
        f"### Without schedulers, which the profile leaves out: {NO_SCHEDULERS}\n\n"
        f"{_table(NO_SCHEDULERS, lookups)}\n\n"
        f"### What each feature costs: {WITH_SCHEDULERS}\n\n{features}\n\n"
        "### One and two host threads\n\n"
        f"Two replicates on {WITH_SCHEDULERS}; M accesses/s of wall time. Host threads "
        f"share replicates, never one machine.\n\n{threads}\n"
    )


if __name__ == "__main__":
    print(section())
