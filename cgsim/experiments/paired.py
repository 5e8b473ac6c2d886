"""Designs compared pair by pair: same seeds, differences with their errors, and what they allow.

Seeds decide placement, order and popularity, and are the same for all designs, so a difference is
taken seed by seed. Its error is Student's half-width over seeds and the model's error of paired
differences (`cgsim.experiments.model_error`), as if independent. An order is claimed where the
difference is larger than that; where it is next to nothing by the model itself the pair is level;
else it is undecided.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.experiments.summary import interval_half_width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cgsim.experiments.model_error import Family

BEFORE, LEVEL, UNDECIDED = "before", "level", "undecided"
LEVEL_NS, LEVEL_SHARE = 0.2, 0.02
"""The model makes no difference between costs that are less apart than one of these."""


class Difference(NamedTuple):
    """How far `second` costs more than `first`, with half-widths by seeds and by the model (ns)."""

    first: str
    second: str
    ns: float
    seeds_ns: float
    model_ns: float
    verdict: str

    @property
    def error_ns(self) -> float:
        """Half-width of the difference's interval."""
        return math.hypot(self.seeds_ns, self.model_ns)

    def __str__(self) -> str:
        """'table before list by 12.3 +- 2.1 ns'."""
        if self.verdict == BEFORE:
            return f"{self.first} before {self.second} by {self.ns:.1f} +- {self.error_ns:.1f} ns"
        return f"{self.first} and {self.second} {self.verdict}"


def difference(costs: Mapping[str, np.ndarray], one: str, other: str, family: Family) -> Difference:
    """Two designs compared; the cheaper one comes first.

    costs : design -> float64[seeds], its cost with each seed (ns).
    """
    apart = costs[other] - costs[one]
    if apart.mean() < 0:
        return difference(costs, other, one, family)
    ns = float(apart.mean())
    half = interval_half_width(apart)
    larger = float(costs[other].mean())
    model = family.of_difference(larger)
    if half != half:
        verdict = UNDECIDED
    elif ns > math.hypot(half, model):
        verdict = BEFORE
    elif ns + half <= max(LEVEL_NS, LEVEL_SHARE * larger):
        verdict = LEVEL
    else:
        verdict = UNDECIDED
    return Difference(one, other, ns, half, model, verdict)


def wants_seeds(found: Difference) -> bool:
    """Whether more seeds could decide a pair: they can mend their own error, not the model's."""
    return found.verdict == UNDECIDED and not found.ns <= found.model_ns


def by_cost(costs: Mapping[str, np.ndarray]) -> list[str]:
    """The designs, cheapest first."""
    return sorted(costs, key=lambda name: (float(costs[name].mean()), name))


def not_beaten(costs: Mapping[str, np.ndarray], family: Family) -> list[str]:
    """The designs that the cheapest one is not before, cheapest first."""
    order = by_cost(costs)
    return [
        name
        for name in order
        if name == order[0] or difference(costs, order[0], name, family).verdict != BEFORE
    ]


def turned_pairs(
    here: Mapping[str, np.ndarray],
    there: Mapping[str, np.ndarray],
    family_here: Family,
    family_there: Family,
) -> tuple[int, list[tuple[str, str]]]:
    """(pairs with a claimed order at both points, those of them whose order is turned)."""
    decided, turned = 0, []
    for one, other in combinations([name for name in here if name in there], 2):
        first = difference(here, one, other, family_here)
        second = difference(there, one, other, family_there)
        if first.verdict == second.verdict == BEFORE:
            decided += 1
            if first.first != second.first:
                turned.append((first.first, first.second))
    return decided, turned
