"""All families of measurements beside the model: errors, order, worst rows, and stated bounds.

The rows are stored in data/validation/rows.csv and host.csv, since to predict all of them takes
minutes; `python -m benchmarks.validation` and `python -m benchmarks.host` write them.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.experiments.model_error import model_errors
from cgsim.machines import load_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

COLUMNS = ("family", "group", "name", "conditions", "measured", "predicted", "unit")
_APART = 0.1
UNSTABLE = 0.1
"""A measurement whose quartiles lie farther apart than this share of its median is not stable."""
_WORST = 5
_BEYOND_L2 = 100_000
"""As many cgroups are more than an L2 holds on any machine that was measured."""


@dataclass(frozen=True)
class Bound:
    """What a family is to keep: median and 90th percentile of the absolute error, share of pairs
    in their order."""

    title: str
    median: float
    ninetieth: float
    ordered: float

    def __str__(self) -> str:
        """'10 % / 25 % / 95 %'."""
        return " / ".join(f"{100 * v:g} %" for v in (self.median, self.ninetieth, self.ordered))


BOUNDS = {
    "host": Bound("this host: native lookups on the calibrated profile", 0.10, 0.25, 0.95),
    "kernel-cycles": Bound("recorded cycles of kernel functions, held out", 0.05, 0.15, 0.95),
    "scale": Bound("kernel functions over many cgroups", 0.07, 0.20, 0.95),
    "published": Bound("published tables", 0.12, 0.35, 0.95),
}
"""Families, in order. Those of the host are predicted with the native code's instructions, those
of the kernel with the kernel's own."""

NOT_KNOWN = "not known"


class _Row(NamedTuple):
    """A row that is far off: its names, and predicted / measured."""

    family: str
    group: str
    name: str
    conditions: str
    ratio: float

    def number(self, pattern: str) -> int:
        """The number in its conditions; 0 if there is none."""
        found = re.search(pattern, self.conditions)
        return int(found[1]) if found else 0


def _drawn_at_random(row: _Row) -> bool:
    """Whether the row hangs on the model's L2, which forgets lines that are in use."""
    levels = load_machine(model_errors().machine).caches
    read = row.number(r"(\d+) bytes read between")
    return row.ratio > 1 and levels[1].replacement == "random" and read > levels[0].size_bytes


# (family, where it can be the cause, cause); the first that fits. What makes predictions too high
# is no cause of one that is too low.
_CAUSES: tuple[tuple[str, Callable[[_Row], bool], str], ...] = (
    ("scale", _drawn_at_random, "a real L2 keeps lines used twice; the model's replaces at random"),
    (
        "scale",
        lambda row: row.number(r"(\d+) cgroups") >= _BEYOND_L2,
        "strangers may share the L3, whose retention is one half-life",
    ),
    (
        "scale",
        lambda row: row.ratio > 1 and row.name.startswith("list") and row.name != "list1",
        "a real core may run ahead on the wrong path and fetch the next lines",
    ),
    (
        "kernel-cycles",
        lambda row: row.ratio > 1 and "throughput" in row.conditions and "depth" in row.name,
        "ahead of a mispredicted branch a real core may overlap more",
    ),
    (
        "published",
        lambda row: row.group in ("local_storage", "hashmap_lookup"),
        "the machine's clock, memory and page sizes are not stated",
    ),
    (
        "host",
        lambda row: row.ratio < 1 and row.number(r"(\d+) cgroups") >= _BEYOND_L2,
        "others of the guest may have taken the L3 at the same time",
    ),
    (
        "host",
        lambda row: "isolated" in row.conditions,
        "strangers may share the L3; which lines it still holds is not modelled",
    ),
    (
        "host",
        lambda row: row.ratio < 1,
        "ports and renaming, by which a core does fewer instructions a cycle than it has slots",
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
        cause_of(_Row(r["family"], r["group"], r["name"], r["conditions"], 1 + r["error"]))
        for r in found.to_dict("records")
    ]
    return found.drop(columns="ratio").assign(cause=causes)


def cause_of(row: _Row) -> str:
    """What the model lacks that can be why this row is far off; `NOT_KNOWN` if nothing fits."""
    return next(
        (cause for family, fits, cause in _CAUSES if family == row.family and fits(row)), NOT_KNOWN
    )


def kept_sentence(families: pd.DataFrame) -> str:
    """Which families keep their bound, and what the others miss, of a `summary` by family."""
    said = []
    for row in families.to_dict("records"):
        bound = BOUNDS[row["family"]]
        missed = [
            f"{what} {100 * row[column]:.3g} %, not {sign} {100 * limit:.3g} %"
            for what, column, sign, limit in (
                ("median", "median", "<=", bound.median),
                ("90th percentile", "ninetieth", "<=", bound.ninetieth),
                ("pairs in order", "ordered", ">=", bound.ordered),
            )
            if (row[column] > limit if sign == "<=" else row[column] < limit)
        ]
        if missed:
            said.append(f"{row['family']} ({'; '.join(missed)})")
    if not said:
        return f"All {len(families)} families keep their bounds."
    return (
        f"{len(said)} of {len(families)} families miss a bound that was stated before: "
        f"{', '.join(said)}. The bounds are left as they were stated."
    )


def host_sentence() -> str:
    """How far the stored rows of the host can be trusted: spread, and what else ran."""
    frame = _host()
    shaky = int((~frame["stable"].astype(bool)).sum())
    loads = frame["host"].str.extract(r"load average ([\d.]+) on (\d+) CPUs").astype(float)
    # the benchmark itself is one of those that run
    busy = loads[0].max() > loads[1].max()
    return (
        f"Of the host's {len(frame)} rows {shaky} are not stable: their quartiles lie more than "
        f"{100 * UNSTABLE:g} % of the median apart. They were measured at a load average of "
        f"{loads[0].min():g} to {loads[0].max():g} on {loads[1].max():g} CPUs"
        + (", so that their errors are those of a busy host too." if busy else ".")
    )


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
