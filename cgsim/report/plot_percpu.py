"""Plots of counter layouts, and the sentences they say.

Frames are those of `cgsim.experiments.counters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import UserError
from cgsim.report.figure import COLOURS, new_figure, styled
from cgsim.report.points import belongs, point
from cgsim.report.sentences import join_names, plain, times, with_half

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p")
_LINE_BYTES = 64


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "marker": _MARKERS[number % len(_MARKERS)],
    }


def by_cpus(frame: pd.DataFrame, ylabel: str, xlabel: str = "CPUs", column: str = "ns") -> Figure:
    """Means of a column against CPUs, log-log and its linear twin; columns layout, cpus."""
    with styled():
        figure, (left, right) = new_figure(3.8, 2)
        means = frame.groupby(["layout", "cpus"], sort=False)[column].mean().reset_index()
        for number, (layout, rows) in enumerate(means.groupby("layout", sort=False)):
            rows = rows.sort_values("cpus")
            for axes in (left, right):
                line = axes.plot(rows["cpus"], rows[column], label=str(layout), **_style(number))
                belongs(str(layout), *line)
                for x, y in zip(rows["cpus"], rows[column], strict=True):
                    point(axes, x, y, str(layout), f"{layout}, {x:g} {xlabel}: {y:.3g} ns")
        left.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, title="both axes log")
        right.set(xlabel=xlabel, ylim=(0, None), title="the same, linear")
        _whole_ticks(left, sorted(means["cpus"].unique()))
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False
        )
    return figure


def _whole_ticks(axes: Axes, values: Sequence[float]) -> None:
    axes.set_xticks(list(values), [f"{value:g}" for value in values])
    axes.minorticks_off()


def memory(frame: pd.DataFrame) -> Figure:
    """Bytes of one counter against possible CPUs, and of all cgroups' counters at the most CPUs.

    `frame`: as `cgsim.experiments.counters.memory_table`.
    """
    with styled():
        figure, (left, right) = new_figure(3.8, 2)
        most, one = frame["possible"].max(), frame["cgroups"].min()
        for number, (layout, rows) in enumerate(frame.groupby("layout", sort=False)):
            single = rows[rows["cgroups"] == one].sort_values("possible")
            line = left.plot(
                single["possible"], single["bytes"], label=str(layout), **_style(number)
            )
            belongs(str(layout), *line)
            for x, y in zip(single["possible"], single["bytes"], strict=True):
                point(left, x, y, str(layout), f"{layout}, {x:g} possible CPUs: {y:,.0f} bytes")
            many = rows[rows["possible"] == most].sort_values("cgroups")
            mib = many["total_bytes"] / 2**20
            belongs(
                str(layout),
                *right.plot(many["cgroups"], mib, label=str(layout), **_style(number)),
            )
            for x, y in zip(many["cgroups"], mib, strict=True):
                point(right, x, y, str(layout), f"{layout}, {x:,g} cgroups: {y:,.3g} MiB")
        left.set(xscale="log", yscale="log", xlabel="possible CPUs", ylabel="bytes of one counter")
        _whole_ticks(left, sorted(frame["possible"].unique()))
        right.set(
            xscale="log", yscale="log", xlabel=f"cgroups with one counter, {most} possible CPUs",
            ylabel="MiB",
        )  # fmt: skip
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False
        )
    return figure


def skew(frame: pd.DataFrame) -> Figure:
    """Mean ns against the exponent of the cgroups' popularity; columns layout, zipf, ns."""
    with styled():
        figure, (axes,) = new_figure(3.8, 1)
        means = frame.groupby(["layout", "zipf"], sort=False)["ns"].mean().reset_index()
        for number, (layout, rows) in enumerate(means.groupby("layout", sort=False)):
            belongs(
                str(layout),
                *axes.plot(rows["zipf"], rows["ns"], label=str(layout), **_style(number)),
            )
            for x, y in zip(rows["zipf"], rows["ns"], strict=True):
                point(axes, x, y, str(layout), f"{layout}, exponent {x:g}: {y:.3g} ns")
        axes.set(
            yscale="log", xlabel="Zipf exponent of the cgroups' popularity", ylabel="ns per update"
        )
        axes.legend(frameon=False)
    return figure


