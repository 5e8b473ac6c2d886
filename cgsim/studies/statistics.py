"""Intervals: of a mean, and of paired differences with common random numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
_FEW = 12
_RESAMPLES = 2000


class Paired(NamedTuple):
    """A difference of two costs that were measured seed by seed.

    difference, low, high : mean of second - first, and its interval. ratio, ratio_low, ratio_high :
    of the means, second / first, by the same interval. verdict : "first", "second" (the cheaper
    one), "level" (the interval lies within the level), or "undecided".
    """

    difference: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    verdict: str


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a mean; (NaN, NaN) for fewer than two values.

    Bootstrap (BCa) from a dozen values on; Student's t below, where resampling knows too few
    different samples to reach the tails. All values equal: that value.
    """
    values = np.asarray(values, dtype=float)
    if values.size < 2:
        return math.nan, math.nan
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return mean, mean
    if values.size >= _FEW:
        # the generator is the same for all, so that an answer does not hang on the order of asking
        found = stats.bootstrap(
            (values,), np.mean, confidence_level=confidence, n_resamples=_RESAMPLES, method="BCa",
            rng=np.random.default_rng(1),
        ).confidence_interval  # fmt: skip
        if math.isfinite(found.low) and math.isfinite(found.high):
            return float(found.low), float(found.high)
    half = float(stats.t.ppf(0.5 + confidence / 2, values.size - 1))
    half *= float(values.std(ddof=1)) / math.sqrt(values.size)
    return mean - half, mean + half


def relative_half_width(values: np.ndarray) -> float:
    """How far the interval of a mean reaches, as a share of the mean; infinite if unknown."""
    low, high = interval(values)
    mean = float(np.mean(values))
    if not math.isfinite(low) or mean == 0:
        return 0.0 if mean == 0 and math.isfinite(low) else math.inf
    return max(high - mean, mean - low) / abs(mean)


def paired(first: np.ndarray, second: np.ndarray, *, level: float = 0.0) -> Paired:
    """Compare two costs of the same seeds.

    level : a difference smaller than this share of the first's mean is none.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    differences = second - first
    mean = float(differences.mean())
    low, high = interval(differences)
    base = float(first.mean())
    band = level * abs(base)
    verdict = "undecided"
    if math.isfinite(low):
        if low == high == 0 or (-band <= low and high <= band):
            verdict = "level"
        elif low > 0:
            verdict = "first"
        elif high < 0:
            verdict = "second"
    ratio, ratio_low, ratio_high = (1 + v / base if base else math.nan for v in (mean, low, high))
    return Paired(mean, low, high, ratio, ratio_low, ratio_high, verdict)
