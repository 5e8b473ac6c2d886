"""How fast studies run, and what they cost beside their points: writes benchmarks/STUDIES.md.

    python -m benchmarks.studies [--rows 10000] [--kills 50]

One study, half network and half GPU, 500 lookups a row: a fifth of the rows on one process and on
two, all of them on two, cold; then again with a full store. Two studies side by side that know
nothing of each other say what the two CPUs can give. Peak memory is of the process that asks and of
its largest worker. At last the slow tests of what is lost when processes are killed, with so many
kills.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from cgsim.provenance import git_state, host, short_commit
from cgsim.studies.run import RESULTS, run_study

TARGET = Path(__file__).with_name("STUDIES.md")
TESTS = Path(__file__).parents[1] / "tests" / "studies" / "test_own_store.py"
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
    parser.add_argument("--rows", type=int, default=10_000, help="0: the kills alone, again")
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    rows = options.rows
    if rows == 0:
        kept = TARGET.read_text().rpartition("\n\n")[0]
        TARGET.write_text(f"{kept}\n\n{_kills(options.kills)}\n")
        return
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
        side_by_side = _side_by_side(study(rows // 5), Path(directory))
        size = sum(path.stat().st_size for path in (out / "store").glob("*.parquet"))
        count = pq.read_metadata(out / RESULTS).num_rows
    state = short_commit(git_state())
    about = host()
    own, child = (
        resource.getrusage(who).ru_maxrss >> 10
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    ceiling = 2 * seconds[1] / side_by_side
    text = f"""\
# Speed of studies

Written by `python -m benchmarks.studies --rows {rows}` at commit {state} on {about["cpu"]},
{about["cores"]} cores; load average at the start {load:.1f} (other work on the machine slows all).

{_LOOKUPS} lookups a row, half network, half GPU; designs {", ".join(_DESIGNS)}.

| processes | store | rows | computed | found | s | CPU s | rows/s |
| --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(lines)}

Two processes are {seconds[1] / seconds[2]:.2f} times as fast as one; the tables are
{"the same bytes" if len(hashes) == 1 else "NOT the same"}. Two studies side by side that share
nothing are together {ceiling:.2f} times as fast as one alone: more these two CPUs do not give. Peak
memory: {own} MiB in the process that asks, {child} MiB in its largest worker. The store takes
{size / count:.0f} bytes a row.

{_kills(options.kills)}
"""
    TARGET.write_text(text)
    print(text)


def _alone(what: dict[str, object], out: Path) -> None:
    run_study(what, out=out, workers=1)


def _side_by_side(what: dict[str, object], directory: Path) -> float:
    """Seconds until two processes have each run a study of their own."""
    context = multiprocessing.get_context("spawn")
    both = [
        context.Process(target=_alone, args=(what, directory / f"side-{number}"))
        for number in range(2)
    ]
    start = time.perf_counter()
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert all(process.exitcode == 0 for process in both)
    return time.perf_counter() - start


def _kills(times: int) -> str:
    """What the tests say of a study whose processes are killed, and of one on Dask workers."""
    told = {
        "killed_at_any_moment": f"SIGKILL of the process that asks or a worker, {times} times",
        "dask_gives_the_same": "Two Dask workers over TCP, one of them killed on the way",
    }
    lines = []
    for name, what in told.items():
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-k", name, str(TESTS)],
            env={**os.environ, "CGSIM_KILLS": str(times)}, check=False, stdout=sys.stderr,
        )  # fmt: skip
        verdict = "nothing lost or done twice, the same bytes" if not done.returncode else "FAILED"
        lines.append(f"{what}: {verdict} ({time.perf_counter() - start:.0f} s).")
    return "\n".join(lines)


def _cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
