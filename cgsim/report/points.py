"""What a figure's marks stand for: whose they are, and the words that each is read by.

A page's script shows the words at the pointer and hides a design's marks; without it the figure is
the same picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREFIX = "design:"


class _Point(NamedTuple):
    axes: Axes
    x: float
    y: float
    design: str
    words: str


_points: WeakKeyDictionary[Figure, list[_Point]] = WeakKeyDictionary()


def belongs(design: str, *artists: Artist) -> None:
    """Say that these marks are a design's: its name is put on them in the SVG."""
    for artist in artists:
        artist.set_gid(f"{PREFIX}{design}")


def point(axes: Axes, x: float, y: float, design: str, words: str) -> None:
    """Say what stands at (x, y) of the axes, in data coordinates."""
    figure = axes.get_figure(root=True)
    if figure is not None and x == x and y == y:
        _points.setdefault(figure, []).append(_Point(axes, x, y, design, words))


def points_of(figure: Figure) -> list[list[Any]]:
    """[x, y, design, words] of each point; x, y in points from the picture's upper left corner.

    Call it when the figure was drawn: its layout places the axes only then.
    """
    width, height = figure.get_size_inches() * 72
    found = []
    for own in _points.get(figure, ()):
        display = own.axes.transData.transform((own.x, own.y))
        across, up = figure.transFigure.inverted().transform(display)
        x, y = round(float(across * width), 1), round(float((1 - up) * height), 1)
        found.append([x, y, own.design, own.words])
    return found


def cost_words(design: str, row: pd.Series, at: str = "") -> str:
    """'idr, 8 keys: 12.3 ns, 95 % interval 12.1 to 12.6', the interval where there is one."""
    place = f", {at}" if at else ""
    text = f"{design}{place}: {row['ns']:.3g} ns"
    low, high = row.get("ns_low"), row.get("ns_high")
    if low is not None and high is not None and low == low and high > low:
        text += f", 95 % interval {low:.3g} to {high:.3g}"
    return text
