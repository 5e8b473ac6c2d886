"""The page on the interface: what was explored, mistakes, schedules, safety and cost."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from cgsim.report.figure import new_figure, show, styled
from cgsim.report.sentences import plain
from cgsim.report.tables import html_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from cgsim.interface.catalogue import Cell
    from cgsim.interface.checker.search import Step
    from cgsim.interface.exploring import Explored
    from cgsim.interface.recommendation import Recommendation

_DEBUG, _SILENT = "caught only with debug options", "silent corruption"
_SHADES = {
    "prevented": ("#ffffff", "prevented"),
    "caught at load": ("#e3eef7", "at load"),
    "caught": ("#bfd6e8", "caught"),
    _DEBUG: ("#e0b060", "debug only"),
    _SILENT: ("#b5432a", "silent"),
}
"""Colour of a verdict, darker the worse it is, and its word in the cell: colour is never alone."""
_LETTERS = {_SILENT: "#ffffff"}


def explored_table(found: Sequence[Explored]) -> Any:
    """A row per interface: states, whether those are all, and the properties that fail."""
    rows = [
        (
            explored.name,
            len(explored.scenarios),
            f"{explored.states:,}",
            "all" if explored.complete else "not all",
            "; ".join(
                f"{name} ({len(violation.schedule)} steps)"
                for name, violation in explored.shortest.items()
            )
            or "none",
        )
        for explored in found
    ]
    headers = (
        "interface",
        "scenarios",
        "states",
        "of them",
        "violated, with the shortest schedule",
    )
    return html_table(headers, rows, texts=True)


def matrix_figure(cells: Sequence[Cell]) -> Figure:
    """Verdicts: a row for each mistake, a column for each interface."""
    from matplotlib.patches import Rectangle

    mistakes = list(dict.fromkeys(cell.mistake for cell in cells))
    interfaces = list(dict.fromkeys(cell.interface for cell in cells))
    with styled():
        figure, (axes,) = new_figure(0.6 + 0.26 * len(mistakes))
        for cell in cells:
            colour, word = _SHADES[cell.verdict]
            x, y = interfaces.index(cell.interface), mistakes.index(cell.mistake)
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="#888888", lw=0.5))
            axes.text(x + 0.5, y + 0.5, word, ha="center", va="center", fontsize=7.5,
                      color=_LETTERS.get(cell.verdict, "#000000"))  # fmt: skip
        axes.set(xlim=(0, len(interfaces)), ylim=(len(mistakes), 0))
        axes.set_xticks(
            [x + 0.5 for x in range(len(interfaces))],
            [name.replace("-as-posted", "\nas posted") for name in interfaces],
            fontsize=7.5,
        )
        axes.set_yticks([y + 0.5 for y in range(len(mistakes))], mistakes)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def matrix_alt(cells: Sequence[Cell]) -> str:
    """What the matrix shows, in words: how many mistakes of each verdict with each interface."""
    parts = []
    for interface in dict.fromkeys(cell.interface for cell in cells):
        own = [cell.verdict for cell in cells if cell.interface == interface]
        parts.append(f"{interface}: " + ", ".join(f"{own.count(v)} {v}" for v in _SHADES))
    return "Mistakes by verdict. " + "; ".join(parts) + "."


def cell_table(cells: Sequence[Cell]) -> Any:
    """What became of each mistake, and in how many steps; folded, since the matrix has it too."""
    rows = [
        (cell.mistake, cell.interface, cell.verdict, cell.what, len(cell.schedule))
        for cell in cells
    ]
    table = html_table(("mistake", "interface", "verdict", "what", "steps"), rows, texts=True)
    return _folded(f"what was said or violated, of all {len(rows)}", table.data)


def folded_code(title: str, source: str) -> Any:
    """Source that can be read one click away."""
    return _folded(title, f'<pre tabindex="0">{escape(source)}</pre>')


def _folded(title: str, html: str) -> Any:
    from IPython.display import HTML

    return HTML(f"<details><summary>{escape(title)}</summary>{html}</details>")


def lanes_figure(schedule: Sequence[Step], title: str) -> Figure:
    """A lane for each actor; time goes down, a box is a step."""
    actors = list(dict.fromkeys(step.actor for step in schedule))
    with styled():
        figure, (axes,) = new_figure(0.8 + 0.2 * len(schedule))
        for number, step in enumerate(schedule):
            x = actors.index(step.actor)
            text = step.does if len(step.does) <= 44 else step.does[:41] + "..."
            last = number == len(schedule) - 1
            axes.text(
                x + 0.5, number, f"{number + 1}  {text}", ha="center", va="center", fontsize=7,
                family="DejaVu Sans Mono", weight="bold" if last else "normal",
                bbox={"boxstyle": "round,pad=0.2", "facecolor": "#f7d9d0" if last else "#eef3f8",
                      "edgecolor": "#888888", "linewidth": 0.5},
            )  # fmt: skip
        for x in range(len(actors)):
            axes.axvline(x + 0.5, color="#cccccc", linewidth=0.8, zorder=0)
        axes.set(xlim=(0, len(actors)), ylim=(len(schedule) - 0.3, -0.9), title=title)
        axes.set_xticks([x + 0.5 for x in range(len(actors))], actors)
        axes.set_yticks([])
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def lanes_alt(schedule: Sequence[Step], title: str) -> str:
    """The schedule in words."""
    steps = "; ".join(f"{n} {s.actor}: {s.does}" for n, s in enumerate(schedule, 1))
    return f"{title}. {steps}."


def show_schedule(found: Explored, scenario: str, broken: str) -> None:
    """Draw the shortest schedule of a violation; say so where the search found none."""
    for violation in found.violations:
        if (violation.scenario, violation.property) == (scenario, broken):
            title = f"{found.name}: violated, {broken}"
            schedule = violation.schedule
            of = f"no machine, no seed: the nearest of {found.states:,} states"
            show(lanes_figure(schedule, title), lanes_alt(schedule, title), of, light=True)
            return
    print(f"{found.name}, {scenario}: {broken} was not violated in {found.states} states")


def cost_table(costs: pd.DataFrame, cells: Sequence[Cell]) -> Any:
    """Safety beside cost: mistakes that nobody or only a debug kernel notices; then the rest."""
    rows = []
    for row in costs.to_dict("records"):
        own = [cell.verdict for cell in cells if cell.interface == row["interface"]]
        rows.append(
            (
                row["interface"], f"{row['design']}, {row['user']}",
                f"{own.count(_SILENT)} + {own.count(_DEBUG)}", plain(row["ns"]),
                plain(row["cold_ns"]),
                plain(row["locked"]) + (", sleeps" if row["sleeps"] else ""),
                plain(row["contended_ns"]),
                f"{plain(row['entry_bytes'])} + {plain(row['cgroup_bytes'])}",
            )
        )  # fmt: skip
    cpus = int(costs["cpus"].iloc[0])
    headers = (
        "interface", "design, user", "unnoticed", "lookup [ns]", "cold [ns]", "locked",
        f"{cpus} CPUs [ns]", "bytes",
    )  # fmt: skip
    return html_table(headers, rows)


def advice(found: Recommendation) -> str:
    """The recommendation as one paragraph."""
    return " ".join(found.lines())
