"""Figures: made without a screen, styled alike, shown with the text that stands for them."""

from __future__ import annotations

import io
import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from cgsim.designs import list_designs
from cgsim.errors import UserError
from cgsim.report.points import PREFIX, points_of
from cgsim.studies.leave import place_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

WIDTH_INCHES = 8.0
PAPER: dict[str, Any] = {"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.4, "alpha": 0.85}
"""The box behind letters that stand among lines, so that none crosses them out."""
_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "cgsim",
}


_DECIMALS = re.compile(r"(\d\.\d\d)\d+")
_SPACES = re.compile(r"\s*\n\s*")
_OWNED = re.compile(rf'id="{PREFIX}([^"]+)"')


class Style(NamedTuple):
    """How a design is drawn in every figure; marker and dash tell it without colour."""

    colour: str
    dash: Any
    marker: Any
    hatch: str


# Colours differ in lightness too, and none is too faint for paper (Okabe and Ito's, darkened).
COLOURS = (
    "#000000", "#D55E00", "#0072B2", "#00805F", "#A8327C", "#7A5195", "#8F6400", "#B03A2E",
    "#6B6B6B", "#4D7C0F",
)  # fmt: skip
_DASHES: tuple[Any, ...] = (
    "-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (10, 3.5)),
)  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p", (4, 1, 45), "8")


def style_of(design: str) -> Style:
    """The style of a design, the same in all figures."""
    from cgsim.studies.sweeps import DESIGNS

    names = list(dict.fromkeys([*DESIGNS, *(known.name for known in list_designs())]))
    index = names.index(design) if design in names else len(names)
    return Style(
        COLOURS[index % len(COLOURS)],
        _DASHES[index % len(_DASHES)],
        _MARKERS[index % len(_MARKERS)],
        _HATCHES[index % len(_HATCHES)],
    )


_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++", "||||", "oo", "**")


@contextmanager
def styled() -> Iterator[None]:
    """The settings of all figures, for as long as the block runs."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield


def new_figure(
    height: float, columns: int = 1, rows: int = 1, *, width: float = WIDTH_INCHES, **options: Any
) -> tuple[Figure, Sequence[Any]]:
    """A figure of `width` by `height` inches and its axes, flat; call it within `styled`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def few_between(value: float, _: float) -> str:
    """The label of a minor tick: 2 and 5 of each decade have one."""
    digit = round(value / 10 ** math.floor(math.log10(value)))
    return f"{value:g}" if digit in (2, 5) else ""


def to_svg(figure: Figure, *, light: bool = False) -> str:
    """The figure as SVG text, the same bytes for the same figure.

    light : letters stay letters, in the reader's own font, and places are rounded to a hundredth of
    a point, which takes a third of the bytes; for pages of many figures.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with styled(), mpl.rc_context({"svg.fonttype": "none"} if light else {}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    # several marks are one design's, and an id may be there but once
    svg = _OWNED.sub(r'data-design="\1"', buffer.getvalue())
    return _SPACES.sub("\n", _DECIMALS.sub(r"\1", svg)) if light else svg


def show(figure: Figure, alt: str, caption: str = "", *, light: bool = False) -> None:
    """Display a figure in a notebook, with its alternative text; `light` as in `to_svg`.

    caption : of which machine, sizes and seeds it is (`cgsim.report.captions`); pages have it.

    Raises UserError if the text is empty: a report with such a figure would be refused.
    """
    from IPython.display import display

    text = " ".join(alt.split())
    if not text:
        raise UserError("a figure needs alternative text: say what it shows")
    _leave(figure)
    svg = to_svg(figure, light=light)
    display(
        {"image/svg+xml": svg, "text/plain": f"{text} ({caption})" if caption else text},
        raw=True,
        metadata={"image/svg+xml": {"alt": text, "points": points_of(figure), "caption": caption}},
    )


def _leave(figure: Figure) -> None:
    """Leave the figure beside the page that is being made, if one is, as SVG and as PDF."""
    for suffix, metadata in (
        (".svg", {"Date": None, "Creator": None}),
        (".pdf", {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}),
    ):
        place = place_for("figure", suffix)
        if place is not None:
            with styled():
                figure.savefig(place, metadata=metadata)