def winners(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """A row per read share: the cheapest layout and its ns per operation at each number of CPUs.

    Columns layout, cpus, reads (of 1024 operations), ns (per operation). A layout within 10 % of
    the cheapest one is named with it.
    """
    means = frame.groupby(["reads", "cpus", "layout"], sort=False)["ns"].mean()
    rows = []
    for reads in dict.fromkeys(frame["reads"]):
        cells = [f"{reads / 1024:.2%}"]
        for cpus in dict.fromkeys(frame["cpus"]):
            costs = means[reads, cpus].sort_values()
            level = costs[costs <= 1.1 * costs.iloc[0]]
            cells.append(f"{', '.join(level.index)}: {plain(costs.iloc[0])} ns")
        rows.append(tuple(cells))
    return rows


def winners_sentence(frame: pd.DataFrame) -> str:
    """Who is cheapest on the most CPUs at each share of reads; frame as of `winners`."""
    most = frame["cpus"].max()
    rows = winners(frame[frame["cpus"] == most])
    said = [f"with {reads} reads {found}" for reads, found in rows]
    tried = list(dict.fromkeys(frame["layout"]))
    return f"On {most} CPUs, of {join_names(tried)}, the cheapest are: {'; '.join(said)}."


def skew_sentence(frame: pd.DataFrame, one: pd.DataFrame) -> str:
    """What skew does to a shared and a percpu word; beside it an update of one and the same word.

    frame : columns layout, zipf, cpus, ns. one : of updates of one counter; layout, cpus, ns.
    """
    ends = (frame["zipf"].min(), frame["zipf"].max())
    cpus = int(frame["cpus"].iloc[0])
    at = {key: rows["ns"] for key, rows in frame.groupby(["layout", "zipf"])}
    said = " and ".join(
        f"{what} from {with_half(at[layout, ends[0]])} to {with_half(at[layout, ends[1]])}"
        for layout, what in (("shared-atomic", "an atomic word"), ("percpu", "a percpu one"))
    )
    text = f"From exponent {ends[0]:g} to {ends[1]:g} an update goes, in ns, with {said}."
    same = one[(one["layout"] == "percpu") & (one["cpus"] == cpus)]["ns"]
    if len(same):
        text += (
            f" All {cpus} CPUs in the tight loop above paid {with_half(same)} for a percpu update: "
            "there each waits for the one before, to the same word; here most are to different "
            "words, and overlap."
        )
    return text


def lines_and_sets(rows: Sequence[tuple[str, int, int]], cpus: int, sets: int) -> Figure:
    """Which line and which L1 set each CPU's copy is in.

    rows : (layout, address of CPU 0's copy, distance of two copies), bytes. sets : of the cache.
    Raises UserError for no rows.
    """
    if not rows:
        raise UserError("lines_and_sets: no layouts given")
    with styled():
        figure, panels = new_figure(1.0 + 1.7 * 2, len(rows), 2, sharex=True)
        for column, (layout, base, stride) in enumerate(rows):
            addresses = base + stride * np.arange(cpus)
            lines = addresses // _LINE_BYTES
            upper, lower = panels[column], panels[len(rows) + column]
            users = np.array([np.count_nonzero(lines == line) for line in lines])
            upper.bar(np.arange(cpus), users, width=1.0, color="#0072B2")
            upper.set(title=layout, ylim=(0, 9))
            lower.plot(np.arange(cpus), lines % sets, ".", color="#D55E00", markersize=3)
            lower.set(xlabel="CPU", ylim=(-1, sets))
        panels[0].set_ylabel("CPUs on its line")
        panels[len(rows)].set_ylabel("L1 set")
    return figure


def used_sets(base: int, stride: int, cpus: int, sets: int) -> int:
    """How many sets of a cache hold the copies of all CPUs."""
    return len(set((base + stride * np.arange(cpus)) // _LINE_BYTES % sets))


def alt(frame: pd.DataFrame, what: str, column: str = "ns") -> str:
    """The figure in words: every layout at the fewest and the most CPUs."""
    means = frame.groupby(["layout", "cpus"], sort=False)[column].mean()
    few, most = frame["cpus"].min(), frame["cpus"].max()
    parts = [
        f"{layout} {plain(means[layout, few])} ns at {few} "
        f"and {plain(means[layout, most])} ns at {most}"
        for layout in dict.fromkeys(frame["layout"])
    ]
    return f"{what}: {'; '.join(parts)}."


def winner_sentence(frame: pd.DataFrame) -> str:
    """Who is cheapest at the most CPUs, and how far off the dearest is."""
    most = frame["cpus"].max()
    means = frame[frame["cpus"] == most].groupby("layout")["ns"].mean().sort_values()
    return (
        f"On {most} CPUs an update costs {plain(means.iloc[0])} ns with {means.index[0]} and "
        f"{plain(means.iloc[-1])} ns with {means.index[-1]}, "
        f"{times(means.iloc[-1] / means.iloc[0])} as much."
    )


def read_sentence(frame: pd.DataFrame, column: str, what: str) -> str:
    """What something costs at the most CPUs with the cheapest and the dearest layout."""
    most = frame["cpus"].max()
    means = frame[frame["cpus"] == most].groupby("layout")[column].mean().sort_values()
    return (
        f"With {most} copies {what} takes {plain(means.iloc[0])} ns with {means.index[0]} and "
        f"{plain(means.iloc[-1])} ns with {means.index[-1]}."
    )


def lost_rows(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """A row per layout: moves, interrupts, updates lost, in percent too.

    No times: how many moves and interrupts fall into updates differs between layouts.
    """
    return [
        (
            str(row["layout"]),
            f"{row['moves']}",
            f"{row['interrupts']}",
            f"{row['lost']} ({row['lost'] / row['updates']:.1%})",
        )
        for _, row in frame.iterrows()
    ]
