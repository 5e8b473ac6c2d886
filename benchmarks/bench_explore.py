"""How fast the explorer visits states: v4 with three readers, an installer and a destroyer.

Run as a module it measures in a process of its own, whose peak memory is the figure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from tabulate import tabulate

from benchmarks.bench_population import peak_mib

INTERFACE = "cgroup-priv-kref"
ACTORS = ("reader", "reader", "reader", "ioctl", "destroyer")
"""The installer is an ioctl, that holds the cgroup; RCU's callbacks run beside them."""
RUNS = (("to its end", ACTORS), ("and an ioctl that sets", (*ACTORS, "setter")))
STATES = 5_000_000


def measure(actors: list[str], states: int) -> dict[str, float | bool | str]:
    """One search, compiled before it."""
    from cgsim.interface import explore

    explore([INTERFACE], actors=["reader"])
    cpu, wall = time.process_time(), time.perf_counter()
    (found,) = explore([INTERFACE], actors=actors, states=states)
    return {
        "states": found.states,
        "complete": found.complete,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mib": peak_mib(),
    }


def section(*, quick: bool = False) -> str:
    """The benchmark's part of RESULTS.md."""
    rows = []
    for name, actors in RUNS[: 1 if quick else None]:
        command = [sys.executable, "-m", "benchmarks.bench_explore", str(STATES), *actors]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout)
        rows.append(
            (
                name,
                row["states"],
                "all" if row["complete"] else "up to the bound",
                row["states"] / row["cpu_s"],
                row["wall_s"],
                row["peak_mib"],
            )
        )
    table = tabulate(
        rows,
        headers=("run", "states", "of them", "states per CPU second", "wall [s]", "peak [MiB]"),
        floatfmt=("", ".0f", "", ".0f", ".1f", ".0f"),
        tablefmt="github",
    )
    return (
        "## Interleavings\n\n"
        f"`cgsim explore {INTERFACE} --actors {' '.join(ACTORS)} --states {STATES}`, one core, "
        "full states compared; each run in a process of its own. Goal: 100000 distinct states a "
        "second, 5 million in a run within 4 GiB.\n\n" + table + "\n"
    )


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[2:], int(sys.argv[1]))))
