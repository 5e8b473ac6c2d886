"""Plots of tidy frames. Every function returns a figure; `cgsim.report.figure.show` displays it.

Frames are those of `cgsim.summarise`: one row per point, columns as `cgsim.simulate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.experiments.summary import CAUSES
from cgsim.report.figure import PAPER, few_between, new_figure, style_of, styled
from cgsim.report.points import belongs, cost_words, point

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOOR_NS = 0.05
"""Below this a cost is noise of the model; a logarithmic axis does not show it."""

"""Of the CPI stack, in the order of the engine's columns `<cause>_cycles`."""

_FILLS = {
    "work": ("#ffffff", ""),
    "L1": ("#d9d9d9", ""),
    "L2": ("#bdbdbd", "///"),
    "L3": ("#969696", ""),
    "L4": ("#737373", "..."),
    "memory": ("#404040", ""),
    "TLB": ("#9ecae1", "\\\\\\"),
    "coherence": ("#fdd0a2", "++"),
    "branch": ("#fdae6b", "xxx"),
    "lock": ("#e6550d", "|||"),
}

AXES = {
    "n_keys": "keys per cgroup",
    "n_cgroups": "cgroups",
    "footprint_bytes": "memory that other code walks through before each lookup (KiB)",
}


def cost_curves(
    frame: pd.DataFrame, x: str, titles: Mapping[str, str], *, ylabel: str = "ns per lookup"
) -> Figure:
    """Cost against a size, log-log, one panel per mode, a line per design, bands of confidence.

    Parameters
    ----------
    frame : summary with columns design, mode, `x`, ns, ns_low, ns_high
    x : column of the abscissa, a key of `AXES`
    titles : mode -> title of its panel, in order
    """
    with styled():
        figure, panels = new_figure(3.5, len(titles), sharey=True)
        for axes, (mode, title) in zip(panels, titles.items(), strict=True):
            _curves(axes, frame[frame["mode"] == mode], x)
            axes.set(title=title, xlabel=AXES.get(x, x))
        panels[0].set_ylabel(ylabel)
        # panels share the axis: none is empty below what any of them shows
        lowest = [min(line.get_ydata()) for axes in panels for line in axes.get_lines()]
        panels[0].set_ylim(bottom=max(FLOOR_NS, 0.7 * min(lowest, default=FLOOR_NS)))
        for axes in panels:
            _label_ends(axes)
    return figure


def curves_alt(frame: pd.DataFrame, x: str, titles: Mapping[str, str]) -> str:
    """What `cost_curves` shows, in words: each panel's cheapest and dearest at both ends."""
    parts = []
    for mode, title in titles.items():
        rows = frame[frame["mode"] == mode]
        for value in dict.fromkeys((rows[x].min(), rows[x].max())):
            ends = rows[rows[x] == value].sort_values("ns")
            low, high = ends.iloc[0], ends.iloc[-1]
            parts.append(
                f"{title}, {value:,} {_plain(x)}: {low['ns']:.1f} ns ({low['design']}) to "
                f"{high['ns']:.1f} ns ({high['design']})"
            )
    return f"Cost per lookup against {_plain(x)}, a line per design. {'; '.join(parts)}."


def _plain(x: str) -> str:
    """A column's name in running text."""
    return {"n_keys": "keys", "n_cgroups": "cgroups", "footprint_bytes": "bytes walked"}.get(x, x)


