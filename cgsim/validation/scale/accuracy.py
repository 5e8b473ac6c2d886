"""How far the predictions at scale are from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def accuracy(frame: pd.DataFrame) -> dict[str, float]:
    """`rows`, and `median` and `ninetieth` percentile of the absolute relative error.

    frame : of `validate_scale`; rows without a value do not count.
    """
    errors = frame.loc[frame["value"].notna(), "error"].abs()
    return {
        "rows": len(errors),
        "median": float(errors.median()),
        "ninetieth": float(errors.quantile(0.9)),
    }


def order_pairs(frame: pd.DataFrame, tolerance: float = 0.1) -> tuple[int, int]:
    """(pairs with an order, those of them that are predicted in it).

    A pair is two ids under the same C, distribution, pages, mode and footprint whose measured
    values differ by more than `tolerance` of the larger one.
    """
    pairs = right = 0
    conditions = ["C", "distribution", "pages", "mode", "footprint_bytes"]
    for _, group in frame[frame["value"].notna()].groupby(conditions):
        values, predicted = group["value"].tolist(), group["predicted_ns"].tolist()
        for i in range(len(values)):
            for j in range(i):
                if abs(values[i] - values[j]) <= tolerance * max(values[i], values[j]):
                    continue
                pairs += 1
                right += (values[i] < values[j]) == (predicted[i] < predicted[j])
    return pairs, right
