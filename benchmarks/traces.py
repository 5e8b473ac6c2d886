"""Every recorded scenario beside ours: writes benchmarks/TRACES.md.

Run with `python benchmarks/traces.py`; `--check` exits with 1 if any access or count differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from cgsim.files import write_atomically
from cgsim.kernel import kernel_versions, load_kernel
from cgsim.kernel_fields import rows_of
from cgsim.scenarios import all_scenarios, numbers_in
from cgsim.scenarios.trace import compare, trace

OUT = Path(__file__).resolve().parent / "TRACES.md"
MACHINE = "zen5-vm"
KINDS = ("throughput", "dependent")

FIT_FAMILIES = ("list", "idr", "array")
FITTED = "list, idr and array"

HEAD = f"""# Our accesses beside the recorded ones

Written by `python benchmarks/traces.py`. Each row is a recorded scenario of
`data/kernel/traces.jsonl` that `cgsim trace` has a name for. *differs* tells what is unequal of:
instructions, conditional branches, and op, struct, offset, size, order and dependences of every
access, the always-hot ones included; `=` means nothing. Cycles are those of one call in a warm
loop, on `{MACHINE}`; a ratio is predicted / recorded. No constant belongs to a scenario: the loop
around the calls costs the same for all.

The loop's cost and the instructions per slot (`cgsim.scenarios.trace.HARNESS`,
`cgsim.machines.system_spec.INSTRUCTIONS_PER_OP`) were fitted on all families. What concerns the
schedulers (`cgsim.machines.system_spec.HOLD_CYCLES`, the shares of `work` in
`cgsim.core.scheduler`) was chosen on
{FITTED} and on the depth of overlap that `data/kernel/README.md` states; all other
families are held out. [FIT.md](FIT.md) fits all of them on {FITTED} alone.
"""


def rows(families: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One dict per recorded row that has a name; `families`: only these."""
    found = []
    for version in kernel_versions():
        for row in rows_of(load_kernel(version)):
            for scenario in all_scenarios():
                number = numbers_in(scenario, row)
                if number is None:
                    continue
                name = scenario.name(number)
                if families and family(name) not in families:
                    continue
                ours = trace(name, version, MACHINE)
                native = row.get("native") or {}
                found.append(
                    {
                        "name": name,
                        "kernel": version,
                        "function": row["function"],
                        "instructions": ours["instructions"],
                        "accesses": len(ours["accesses"]),
                        "differs": compare(row, ours),
                        "predicted": ours["cycles"],
                        "recorded": {kind: native.get(f"cycles_{kind}_est") for kind in KINDS},
                    }
                )
    return found


def ratio(row: dict[str, Any], kind: str) -> float | None:
    """Predicted / recorded cycles, None where nothing was recorded."""
    recorded = row["recorded"][kind]
    return row["predicted"][kind] / recorded if recorded else None


def errors(table: list[dict[str, Any]], kind: str) -> list[float]:
    """Absolute relative errors of all rows that have recorded cycles."""
    return [abs(r - 1) for row in table if (r := ratio(row, kind)) is not None]


def family(name: str) -> str:
    """The part of a scenario's name before its parameter."""
    return name.split("/")[0]


def spread(table: list[dict[str, Any]]) -> tuple[int, float, float]:
    """(Figures, median, 90th percentile) of the errors of both kinds."""
    values = [e for kind in KINDS for e in errors(table, kind)]
    return len(values), median(values), quantiles(values, n=10, method="inclusive")[-1]


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def render(table: list[dict[str, Any]]) -> str:
    """The Markdown page."""
    equal = sum(not row["differs"] for row in table)
    lines = [HEAD, f"{equal} of {len(table)} rows are equal.", ""]
    lines += ["| cycles | rows | median error | 90th percentile |", "| --- | --- | --- | --- |"]
    for kind in (*KINDS, "both"):
        values = [e for k in KINDS if kind in (k, "both") for e in errors(table, k)]
        ninetieth = quantiles(values, n=10, method="inclusive")[-1]
        lines.append(f"| {kind} | {len(values)} | {median(values):.1%} | {ninetieth:.1%} |")
    for name, fitted in ((FITTED, True), ("held out: all others", False)):
        count, middle, ninetieth = spread(
            [row for row in table if (family(row["name"]) in FIT_FAMILIES) == fitted]
        )
        lines.append(f"| {name} | {count} | {middle:.1%} | {ninetieth:.1%} |")
    lines += [
        "",
        "| scenario | kernel | function | instr. | acc. | differs "
        "| thr. | recorded | ratio | dep. | recorded | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table:
        cells = [
            f"`{row['name']}`",
            row["kernel"],
            f"`{row['function']}`",
            str(row["instructions"]),
            str(row["accesses"]),
            "; ".join(row["differs"]) or "=",
        ]
        for kind in KINDS:
            cells += [
                _cell(row["predicted"][kind], ".1f"),
                _cell(row["recorded"][kind], ".1f"),
                _cell(ratio(row, kind), ".2f"),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if any row differs")
    arguments = parser.parse_args()
    table = rows()
    write_atomically(OUT, render(table))
    different = [row for row in table if row["differs"]]
    print(f"{OUT}: {len(table) - len(different)} of {len(table)} rows equal")
    return 1 if arguments.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
