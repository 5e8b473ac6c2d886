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
    """A point per row of `cgsim.validation.summary`, a colour per family; each in its own unit."""
    return _drawn(rows, "family", "All measurements, each in its own unit")


def one_family(rows: pd.DataFrame, title: str) -> Figure:
    """A point per row of one family, a colour and marker per group."""
    return _drawn(rows, "group", title)


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
