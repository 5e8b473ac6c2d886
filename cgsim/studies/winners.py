"""Who is cheapest at each point, with ties shown as ties.

The cheapest of the means leads; every other design is compared with it by paired differences. One
that the interval does not put behind it, or that is less than the level dearer, is tied with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cgsim.studies.statistics import paired

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
"""A difference that the model does not resolve is none: as the reports have it, 5 %."""


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
    level : a difference below this share of the cheapest is none

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
        order = sorted(costs, key=lambda name: costs[name].mean())
        best = order[0]
        base = costs[best].mean()
        tied = [best]
        for name in order[1:]:
            found = paired(costs[best], costs[name], level=level)
            if found.verdict != "first" or found.difference <= level * base:
                tied.append(name)
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
