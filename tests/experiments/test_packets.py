"""Packets' budgets: the wire's arithmetic, and shares that follow from lookups and workload."""

from __future__ import annotations

import pytest

from cgsim.errors import UserError
from cgsim.experiments.packets import budget_ns, packet_budget

MACHINE = "zen4-genoa"


@pytest.mark.parametrize(
    ("size", "gbit", "ns"), [(64, 10, 67.2), (64, 100, 6.72), (1518, 10, 1230.4), (1518, 25, 492.2)]
)
def test_budgets_are_those_of_the_wire(size: int, gbit: float, ns: float) -> None:
    assert budget_ns(size, gbit) == pytest.approx(ns, rel=1e-3)


@pytest.mark.compiled
def test_shares_rates_and_waits_fit_each_other() -> None:
    frame = packet_budget(
        "idr", MACHINE, lookups=400, replicates=1, n_keys=4, gbit_s=[10, 100], frame_bytes=[64]
    )
    ten, hundred = frame.to_dict("records")
    assert hundred["share"] == pytest.approx(10 * ten["share"])
    assert ten["share"] == pytest.approx(ten["hook_ns"] / 67.2)
    assert ten["hook_ns"] < ten["service_ns"]
    assert ten["packets_per_s"] == pytest.approx(1e9 / ten["service_ns"])
    assert ten["p50_us"] <= ten["p99_us"] <= ten["p999_us"]
    assert ten["sustained_per_s"] < ten["packets_per_s"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"workload": "gpu"}, "has none"), ({"load": 1.0}, "load"), ({"gbit_s": [0]}, "gbit_s")],
)
def test_bad_arguments_are_refused(arguments: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        packet_budget("idr", MACHINE, **arguments)
