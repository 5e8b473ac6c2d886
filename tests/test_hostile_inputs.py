"""Each door, with a few hundred hostile inputs: an answer or one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.hostile_inputs import DOORS, INPUTS, try_door

if TYPE_CHECKING:
    from pathlib import Path


def test_there_are_a_hundred_thousand() -> None:
    assert set(INPUTS) == set(DOORS)
    assert sum(INPUTS.values()) >= 100_000


@pytest.mark.parametrize("door", DOORS)
def test_a_door_answers_or_refuses_in_one_line(door: str, tmp_path: Path) -> None:
    result = try_door(door, min(INPUTS[door] // 25, 300), 3, tmp_path)
    assert not result.bad
    assert result.refused > 0
