"""Designs of one point of a summary, compared as mail and recommendation do: by paired differences.

A summary row has its cost with each seed (`seed_ns`), which are the same seeds for all designs; the
model's error is that of the nearest measured family (`cgsim.experiments.paired`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.experiments.model_error import family_of
from cgsim.experiments.paired import BEFORE, Difference, by_cost, difference, turned_pairs

if TYPE_CHECKING:
    import pandas as pd

    from cgsim.machines import Machine


class Standing(NamedTuple):
    """Designs by cost: the cheapest mean, its ns with the place of use, the others against it."""

    first: str
    ns: float
    others: tuple[Difference, ...]

    @property
    def level(self) -> tuple[str, ...]:
        """The cheapest, and those that it is not before."""
        return (self.first, *(o.second for o in self.others if o.verdict != BEFORE))


def costs_of(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Design -> its cost with each seed (ns), without what the place of use costs anyway."""
    return {
        str(row["design"]): np.asarray(row["seed_ns"], dtype=float) - row.get("place_ns", 0.0)
        for _, row in rows.iterrows()
    }


def standing(rows: pd.DataFrame, machine: Machine | None = None) -> Standing:
    """Who leads among the rows of one point (one row per design)."""
    costs, family = costs_of(rows), family_of(rows.iloc[0], machine)
    first, *rest = by_cost(costs)
    others = tuple(difference(costs, first, name, family) for name in rest)
    return Standing(first, float(rows.set_index("design")["ns"][first]), others)


def growth(low: Any, high: Any) -> Difference:
    """Two points of one design's, as the designs `low` and `high`."""
    costs = {
        name: np.asarray(row["seed_ns"], float) for name, row in (("low", low), ("high", high))
    }
    return difference(costs, "low", "high", family_of(high))


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> tuple[int, list[tuple[str, str]]]:
    """(pairs with a claimed order at both points, those of them whose order is turned)."""
    return turned_pairs(
        costs_of(one), costs_of(other), family_of(one.iloc[0]), family_of(other.iloc[0])
    )
