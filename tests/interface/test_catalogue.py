"""The misuse catalogue: every mistake with every interface, the verdict read off a search."""

from __future__ import annotations

from itertools import pairwise

import pytest
from matplotlib.colors import to_rgb

from cgsim.errors import UserError
from cgsim.interface.catalogue import (
    AT_LOAD,
    CAUGHT,
    COLUMNS,
    DEBUG,
    MISTAKES,
    PREVENTED,
    SILENT,
    VERDICTS,
    Cell,
    catalogue,
)
from cgsim.report.interface_page import _SHADES

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, str], Cell]:
    """All of them."""
    return {(cell.mistake, cell.interface): cell for cell in catalogue()}


def test_every_cell(cells: dict[tuple[str, str], Cell]) -> None:
    """Fifteen mistakes or more with each interface, searched to the end, each with a schedule."""
    assert len(MISTAKES) >= 15
    assert len(cells) == len(MISTAKES) * len(COLUMNS)
    for cell in cells.values():
        assert cell.verdict in VERDICTS
        assert cell.found.complete, cell
        assert cell.schedule, cell
        assert cell.what


@pytest.mark.parametrize(
    ("mistake", "interface", "verdict", "text"),
    [
        ("install twice", "cgroup-priv-as-posted", SILENT, "one datum under a key"),
        ("install twice", "cgroup-priv", CAUGHT, "EEXIST"),
        ("install twice", "registered-type", PREVENTED, "there is no install"),
        ("keep the pointer", "cgroup-priv-kref", SILENT, "use after free"),
        ("keep the pointer", "cgroup-buf", AT_LOAD, "does not outlive"),
        ("key of a dead device", "cgroup-priv", SILENT, "another key"),
        ("key of a dead device", "cgroup-priv-kref", PREVENTED, ""),
        ("forgotten put", "cgroup-priv-kref", SILENT, "leak"),
        ("forgotten put", "map-storage", PREVENTED, "dispatcher"),
        ("forgotten put", "cgroup-priv-as-posted", CAUGHT, "hung task"),
        ("forgotten put", "registered-type", CAUGHT, "rcu_preempt detected stalls"),
        ("put twice", "registered-type", DEBUG, "PROVE_LOCKING"),
        ("put twice", "cgroup-priv-kref-as-posted", SILENT, "use after free"),
        ("free that sleeps", "registered-type", DEBUG, "sleeping function"),
        ("wrong size", "cgroup-buf", AT_LOAD, "size"),
        ("percpu as regular", "registered-type", SILENT, "percpu"),
        ("percpu and migrate", "registered-type", PREVENTED, ""),
        ("install on a dying cgroup", "cgroup-priv", CAUGHT, "ENODEV"),
        ("unload without unregister", "registered-type", SILENT, "unloaded module"),
        ("unload without unregister", "cgroup-buf", PREVENTED, "hold references"),
        ("lookup in softirq", "cgroup-priv-as-posted", DEBUG, "sleeping function"),
        ("lookup in softirq", "cgroup-priv", PREVENTED, ""),
        ("lookup outside a section", "cgroup-priv-kref", PREVENTED, ""),
        ("filled in after install", "cgroup-priv", SILENT, "old or the new"),
        ("removed twice", "map-storage", CAUGHT, "ENOENT"),
    ],
)
def test_verdicts(
    cells: dict[tuple[str, str], Cell], mistake: str, interface: str, verdict: str, text: str
) -> None:
    cell = cells[mistake, interface]
    assert cell.verdict == verdict, cell.what
    assert text in cell.what


def test_the_figure_can_be_read_in_grey() -> None:
    """Each verdict has a word and a shade of its own, darker the worse it is."""
    assert list(_SHADES) == list(VERDICTS)
    greys = [_grey(colour) for colour, _ in _SHADES.values()]
    assert all(lighter - darker > 0.05 for lighter, darker in pairwise(greys)), greys
    assert len({word for _, word in _SHADES.values()}) == len(VERDICTS)


def _grey(colour: str) -> float:
    red, green, blue = to_rgb(colour)
    return float(0.299 * red + 0.587 * green + 0.114 * blue)


def test_unknown_mistake() -> None:
    with pytest.raises(UserError, match="did you mean 'put twice'"):
        catalogue(["put twicw"])
