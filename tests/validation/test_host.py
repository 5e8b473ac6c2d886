"""This host, measured: shapes, refusals and what becomes of odd measurements; never times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cgsim.cli.command_line import run
from cgsim.compile.jit import njit
from cgsim.core.retention import share_left
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.machines.host import host_document, read_host
from cgsim.report import plot_host
from cgsim.validation.host import calibrate as module
from cgsim.validation.host.calibrate import calibrate
from cgsim.validation.host.core_to_core import pairs_of
from cgsim.validation.host.levels import (
    PAUSES_MS,
    Ladder,
    Rung,
    half_left,
    inferred_sizes,
    ladder_sizes,
    tlb_reach,
)
from cgsim.validation.host.loops import chase, ping_pong
from cgsim.validation.host.memory import Region
from cgsim.validation.host.profile import Profile
from cgsim.validation.host.same_place import measure_same_place
from cgsim.validation.host.timing import Figure, figure

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.compiled

COUNTS = (16, 64, 96, 128, 160, 192, 256, 512, 2048, 4096, 8192, 16384)


def _rung(size: int, pages: str, cycles: float) -> Rung:
    return Rung(size, pages, Figure(cycles, "cycles", 0.01, 5))


def _ladder(extra: dict[str, list[float]]) -> Ladder:
    """4 cycles within 48 KiB, 14 within 1 MiB, 46 within 32 MiB; `extra` by number of pages."""

    def level(size: float) -> float:
        return next(
            c
            for s, c in ((48 << 10, 4), (1 << 20, 14), (32 << 20, 46), (1 << 40, 500))
            if size <= s
        )

    sizes = [_rung(size, pages, level(size)) for size in ladder_sizes(64 << 20) for pages in extra]
    ladder = Ladder(tuple(sizes), (), True)
    strides = [
        _rung(count, pages, ladder.latency(max(64 * count, 4096), "huge") + added)
        for pages, values in extra.items()
        for count, added in zip(COUNTS, values, strict=True)
    ]
    return ladder._replace(strides=tuple(strides))


def test_a_chain_visits_every_line() -> None:
    region = Region(1 << 20, huge=False)
    start = region.lines(4096)
    seen = {chase(steps, start) - region.address for steps in range(64)}
    assert seen == set(range(0, 4096, 64))
    assert chase(64, start) == start


def test_a_chain_through_pages_uses_one_line_of_each() -> None:
    region = Region(1 << 20, huge=False)
    start = region.pages(100)
    offsets = {chase(steps, start) - region.address for steps in range(100)}
    assert {offset // 4096 for offset in offsets} == set(range(100))
    assert len({offset // 64 % 64 for offset in offsets}) == 64


def test_nobody_waits_for_ever() -> None:
    region = Region(4096, huge=False)
    region.words[0] = 1
    assert ping_pong(5, region.address, 0, 100) == 0


def test_the_lower_quartile_stands_for_repetitions() -> None:
    found = figure(np.array([1.0, 1.0, 2.0, 3.0, 9.0]), "ns")
    assert (found.value, found.spread, found.n) == (1.0, 1.0, 5)


def test_steps_of_the_ladder_are_found() -> None:
    ladder = _ladder({"4k": [0.0] * 3 + [7.0] * 6 + [80.0, 107.0, 107.0], "huge": [0.0] * 12})
    reach = tlb_reach(ladder, "4k")
    assert (reach.first_entries, reach.second_entries) == (96, 2048)
    assert reach.second_extra == pytest.approx(7)
    assert reach.walk == pytest.approx(100)
    assert tlb_reach(ladder, "huge").first_entries is None
    assert inferred_sizes(ladder, [4, 14, 46, 500]) == [48 << 10, 1 << 20, 32 << 20]


def test_how_long_strangers_leave_a_line_is_found() -> None:
    """The engine's own formula, read back; and a cache that is one's own."""

    @njit
    def left(ms: float) -> float:
        return share_left(int(1e6 * ms), 5_000_000)

    found = half_left([(ms, 50 + 300 * (1 - left(ms))) for ms in PAUSES_MS])
    assert found is not None
    assert found.value == pytest.approx(5, rel=0.01)
    assert half_left([(ms, 50.0 + ms) for ms in PAUSES_MS]) is None


def test_every_pair_of_few_cpus_is_measured() -> None:
    assert pairs_of([0, 2, 5]) == [(0, 2), (0, 5), (2, 5)]
    assert pairs_of([3]) == []
    assert len(pairs_of(range(64))) == 63


def test_a_measured_value_that_cannot_be_is_not_taken() -> None:
    profile = Profile(host_document(read_host(), "zen5-vm"))
    profile.put("caches.L2.load_to_use", 2.0, "cycles", "a chase")
    assert profile.document["caches"]["L2"]["load_to_use"]["value"] == 14
    assert "measured 2.0 cycles" in profile.kept["caches.L2.load_to_use"]
    assert "measured 2.0" in profile.document["caches"]["L2"]["load_to_use"]["unverified"]
    profile.put("caches.L2.load_to_use", 15.0, "cycles", "a chase")
    assert profile.document["caches"]["L2"]["load_to_use"]["value"] == 15


def test_a_quick_calibration_makes_a_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, pictures = tmp_path / "host.yml", tmp_path / "pictures"
    arguments = ["calibrate", "--quick", "--out", str(path), "--pictures", str(pictures), "--json"]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    machine = load_machine(path)
    sources = {row.field: row.source for row in machine.provenance}
    for field in ("clock.ghz", "window.locked_rmw_cycles", "caches.L1.load_to_use"):
        assert "cgsim calibrate on" in sources[field], field
    assert sources["window.integer_alus"].startswith("unverified: as ")
    assert "memory.local_ns" in found["not_measured"]
    assert {rung["pages"] for rung in found["ladder"]} == {"4k", "huge"}
    assert 0.1 < machine.ghz < 10
    assert (pictures / "ladder.svg").read_bytes().startswith(b"<?xml")


def test_lines_at_one_place_are_measured_where_they_fit() -> None:
    """Half of what L2 holds of one place; nothing where there is no room, or no cache."""
    found = measure_same_place([32 << 10, 256 << 10], 16 << 20, 3)
    assert set(found) == {"same place L2", "same place memory"}
    assert all(figure.unit == "ns" and figure.value > 0.01 for figure in found.values())
    assert set(measure_same_place([32 << 10, 1 << 20, 1 << 30], 1 << 20, 3)) == {"same place L2"}
    assert measure_same_place([], 16 << 20, 3) == {}


def test_a_heat_map_is_drawn_of_pairs() -> None:
    drawn = plot_host.core_to_core({(0, 1): 20.0, (0, 2): 100.0, (1, 2): 100.0})
    texts = [text.get_text() for text in drawn.axes[0].texts]
    assert texts == ["20", "100", "20", "100", "100", "100"]


def test_calibrate_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UserError, match="nearest = 'zen9' is not allowed"):
        calibrate("zen9")
    with pytest.raises(UserError, match="quick = 'yes' is not allowed"):
        calibrate(quick="yes")  # type: ignore[arg-type]
    assert module.QUICK.repeats < 10
