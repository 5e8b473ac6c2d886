"""All families of measurements beside the model: errors, order, worst rows, and stated bounds.

The rows are stored in data/validation/rows.csv and host.csv, since to predict all of them takes
minutes; `python -m benchmarks.validation` and `python -m benchmarks.host` write them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.data import data_path
from cgsim.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = ("family", "group", "name", "conditions", "measured", "predicted", "unit")
_APART = 0.1
_WORST = 5


@dataclass(frozen=True)
class Bound:
    """What a family is to keep: median and 90th percentile of the absolute error, share of pairs
    in their order."""

    title: str
    median: float
    ninetieth: float
    ordered: float


BOUNDS = {
    "host": Bound("this host: native lookups on the calibrated profile", 0.10, 0.25, 0.95),
    "kernel-cycles": Bound("recorded cycles of kernel functions, held out", 0.05, 0.15, 0.95),
    "scale": Bound("kernel functions over many cgroups", 0.07, 0.20, 0.95),
    "published": Bound("published tables", 0.12, 0.35, 0.95),
}
"""Families, in order. Those of the host are predicted with the native code's instructions, those
of the kernel with the kernel's own."""

# (family, what conditions or name hold, cause); the first that fits
_CAUSES = (
    (
        "scale",
        "polluted",
        "a real L2 keeps lines used twice; the model's replaces at random",
    ),
    ("scale", "100000", "strangers share the L3, whose retention is one half-life"),
    ("scale", "list", "a real core runs ahead on the wrong path and fetches the next lines"),
    ("scale", "", "what waits in the schedulers is an average over all functions"),
    ("kernel-cycles", "depth", "ahead of a mispredicted branch the real core overlaps more"),
    ("kernel-cycles", "", "what waits in the schedulers is an average over all functions"),
    ("published", "nonatomic", "stores that wait while the line is away are merged in the buffer"),
    ("published", "read", "a sum over threads meets lines on their way to others"),
    ("published", "", "the machine's clock, memory or page sizes are not stated"),
    ("host", "isolated", "strangers share the L3; which lines it still holds is not modelled"),
    ("host", "100000", "others of the guest ran at the same time and took the L3"),
    (
        "host",
        "",
        "numba's code issues about 5 instructions a cycle; the engine takes up to 12, "
        "which was fitted on the kernel's",
    ),
)


def load_rows() -> pd.DataFrame:
    """The stored rows of all families, columns `COLUMNS` and error (predicted / measured - 1)."""
    stored = _read(data_path("validation", "rows.csv"))
    frame = pd.concat([host_rows(_host()), stored], ignore_index=True)
    return frame.assign(error=frame["predicted"] / frame["measured"] - 1)


def host_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of `cgsim.measure` with a machine, as rows of the family host."""
    conditions: pd.Series = (
        frame["n_cgroups"].astype(str) + " cgroups, " + frame["n_keys"].astype(str) + " keys, "
        + frame["mode"] + ", " + np.where(frame["caller"] == "bare", "bare", "by its caller")
    )  # fmt: skip
    return pd.DataFrame(
        {
            "family": "host", "group": frame["design"], "name": frame["design"],
            "conditions": conditions, "measured": frame["ns"], "predicted": frame["predicted_ns"],
            "unit": "ns",
        }
    )  # fmt: skip


def summary(rows: pd.DataFrame, by: Sequence[str] = ("family",)) -> pd.DataFrame:
    """One row per family, or as `by` says: n, median, ninetieth, pairs, ordered, within.

    median, ninetieth : of the absolute relative error. ordered : share of the pairs under the same
    conditions, measured more than 10 % apart, that are predicted in their order. within : whether
    the family's bound is kept; of a group, whether its median is within 15 %.
    """
    table = []
    for names, part in rows.groupby(list(by), sort=False):
        errors = part["error"].abs()
        pairs, right = _ordered(part)
        row: dict[str, Any] = {
            **dict(zip(by, names, strict=True)),
            "n": len(part),
            "median": float(errors.median()),
            "ninetieth": float(errors.quantile(0.9)),
            "pairs": pairs,
            "ordered": right / pairs if pairs else float("nan"),
        }
        bound = BOUNDS.get(row["family"]) if tuple(by) == ("family",) else None
        if bound is not None:
            row["within"] = (
                row["median"] <= bound.median
                and row["ninetieth"] <= bound.ninetieth
                and not row["ordered"] < bound.ordered
            )
        else:
            row["within"] = row["median"] <= 0.15
        table.append(row)
    return pd.DataFrame(table)


def worst(rows: pd.DataFrame, count: int = _WORST) -> pd.DataFrame:
    """The rows of each family that are farthest off, by ratio, with what causes it."""
    far = rows.assign(ratio=np.abs(np.log(rows["predicted"] / rows["measured"])))
    parts = [part.nlargest(count, "ratio") for _, part in far.groupby("family", sort=False)]
    found = pd.concat(parts, ignore_index=True)
    causes = [
        cause_of(family, f"{name} {conditions}")
        for family, name, conditions in zip(
            found["family"], found["name"], found["conditions"], strict=True
        )
    ]
    return found.drop(columns="ratio").assign(cause=causes)


def cause_of(family: str, text: str) -> str:
    """What the model lacks where such a row is far off."""
    return next(cause for kind, word, cause in _CAUSES if kind == family and word in text)


def _ordered(rows: pd.DataFrame) -> tuple[int, int]:
    pairs = right = 0
    for _, group in rows.groupby("conditions"):
        values = list(zip(group["measured"], group["predicted"], strict=True))
        for (m, p), (n, q) in itertools.combinations(values, 2):
            if abs(m - n) > _APART * max(m, n):
                pairs += 1
                right += (m < n) == (p < q)
    return pairs, right


def _host() -> pd.DataFrame:
    return pd.read_csv(data_path("validation", "host.csv"))


def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path)
    if tuple(frame.columns) != COLUMNS:
        raise UserError(f"{path}: its columns are not {', '.join(COLUMNS)}")
    return frame
