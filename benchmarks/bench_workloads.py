"""Speed of the workloads' generators, and what a point of each costs the host.

`python -m benchmarks.bench_workloads` writes benchmarks/WORKLOADS.md.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from tabulate import tabulate

import cgsim
from cgsim.files import write_atomically
from cgsim.workloads import Feeds, list_workloads, load_workload

OUT = Path(__file__).with_name("WORKLOADS.md")
GOAL = 50.0
ROWS, REPEATS = 250_000, 25
DESIGN, MACHINE, LOOKUPS = "idr", "zen5-vm", 4000


def generation(name: str) -> float:
    """Million rows a second of one core: the median of some pieces, in the thread's CPU time."""
    feeds = Feeds(load_workload(name), 1)
    feeds.take(ROWS)
    rates = []
    for _ in range(REPEATS):
        begin = time.thread_time()
        feeds.take(ROWS)
        rates.append(ROWS / (time.thread_time() - begin) / 1e6)
    return statistics.median(rates)


def lines(name: str) -> float:
    """Other code's lines in a replicate, in millions."""
    stream = Feeds(load_workload(name), 1).take(2 * LOOKUPS)
    return sum(int(stream.column(column).sum()) for column in ("hot_lines", "cold_lines")) / 1e6


def point(name: str) -> float:
    """CPU seconds of a replicate."""
    cgsim.simulate(DESIGN, MACHINE, name, lookups=100, replicates=1)
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        cgsim.simulate(DESIGN, MACHINE, name, lookups=LOOKUPS, replicates=1)
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds)


def section(*, quick: bool = False) -> str:
    """The benchmark's part of RESULTS.md."""
    names = list_workloads()[:2] if quick else list_workloads()
    rows = [(name, generation(name), lines(name), point(name)) for name in names]
    found = {name: (touched, cost) for name, _, touched, cost in rows}
    (few, base), (many, dear) = found["network"], found["gpu"]
    table = tabulate(
        [(name, rate, touched, cost, cost / base) for name, rate, touched, cost in rows],
        headers=(
            "workload", "million rows/s", "million lines of other code", "CPU s a replicate",
            "times the network's",
        ),
        floatfmt=("", ".1f", ".1f", ".3f", ".1f"),
        tablefmt="github",
    )  # fmt: skip
    slow = [f"{name} ({rate:.1f})" for name, rate, *_ in rows if rate < GOAL]
    short = f" Short of it: {', '.join(slow)}." if slow else ""
    return (
        "## Workloads\n\n"
        f"Generation only, one core, median of {REPEATS} pieces of {ROWS:,} rows in CPU time; "
        f"goal: {GOAL:.0f} million rows a second.{short} A replicate is {LOOKUPS:,} lookups of "
        f"{DESIGN} on {MACHINE}, after as many that warm; goal: a GPU point at most 3 times a "
        f"network point. It is {dear / base:.1f} times, with {many / few:.0f} times the lines of "
        f"other code: {1e3 * (dear - base) / (many - few):.1f} ns a line.\n\n" + table + "\n"
    )


if __name__ == "__main__":
    from benchmarks.run import machine_lines

    head = [
        "# Speed of the workloads",
        "",
        "Written by `python -m benchmarks.bench_workloads`.",
        "",
        *machine_lines(),
        "",
    ]
    write_atomically(OUT, "\n".join([*head, section()]))
    print(f"wrote {OUT}")
