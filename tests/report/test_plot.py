"""Figures: readable in grey, labelled with units, small, the same each time, never without text."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import pytest
import sample_frames as sample
from hypothesis import given
from hypothesis import strategies as st

from cgsim.designs import get_design, list_designs
from cgsim.errors import UserError
from cgsim.experiments.anatomy import Anatomy, Object, Touch
from cgsim.report import drawing, figure, plot
from cgsim.report.points import points_of
from cgsim.report.widgets import bars_html, explorer
from cgsim.studies.sweeps import DESIGNS

TITLES = {"dependent": "one after the other", "throughput": "overlapping"}
PLACES = {"network": "network", "gpu": "gpu"}


def texts(drawn: object) -> list[str]:
    """Every visible text of a figure."""
    return [t.get_text() for t in drawn.findobj(mpl.text.Text) if t.get_text()]  # type: ignore[attr-defined]


def test_cost_curves() -> None:
    """A panel per mode, logarithmic, a labelled line per design, units on the axes."""
    drawn = plot.cost_curves(sample.over_keys(), "n_keys", TITLES)
    left, right = drawn.axes
    assert left.get_title(loc="left") == "one after the other"
    assert left.get_xscale() == left.get_yscale() == "log"
    assert left.get_ylabel() == "ns per lookup"
    assert left.get_xlabel() == "keys per cgroup"
    names = [line.get_label() for line in right.get_lines()]
    assert names == [name for name in sample.NS if name != "direct-inlined"]
    assert set(names) <= set(texts(drawn))
    assert "below 0.05 ns: direct-inlined" in texts(drawn)
    ends = {line.get_label(): line.get_xdata()[-1] for line in left.get_lines()}
    assert ends["subsys"] == 8
    assert ends["list"] == 64
    assert len(right.collections) == len(names)  # a band each


def test_curves_from_zero() -> None:
    """A sweep that begins at 0 has its point on the axis, in KiB."""
    frame = sample.over_keys().assign(
        mode="isolated", footprint_bytes=lambda f: (f["n_keys"] - 1) * 1024
    )
    drawn = plot.cost_curves(frame, "footprint_bytes", {"isolated": "alone"})
    axes = drawn.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "7", "63"]
    assert "KiB" in axes.get_xlabel()


def test_styles_differ_without_colour() -> None:
    """No two of the designs shown together have the same dash and marker."""
    names = list(dict.fromkeys([*DESIGNS, *(known.name for known in list_designs())]))[:14]
    styles = [figure.style_of(name) for name in names]
    assert len({(str(style.dash), style.marker) for style in styles}) == len(names)
    assert figure.style_of("idr") == figure.style_of("idr")


def test_cpi_stacks() -> None:
    """Bars add up to the cycles; only causes that matter are shown, told apart by hatches."""
    frame = sample.workloads()
    drawn = plot.cpi_stacks(frame, PLACES)
    left = drawn.axes[0]
    network = frame[frame["workload"] == "network"]
    widths = [patch.get_width() for patch in left.patches]
    assert len(widths) == 2 * len(network)
    assert sum(widths) == pytest.approx(network["cycles"].sum())
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend == ["work", "L2"]
    faces = {(p.get_facecolor(), p.get_hatch()) for p in left.patches}
    assert len(faces) == 2
    assert left.get_xlabel() == "cycles per lookup"


def test_absent_design() -> None:
    """A design that one workload lacks is said to be not possible there."""
    frame = sample.workloads()
    frame = frame[~((frame["workload"] == "gpu") & (frame["design"] == "subsys"))]
    for drawn in (plot.cpi_stacks(frame, PLACES), plot.workload_bars(frame, PLACES)):
        assert "not possible" in " ".join(texts(drawn))


def test_memory_bars() -> None:
    """Bytes of a cgroup: its own share and its entries."""
    drawn = plot.memory_bars(sample.at_point(), 8)
    assert " 256" in texts(drawn)  # table: 128 + 8 * 16
    assert " 1,024" in texts(drawn)  # direct
    assert any("bytes per cgroup with 8 keys" in text for text in texts(drawn))


def test_alternative_texts_are_computed() -> None:
    """The texts that stand for figures name designs and values of the frame."""
    keys = plot.curves_alt(sample.over_keys(), "n_keys", TITLES)
    assert "(direct) to 240.0 ns (list)" in keys
    assert "list 60.0" in plot.workload_alt(sample.workloads(), PLACES)
    assert "direct L2" in plot.stacks_alt(sample.workloads(), PLACES)
    assert "table 256" in plot.memory_alt(sample.at_point(), 8)


def test_svg_is_small_and_repeats() -> None:
    """The same frame gives the same bytes, few enough for a page of many figures."""
    first, second = (
        figure.to_svg(plot.cost_curves(sample.over_keys(), "n_keys", TITLES)) for _ in range(2)
    )
    assert first == second
    assert len(first) < 100_000
    assert "<script" not in first


def test_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure is displayed with its text, and not at all without one."""
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    drawn = plot.memory_bars(sample.at_point(), 8)
    figure.show(drawn, " what\n it shows ")
    (data,), options = shown[0]
    assert options["metadata"]["image/svg+xml"]["alt"] == "what it shows"
    assert data["image/svg+xml"].startswith("<?xml")
    with pytest.raises(UserError, match="alternative text"):
        figure.show(drawn, " \n")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_spread(places: list[float], gap: float) -> None:
    """Labels keep their order and their distance; those with room do not move."""
    moved = plot.spread(places, gap)
    order = sorted(range(len(places)), key=lambda i: places[i])
    heights = [moved[i] for i in order]
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(heights))
    assert plot.spread([0.1, 0.9], 0.05) == [0.1, 0.9]
    assert sum(moved) == pytest.approx(sum(places), abs=0.2 * gap * len(places) ** 2 + 1e-9)


