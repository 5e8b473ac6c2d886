"""Figures of packets: shares of a budget, and CPUs that share cgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.report.figure import new_figure, style_of, styled
from cgsim.report.sentences import plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def _style(design: str) -> dict[str, Any]:
    style = style_of(design)
    return {"color": style.colour, "marker": style.marker, "linestyle": style.dash}


def budget(frame: pd.DataFrame) -> Figure:
    """Share of a packet's budget against frame size, a panel for each line rate.

    frame : columns design, gbit_s, frame_bytes, share (`cgsim.packet_budget`).
    """
    rates = sorted(frame["gbit_s"].unique())
    with styled():
        figure, axes = new_figure(3.6, len(rates), sharey=True)
        for panel, rate in zip(axes, rates, strict=True):
            rows = frame[frame["gbit_s"] == rate]
            for design, curve in rows.groupby("design", sort=False):
                means = curve.groupby("frame_bytes")["share"].mean()
                panel.plot(means.index, 100 * means, label=str(design), **_style(str(design)))
            panel.axhline(100, color="0.6", linewidth=0.8)
            panel.set(xscale="log", yscale="log", title=f"{rate:g} Gbit/s", xlabel="frame, bytes")
            panel.xaxis.set_major_formatter("{x:g}")
        axes[0].set_ylabel("% of the budget")
        _legend_above(figure, axes[0])
    return figure


def _legend_above(figure: Figure, axes: Any) -> None:
    """The designs in a row above all panels, where no curve runs."""
    handles, labels = axes.get_legend_handles_labels()
    options = {"ncols": len(labels), "frameon": False, "fontsize": "small"}
    figure.legend(handles, labels, loc="outside upper left", **options)


def budget_alt(frame: pd.DataFrame) -> str:
    """The figure in words: the smallest frames at 10 Gbit/s, or at the first rate there is."""
    rate = 10.0 if (frame["gbit_s"] == 10).any() else float(frame["gbit_s"].min())
    size = int(frame["frame_bytes"].min())
    rows = frame[(frame["gbit_s"] == rate) & (frame["frame_bytes"] == size)]
    means = rows.groupby("design", sort=False)["share"].mean()
    listed = ", ".join(f"{name} {plain(100 * share)} %" for name, share in means.items())
    return (
        f"Share of a packet's budget against frame size; {size} bytes at {rate:g} Gbit/s: {listed}."
    )


def by_cpus(frame: pd.DataFrame) -> Figure:
    """ns per packet against the CPUs that serve queues; columns design, cpus, event_ns."""
    with styled():
        figure, (axes,) = new_figure(3.8, 1)
        for design, rows in frame.groupby("design", sort=False):
            means = rows.groupby("cpus")["event_ns"].mean()
            axes.plot(means.index, means, label=str(design), **_style(str(design)))
        axes.set(xscale="log", yscale="log", xlabel="CPUs, a queue each", ylabel="ns per packet")
        axes.xaxis.set_major_formatter("{x:g}")
        _legend_above(figure, axes)
    return figure
