"""Figures of one's own frames: each function returns a matplotlib figure.

    frame = cgsim.sweep("study.yml")
    cgsim.plot.cost_curves(frame).savefig("curves.pdf")

Frames of replicates are summarised first. matplotlib comes with the extra `report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.errors import UserError, unknown_name
from cgsim.experiments.summary import summarise
from cgsim.report import plot as _plot

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["cost_curves", "cpi_stacks", "memory_bars", "workload_bars"]


def cost_curves(
    frame: pd.DataFrame, x: str | None = None, titles: Mapping[str, str] | None = None
) -> Figure:
    """Cost against a size, a line per design with its interval, a panel per mode.

    Parameters
    ----------
    frame : as of `cgsim.sweep`, `cgsim.simulate`, `cgsim.lookup_cost`, or a summary of one
    x : column of the abscissa; None: n_keys, n_cgroups or footprint_bytes, whichever varies. Of the
        others, each must have one value.
    titles : mode -> title of its panel; None: all modes

    Raises UserError if the frame does not say what is to be drawn.
    """
    varying = [name for name in _plot.AXES if name in frame and frame[name].nunique() > 1]
    if x is None:
        if not varying:
            raise UserError(
                "frame: nothing varies in it; allowed: several values of one of "
                + ", ".join(_plot.AXES)
            )
        x = varying[0]
    elif x not in frame:
        raise unknown_name("column", x, list(frame.columns))
    for name in ("machine", "kernel", "workload", *(n for n in varying if n != x)):
        if name in frame and frame[name].nunique() > 1:
            raise UserError(f"frame: {name} varies too; choose one of its values before drawing")
    points = _summary(frame)
    modes = titles or {mode: f"{mode}, ns" for mode in dict.fromkeys(points["mode"])}
    return _plot.cost_curves(points, x, modes)


def workload_bars(frame: pd.DataFrame) -> Figure:
    """Mean cost in each workload with its interval, and the 99th percentile."""
    points = _summary(frame)
    return _plot.workload_bars(points, {name: name for name in dict.fromkeys(points["workload"])})


def cpi_stacks(frame: pd.DataFrame) -> Figure:
    """Where the cycles went: a bar per design, a segment per cause, a panel per workload."""
    points = _summary(frame)
    return _plot.cpi_stacks(points, {name: name for name in dict.fromkeys(points["workload"])})


def memory_bars(frame: pd.DataFrame, n_keys: int) -> Figure:
    """Memory of one cgroup with `n_keys` data."""
    return _plot.memory_bars(_summary(frame), n_keys)


def _summary(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if "ns_low" in frame else summarise(frame)