def chain() -> Anatomy:
    """A lookup by hand: cgroup, then node, then datum, with a lock."""
    objects = (Object("cgroup", 4096, 2400), Object("node", 8192, 128), Object("datum", 12304, 16))
    touches = (
        Touch("RMW!", 0, 72, 8, 65, "lock", ()),
        Touch("R", 0, 8, 8, 64, "head", ()),
        Touch("R", 1, 0, 1, 128, "shift", (1,)),
        Touch("R", 1, 80, 8, 129, "slot", (1,)),
        Touch("R", 2, 0, 8, 192, "datum", (3,)),
    )
    return Anatomy(get_design("idr"), 4, objects, touches)


def test_drawing() -> None:
    """Each object is named, each access numbered, each dependence between objects an arrow."""
    lookup = chain()
    assert lookup.chain == 3
    assert lookup.lines == 5
    drawn = drawing.draw(lookup)
    shown = texts(drawn)
    assert {"cgroup", "node", "datum", "1 locked", "2", "3", "4", "5", "+64/128"} <= set(shown)
    arrows = [t for t in drawn.findobj(mpl.text.Annotation) if t.arrow_patch is not None]
    assert len(arrows) == 3
    assert "5 accesses to 5 cache lines; 3 must happen" in drawing.chain_words(lookup)
    assert "cgroup, node, datum" in drawing.alt_text(lookup)
    assert len(figure.to_svg(drawn)) < 60_000


def test_numbers_of_a_drawing_do_not_overlap() -> None:
    """Labels keep their order, and none stands on another; alone, one stays where it is."""
    labels = [(0.0, "1,13"), (4.0, "2"), (8.0, "11,12,19 locked"), (60.0, "3")]
    centres = drawing.apart(labels, 0.0)
    halves = [drawing.LETTER * (len(text) + 1) / 2 for _, text in labels]
    for i in range(3):
        assert centres[i + 1] - centres[i] >= halves[i] + halves[i + 1] - 1e-9
    assert drawing.apart([(30.0, "7")], 0.0) == [30.0]


def test_explorer_answers_from_the_grid() -> None:
    """Moving the slider redraws from the frame; the choices are the frame's own."""
    box = explorer({"keys": (sample.over_keys(), "n_keys"), "one": (sample.at_point(), "n_keys")})
    sweep, point, mode, view = box.children
    assert [value for _, value in point.options] == [1, 8, 64]
    assert point.value == 8
    assert point.continuous_update is False
    assert mode.options == ("dependent", "throughput")
    assert "30.0 ns" in view.value
    point.value = 64
    assert "240.0 ns" in view.value
    mode.value = "throughput"
    assert "60.0 ns" in view.value
    sweep.value = "one"
    assert mode.options == ("isolated",)
    assert "direct-inlined" in view.value


def test_bars_are_escaped() -> None:
    """Names are text in the widget, whatever they are."""
    frame = sample.at_point().assign(design="<b>")
    assert "<td>&lt;b&gt;</td>" in bars_html(frame)
    assert bars_html(frame.iloc[:0]) == "<table></table>"


def test_points_stand_where_the_marks_are() -> None:
    """Each mark has its words, at its place in the picture; a design's marks bear its name."""
    frame = sample.over_keys()
    drawn = plot.cost_curves(frame, "n_keys", {"dependent": "d"})
    svg = figure.to_svg(drawn)
    points = points_of(drawn)
    own = frame[(frame["mode"] == "dependent") & (frame["ns"] > plot.FLOOR_NS)]
    assert len(points) == len(own)
    for name in own["design"].unique():
        assert f'data-design="{name}"' in svg
    x, y, design, words = points[0]
    assert 0 < x < 8 * 72
    assert 0 < y < 3.5 * 72
    assert words.startswith(f"{design}, ")
    assert " ns, 95 % interval " in words
    (line, *_) = drawn.axes[0].get_lines()
    pixels = drawn.axes[0].transData.transform(line.get_xydata()[0])
    assert x == pytest.approx(pixels[0] * 72 / drawn.dpi, abs=0.1)
    assert y == pytest.approx(3.5 * 72 - pixels[1] * 72 / drawn.dpi, abs=0.1)


def test_the_axis_starts_below_what_is_shown() -> None:
    """No half of the plot is empty where no design costs next to nothing."""
    drawn = plot.cost_curves(sample.over_keys(), "n_keys", {"dependent": "d"})
    lowest = min(min(line.get_ydata()) for line in drawn.axes[0].get_lines())
    assert 0.5 * lowest < drawn.axes[0].get_ylim()[0] < lowest
