"""A schedule as text: a table of steps, and lanes with a column for each actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.interface.checker.search import Step


def step_table(schedule: Sequence[Step], width: int = 60) -> str:
    """One line a step: number, actor, statement, function:line."""
    if not schedule:
        return "(no step at all)"
    actor = max(len(step.actor) for step in schedule)
    text = min(width, max(len(step.does) for step in schedule))
    return "\n".join(
        f"{number:3}  {step.actor:{actor}}  {_short(step.does, text):{text}}  {step.where}"
        for number, step in enumerate(schedule, 1)
    )


def lanes(schedule: Sequence[Step], width: int = 100) -> str:
    """A column for each actor, in the order of their first steps; time goes down."""
    actors = list(dict.fromkeys(step.actor for step in schedule))
    if not actors:
        return "(no step at all)"
    column = max(12, (width - 5) // len(actors) - 2)
    lines = ["     " + "  ".join(f"{_short(name, column):{column}}" for name in actors).rstrip()]
    lines.append("     " + "  ".join("-" * column for _ in actors))
    for number, step in enumerate(schedule, 1):
        cells = [" " * column] * len(actors)
        cells[actors.index(step.actor)] = f"{_short(step.does, column):{column}}"
        lines.append(f"{number:3}  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
