"""Which local variables live from one step to the next, and in how few cells they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.interface.checker.engine import (
    END,
    FAIL,
    FIRST_SHARED,
    JLE,
    JMP,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.interface.checker.rows import Register, Row


def live_before(rows: Sequence[Row]) -> list[set[Register]]:
    """The registers whose value may still be read, before each row."""
    live: list[set[Register]] = [set() for _ in range(len(rows) + 1)]
    changed = True
    while changed:
        changed = False
        for number in range(len(rows) - 1, -1, -1):
            row = rows[number]
            after = _after(rows, live, number)
            now = (after - {row.sets} if row.sets is not None else after) | set(row.uses)
            if now != live[number]:
                live[number], changed = now, True
    return live


def _after(rows: Sequence[Row], live: list[set[Register]], number: int) -> set[Register]:
    row = rows[number]
    if row.op in (END, FAIL):
        return set()
    after: set[Register] = set() if row.op == JMP else set(live[number + 1])
    if JMP <= row.op <= JLE:
        after |= live[row.t]
    return after


def assign(
    rows: Sequence[Row], live: list[set[Register]]
) -> tuple[dict[Register, int], list[Register]]:
    """Share cells among the registers that live over a step; the others are listed behind.

    Returns (register -> number of its cell, registers that live within a step only).
    """
    kept: dict[Register, None] = {}
    for number, row in enumerate(rows):
        if row.op >= FIRST_SHARED:
            kept.update(dict.fromkeys(sorted(live[number], key=lambda r: r.name)))
    conflicts: dict[Register, set[Register]] = {register: set() for register in kept}
    for number, row in enumerate(rows):
        if row.sets in conflicts:
            for other in _after(rows, live, number):
                if other is not row.sets and other in conflicts:
                    conflicts[row.sets].add(other)
                    conflicts[other].add(row.sets)
    cells: dict[Register, int] = {}
    for register in kept:
        taken = {cells[other] for other in conflicts[register] if other in cells}
        cells[register] = next(i for i in range(len(kept) + 1) if i not in taken)
    everything: dict[Register, None] = {}
    for row in rows:
        everything.update(dict.fromkeys([*row.uses, *([row.sets] if row.sets else [])]))
    return cells, [register for register in everything if register not in cells]
