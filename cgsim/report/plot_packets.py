"""Figures of packets: shares of a budget, and CPUs that share cgroups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.experiments.model_error import Family, family_of
from cgsim.experiments.paired import by_cost, turned_pairs
from cgsim.report.figure import few_between, new_figure, style_of, styled
from cgsim.report.sentences import join_names, plain, times, with_half

if TYPE_CHECKING:
    from collections.abc import Sequence

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
            sizes = sorted(frame["frame_bytes"].unique())
            _ticks(panel, sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]}))
            panel.yaxis.set_major_formatter("{x:g}")
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
        _ticks(axes, sorted(frame["cpus"].unique()))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(few_between)
        axes.tick_params(axis="y", which="minor", labelsize=7)
        _legend_above(figure, axes)
    return figure


def _ticks(axes: Any, values: Sequence[float]) -> None:
    """These ticks and no others on the logarithmic abscissa."""
    axes.set_xticks(list(values), [f"{value:g}" for value in values])
    axes.xaxis.minorticks_off()


def crowd_sentence(frame: pd.DataFrame) -> str:
    """What more CPUs add, to which design, and how much of it is waiting for moved lines."""
    few, most = frame["cpus"].min(), frame["cpus"].max()
    columns = ["event_ns", "cycles", "coherence_cycles"]
    alone, last = (
        frame[frame["cpus"] == cpus].groupby("design", sort=False)[columns].mean()
        for cpus in (few, most)
    )
    last = last.sort_values("event_ns")
    grown = last["event_ns"] / alone["event_ns"]
    cheap, dear = last.index[0], last.index[-1]
    text = (
        f"From {few} to {most} CPUs the lookups of a packet take {times(grown.min())} "
        f"({grown.idxmin()}) to {times(grown.max())} ({grown.idxmax()}) as long."
    )
    if cheap != dear:
        factor = last["event_ns"][dear] / last["event_ns"][cheap]
        text += (
            f" The choice of design matters more there, not less: on {most} CPUs {dear} takes "
            f"{plain(last['event_ns'][dear])} ns, {times(factor)} the "
            f"{plain(last['event_ns'][cheap])} of {cheap}."
        )
    waits = last["coherence_cycles"] / last["cycles"]
    return text + (
        f" Waiting for lines that other CPUs wrote is {plain(100 * waits[cheap], 2)} % of the "
        f"cycles there with {cheap} and {plain(100 * waits[dear], 2)} % with {dear}: the counters "
        "move with every design, and with the dearer ones lines of the lookup do too. A percpu "
        "datum is the way out (notebook 03)."
    )


class MicroRow(NamedTuple):
    """One design's lookup warm and in packets: ns with each seed, and its row of the table."""

    design: str
    warm: np.ndarray
    lookup: np.ndarray
    shared_ns: float
    families: tuple[Family, Family]
    cells: tuple[str, ...]
    work: float
    cause: str


def micro_row(
    design: str, warm: pd.DataFrame, there: pd.DataFrame, least: pd.DataFrame
) -> MicroRow:
    """A row of warm lookups beside those of packets; `least`: packets without the lookup."""
    lookup = there["ns"].to_numpy(float) - least["ns"].to_numpy(float)
    mean, base = there.mean(numeric_only=True), warm.mean(numeric_only=True)
    added = {
        str(column).removesuffix("_cycles"): float(mean[column] - base[column])
        for column in mean.index
        if str(column).endswith("_cycles")
    }
    cause = max(added, key=lambda name: added[name])
    cells = (
        design, with_half(warm["ns"]), with_half(there["ns"]), with_half(lookup),
        plain(base["cycles"]), plain(mean["cycles"]), f"{cause}: {plain(added[cause])} cycles",
    )  # fmt: skip
    families = family_of(warm.iloc[0]), family_of(there.iloc[0])
    work = float(base["work_cycles"] / base["cycles"])
    shared = float(least["ns"].mean())
    return MicroRow(
        design, warm["ns"].to_numpy(float), lookup, shared, families, cells, work, cause
    )


def micro_sentence(rows: Sequence[MicroRow]) -> str:
    """Whether a warm micro-benchmark orders designs as packets do, and why what it says differs."""
    warm = {row.design: row.warm for row in rows}
    there = {row.design: row.lookup for row in rows}
    first, second = rows[0].families
    decided, turned = turned_pairs(warm, there, first, second)
    low, high = by_cost(warm), by_cost(there)
    text = (
        f"Warm, lookups take {plain(warm[low[0]].mean())} ns ({low[0]}) to "
        f"{plain(warm[low[-1]].mean())} ({low[-1]}); in packets the lookup itself takes "
        f"{plain(there[high[0]].mean())} ({high[0]}) to {plain(there[high[-1]].mean())} "
        f"({high[-1]}). Beyond the errors of seeds and model {decided} pairs have an order in "
        "both; "
    )
    changed = join_names([f"{one} and {other}" for one, other in turned])
    text += f"{changed} change places. " if turned else "none changes places. "
    shared = float(np.mean([row.shared_ns for row in rows]))
    causes = list(dict.fromkeys(row.cause for row in rows))
    works = [100 * row.work for row in rows]
    return text + (
        f"A micro-benchmark counts instructions ({plain(min(works), 2)} to "
        f"{plain(max(works), 2)} % of its cycles are work); in packets {plain(shared)} ns go to "
        f"dispatcher and update, with any design, and what grows is waiting for "
        f"{join_names(causes)}."
    )
