"""Who is cheapest at each point, with ties shown as ties.

The cheapest of the means leads; every other design is compared with it by paired differences. Costs
of lookups (ns) are tied where their order cannot be claimed against the errors of seeds and model
(`cgsim.experiments.paired`), as in recommendation and mail. Of any other figure no model error is
known: there one is tied that the interval does not put behind the first, or that is less than the
level dearer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.errors import UserError
from cgsim.experiments.model_error import Family, family_of, model_errors
from cgsim.experiments.paired import by_cost, not_beaten
from cgsim.studies.statistics import paired

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
"""A difference below this share is none, of figures whose model error is not known."""


def winners(
    frame: pd.DataFrame,
    by: Sequence[str],
    *,
    metric: str = "ns",
    level: float = LEVEL,
    subject: str = "design",
) -> pd.DataFrame:
    """The winner of each point.

    Parameters
    ----------
    frame : rows of replicates, as of `cgsim.sweep`; designs of a point share their seeds
    by : the columns that name a point
    level : a difference below this share of the cheapest is none, where no model error is known

    Returns
    -------
    DataFrame, one row per point: `by`, `winner` (the name, or "" for a tie), `cheapest` (of the
    means), `tied` (all in a tie with it, joined by ", "; the cheapest first), its `ns`, and the
    `runner_up` with its `margin` (share) over the cheapest.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False):
        costs = {
            str(name): part.sort_values("seed")[metric].to_numpy(float)
            for name, part in group.groupby(subject, sort=False)
        }
        order = by_cost(costs)
        best = order[0]
        base = costs[best].mean()
        family = _family(group) if (metric, subject) == ("ns", "design") else None
        if family is None:
            tied = [best, *(n for n in order[1:] if _level(costs[best], costs[n], level))]
        else:
            reached = _place(group)
            tied = not_beaten({name: cost - reached for name, cost in costs.items()}, family)
        row: dict[str, Any] = dict(zip(by, key, strict=True))
        row |= {
            "winner": best if len(tied) == 1 else "",
            "cheapest": best,
            "tied": ", ".join(tied),
            metric: base,
            "runner_up": order[1] if len(order) > 1 else "",
            "margin": costs[order[1]].mean() / base - 1 if len(order) > 1 and base else 0.0,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _level(best: np.ndarray, other: np.ndarray, level: float) -> bool:
    """Whether the other is tied with the best, by its interval and the level alone."""
    found = paired(best, other, level=level)
    return found.verdict != "first" or found.difference <= level * best.mean()


def _place(group: pd.DataFrame) -> float:
    """What the place of use costs without a lookup, on which all of them agree (ns)."""
    return float(group["place_ns"].mean()) if "place_ns" in group else 0.0


def _family(group: pd.DataFrame) -> Family | None:
    """The measurements nearest to a point's lookups; None if the rows do not say what they are.

    Of a machine that the package does not know it is the family with the largest error.
    """
    if not {"machine", "mode"} <= set(group.columns):
        return None
    try:
        return family_of(group.iloc[0])
    except UserError:
        return max(model_errors().families.values(), key=lambda each: each.pair_ninetieth)
