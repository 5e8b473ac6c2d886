"""From replicates to means with confidence intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit  # scipy.stats takes a second to import

from cgsim.core.block_fields import CAUSES as CAUSES
from cgsim.errors import out_of_range
from cgsim.limits import Range

if TYPE_CHECKING:
    from collections.abc import Sequence

POINT = (
    "design", "machine", "kernel", "workload", "user", "data", "n_cgroups", "n_keys", "mode",
    "operation", "footprint_bytes",
)  # fmt: skip
"""Columns that name a point; rows that agree in them are its replicates."""

_PER_REPLICATE = ("replicate", "seed", "lookups")


def summarise(frame: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """One row per point: means of all values, `replicates`, and `ns_low`, `ns_high`.

    Of a column of text the first replicate's is taken. `seeds` and `seed_ns` are the replicates'
    own, for paired differences (`cgsim.experiments.paired`).

    frame : a row per replicate, as `cgsim.simulate` and its like return it; points are told apart
        by the columns of `POINT`
    confidence : of the interval, above 0 and below 1

    The interval is Student's t over replicates, in ns, NaN with a single one. It says how much the
    result hangs on the seed (placement, order, popularity), not how well the model fits a real
    machine.

    Raises UserError for a frame without `ns` and `replicate`, or a confidence out of range.
    """
    if not isinstance(frame, pd.DataFrame) or "ns" not in frame or "replicate" not in frame:
        raise out_of_range("summarise", "frame", frame, "a frame with a row per replicate")
    if not (Range(0, 1, whole=False).holds(confidence) and 0 < confidence < 1):
        raise out_of_range("summarise", "confidence", confidence, "a number above 0 and below 1")
    points = [name for name in POINT if name in frame.columns]
    values = [c for c in frame.columns if c not in points and c not in _PER_REPLICATE]
    rows = []
    for key, group in frame.groupby(points, sort=False, observed=True):
        row: dict[str, Any] = dict(zip(points, key, strict=True))
        row |= {name: _mean(group[name]) for name in values}
        half = interval_half_width(group["ns"].to_numpy(float), confidence)
        row |= {"ns_low": row["ns"] - half, "ns_high": row["ns"] + half, "replicates": len(group)}
        row["seed_ns"] = tuple(map(float, group["ns"]))
        if "seed" in group:
            row["seeds"] = tuple(map(int, group["seed"]))
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(column: pd.Series) -> Any:
    return float(column.mean()) if pd.api.types.is_numeric_dtype(column) else column.iloc[0]


def interval_half_width(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> float:
    """Half the width of Student's t interval of a mean; NaN for fewer than two values."""
    sample = np.asarray(values, dtype=float)
    if sample.size < 2:
        return math.nan
    quantile = float(stdtrit(sample.size - 1, 0.5 + confidence / 2))
    return quantile * float(sample.std(ddof=1)) / math.sqrt(sample.size)
