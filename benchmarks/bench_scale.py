"""448 CPUs that count: simulated updates a second, and the same result from any number of threads.

One simulation is sequential: which CPU takes the next turn depends on all clocks before. Host
threads share the replicates, whose machines have nothing in common; so the result cannot depend on
the number of threads, and this part checks that it does not.
"""

from __future__ import annotations

import time

import pandas as pd

from cgsim.experiments.counter_stand import Stand, busy_machine
from cgsim.experiments.counters import update_cost
from cgsim.machines import load_machine
from cgsim.percpu import get_layout
from cgsim.percpu.many_cpus import DONE

MACHINE, CPUS = "xeon-8176-8s", 448
LAYOUTS = ("percpu", "padded", "shared-atomic", "packed", "per-node", "percpu-counter", "rstat")
SPREAD = "percpu"


def section(quick: bool) -> str:
    """Markdown: seconds per layout, and threads against each other."""
    updates = 1_000_000 if quick else 100_000_000
    rows = [_one(name, updates) for name in LAYOUTS]
    table = pd.DataFrame(rows).to_markdown(index=False, floatfmt=".1f", intfmt=",")
    return "\n".join(
        [
            f"## {updates:,} updates of a counter by {CPUS} CPUs",
            "",
            f"Machine {MACHINE}, timed reading with coherence and TLB, one host thread.",
            "",
            table,
            "",
            _threads(updates),
            "",
        ]
    )


def _one(name: str, updates: int) -> dict[str, object]:
    machine = busy_machine(load_machine(MACHINE), CPUS)
    layout = get_layout(name)
    Stand(layout, machine, CPUS).update(CPUS, 1)  # compiled
    stand = Stand(layout, machine, CPUS)
    begin = time.perf_counter()
    account = stand.update(updates, 1)
    seconds = time.perf_counter() - begin
    return {
        "layout": name,
        "seconds": seconds,
        "M updates/s": updates / seconds / 1e6,
        "lost": int(account[DONE]) - stand.total(),
    }


def _threads(updates: int) -> str:
    """Two replicates of half the updates each, by one host thread and by two."""
    frames, seconds = [], []
    for threads in (1, 2):
        begin = time.perf_counter()
        # a third of the updates of a replicate only warms up
        frames.append(
            update_cost(SPREAD, MACHINE, CPUS, updates=updates // 3, replicates=2, threads=threads)
        )
        seconds.append(time.perf_counter() - begin)
    pd.testing.assert_frame_equal(*frames)
    return (
        f"{updates:,} updates of {SPREAD} in two replicates: {seconds[0]:.1f} s on one host thread,"
        f" {seconds[1]:.1f} s on two, every column equal."
    )


if __name__ == "__main__":
    print(section(quick=False))
