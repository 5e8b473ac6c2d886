"""How long a newcomer waits: the first call of public functions, with and without compiled code."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from tabulate import tabulate

CALLS = (
    ("import cgsim", "pass"),
    ("load_machine", "cgsim.load_machine('zen5-vm')"),
    ("trace", "cgsim.trace('idr/depth=2')"),
    ("simulate", "cgsim.simulate('idr', 'zen5-vm', 'network', lookups=100, replicates=1)"),
    ("lookup_cost", "cgsim.lookup_cost('idr', 'zen5-vm', lookups=100, replicates=1)"),
    ("attribute", "cgsim.attribute('idr', 'zen5-vm', 'network', lookups=100)"),
    (
        "replay",
        "import numpy; cgsim.replay(numpy.arange(1000, dtype=numpy.uint64) * 64, "
        "caches='L1:32KiB/8,L2:512KiB/8,L3:16MiB/16')",
    ),
    (
        "update_cost",
        "from cgsim.experiments.counters import update_cost; "
        "update_cost('shared-atomic', 'zen5-vm', 2, updates=1000)",
    ),
)
_PROGRAM = """
import time
start = time.perf_counter()
import cgsim
imported = time.perf_counter() - start
start = time.perf_counter()
{call}
print(imported, time.perf_counter() - start)
"""


def _seconds(call: str, cache: str) -> tuple[float, float]:
    """(Of the import, of the call) in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(call=call)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
    )
    imported, called = done.stdout.split()
    return float(imported), float(called)


def section(*, quick: bool = False) -> str:
    """The benchmark's part of RESULTS.md."""
    rows = []
    for name, call in CALLS:
        with tempfile.TemporaryDirectory() as cache:
            index = 0 if name.startswith("import") else 1
            cold = _seconds(call, cache)[index]
            warm = [_seconds(call, cache)[index] for _ in range(1 if quick else 3)]
        rows.append((name, cold, statistics.median(warm)))
    table = tabulate(
        rows, headers=("call", "cold [s]", "warm [s]"), floatfmt=("", ".2f", ".2f"),
        tablefmt="github",
    )  # fmt: skip
    return (
        "## First calls\n\n"
        "Each in a new process; cold: with an empty cache of compiled code, of which a checkout "
        "pays each part once, or all at once by `cgsim warm`.\n\n" + table + "\n"
    )


if __name__ == "__main__":
    print(section())
