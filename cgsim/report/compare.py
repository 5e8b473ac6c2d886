"""Comparing designs: who is cheaper, and whether the difference means anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

SAME_SHARE = 0.05
"""Two costs that differ by less are called level: the model is not better than that."""

SAME_NS = 0.2
"""Nor are differences below this told apart."""


class Standing(NamedTuple):
    """Designs by cost: `leaders` are level with the cheapest, of `ns`; `rest`: (design, ns)."""

    leaders: tuple[str, ...]
    ns: float
    rest: tuple[tuple[str, float], ...]


def are_level(one: Any, other: Any) -> bool:
    """Whether two rows of a summary cannot be told apart: by interval, or by less than 5 %."""
    low, high = sorted((one, other), key=lambda row: float(row["ns"]))
    difference = float(high["ns"]) - float(low["ns"])
    if difference < max(SAME_NS, SAME_SHARE * float(low["ns"])):
        return True
    ends = float(low["ns_high"]), float(high["ns_low"])
    return not any(math.isnan(end) for end in ends) and ends[0] >= ends[1]


def standing(rows: pd.DataFrame) -> Standing:
    """Who leads among the rows of one point (one row per design)."""
    ordered = rows.sort_values("ns")
    best = ordered.iloc[0]
    leaders, rest = [], []
    for _, row in ordered.iterrows():
        if are_level(best, row):
            leaders.append(str(row["design"]))
        else:
            rest.append((str(row["design"]), float(row["ns"])))
    return Standing(tuple(leaders), float(best["ns"]), tuple(rest))


def beaten_by(rows: pd.DataFrame, design: str) -> list[tuple[str, float]]:
    """(other design, its ns) for those clearly cheaper than `design`, cheapest first."""
    if design not in set(rows["design"]):
        return []
    own = rows[rows["design"] == design].iloc[0]
    return [
        (str(row["design"]), float(row["ns"]))
        for _, row in rows.sort_values("ns").iterrows()
        if row["ns"] < own["ns"] and not are_level(row, own)
    ]


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> tuple[float, Iterable[tuple[str, str]]]:
    """Spearman's rank correlation of two points' costs; the pairs whose order is clearly turned.

    Both frames hold one row per design; only common designs count.
    """
    common = [name for name in one["design"] if name in set(other["design"])]
    first = one.set_index("design").loc[common]
    second = other.set_index("design").loc[common]
    rank = float(first["ns"].rank().corr(second["ns"].rank())) if len(common) > 2 else math.nan
    turned = [
        (a, b)
        for i, a in enumerate(common)
        for b in common[i + 1 :]
        if (first["ns"][a] - first["ns"][b]) * (second["ns"][a] - second["ns"][b]) < 0
        and not are_level(first.loc[a], first.loc[b])
        and not are_level(second.loc[a], second.loc[b])
    ]
    return rank, turned
