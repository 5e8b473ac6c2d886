"""The misuse catalogue: every mistake with every interface, the verdict read off a search."""

from __future__ import annotations

import pytest

from cgsim.errors import UserError
from cgsim.interface.catalogue import (
    AT_LOAD,
    AT_RUN_TIME,
    COLUMNS,
    MISTAKES,
    PREVENTED,
    SILENT,
    VERDICTS,
    Cell,
    catalogue,
)

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
        ("install twice", "cgroup-priv", AT_RUN_TIME, "EEXIST"),
        ("install twice", "registered-type", PREVENTED, "there is no install"),
        ("keep the pointer", "cgroup-priv-kref", SILENT, "use after free"),
        ("keep the pointer", "cgroup-buf", AT_LOAD, "does not outlive"),
        ("key of a dead device", "cgroup-priv", SILENT, "another key"),
        ("key of a dead device", "cgroup-priv-kref", PREVENTED, ""),
        ("forgotten put", "cgroup-priv-kref", SILENT, "leak"),
        ("forgotten put", "map-storage", PREVENTED, "dispatcher"),
        ("put twice", "cgroup-priv-kref-as-posted", SILENT, "use after free"),
        ("free that sleeps", "registered-type", AT_RUN_TIME, "sleeping function"),
        ("wrong size", "cgroup-buf", AT_LOAD, "size"),
        ("percpu as regular", "registered-type", SILENT, "percpu"),
        ("percpu and migrate", "registered-type", PREVENTED, ""),
        ("install on a dying cgroup", "cgroup-priv", AT_RUN_TIME, "ENODEV"),
        ("unload without unregister", "registered-type", SILENT, "unloaded module"),
        ("unload without unregister", "cgroup-buf", PREVENTED, "hold references"),
        ("lookup in softirq", "cgroup-priv-as-posted", AT_RUN_TIME, "sleeping function"),
        ("lookup in softirq", "cgroup-priv", PREVENTED, ""),
        ("lookup outside a section", "cgroup-priv-kref", PREVENTED, ""),
        ("filled in after install", "cgroup-priv", SILENT, "old or the new"),
        ("removed twice", "map-storage", AT_RUN_TIME, "ENOENT"),
    ],
)
def test_verdicts(
    cells: dict[tuple[str, str], Cell], mistake: str, interface: str, verdict: str, text: str
) -> None:
    cell = cells[mistake, interface]
    assert cell.verdict == verdict, cell.what
    assert text in cell.what


def test_unknown_mistake() -> None:
    with pytest.raises(UserError, match="did you mean 'put twice'"):
        catalogue(["put twicw"])
