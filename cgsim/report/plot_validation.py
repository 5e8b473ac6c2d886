"""Predicted against measured, for all families of measurements and for one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from cgsim.experiments.model_error import model_errors
from cgsim.report.captions import caption
from cgsim.report.figure import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p", "d", "8")
_COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#B8860B", "#7F7F7F")
_BAND = 1.25


def all_families(rows: pd.DataFrame) -> Figure:
    """Predicted / measured of each row of `cgsim.validation.summary`, a strip per family."""
    return _strips(rows, "family", "Every measurement, as a ratio")


def one_family(rows: pd.DataFrame, title: str) -> Figure:
    """A point per row of one family: a colour and marker per group, or, of many, a strip each."""
    if rows["group"].nunique() > len(_COLOURS) or rows["unit"].nunique() > 1:
        return _strips(rows, "group", title)
    return _drawn(rows, "group", title)


def _strips(rows: pd.DataFrame, by: str, title: str) -> Figure:
    """Ratios on one axis, which needs no unit; a strip's points are spread in the rows' order."""
    groups = list(dict.fromkeys(rows[by]))[::-1]
    with styled():
        figure, (axes,) = new_figure(1.4 + 0.24 * len(groups))
        axes.axvspan(1 / _BAND, _BAND, color="#e8e8e8", label="25 %")
        axes.axvline(1, color="#000000", linewidth=0.8)
        for place, group in enumerate(groups):
            part = rows[rows[by] == group]
            spread = place + np.linspace(-0.32, 0.32, len(part) + 2)[1:-1]
            axes.plot(part["predicted"] / part["measured"], spread, "o", markersize=3,
                      markerfacecolor="none", color="#0072B2", markeredgewidth=0.7)  # fmt: skip
        axes.set_yticks(range(len(groups)), groups)
        axes.set(xscale="log", xlabel="predicted / measured", title=title)
        axes.set_ylim(-0.6, len(groups) - 0.4)
        axes.grid(False, axis="y")
        ratio = rows["predicted"] / rows["measured"]
        low, high = min(0.45, 0.9 * ratio.min()), max(2.2, 1.1 * ratio.max())
        ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 0.8, 1, 1.25, 2, 5, 10, 20) if low <= t <= high]
        axes.set_xlim(low, high)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    return figure


def steps(rows: pd.DataFrame, x: str, title: str, label: str) -> Figure:
    """Measured and predicted beside each other over the numbers of column `x`."""
    with styled():
        figure, panels = new_figure(3.4, 1)
        axes = panels[0]
        for number, (name, part) in enumerate(rows.groupby("name", sort=False)):
            ordered = part.sort_values(x)
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot(
                ordered[x], ordered["measured"], "o-", color=colour, label=f"{name}, measured"
            )
            axes.plot(ordered[x], ordered["predicted"], "^--", color=colour,
                      markerfacecolor="#ffffff", label=f"{name}, predicted")  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="ns", title=title)
        axes.legend(fontsize=7.5, frameon=False)
    return figure


def _drawn(rows: pd.DataFrame, by: str, title: str) -> Figure:
    with styled():
        figure, panels = new_figure(5.0, 1)
        axes = panels[0]
        both = rows[["measured", "predicted"]].to_numpy()
        low, high = 0.8 * float(np.min(both)), 1.25 * float(np.max(both))
        _band(axes, low, high)
        for number, (name, part) in enumerate(rows.groupby(by, sort=False)):
            axes.plot(
                part["measured"],
                part["predicted"],
                linestyle="none",
                marker=_MARKERS[number % len(_MARKERS)],
                markerfacecolor="none",
                markeredgecolor=_COLOURS[number % len(_COLOURS)],
                markeredgewidth=0.8,
                label=str(name),
            )
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(low, high),
            ylim=(low, high),
            xlabel="measured",
            ylabel="predicted",
            title=title,
        )
        axes.legend(loc="upper left", fontsize=7, frameon=False, ncols=2)
    return figure


def _band(axes: Axes, low: float, high: float) -> None:
    """The line of equality, and 25 % to each side."""
    line = [low, high]
    axes.fill_between(
        line, [v / _BAND for v in line], [v * _BAND for v in line], color="#e8e8e8", label="25 %"
    )
    axes.plot(line, line, color="#000000", linewidth=0.8)


def rows_caption(rows: pd.DataFrame) -> str:
    """Where the rows were measured, and of which sizes."""
    machines = []
    for family, part in rows.groupby("family", sort=False):
        if family == "published":  # its conditions begin with the machine
            machines += [text.rsplit(", ", 2)[0] for text in part["conditions"]]
        else:
            machines.append("the host" if family == "host" else model_errors().machine)
    sizes = {
        name: sorted({int(n) for text in rows["conditions"] for n in re.findall(pattern, text)})
        for name, pattern in (("keys", r"(\d+) keys"), ("cgroups", r"(\d+) cgroups"))
    }
    found = caption(machine="; ".join(sorted(set(machines))), **sizes)
    return f"{len(rows)} rows measured on {found}, no seed"
