"""Arguments of a wrong kind are one line, whatever they are."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import cgsim
from cgsim.errors import UserError

WRONG: list[Any] = [["idr"], None, 5, b"idr", {}]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_design_of_a_wrong_kind(value: Any) -> None:
    for call in (
        lambda: cgsim.simulate(value, "zen5-vm", "network"),
        lambda: cgsim.lookup_cost(value, "zen5-vm"),
        lambda: cgsim.upkeep(value, "zen5-vm"),
        lambda: cgsim.attribute(value, "zen5-vm", "network"),
    ):
        with pytest.raises(UserError, match="the name of a design, or a Design"):
            call()


@pytest.mark.parametrize("value", [["x"], 5, {}, b"x", "x"], ids=repr)
def test_a_kernel_user_machine_or_path_of_a_wrong_kind(value: Any) -> None:
    with pytest.raises(UserError, match="unknown kernel"):
        cgsim.lookup_cost("idr", "zen5-vm", kernel=value)
    with pytest.raises(UserError, match="user"):
        cgsim.lookup_cost("idr", "zen5-vm", user=value)
    with pytest.raises(UserError, match="machine"):
        cgsim.lookup_cost("idr", value)


@pytest.mark.parametrize(
    "frame", [None, [1], pd.DataFrame(), pd.DataFrame({"ns": [1.0]}), "x"], ids=range(5)
)
def test_what_is_no_frame_of_replicates(frame: Any) -> None:
    with pytest.raises(UserError, match="a frame with a row per replicate"):
        cgsim.summarise(frame)


@pytest.mark.parametrize("out", [None, 5, ["x"]], ids=repr)
def test_a_report_needs_a_path(out: Any) -> None:
    with pytest.raises(UserError, match="the path of a directory"):
        cgsim.build_report(out)
