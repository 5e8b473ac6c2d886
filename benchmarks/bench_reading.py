"""Reading trace files: how long every kind takes, beside the replay of the same accesses.

`python -m benchmarks.bench_reading` prints the section by itself.
"""

from __future__ import annotations

import gzip
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.reference_traces import cpus_of, golden_counts, reference_trace, writes_of
from cgsim.trace_replay.replay import replay
from cgsim.trace_replay.trace_files import read_trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTH = 3_000_000
QUICK_LENGTH = 300_000
REPEATS = 3
CPUS = 4


def section(quick: bool = False) -> str:
    """The Markdown of this part of RESULTS.md."""
    length = QUICK_LENGTH if quick else LENGTH
    address = reference_trace("T1", length)
    writes, cpu = writes_of(length), cpus_of(length, CPUS)
    lines = [
        "## Reading trace files",
        "",
        f"{length:,} accesses of T1 by {CPUS} CPUs, 10 % writes; the median of {REPEATS} reads."
        " Files are read from the page cache, on all CPUs of the host.",
        "",
        "| file | MiB | s | million accesses a second |",
        "| --- | ---: | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for file in _files(Path(folder), address, writes, cpu):
            times = []
            for _ in range(REPEATS):
                begin = time.perf_counter()
                trace = read_trace(file)
                times.append(time.perf_counter() - begin)
                assert np.array_equal(trace.address, address), file.name
            seconds = statistics.median(times)
            size = file.stat().st_size / 2**20
            rate = length / seconds / 1e6
            lines.append(f"| {file.name} | {size:.0f} | {seconds:.2f} | {rate:.1f} |")
    options = {"ops": writes, "cpu": cpu}
    replay(address, golden_counts()["caches"], **options)
    seconds = statistics.median(
        replay(address, golden_counts()["caches"], **options).seconds for _ in range(REPEATS)
    )
    lines.append(f"| its replay | - | {seconds:.2f} | {length / seconds / 1e6:.1f} |")
    return "\n".join([*lines, ""])


def _files(
    folder: Path, address: NDArray[np.uint64], writes: NDArray[np.bool_], cpu: NDArray[np.uint16]
) -> list[Path]:
    """The trace in every kind of file; what a kind cannot hold is left out."""
    op = np.where(writes, "W", "R")
    table = pd.DataFrame({"address": address, "op": op, "cpu": cpu})
    table.to_csv(folder / "decimal.csv", index=False)
    in_hex = pd.Series([f"{x:x}" for x in address.tolist()])
    table.assign(address="0x" + in_hex).to_csv(folder / "hexadecimal.csv", index=False)
    lackey = np.where(writes, " S ", " L ").astype(object) + in_hex.to_numpy(object) + ",8\n"
    (folder / "lackey.txt").write_text("".join(lackey))
    dinero = np.where(writes, "1 ", "0 ").astype(object) + in_hex.to_numpy(object) + "\n"
    (folder / "dinero.din").write_text("".join(dinero))
    name = np.where(writes, "write", "read ").astype(object)
    head = "".join(f"1 0: {n} <marker: tid {n} on core {n}>\n" for n in range(CPUS))
    record = cpu.astype(str).astype(object)
    view = "5 1: " + record + " " + name + " 8 byte(s) @ 0x" + in_hex.to_numpy(object)
    view += " by PC 0x1\n"
    (folder / "view.txt").write_text(head + "".join(view))
    packed = folder / "decimal.csv.gz"
    packed.write_bytes(gzip.compress((folder / "decimal.csv").read_bytes(), 6))
    table.to_parquet(folder / "trace.parquet")
    np.save(folder / "addresses.npy", address)
    return sorted(folder.iterdir())


if __name__ == "__main__":
    print(section())
