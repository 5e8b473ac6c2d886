"""A line between two CPUs, as perfbook and core-to-core-latency measured it."""

from __future__ import annotations

import pytest

from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.validation.ping_pong import predict_cas, predict_pair
from cgsim.validation.published import validate_published


def test_swaps_as_published() -> None:
    """Farther costs more; remote ones as published, from which the profile has its times."""
    frame = validate_published("perfbook_cas").set_index("case")
    assert len(frame) == 10
    far = frame[frame["value"] > 40]
    assert far["error"].abs().max() < 0.03
    for kind in ("blind CAS", "CAS"):
        places = ("on-core", "off-core", "off-socket", "cross-interconnect")
        times = [frame.loc[f"{place} {kind}", "predicted"] for place in places]
        assert times == sorted(times)
    # a lock and its release are two locked operations
    one, both = (frame.loc[f"same-CPU {name}", "predicted"] for name in ("CAS", "lock+unlock"))
    assert 1.7 * one < both < 2.2 * one


def test_pairs_of_cores_as_published() -> None:
    """Every machine that has a profile; those without one are left out."""
    frame = validate_published("core_to_core")
    assert set(frame["machine"]) == {
        "EPYC 7R13 Milan",
        "TR 3960X",
        "Xeon 8275CL",
        "Xeon 8375C Ice Lake",
        "Graviton3",
        "Graviton2",
    }
    assert frame["error"].abs().max() < 0.03


def test_refusals() -> None:
    """Unknown cases, distances that a machine lacks, and an x are refused by name."""
    with pytest.raises(UserError, match="unknown case 'x'"):
        predict_cas(load_machine("zen5-vm"), "x", 0)
    with pytest.raises(UserError, match="no CPUs so far apart"):
        predict_cas(load_machine("neoverse-n1"), "off-socket CAS", 0)
    with pytest.raises(UserError, match="unknown case 'y'"):
        predict_pair(load_machine("neoverse-n1"), "y", 0)
    with pytest.raises(UserError, match=r"core_to_core: x = \[2\] is not allowed"):
        validate_published("core_to_core", x=[2])
