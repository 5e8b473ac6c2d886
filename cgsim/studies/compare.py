"""Two runs of a study side by side: what changed, paired seed by seed, with intervals.

The runs may differ in the machine, the kernel, the commit that computed them, or any one argument;
what names a point otherwise must agree, and what only one of them has is counted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cgsim.errors import UserError
from cgsim.studies.frames import read_frame
from cgsim.studies.run import NAMING, RESULTS
from cgsim.studies.statistics import paired

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPARED = ("machine", "kernel")
_APART = ("study", "point", "replicate")
LEVEL = 0.01


def compare(
    first: str | os.PathLike[str] | pd.DataFrame,
    second: str | os.PathLike[str] | pd.DataFrame,
    *,
    metric: str = "ns",
    level: float = LEVEL,
) -> pd.DataFrame:
    """What changed from one run to another.

    Parameters
    ----------
    first, second : directories that `cgsim sweep` wrote, their `results.parquet`, or frames
    metric : the column to compare; less is better
    level : a difference below this share is none

    Returns
    -------
    DataFrame, one row per point and design (or layout) that both have: what names it, `first` and
    `second` (means), `difference` (second - first) with `low` and `high` (95 %, paired by seed),
    `ratio`, `ratio_low`, `ratio_high`, `replicates` (pairs), and `verdict`: "first" or "second" is
    cheaper, "level", or "undecided". `attrs`: `differs` (arguments in which the runs differ as a
    whole), `only_first` and `only_second` (points that one of them has).

    Raises UserError if they have no point in common.
    """
    frames = [_frame(first), _frame(second)]
    for frame in frames:
        if metric not in frame:
            raise UserError(f"metric = {metric!r} is not allowed; allowed: a column of both runs")
    names = [name for name in _naming(frames) if all(name in frame for frame in frames)]
    differs = {
        name: [str(frame[name].iloc[0]) for frame in frames]
        for name in names
        if name in _COMPARED
        and all(frame[name].nunique() == 1 for frame in frames)
        and frames[0][name].iloc[0] != frames[1][name].iloc[0]
    }
    keys = [name for name in names if name not in differs and name not in _APART]
    points = [name for name in keys if name != "seed"]
    both = frames[0].merge(frames[1], on=keys, suffixes=("_first", "_second"), how="inner")
    if both.empty:
        raise UserError("the two runs have no point in common (same arguments, same seed)")
    rows = []
    for key, group in both.groupby(points, sort=False, dropna=False):
        old, new = (group[f"{metric}_{side}"].to_numpy(float) for side in ("first", "second"))
        found = paired(old, new, level=level)
        rows.append(
            dict(zip(points, key, strict=True))
            | {"first": old.mean(), "second": new.mean()}
            | found._asdict()
            | {"replicates": len(group)}
        )
    table = pd.DataFrame(rows)
    table.attrs.update(
        metric=metric,
        differs=differs,
        only_first=_lacking(frames[0], both, points),
        only_second=_lacking(frames[1], both, points),
        runs=[dict(frame.attrs) for frame in frames],
    )
    return table


def _frame(source: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """The rows of a run."""
    if isinstance(source, pd.DataFrame):
        return source
    path = Path(source)
    if path.is_dir():
        path = path / RESULTS
    return read_frame(path)


def _naming(frames: Sequence[pd.DataFrame]) -> list[str]:
    """The columns that name a row: the usual ones, and the factors of either study."""
    factors: dict[str, None] = {}
    for frame in frames:
        parameters: dict[str, Any] = frame.attrs.get("parameters", {})
        factors |= dict.fromkeys(parameters.get("factors", ()))
        for point in parameters.get("points", ()):
            factors |= dict.fromkeys(point)
    return list(dict.fromkeys([*NAMING, *factors]))


def _lacking(frame: pd.DataFrame, both: pd.DataFrame, points: list[str]) -> int:
    """How many points of a run the other lacks."""
    return len(frame[points].drop_duplicates()) - len(both[points].drop_duplicates())
