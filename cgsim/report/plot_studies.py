"""Figures of studies: winner maps with ties, borders, and what decides the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.report.figure import new_figure, style_of, styled

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {
    "n_keys": "keys per cgroup",
    "n_cgroups": "cgroups",
    "cpus": "CPUs at once",
    "footprint_bytes": "bytes walked through",
}


def winner_map(table: pd.DataFrame, x: str, y: str, panels: str) -> Figure:
    """Who is cheapest at each point: a cell a point, a panel per value of `panels`.

    table : as of `cgsim.studies.winners.winners`. A cell has the winner's colour, and below its
    name by how much the runner-up is dearer; a tie is white, with all names in it.
    """
    values = list(dict.fromkeys(table[panels]))
    columns, lines = (list(dict.fromkeys(table[name])) for name in (x, y))
    most = max((str(tied).count(", ") + 1 for tied in table["tied"]), default=1)
    rows = most if most <= 4 else (most + 1) // 2
    with styled():
        figure, many = new_figure(
            1.2 + (0.3 + 0.15 * max(rows, 3)) * len(lines), len(values), sharey=True
        )
        for axes, value in zip(many, values, strict=True):
            rows = table[table[panels] == value]
            for row in rows.to_dict("records"):
                _cell(axes, columns.index(row[x]), lines.index(row[y]), row)
            axes.set(
                title=f"{_LABELS.get(panels, panels)}: {value:,}",
                xlabel=_LABELS.get(x, x),
                xlim=(-0.5, len(columns) - 0.5),
                ylim=(-0.5, len(lines) - 0.5),
            )
            axes.set_xticks(range(len(columns)), [f"{value:,}" for value in columns])
            axes.set_yticks(range(len(lines)), [f"{value:,}" for value in lines])
            axes.grid(False)
            axes.tick_params(length=0)
        many[0].set_ylabel(_LABELS.get(y, y))
    return figure


def _cell(axes: Axes, x: int, y: int, row: Mapping[Hashable, Any]) -> None:
    """One point of a winner map."""
    from matplotlib.patches import Rectangle

    won = bool(row["winner"])
    names = str(row["tied"]).split(", ")
    style = style_of(names[0])
    axes.add_patch(
        Rectangle(
            (x - 0.48, y - 0.46), 0.96, 0.92, facecolor=style.colour if won else "#ffffff",
            alpha=0.35 if won else 1.0, edgecolor="#555555", linewidth=0.6,
        )
    )  # fmt: skip
    text = f"{names[0]}\n+{100 * float(row['margin']):.0f} %" if won else "tie:\n" + _in_rows(names)
    axes.text(x, y, text, ha="center", va="center", fontsize=7 if len(names) <= 4 else 6)


def _in_rows(names: Sequence[str]) -> str:
    """All names: one a row, or two where there are many."""
    step = 1 if len(names) <= 4 else 2
    return "\n".join(", ".join(names[i : i + step]) for i in range(0, len(names), step))


def map_alt(table: pd.DataFrame, x: str, y: str, panels: str) -> str:
    """What `winner_map` shows, in words."""
    parts = []
    for row in table.to_dict("records"):
        who = row["winner"] or f"a tie of {row['tied'].replace(', ', ' and ')}"
        parts.append(f"{row[x]:,} and {row[y]:,} with {row[panels]:,}: {who}")
    axes = ", ".join(_LABELS.get(name, name) for name in (x, y, panels))
    return f"The cheapest design by {axes}. {'; '.join(parts)}."


def index_bars(table: pd.DataFrame, title: str) -> Figure:
    """Sobol indices: a bar per factor, alone and with others, each with its interval."""
    places = np.arange(len(table))[::-1]
    with styled():
        figure, (axes,) = new_figure(0.9 + 0.42 * len(table))
        for shift, column, label, colour in (
            (0.18, "total", "with other factors", "#d9d9d9"),
            (-0.18, "first", "alone", "#737373"),
        ):
            axes.barh(
                places + shift, table[column].clip(lower=0), 0.34, xerr=table[f"{column}_half"],
                color=colour, edgecolor="#222222", linewidth=0.6, label=label,
                error_kw={"linewidth": 0.8, "capsize": 2},
            )  # fmt: skip
        axes.set_yticks(places, list(table["factor"]))
        axes.set_xlim(left=0)
        axes.set(title=title, xlabel="share of the variance of the answer")
        axes.grid(False, axis="y")
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    return figure


def index_alt(table: pd.DataFrame, title: str) -> str:
    """What `index_bars` shows, in words."""
    shares = ", ".join(
        f"{row['factor']} {row['total']:.2f} (+- {row['total_half']:.2f})"
        for row in table.to_dict("records")
    )
    return f"{title}. Share of the variance, with other factors: {shares}."


def border_lines(table: pd.DataFrame, along: str, by: str) -> Figure:
    """Where the winner changes along a factor: a mark per border, a line per value of `by`."""
    values = list(dict.fromkeys(table[by]))
    with styled():
        figure, (axes,) = new_figure(1.0 + 0.5 * max(len(values), 1))
        for row in table.to_dict("records"):
            y = values.index(row[by])
            axes.plot([row["below"], row["above"]], [y, y], "|-", color="#222222", markersize=12)
            axes.annotate(
                f"{row['winner_below']} | {row['winner_above']}", (row["above"], y),
                xytext=(6, 6), textcoords="offset points", fontsize=7,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yticks(range(len(values)), [f"{value:,}" for value in values])
        axes.set_ylim(-0.6, max(len(values), 1) - 0.2)
        axes.set(xlabel=_LABELS.get(along, along), ylabel=_LABELS.get(by, by))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.3)
    return figure
