"""The constants of the warm loops, fitted on a few families alone: writes benchmarks/FIT.md.

Run with `python -m benchmarks.fit`. Coordinate descent over small grids, from starting values that
are not the ones in use; what is minimised is the mean error of the recorded cycles of
`benchmarks.traces.FIT_FAMILIES`. All other families are held out.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

from benchmarks.traces import FIT_FAMILIES, FITTED, KINDS, errors, family, rows, spread
from cgsim.core.block_fields import TICKS
from cgsim.files import write_atomically
from cgsim.machines import system_spec as spec
from cgsim.stage.loops import Harness

OUT = Path(__file__).with_name("FIT.md")
GRIDS: dict[str, tuple[float, ...]] = {
    "cycles of a call, its return and the loop's branch": (5.0, 5.5, 6.0, 6.5, 7.0),
    "ALU operations between result and argument": (1.0, 2.0, 3.0),
    "instructions per slot of the dispatch width": (1.2, 1.35, 1.5, 1.65, 1.8),
    "cycles a scheduler entry is held": (3.0, 5.0, 7.0, 9.0),
}
START = (5.0, 1.0, 1.2, 3.0)
PASSES = 2


def played(constants: tuple[float, ...], families: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The recorded rows with these constants in place of those in use."""
    # the package's attribute of that name is the function
    module = import_module("cgsim.scenarios.trace")
    call, chain, per_slot, held = constants
    harness = Harness(1, round(call * TICKS), int(chain))
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(module, "HARNESS", harness))
        stack.enter_context(mock.patch.object(spec, "INSTRUCTIONS_PER_OP", per_slot))
        stack.enter_context(mock.patch.object(spec, "HOLD_CYCLES", held))
        return rows(families)


def fit() -> tuple[float, ...]:
    """The constants that fit `FIT_FAMILIES` best."""
    found = {}

    def cost(constants: tuple[float, ...]) -> float:
        if constants not in found:
            table = played(constants, FIT_FAMILIES)
            found[constants] = fmean(e for kind in KINDS for e in errors(table, kind))
        return found[constants]

    best = START
    for _pass in range(PASSES):
        for place, grid in enumerate(GRIDS.values()):
            candidates = [(*best[:place], value, *best[place + 1 :]) for value in grid]
            best = min(candidates, key=cost)
    return best


def main() -> None:
    """Fit and write the page."""
    best = fit()
    in_use = (6.0, 2.0, spec.INSTRUCTIONS_PER_OP, float(spec.HOLD_CYCLES))
    lines = [
        f"# The warm loops' constants, fitted on {FITTED} alone",
        "",
        "Written by `python -m benchmarks.fit`: coordinate descent over small grids; the mean error"
        f" of the recorded cycles of {FITTED} is minimised, all other families are held out.",
        "",
        "| constant | grid | fitted | in use |",
        "| --- | --- | --- | --- |",
    ]
    for (name, grid), value, used in zip(GRIDS.items(), best, in_use, strict=True):
        shown = ", ".join(f"{v:g}" for v in grid)
        lines.append(f"| {name} | {shown} | {value:g} | {used:g} |")
    lines += [
        "",
        "| constants | families | figures | median error | 90th percentile |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, constants in (("fitted", best), ("in use", in_use)):
        table = played(constants)
        for which, inside in ((FITTED, True), ("held out: all others", False)):
            chosen = [row for row in table if (family(row["name"]) in FIT_FAMILIES) == inside]
            count, middle, ninetieth = spread(chosen)
            lines.append(f"| {name} | {which} | {count} | {middle:.1%} | {ninetieth:.1%} |")
    write_atomically(OUT, "\n".join(lines) + "\n")
    print(f"wrote {OUT}")


if __name__ == "__main__":
    main()
