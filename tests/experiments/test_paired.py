"""Paired differences: an order is claimed only where seeds and the model's error allow it."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.experiments.model_error import Family, model_errors, nearest_family
from cgsim.experiments.paired import (
    BEFORE,
    LEVEL,
    UNDECIDED,
    difference,
    not_beaten,
    turned_pairs,
    wants_seeds,
)
from cgsim.machines import load_machine


def family(pair: float = 0.1, floor: float = 0.5) -> Family:
    """A family of which only the errors of differences matter here."""
    return Family("f", "w", 10, 0.1, 0.2, -0.1, 0.3, 45, pair, floor, 40, 0.95)


def test_common_seeds_cancel_what_they_share() -> None:
    """Costs that vary widely with the seed, but together, are told apart."""
    shared = np.array([10.0, 30.0, 20.0, 50.0])
    costs = {"a": shared, "b": shared + 6.0 + np.array([0.1, -0.1, 0.1, -0.1])}
    found = difference(costs, "b", "a", family())
    assert (found.first, found.second, found.verdict) == ("a", "b", BEFORE)
    assert found.ns == pytest.approx(6.0)
    assert found.seeds_ns < 0.3
    assert found.model_ns == pytest.approx(0.1 * costs["b"].mean())
    assert str(found) == "a before b by 6.0 +- 3.4 ns"


def test_the_models_error_leaves_a_pair_undecided_and_no_seed_mends_it() -> None:
    """Exactly equal differences on all seeds, but smaller than the model is good for."""
    costs = {"a": np.full(4, 10.0), "b": np.full(4, 11.0)}
    found = difference(costs, "a", "b", family(pair=0.2))
    assert found.verdict == UNDECIDED
    assert not wants_seeds(found)
    assert not_beaten(costs, family(pair=0.2)) == ["a", "b"]
    assert not_beaten(costs, family(pair=0.05)) == ["a"]


def test_seeds_that_disagree_ask_for_more() -> None:
    """A difference larger than the model's error, hidden by the scatter over seeds."""
    costs = {"a": np.array([10.0, 10.0, 10.0]), "b": np.array([10.0, 14.0, 18.0])}
    found = difference(costs, "a", "b", family())
    assert found.verdict == UNDECIDED
    assert wants_seeds(found)


def test_next_to_nothing_is_level_and_one_seed_claims_nothing() -> None:
    """Level: the model itself makes no difference."""
    costs = {"a": np.full(3, 5.0), "b": np.full(3, 5.05)}
    assert difference(costs, "a", "b", family()).verdict == LEVEL
    alone = {"a": np.array([1.0]), "b": np.array([100.0])}
    assert difference(alone, "a", "b", family()).verdict == UNDECIDED


def test_machines_disagree_only_where_both_orders_are_claimed() -> None:
    """A pair that is undecided on one of them is not counted."""
    here = {"a": np.full(3, 10.0), "b": np.full(3, 20.0), "c": np.full(3, 20.2)}
    there = {"a": np.full(3, 20.0), "b": np.full(3, 10.0), "c": np.full(3, 40.0)}
    decided, turned = turned_pairs(here, there, family(), family())
    assert decided == 2  # a and b, a and c; b and c is undecided here
    assert turned == [("a", "b")]


def test_the_file_of_errors_is_what_the_package_uses() -> None:
    """All families, the nearest by what lies between lookups, and intervals that widen."""
    machine = load_machine("zen4-genoa")
    names = [nearest_family(machine, "workload", size).name for size in (0, 1 << 18, 1 << 23)]
    assert names == ["isolated, L1", "isolated, L2", "isolated, beyond L2"]
    assert nearest_family(machine, "dependent").name == "dependent"
    low, high = nearest_family(machine, "workload", 1 << 18).interval(9.0, 11.0)
    assert low < 9.0 < 11.0 < high
    assert model_errors().measured("idr", "zen5-vm")
    assert not model_errors().measured("table", "zen5-vm")
    assert not model_errors().measured("idr", "zen4-genoa")
