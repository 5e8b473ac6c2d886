"""Every design beside a dict, 10 million random operations each: writes benchmarks/FUNCTIONAL.md.

Run with `python -m benchmarks.functional`; exits with 1 if a design differs from the dict, or if
the 2018 code as posted does not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.designs import list_designs
from cgsim.designs.pointer_hash import AS_POSTED
from cgsim.files import write_atomically
from cgsim.kernel import kernel_versions
from cgsim.stage.against_dict import compare_with_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

OUT = Path(__file__).with_name("FUNCTIONAL.md")
OPERATIONS = 10_000_000

HEAD = """# The designs' answers beside a dict's

Written by `{command}`: {operations:,} random operations per design and kernel (seed {seed}), played
by the design in the native reading and by plain arrays indexed by cgroup and key, and then a lookup
of every pair. Each datum carries the number of its install and the complement, so that a datum
given out twice, overwritten or found at another key shows.

* *reuse*: installs where a datum has been before (after a remove, a teardown of the cgroup, or
  *drop key*, the removal of one key from all cgroups); the memory of what was removed is reused
  after a grace period, about every 64 operations.
* *misses*: lookups of what is not there. In brackets where they are not judged: those designs find
  the datum of a program that is attached, and check nothing at run time.
* *differs*: faults in all, and which (refused: an install failed; lost: a datum was not found;
  wrong: another was found or its content had changed; phantom: one was found where none is;
  misreported: remove's answer was wrong). *leaked*: bytes not free when all cgroups were gone.
* `{posted}` is the code of 2018 with its fault: removing a datum unlinks the entries that stand
  before it in its bucket. It has to differ.
"""

COLUMNS = ("install", "reuse", "lookup", "misses", "remove", "teardown", "drop_key")


def rows(operations: int, seed: int) -> list[dict[str, Any]]:
    """One dict per design and kernel."""
    return [
        compare_with_dict(design, operations, seed=seed, kernel=kernel)
        for design in [*list_designs(), AS_POSTED]
        for kernel in kernel_versions()
    ]


def is_as_expected(row: dict[str, Any]) -> bool:
    """True if a design agrees with the dict, or is the one that must not."""
    differs = row["differences"] > 0 or row["leaked_bytes"] != 0
    return bool(differs == (row["design"] == AS_POSTED.name))


def render(table: Sequence[dict[str, Any]], command: str) -> str:
    """The Markdown page."""
    first = table[0]
    head = HEAD.format(
        command=command, operations=first["operations"], seed=first["seed"], posted=AS_POSTED.name
    )
    names = ["design", "kernel", *(name.replace("_", " ") for name in COLUMNS), "differs", "leaked"]
    lines = [head, f"| {' | '.join(names)} |", "| --- | --- |" + " ---: |" * (len(names) - 2)]
    for row in table:
        misses = f"{row['miss']:,}" if row["tells_absence"] else f"({row['miss']:,})"
        cells = [misses if name == "misses" else f"{row[name]:,}" for name in COLUMNS]
        lines.append(
            f"| {row['design']} | {row['kernel']} | {' | '.join(cells)} | {_faults(row)} | "
            f"{row['leaked_bytes']:,} |"
        )
    return "\n".join(lines) + "\n"


def _faults(row: dict[str, Any]) -> str:
    names = ("refused", "lost", "wrong", "phantom", "misreported")
    parts = [f"{name} {row[name]:,}" for name in names if row[name]]
    return f"{row['differences']:,}" + (f" ({', '.join(parts)})" if parts else "")


def main() -> int:
    """Write the page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=OPERATIONS, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    given = parser.parse_args()
    table = rows(given.operations, given.seed)
    command = "python -m benchmarks.functional"
    if given.operations != OPERATIONS:
        command += f" --operations {given.operations}"
    write_atomically(given.out, render(table, command))
    wrong = [row["design"] for row in table if not is_as_expected(row)]
    print(f"{given.out}: {len(table)} rows, not as expected: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
