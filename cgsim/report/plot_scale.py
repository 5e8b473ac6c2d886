"""Predicted against measured, for `cgsim validate scale`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.report.figure import new_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MODES = {
    "throughput": ("o", "back to back"),
    "dependent": ("^", "each waits for the one before"),
    "serialized": ("s", "a fence before each"),
    "polluted": ("D", "alone, after a read of memory"),
}
_BAND = 1.25


def predicted_against_measured(frame: pd.DataFrame) -> Figure:
    """A point per measured row, both axes in ns per lookup, logarithmic.

    frame : columns C, mode, value and predicted_ns; rows without a value are left out. A mode has a
    marker, one cgroup is hollow and more are filled.
    """
    rows = frame[frame["value"] > 0]
    with styled():
        figure, panels = new_figure(5.0, 1)
        axes = panels[0]
        low = 0.8 * min(rows["value"].min(), rows["predicted_ns"].min())
        high = 1.25 * max(rows["value"].max(), rows["predicted_ns"].max())
        axes.fill_between(
            [low, high],
            [low / _BAND, high / _BAND],
            [low * _BAND, high * _BAND],
            color="#e8e8e8",
            label="within 25 %",
        )
        axes.plot([low, high], [low, high], color="#000000", linewidth=0.8)
        for mode, (marker, text) in _MODES.items():
            for many, face in ((False, "#ffffff"), (True, "#555555")):
                chosen = rows[(rows["mode"] == mode) & ((rows["C"] > 1) == many)]
                if chosen.empty:
                    continue
                axes.plot(
                    chosen["value"],
                    chosen["predicted_ns"],
                    linestyle="none",
                    marker=marker,
                    markerfacecolor=face,
                    markeredgecolor="#000000",
                    markeredgewidth=0.7,
                    alpha=0.8,
                    label=f"{text}, {'many cgroups' if many else 'one cgroup'}",
                )
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(low, high),
            ylim=(low, high),
            xlabel="measured (ns per lookup)",
            ylabel="predicted (ns per lookup)",
            title="Lookups over many cgroups, predicted against measured",
        )
        axes.legend(loc="upper left", fontsize=7.5, frameon=False)
    return figure
