"""Sliders over points that are computed already, so that moving one answers at once.

In a notebook they are widgets; beside them stand the points themselves, which a page's script
draws without a kernel.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from cgsim.report.html import EXPLORER

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def explorer(sweeps: Mapping[str, tuple[pd.DataFrame, str]]) -> Any:
    """A widget: choose a sweep and its point, see every design's cost there.

    sweeps : title -> (summary frame, column that varies).
    """
    import ipywidgets as widgets

    sweep = widgets.Dropdown(options=list(sweeps), description="against")
    point = widgets.SelectionSlider(options=[0], description="at", continuous_update=False)
    mode = widgets.Dropdown(options=["-"], description="mode")
    view = widgets.HTML()

    def choose(_: Any = None) -> None:
        frame, x = sweeps[sweep.value]
        values = sorted(frame[x].unique())
        point.options = [(f"{value:,.0f}", value) for value in values]
        point.value = values[len(values) // 2]
        mode.options = list(dict.fromkeys(frame["mode"]))
        redraw()

    def redraw(_: Any = None) -> None:
        frame, x = sweeps[sweep.value]
        view.value = bars_html(frame[(frame[x] == point.value) & (frame["mode"] == mode.value)])

    sweep.observe(choose, "value")
    point.observe(redraw, "value")
    mode.observe(redraw, "value")
    choose()
    data = explorer_data(sweeps)

    class Explorer(widgets.VBox):
        """The widget, and what a page shows in its place."""

        def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
            bundle = super()._repr_mimebundle_(**options)
            return {**bundle, EXPLORER: data, "text/html": view.value}

    return Explorer([sweep, point, mode, view])


_COLUMNS = ("against", "mode", "at", "design", "ns", "ns_low", "ns_high")


def explorer_data(sweeps: Mapping[str, tuple[pd.DataFrame, str]]) -> dict[str, Any]:
    """The points of `explorer` for a page's script: rows, and which columns are chosen by what."""
    rows = [
        (title, row["mode"], float(row[x]), row["design"],
         *(number_or_none(row[name]) for name in ("ns", "ns_low", "ns_high")))
        for title, (frame, x) in sweeps.items()
        for _, row in frame.iterrows()
    ]  # fmt: skip
    choices = [
        {"name": "against", "title": "against", "slider": False},
        {"name": "mode", "title": "mode", "slider": False},
        {"name": "at", "title": "at", "slider": True},
    ]
    return {"choices": choices, "columns": _COLUMNS, "rows": rows}


def number_or_none(value: float) -> float | None:
    """A number to four digits; None where there is none."""
    return None if math.isnan(value) else float(f"{value:.4g}")


def bars_html(rows: pd.DataFrame) -> str:
    """A bar per design, cheapest first, as HTML without script."""
    top = max(float(rows["ns"].max()), 1e-9) if len(rows) else 1.0
    lines = [
        f"<tr><td>{escape(str(row['design']))}</td>"
        f'<td style="width:24em"><div style="background:#777;height:.8em;'
        f'width:{100 * float(row["ns"]) / top:.1f}%"></div></td>'
        f"<td>{float(row['ns']):.1f} ns</td></tr>"
        for _, row in rows.sort_values("ns").iterrows()
    ]
    return f"<table>{''.join(lines)}</table>"
