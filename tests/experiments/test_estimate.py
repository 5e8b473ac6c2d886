"""Sizes are counted before memory is asked for, and refused in the name of a parameter."""

from __future__ import annotations

import time
from typing import Any

import pytest

import cgsim
from cgsim.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"design": "direct", "lookups": 10**9}, "lookups = 1000000000"),
        ({"design": "idr", "n_cgroups": 1 << 21, "n_keys": 8192}, "n_cgroups = 2097152"),
        ({"design": "list", "n_keys": 1 << 20, "n_cgroups": 1000}, "n_keys = 1048576"),
        (
            {"design": "direct", "n_cgroups": 500_000, "threads": 1024, "replicates": 10_000},
            "threads = 1024",
        ),
    ],
)
def test_too_large_is_refused_at_once(arguments: dict[str, Any], name: str) -> None:
    design = arguments.pop("design")
    start = time.perf_counter()
    with pytest.raises(UserError, match=name) as caught:
        cgsim.lookup_cost(design, "zen5-vm", **arguments)
    assert "80% of what is free" in str(caught.value)
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize("modes", ["dependent", (), None, 7, ["dependant"], [["dependent"]], {}])
def test_modes_are_a_list_of_modes(modes: Any) -> None:
    with pytest.raises(UserError, match="modes = "):
        cgsim.lookup_cost("direct", "zen5-vm", modes=modes)


def test_a_mode_does_not_depend_on_the_others() -> None:
    """Each has a machine of its own; one that is repeated is one."""
    small = {"n_cgroups": 50, "n_keys": 4, "lookups": 200, "replicates": 1, "threads": 1}
    alone = cgsim.lookup_cost("list", "zen5-vm", modes=["dependent"], **small)
    both = cgsim.lookup_cost(
        "list", "zen5-vm", modes=["throughput", "dependent", "dependent"], **small
    )
    assert list(both["mode"]) == ["throughput", "dependent"]
    again = both[both["mode"] == "dependent"].reset_index(drop=True)
    assert again.equals(alone)
