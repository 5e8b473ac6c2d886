"""`python -m benchmarks.run [--quick]`: measures everything and writes benchmarks/RESULTS.md.

Each part is a module of this package with `section(quick) -> str`, its Markdown.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import subprocess
import time
from pathlib import Path

from cgsim.files import write_atomically

PARTS = (
    "bench_replay",
    "bench_reading",
    "bench_timed",
    "bench_population",
    "bench_workloads",
    "bench_scale",
    "bench_explore",
    "bench_first_calls",
)
OUT = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Run all parts that exist and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter traces, fewer repeats")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    options = parser.parse_args()
    begin = time.perf_counter()
    parts = [
        importlib.import_module(f"benchmarks.{part}").section(quick=options.quick)
        for part in PARTS
        if importlib.util.find_spec(f"benchmarks.{part}") is not None
    ]
    seconds = time.perf_counter() - begin
    command = "python -m benchmarks.run" + (" --quick" if options.quick else "")
    head = "\n".join(
        [
            "# Benchmarks",
            "",
            f"Written by `{command}` in one run of {seconds / 60:.0f} minutes. All ratios are of"
            " medians of this run; absolute speeds belong to this machine.",
            "",
            *machine_lines(),
            "",
        ]
    )
    write_atomically(options.out, "\n".join([head, *parts]).rstrip() + "\n")
    print(f"wrote {options.out}")


def machine_lines() -> list[str]:
    """The machine and the versions, as a Markdown list."""
    import llvmlite
    import numba
    import numpy

    described = {}
    lscpu = subprocess.run(
        ["lscpu"], check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )
    for line in lscpu.stdout.splitlines():
        key, _, value = line.partition(":")
        described[key.strip()] = value.strip()
    flags = described.get("Flags", "").split()
    vectors = [name for name in ("sse4_2", "avx2", "avx512f", "asimd", "sve") if name in flags]
    compiler = subprocess.run(
        [os.environ.get("CC", "cc"), "--version"], check=False, capture_output=True, text=True
    )
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return [
        f"* CPU: {described.get('Model name', platform.processor() or 'unknown')},"
        f" {os.cpu_count()} CPUs, vectors {' '.join(vectors) or 'unknown'};"
        f" {described.get('Hypervisor vendor', 'no')} hypervisor; caches"
        f" L1d {described.get('L1d cache', '?')}, L2 {described.get('L2 cache', '?')},"
        f" L3 {described.get('L3 cache', '?')}",
        f"* {platform.system()} {platform.release()}, Python {platform.python_version()},"
        f" numpy {numpy.__version__}, numba {numba.__version__}, llvmlite {llvmlite.__version__}",
        f"* C: {compiler.stdout.splitlines()[0] if compiler.stdout else 'no compiler'}",
        f"* load average when written: {load} (1, 5, 15 minutes)",
    ]


if __name__ == "__main__":
    main()
