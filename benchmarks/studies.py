"""How fast studies run, and what they cost beside their points: writes benchmarks/STUDIES.md.

    python -m benchmarks.studies [--rows 10000]

One study, half network and half GPU, 500 lookups a row: a fifth of the rows on one process and on
two, all of them on two, cold; then again with a full store. Peak memory is of the process that
asks and of its largest worker.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from cgsim.provenance import git_state, host, short_commit
from cgsim.studies.run import RESULTS, run_study

TARGET = Path(__file__).with_name("STUDIES.md")
_DESIGNS = ["list", "hash", "idr", "table", "storage"]
_LOOKUPS = 500


def study(rows: int) -> dict[str, object]:
    """A study of at least so many rows."""
    points = 2 * 5 * 2
    return {
        "name": "speed",
        "designs": _DESIGNS,
        "workloads": ["network", "gpu"],
        "machine": "zen4-genoa",
        "factors": {"n_keys": [1, 2, 4, 8, 16], "n_cgroups": [100, 1000]},
        "lookups": _LOOKUPS,
        "replicates": -(-rows // (points * len(_DESIGNS))),
        "seed": 1,
    }


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    rows = parser.parse_args().rows
    lines = []
    hashes = set()
    seconds = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        warm = study(100) | {"replicates": 1, "lookups": 10}
        run_study(warm, out=Path(directory, "warm"), workers=2)  # compiles
        for workers, many in ((1, rows // 5), (2, rows // 5), (2, rows)):
            out = Path(directory, f"{many}-on-{workers}")
            for again in (False, True):
                before = _cpu()
                start = time.perf_counter()
                run = run_study(study(many), out=out, workers=workers)
                elapsed = time.perf_counter() - start
                cpu = _cpu() - before
                if not again and many < rows:
                    seconds[workers] = elapsed
                    hashes.add((out / RESULTS).read_bytes())
                lines.append(
                    f"| {workers} | {'full' if again else 'empty'} | {run.table.num_rows} | "
                    f"{run.computed} | {run.found} | {elapsed:.1f} | {cpu:.1f} | "
                    f"{run.table.num_rows / elapsed:.1f} |"
                )
        size = sum(path.stat().st_size for path in (out / "store").glob("*.parquet"))
        count = pq.read_metadata(out / RESULTS).num_rows
    state = short_commit(git_state())
    about = host()
    own, child = (
        resource.getrusage(who).ru_maxrss >> 10
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    text = f"""\
# Speed of studies

Written by `python -m benchmarks.studies --rows {rows}` at commit {state} on {about["cpu"]},
{about["cores"]} cores; load average at the start {load:.1f} (other work on the machine slows all).

{_LOOKUPS} lookups a row, half network, half GPU; designs {", ".join(_DESIGNS)}.

| processes | store | rows | computed | found | s | CPU s | rows/s |
| --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(lines)}

Two processes take {seconds[1] / seconds[2]:.2f} times less than one; the tables are
{"the same bytes" if len(hashes) == 1 else "NOT the same"}. Peak memory: {own} MiB in the process
that asks, {child} MiB in its largest worker. The store takes {size / count:.0f} bytes a row.
"""
    TARGET.write_text(text)
    print(text)


def _cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
