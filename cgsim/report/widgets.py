"""Sliders over points that are computed already, so that moving one answers at once."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

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
    return widgets.VBox([sweep, point, mode, view])


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
