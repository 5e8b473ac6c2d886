"""The explorer: a point as text and back, its picture, points not there, how quick it is."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sample_frames as sample
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import UserError
from cgsim.report import explorer
from cgsim.report.explorer import MODES, Place, Points, explore, place_of, texts

SHOWN = ("list", "hash", "hash-rcu")

places = st.builds(
    Place,
    user=st.sampled_from(["driver", "packet-hook"]),
    machine=st.sampled_from(["zen5-vm", "./mine.yml"]),
    mode=st.sampled_from(MODES),
    footprint_bytes=st.integers(0, 1 << 28),
    n_cgroups=st.integers(1, 10**5),
    n_keys=st.integers(1, 10**4),
    designs=st.lists(st.sampled_from(SHOWN), min_size=1, unique=True).map(tuple),
    kernel=st.sampled_from(["7.3.4", "6.12.117"]),
    seed=st.integers(0, 2**32 - 1),
)


@given(places)
def test_texts_name_their_point(place: Place) -> None:
    """Each of the four forms is read back as the point that it was written from."""
    for form, text in texts(place).items():
        assert place_of(text) == place, form


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no designs"),
        ("--design list -p n_keys=few", "n_keys = 'few'"),
        ("--design list -p 'modes=[warm]'", "mode = 'warm'"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    """In one line."""
    with pytest.raises(UserError, match=message):
        place_of(text)


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Points:
    """Made-up points."""

    def compute(place: Place, threads: int = 1) -> pd.DataFrame:
        if place.n_keys > 100:
            raise UserError("too many")
        sizes = {"n_keys": place.n_keys, "n_cgroups": place.n_cgroups, "mode": place.mode}
        rows = [sample.row(name, place.n_keys * sample.NS[name], **sizes) for name in SHOWN]
        return pd.DataFrame(rows)

    monkeypatch.setattr(explorer, "compute", compute)
    keys, cgroups = (1, 2, 4, 8, 16, 32, 64), (10, 100, 1000)
    return Points(Place(n_keys=k, n_cgroups=c) for k in keys for c in cgroups)


def child(widget: Any, description: str) -> Any:
    """A control by its description."""
    return next(c for c in widget.children if getattr(c, "description", None) == description)


def test_moves_and_hides(points: Points) -> None:
    """A slider shows its point, a design left out goes, the text follows."""
    widget = explore(points, Place(), SHOWN)
    view = widget.children[8]
    assert "48.00 ns (47.04 to 48.96)" in view.value
    assert child(widget, "walked").layout.display == "none"  # nothing is walked through here
    child(widget, "keys").value = 1
    assert "6.00 ns (5.88 to 6.12)" in view.value
    assert "n_keys=1 " in child(widget, "point").value
    child(widget, "designs").value = ("list",)
    assert "hash-rcu" not in view.value
    bundle = widget._repr_mimebundle_()
    assert len(bundle[explorer.EXPLORER]["rows"]) == 7 * 3 * 3
    assert "30.00 ns" in bundle["text/html"]


def test_a_point_that_is_not_there(points: Points) -> None:
    """It is not guessed from its neighbours: "computing" is said, then it is there, or why not."""
    widget = explore(points, Place(), SHOWN)
    words, button, note = child(widget, "point"), child(widget, "open"), widget.children[7]
    for n_keys, found in ((5, "30.00 ns"), (200, "too many")):
        words.value = texts(Place(n_keys=n_keys, designs=SHOWN))["Python"]
        button.click()
        until = time.monotonic() + 10
        while found not in widget.children[8].value + note.value and time.monotonic() < until:
            time.sleep(0.01)
        assert found in widget.children[8].value + note.value
    words.value = "nothing"
    button.click()
    assert "names no designs" in note.value


def _latencies_ms(widget: Any, moves: int) -> list[float]:
    """How long the picture took after each of some moves of the widget's sliders."""
    sliders = [child for child in widget.children if hasattr(child, "index") and child.options]
    times = []
    for move in range(moves):
        slider = sliders[move % len(sliders)]
        if isinstance(slider.index, int):
            before = time.perf_counter()
            slider.index = (slider.index + 1) % len(slider.options)
            times.append(1000 * (time.perf_counter() - before))
    return times


def test_pictures_come_at_once(points: Points) -> None:
    """At most 150 ms from a slider's move to the picture, at the 95th percentile."""
    widget = explore(points, replace(Place(), designs=SHOWN), SHOWN)
    assert np.percentile(_latencies_ms(widget, 200), 95) <= 150
