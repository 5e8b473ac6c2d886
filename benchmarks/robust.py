"""What is done to cgsim, and what comes of it: writes benchmarks/ROBUST.md.

    python -m benchmarks.robust [--seed N] [--share 1.0] [--section K]

About ten minutes on two cores. `--share` gives less of each kind of input, for a quick look. Files
of compiled code are damaged by `benchmarks.damaged_cache` (CACHE.md).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from benchmarks import hostile_inputs, hostile_pages, report_signals, swap_faults
from cgsim.cli import main as command_line
from cgsim.files import write_atomically
from cgsim.kernel import kernel_versions
from cgsim.scenarios.trace import list_scenarios

if TYPE_CHECKING:
    from collections.abc import Callable

OUT = Path(__file__).with_name("ROBUST.md")
AT_ONCE = 3
REPORT_SIGNALS = 50
INTERRUPTS = 10
LATEST_SIGNAL_S = 14.0
SHADOWED = (
    "numpy", "pandas", "numba", "yaml", "json", "multiprocessing", "argparse", "concurrent",
    "pyarrow", "scipy", "signal", "threading", "resource", "ctypes", "csv", "tempfile",
)  # fmt: skip
VERBS = (
    "--help", "designs", "machines zen5-vm", "trace idr/depth=0 --no-cycles", "misuse --design idr",
    "replay trace.csv --caches L1:32KiB/8", "validate published --benchmark no-such",
    "simulate --design no-such", "upkeep --design no-such", "attribute --design no-such",
    "mail --preset no-such", "report --preset no-such", "notebooks --out made",
)  # fmt: skip


def doors(seed: int, share: float, directory: Path) -> str:
    """Hostile inputs in this process."""
    results = [
        hostile_inputs.try_door(door, max(int(share * inputs), 1), seed, directory)
        for door, inputs in hostile_inputs.INPUTS.items()
    ]
    rows = [
        [r.door, r.inputs, r.answered, r.refused, sum(r.bad.values()), round(r.seconds, 1)]
        for r in results
    ]
    rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, 5)), ""])
    bad = [f"* {r.door}: {n} x `{what}`" for r in results for what, n in r.bad.most_common(5)]
    table = _table(["door", "inputs", "answered", "one line", "anything else", "s"], rows)
    return "\n".join([table, "", *bad])


def swap(directory: Path) -> str:
    """A fault at every system call by which a report is put in place."""
    rows = []
    for fault in swap_faults.FAULTS:
        outcomes = list(swap_faults.attempts(directory / "swap", fault))
        rows.append(
            [
                fault,
                len(outcomes),
                sum(o.foreign_lost for o in outcomes),
                sum(o.torn for o in outcomes),
                sum(o.next_run_failed for o in outcomes),
                sum(o.left_hidden for o in outcomes),
            ]
        )
    names = ["fault", "calls", "foreign files lost", "torn pages", "next run failed", "left behind"]
    return _table(names, rows)


def traces() -> str:
    """Every scenario, at its smallest number, by every kernel that has it, as text and JSON."""
    calls = failed = 0
    for row in list_scenarios():
        smallest = row["n"].partition("..")[0]
        name = row["name"].replace("=N", f"={smallest}")
        prefixes = tuple(row["kernels"].split(", "))
        for kernel in (k for k in kernel_versions() if k.startswith(prefixes)):
            for form in ([], ["--json"]):
                calls += 1
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    status = command_line(["trace", name, "--kernel", kernel, "--no-cycles", *form])
                failed += status != 0 or not out.getvalue()
    return f"{calls} calls of `cgsim trace`, {failed} failed."


def signals(seed: int, share: float, directory: Path) -> str:
    """Reports stopped at random moments."""
    rng = random.Random(seed)
    kinds = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
    plan = [
        (kinds[i % 3], rng.uniform(0.05, LATEST_SIGNAL_S), directory / f"signal{i}", i % 5 > 0)
        for i in range(max(int(share * REPORT_SIGNALS), 3))
    ]
    with ThreadPoolExecutor(5) as pool:
        outcomes = list(
            pool.map(
                lambda job: report_signals.attempt(job[2], job[0], job[1], working=job[3]), plan
            )
        )
    rows = []
    for kind in kinds:
        own = [o for o, (number, *_) in zip(outcomes, plan, strict=True) if number == kind]
        ended = [o.seconds for o in own]
        rows.append(
            [
                kind.name,
                len(own),
                sum(o.was_working for o in own),
                sum(o.processes for o in own),
                sum(bool({*o.entries} - {"out"}) for o in own),
                round(max(ended), 2),
            ]
        )
    names = [
        "signal", "reports", "had begun to write", "processes left after 5 s",
        "runs that left files", "slowest, s",
    ]  # fmt: skip
    return (
        "The signal comes up to 14 s after the report has begun to write; for every fifth, after "
        "its process was started. Left files do not count the empty directory that a killed "
        f"report had made.\n\n{_table(names, rows)}"
    )


def interrupts(seed: int, share: float, directory: Path) -> str:
    """Ctrl-C on a simulation and a replay, at random moments."""
    rng = random.Random(seed)
    trace = directory / "long.csv"
    trace.write_text("cpu,op,address\n" + "0,R,64\n1,W,128\n" * 2_000_000)
    rows = []
    for verb in (
        ["simulate", "--design", "list", "-p", "lookups=1000000"],
        ["replay", str(trace), "--caches", "L1:32KiB/8,L2:1MiB/16"],
    ):
        times, statuses = [], []
        for _ in range(max(int(share * INTERRUPTS), 2)):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cgsim", *verb],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            time.sleep(rng.uniform(0.3, 6))
            start = time.perf_counter()
            process.send_signal(signal.SIGINT)
            statuses.append(process.wait(60))
            times.append(time.perf_counter() - start)
        done = statuses.count(0)
        rows.append([verb[0], len(times), done, statuses.count(130), round(max(times), 2)])
    return _table(["verb", "interrupts", "had ended before", "status 130", "slowest, s"], rows)


def foreign_modules(directory: Path) -> str:
    """Modules of the working directory, for every verb."""
    here = directory / "shadowed"
    here.mkdir()
    ran = directory / "ran"
    for name in SHADOWED:
        (here / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write('{name} ')\n")
    (here / "trace.csv").write_text("cpu,op,address\n0,R,64\n")
    script = Path(sys.executable).with_name("cgsim")
    for verb in VERBS:
        subprocess.run([script, *verb.split()], cwd=here, capture_output=True, timeout=300)
    names = ran.read_text() if ran.exists() else ""
    return (
        f"{len(VERBS)} command lines in a directory of {len(SHADOWED)} modules of other names' "
        f"packages: {len(names.split())} of them were run. Workers and kernels: "
        "tests/cli/test_outputs.py."
    )


def homeless(directory: Path) -> str:
    """Users without a home, or whose home cannot be written."""
    readonly = directory / "readonly"
    readonly.mkdir(mode=0o555)
    rows = []
    homes = {
        "unset": None,
        "absent": "/nonexistent",
        "read-only": str(readonly),
        "a device": "/dev/null",
    }
    for kind, home in homes.items():
        environment = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG")}
        if home is not None:
            environment["HOME"] = home
        for verb in ("designs", "trace idr/depth=0 --no-cycles"):
            done = subprocess.run(
                [sys.executable, "-P", "-m", "cgsim", *verb.split()],
                env=environment, capture_output=True, text=True, timeout=600,
            )  # fmt: skip
            rows.append([kind, verb, done.returncode, "Traceback" in done.stderr])
    return _table(["HOME", "command", "status", "traceback"], rows)


def _table(names: list[str], rows: list[list[Any]]) -> str:
    return str(tabulate(rows, headers=names, tablefmt="github"))


def sections(seed: int, share: float, directory: Path) -> dict[str, Callable[[], str]]:
    """Title of a section -> what measures it."""
    return {
        f"Hostile inputs, seed {seed}": lambda: doors(seed, share, directory),
        f"`cgsim report` stopped at random moments, seed {seed}": lambda: signals(
            seed, share, directory
        ),
        "A fault at every system call of the swap": lambda: swap(directory),
        "Every scenario, kernel and form": traces,
        f"Ctrl-C at random moments, seed {seed}": lambda: interrupts(seed, share, directory),
        "Modules in the working directory": lambda: foreign_modules(directory),
        "Users without a home": lambda: homeless(directory),
        "Hostile strings in pages": lambda: hostile_pages.measure(directory),
    }


def main() -> None:
    """Run each section in a process of its own, `AT_ONCE` at a time, and write ROBUST.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--section", type=int, help="print this one alone")
    options = parser.parse_args()
    titles = list(sections(options.seed, options.share, Path()))
    if options.section is not None:
        with tempfile.TemporaryDirectory(prefix="cgsim-robust-") as name:
            section = sections(options.seed, options.share, Path(name))[titles[options.section]]
            with contextlib.redirect_stdout(sys.stderr):
                text = section()
        print(text)
        return
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.robust"]
    command += ["--seed", str(options.seed), "--share", str(options.share), "--section"]

    def measure(number: int) -> str:
        return subprocess.run(
            [*command, str(number)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    with ThreadPoolExecutor(AT_ONCE) as pool:
        texts = list(pool.map(measure, range(len(titles))))
    head = (
        "# What is done to cgsim, and what comes of it\n\n"
        f"Written by `{' '.join(['python', *sys.orig_argv[1:]])}` in "
        f"{time.perf_counter() - start:.0f} s. Damaged files of compiled code: CACHE.md."
    )
    parts = [f"## {title}\n\n{text.strip()}" for title, text in zip(titles, texts, strict=True)]
    write_atomically(OUT, "\n\n".join([head, *parts]) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
