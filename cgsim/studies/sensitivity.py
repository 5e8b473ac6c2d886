"""Which assumptions decide the answer: Sobol indices and Morris screening, by SALib.

Factors are ranges of a machine's values (`machine.memory.local_ns`), of a workload's or of sizes.
The answer is the logarithm of a cost, or of the ratio of two designs' costs, at each point drawn;
every point has the same seeds, so what varies is what the factors do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.errors import UserError, unknown_name
from cgsim.limits import Range
from cgsim.studies.run import sweep
from cgsim.studies.sampling import Span, read_span

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS = ("sobol", "morris")
_LEVELS = 4


def sensitivity(
    study: Mapping[str, Any],
    answer: str | Sequence[str],
    *,
    method: str = "sobol",
    samples: int = 16,
    seed: int = 1,
    **options: Any,
) -> pd.DataFrame:
    """How much of an answer's variation each factor explains.

    Parameters
    ----------
    study : as of `cgsim.sweep`; each of its factors a range `{low, high, scale}`
    answer : a design, for its cost, or two, for how many times the second costs the first
    method : "sobol": `samples` (a power of two) times (factors + 2) points. "morris": `samples`
        trajectories of (factors + 1) points, to find out which factors matter at all
    seed : of the sample
    options : of `cgsim.sweep` (`out`, `store`, `workers`, `scheduler`, `progress`)

    Returns
    -------
    DataFrame, one row per factor, the most important first. sobol: `first` (share of the variance
    that it explains alone), `total` (with what it does together with others), both with the half
    width of their 95 % interval (`first_half`, `total_half`). morris: `mu_star` (mean size of its
    effect), `mu_star_half`, `sigma`. `attrs`: `points`, `low`, `high` (range of the answer).

    Raises UserError as `cgsim.sweep` does, and if SALib is not installed.
    """
    try:
        from SALib.analyze import morris as morris_analysis
        from SALib.analyze import sobol as sobol_analysis
        from SALib.sample import morris as morris_sample
        from SALib.sample import sobol as sobol_sample
    except ModuleNotFoundError:
        raise UserError("SALib is not installed: pip install 'cgsim[studies]'") from None
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    Range(2, 1 << 20).check("sensitivity", "samples", samples)
    if method == "sobol" and samples & (samples - 1):
        raise UserError(
            f"sensitivity: samples = {samples} is not allowed; allowed: a power of two for sobol"
        )
    fields = dict(study)
    spans = {n: read_span(f"factors.{n}", v) for n, v in fields.pop("factors", {}).items()}
    if not spans:
        raise UserError("study: factors = {} is not allowed; allowed: ranges of what to vary")
    problem = {"num_vars": len(spans), "names": list(spans), "bounds": [[0.0, 1.0]] * len(spans)}
    if method == "sobol":
        shares = sobol_sample.sample(problem, samples, calc_second_order=False, seed=seed)
    else:
        shares = morris_sample.sample(problem, samples, num_levels=_LEVELS, seed=seed)
    points = [_point(spans, row) for row in shares]
    # a point that is drawn twice is computed once
    distinct = list({tuple(point.items()): point for point in points}.values())
    names = [answer] if isinstance(answer, str) else list(answer)
    frame = sweep({**fields, "designs": names, "points": distinct}, **options)
    costs = frame.groupby(["point", "design"], sort=False)["ns"].mean().unstack()
    if costs[names].isna().any(axis=None):
        raise UserError("sensitivity: a design cannot be at one of the points; narrow the factors")
    values = np.log(costs[names[-1]]) - (np.log(costs[names[0]]) if len(names) == 2 else 0.0)
    place = {tuple(point.items()): number for number, point in enumerate(distinct)}
    outcome = np.array([values.loc[place[tuple(point.items())]] for point in points])
    if method == "sobol":
        found = sobol_analysis.analyze(problem, outcome, calc_second_order=False, seed=seed)
        columns = {
            "first": found["S1"], "first_half": found["S1_conf"],
            "total": found["ST"], "total_half": found["ST_conf"],
        }  # fmt: skip
        order = "total"
    else:
        found = morris_analysis.analyze(problem, shares, outcome, num_levels=_LEVELS, seed=seed)
        columns = {
            "mu_star": found["mu_star"], "mu_star_half": found["mu_star_conf"],
            "sigma": found["sigma"],
        }  # fmt: skip
        order = "mu_star"
    table = pd.DataFrame({"factor": list(spans), **{n: np.asarray(v) for n, v in columns.items()}})
    table = table.sort_values(order, ascending=False, kind="stable", ignore_index=True)
    table.attrs.update(
        points=len(distinct), low=float(np.exp(outcome.min())), high=float(np.exp(outcome.max()))
    )
    return table


def _point(spans: Mapping[str, Span], shares: np.ndarray) -> dict[str, Any]:
    """The values at some shares of the factors' ranges."""
    return {
        name: span.at(min(float(share), 1 - 1e-12))
        for (name, span), share in zip(spans.items(), shares, strict=True)
    }
