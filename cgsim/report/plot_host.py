"""Pictures of a calibration: the ladder of latencies, and times from CPU to CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.report.figure import new_figure, styled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

_PAGES = {"4k": ("o", "4 KiB pages"), "huge": ("^", "2 MiB pages")}


def ladder(
    rungs: Sequence[tuple[int, str, float]],
    stated: Mapping[str, int],
    inferred: Mapping[str, int],
) -> Figure:
    """Cycles of a load by working set.

    rungs : (bytes, pages, cycles). stated, inferred : bytes of the caches by name, as the system
    has them and as the ladder shows them.
    """
    with styled():
        figure, panels = new_figure(3.6, 1)
        axes = panels[0]
        for pages, (marker, label) in _PAGES.items():
            rows = sorted((size / 1024, cycles) for size, kind, cycles in rungs if kind == pages)
            axes.plot(*zip(*rows, strict=True), marker=marker, label=label)
        for number, (name, size) in enumerate(stated.items()):
            axes.axvline(size / 1024, color="#555555", linewidth=0.8)
            axes.annotate(name, (size / 1024, 1), xycoords=("data", "axes fraction"), fontsize=8,
                          xytext=(2, -9), textcoords="offset points")  # fmt: skip
            if name in inferred:
                axes.axvline(
                    inferred[name] / 1024,
                    color="#D55E00",
                    linewidth=0.8,
                    linestyle=":",
                    label="size that the ladder shows" if number == 0 else None,
                )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="working set (KiB)",
            ylabel="cycles per load",
            title="Loads in a chain, by working set",
        )
        axes.legend(loc="upper left", bbox_to_anchor=(0, 0.9), fontsize=7.5, frameon=False)
    return figure


def core_to_core(pairs: Mapping[tuple[int, int], float]) -> Figure:
    """One-way times (ns) of pairs of CPUs as a heat map."""
    cpus = sorted({cpu for pair in pairs for cpu in pair})
    place = {cpu: number for number, cpu in enumerate(cpus)}
    times = np.full((len(cpus), len(cpus)), np.nan)
    for (cpu, other), ns in pairs.items():
        times[place[cpu], place[other]] = times[place[other], place[cpu]] = ns
    with styled():
        figure, panels = new_figure(4.0, 1)
        axes = panels[0]
        axes.grid(visible=False)
        image = axes.imshow(times, cmap="cividis_r", vmin=0)
        if len(cpus) <= 16:
            for (row, column), ns in np.ndenumerate(times):
                if np.isfinite(ns):
                    axes.text(column, row, f"{ns:.0f}", ha="center", va="center", fontsize=8,
                              color="#D55E00")  # fmt: skip
            axes.set_xticks(range(len(cpus)), [str(cpu) for cpu in cpus])
            axes.set_yticks(range(len(cpus)), [str(cpu) for cpu in cpus])
        axes.set(xlabel="CPU", ylabel="CPU", title="A modified line from CPU to CPU, one way")
        figure.colorbar(image, ax=axes, label="ns")
    return figure