def workload_alt(frame: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """What `workload_bars` shows, in words."""
    return "Mean cost per lookup. " + " ".join(
        f"{title}: {_listed(frame[frame['workload'] == name], 'ns', '.1f')} ns."
        for name, title in titles.items()
    )


def stacks_alt(frame: pd.DataFrame, titles: Mapping[str, str], by: str = "workload") -> str:
    """What `cpi_stacks` shows, in words: each design's largest cause."""
    parts = []
    for name, title in titles.items():
        rows = frame[frame[by] == name]
        shares = [f"{row['design']} {_largest_cause(row)}" for _, row in rows.iterrows()]
        parts.append(f"{title}: {', '.join(shares)}.")
    return "Cycles per lookup by cause; the largest cause of each design. " + " ".join(parts)


def _largest_cause(row: pd.Series) -> str:
    return max(CAUSES, key=lambda cause: float(row.get(f"{cause}_cycles", 0)))


def memory_alt(frame: pd.DataFrame, n_keys: int) -> str:
    """What `memory_bars` shows, in words."""
    rows = frame.drop_duplicates("design")
    rows = rows.assign(bytes=rows["cgroup_bytes"] + n_keys * rows["entry_bytes"])
    return f"Bytes per cgroup with {n_keys} keys: {_listed(rows, 'bytes', ',.0f')}."


def _listed(rows: pd.DataFrame, column: str, form: str) -> str:
    """'list 34.0, idr 20.8'."""
    return ", ".join(f"{row['design']} {row[column]:{form}}" for _, row in rows.iterrows())


def _curves(axes: Axes, frame: pd.DataFrame, x: str) -> None:
    """Lines and bands; what lies below the floor throughout is named in a note."""
    linear = (frame[x] == 0).any()
    scale = 1024.0 if x == "footprint_bytes" else 1.0
    hidden = []
    axes.set_yscale("log")
    if linear:
        axes.set_xscale("symlog", linthresh=_smallest(frame[x]) / scale, linscale=0.5)
    else:
        axes.set_xscale("log")
    for design, rows in frame.groupby("design", sort=False):
        rows = rows.sort_values(x)
        if not (rows["ns"] > FLOOR_NS).any():
            hidden.append(str(design))
            continue
        style = style_of(str(design))
        at = rows[x] / scale
        band = axes.fill_between(
            at,
            rows["ns_low"].clip(lower=FLOOR_NS),
            rows["ns_high"].clip(lower=FLOOR_NS),
            color=style.colour,
            alpha=0.15,
            linewidth=0,
        )
        line = axes.plot(
            at,
            rows["ns"].clip(lower=FLOOR_NS),
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            label=str(design),
        )
        belongs(str(design), band, *line)
        unit = "KiB walked" if x == "footprint_bytes" else _plain(x)
        for place, (_, row) in zip(at, rows.iterrows(), strict=True):
            height = max(float(row["ns"]), FLOOR_NS)
            point(
                axes,
                place,
                height,
                str(design),
                cost_words(str(design), row, f"{place:,.6g} {unit}"),
            )
    ticks = sorted(frame[x].unique() / scale)
    axes.set_xticks(ticks, [_short(tick) for tick in ticks])
    axes.xaxis.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(few_between)
    axes.tick_params(axis="y", which="minor", labelsize=7)
    if hidden:
        names = ", ".join(hidden)
        axes.text(
            0.02, 0.015, f"below {FLOOR_NS:g} ns: {names}", transform=axes.transAxes, fontsize=7.5
        )  # fmt: skip


def _smallest(values: pd.Series) -> float:
    positive = values[values > 0]
    return float(positive.min()) if len(positive) else 1.0


def _short(value: float) -> str:
    """A tick's label: 64, 4k, 1M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit and value % unit == 0:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def _label_ends(axes: Axes, gap: float = 0.052) -> None:
    """Write each line's name at its right end, pushed apart where ends are close.

    A line that ends before the others has its name at its own end: a leader across the plot would
    look like data.
    """
    lines = list(axes.get_lines())
    if not lines:
        return
    ends = [
        (float(np.asarray(line.get_xdata())[-1]), float(np.asarray(line.get_ydata())[-1]))
        for line in lines
    ]
    longest = max(x for x, _ in ends)
    low, high = np.log(axes.get_ylim())
    full = [(x, y, line) for (x, y), line in zip(ends, lines, strict=True) if x == longest]
    heights = spread([(np.log(y) - low) / (high - low) for _, y, _ in full], gap)
    for (x, y, line), height in zip(full, heights, strict=True):
        label = axes.annotate(
            str(line.get_label()), xy=(x, y), xytext=(1.03, height), textcoords="axes fraction",
            fontsize=7.5, color=line.get_color(), va="center", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": line.get_color(), "linewidth": 0.4, "shrinkB": 2,
            },
        )  # fmt: skip
        belongs(str(line.get_label()), label, *filter(None, (label.arrow_patch,)))
    for (x, y), line in zip(ends, lines, strict=True):
        if x < longest:
            label = axes.annotate(
                str(line.get_label()), xy=(x, y), xytext=(5, 0), textcoords="offset points",
                fontsize=7.5, color=line.get_color(), va="center", bbox=PAPER,
            )  # fmt: skip
            belongs(str(line.get_label()), label)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move places apart until neighbours are `gap` from each other, each as little as possible.

    Keeps the order; runs of places that touch are centred on their mean.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[list[float]] = []  # [centre of the first member, members]
    for i in order:
        groups.append([places[i], 1])
        while len(groups) > 1:
            (first, n), (second, m) = groups[-2], groups[-1]
            if second - first >= n * gap:
                break
            merged = (n * first + m * (second - n * gap)) / (n + m)
            groups[-2:] = [[merged, n + m]]
    moved = [start + k * gap for start, count in groups for k in range(int(count))]
    result = [0.0] * len(places)
    for i, place in zip(order, moved, strict=True):
        result[i] = place
    return result


def cpi_stacks(frame: pd.DataFrame, panels: Mapping[str, str], by: str = "workload") -> Figure:
    """Where the cycles went: a bar per design, a segment per cause, a panel per value of `by`."""
    causes = [c for c in CAUSES if f"{c}_cycles" in frame and _matters(frame, c)]
    designs = list(dict.fromkeys(frame["design"]))
    with styled():
        figure, many = new_figure(0.9 + 0.3 * len(designs), len(panels), sharey=True)
        for axes, (value, title) in zip(many, panels.items(), strict=True):
            rows = frame[frame[by] == value].set_index("design").reindex(designs)
            _stack(axes, rows, causes)
            axes.set(title=title, xlabel="cycles per lookup")
        handles = _cause_handles(causes)
        figure.legend(
            handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=8
        )  # fmt: skip
    return figure


def cause_colour(cause: str) -> str:
    """The fill of a cause in the CPI stacks."""
    return _FILLS[cause][0]


def _matters(frame: pd.DataFrame, cause: str) -> bool:
    share = frame[f"{cause}_cycles"] / frame["cycles"].clip(lower=1e-9)
    return bool((share > 0.005).any())


def _cause_handles(causes: Sequence[str]) -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=_FILLS[c][0], hatch=_FILLS[c][1], edgecolor="#222222", label=c)
        for c in causes
    ]


def _stack(axes: Axes, rows: pd.DataFrame, causes: Sequence[str]) -> None:
    places = np.arange(len(rows))[::-1]
    left = np.zeros(len(rows))
    for cause in causes:
        width = rows[f"{cause}_cycles"].fillna(0).to_numpy(float)
        colour, hatch = _FILLS[cause]
        bars = axes.barh(
            places, width, 0.66, left=left, color=colour, hatch=hatch, edgecolor="#222222",
            linewidth=0.6,
        )  # fmt: skip
        for bar, design, place, start, size in zip(
            bars, rows.index, places, left, width, strict=True
        ):
            belongs(str(design), bar)
            if size > 0:
                words = f"{design}: {size:.1f} of {rows['cycles'][design]:.1f} cycles {cause}"
                point(axes, start + size / 2, place, str(design), words)
        left = left + width
    for design, place, total in zip(rows.index, places, rows["cycles"], strict=True):
        shown = "not possible" if np.isnan(total) else f" {total:.0f}"
        belongs(
            str(design),
            axes.text(0 if np.isnan(total) else total, place, shown, va="center", fontsize=8),
        )
    axes.set_yticks(places, list(rows.index))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_xlim(0, 1.12 * max(float(np.nanmax(rows["cycles"])), 1.0))


def memory_bars(frame: pd.DataFrame, n_keys: int) -> Figure:
    """Memory of one cgroup with `n_keys` data: what the design takes, and what the entries take."""
    rows = frame.drop_duplicates("design").set_index("design")
    places = np.arange(len(rows))[::-1]
    own = rows["cgroup_bytes"].to_numpy(float)
    entries = n_keys * rows["entry_bytes"].to_numpy(float)
    with styled():
        figure, (axes,) = new_figure(0.8 + 0.28 * len(rows))
        bars = (("per cgroup", own, "#ffffff", "///"), ("entries", entries, "#8c8c8c", ""))
        left = np.zeros(len(rows))
        for label, width, colour, hatch in bars:
            drawn = axes.barh(
                places, width, 0.66, left=left, color=colour, hatch=hatch, edgecolor="#222222",
                linewidth=0.6, label=label,
            )  # fmt: skip
            for bar, design, place, start, size in zip(
                drawn, rows.index, places, left, width, strict=True
            ):
                belongs(str(design), bar)
                words = f"{design}: {size:,.0f} bytes {label}"
                if size > 0:
                    point(axes, start + size / 2, place, str(design), words)
            left = left + width
        for design, place, total in zip(rows.index, places, left, strict=True):
            text = axes.text(total, place, f" {total:,.0f}", va="center", fontsize=8)
            belongs(str(design), text)
        axes.set_yticks(places, list(rows.index))
        axes.set_xlim(0, 1.12 * float(left.max()))
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"bytes per cgroup with {n_keys} keys, as slab rounds them")
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    return figure


def workload_bars(frame: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Mean cost in each workload with its confidence interval; the 99th percentile as text."""
    designs = list(dict.fromkeys(frame["design"]))
    with styled():
        figure, panels = new_figure(0.9 + 0.3 * len(designs), len(titles), sharey=True)
        for axes, (workload, title) in zip(panels, titles.items(), strict=True):
            rows = frame[frame["workload"] == workload].set_index("design").reindex(designs)
            _dots(axes, rows)
            axes.set(title=title, xlabel="ns per lookup, with the update of the datum")
    return figure


def _dots(axes: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))[::-1]
    mean = rows["ns"].to_numpy(float)
    error = np.nan_to_num((rows["ns_high"] - rows["ns"]).to_numpy(float))
    bars = axes.barh(places, mean, 0.6, color="#d9d9d9", edgecolor="#222222", linewidth=0.6)
    for bar, place, (design, row) in zip(bars, places, rows.iterrows(), strict=True):
        belongs(str(design), bar)
        words = f"{cost_words(str(design), row)}; 99th percentile {row['p99_ns']:.3g} ns"
        point(axes, row["ns"], place, str(design), words)
    axes.errorbar(mean, places, xerr=error, fmt="none", ecolor="#000000", capsize=2, linewidth=1)
    longest = float(np.nanmax(mean + error))
    for place, value, high, tail in zip(places, mean, mean + error, rows["p99_ns"], strict=True):
        if value != value:
            axes.text(0, place, " not possible", va="center", fontsize=8)
            continue
        # the percentile as text: on the axis it would squeeze the bars
        axes.text(high, place, f"  {value:.1f}", va="center", fontsize=8)
        axes.text(
            1.0, place, f"p99 {tail:.0f}", va="center", ha="right", fontsize=7, color="#555555",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    axes.set_yticks(places, list(rows.index))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_xlim(0, 1.4 * longest)
