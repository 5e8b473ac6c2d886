"""Published measurements beside what the simulator predicts for them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pandas as pd

from cgsim.data import data_path
from cgsim.errors import UserError, unknown_name
from cgsim.machines import find_published, published_names
from cgsim.validation.bpf_selftests import (
    FILL_CASE,
    STORAGE_CASES,
    predict_hashmap,
    predict_local_storage,
)
from cgsim.validation.perfbook import COUNT_CASES, HASH_CASES, predict_count, predict_hash
from cgsim.validation.ping_pong import CAS_CASES, PAIR_CASES, predict_cas, predict_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREDICT = {
    "perfbook_count": predict_count,
    "perfbook_hash": predict_hash,
    "local_storage": predict_local_storage,
    "hashmap_lookup": predict_hashmap,
    "perfbook_cas": predict_cas,
    "core_to_core": predict_pair,
}
BENCHMARKS = tuple(_PREDICT)
_CASES = {
    "perfbook_count": tuple(COUNT_CASES),
    "perfbook_hash": HASH_CASES,
    "local_storage": tuple(STORAGE_CASES),
    "hashmap_lookup": (FILL_CASE,),
    "perfbook_cas": tuple(CAS_CASES),
    "core_to_core": tuple(PAIR_CASES),
}
_WITHOUT_X = ("perfbook_cas", "core_to_core")


def load_published() -> pd.DataFrame:
    """All published measurements of `data/published`: columns as its README says."""
    files = sorted(data_path("published").glob("*.csv"))
    return pd.concat([pd.read_csv(file) for file in files], ignore_index=True)


def validate_published(
    benchmark: str,
    machine: str | None = None,
    case: str | None = None,
    x: Sequence[int] | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """Predict the rows of a published benchmark.

    Parameters
    ----------
    benchmark : of `BENCHMARKS`
    machine : its name in the published tables; None: every machine measured
    case : one case; None: all that this machine has
    x : numbers of threads, table sizes, maps, keys in use, percent of fill; None: those that were
        measured. A number that was not measured gives a row without a value. perfbook_cas and
        core_to_core have none.

    Machines that no profile describes are left out.

    Returns
    -------
    DataFrame: benchmark, machine, case, x, value, unit, baseline, note, source, predicted,
    error (predicted / value - 1; missing where nothing was measured).

    Raises UserError for a benchmark, machine, case or x that does not exist.
    """
    if benchmark not in _PREDICT:
        raise unknown_name("benchmark", benchmark, BENCHMARKS)
    measured = load_published()
    measured = measured[measured["benchmark"] == benchmark]
    if x is not None and benchmark in _WITHOUT_X:
        raise UserError(f"{benchmark}: x = {x!r} is not allowed: its rows have none")
    if machine is not None:
        find_published(machine)
        if machine not in set(measured["machine"]):
            raise unknown_name(f"machine of {benchmark}", machine, set(measured["machine"]))
        measured = measured[measured["machine"] == machine]
    if case is not None:
        if case not in _CASES[benchmark]:
            raise unknown_name(f"case of {benchmark}", case, _CASES[benchmark])
        measured = measured[measured["case"] == case]
    described = set(published_names())
    measured = measured[measured["machine"].isin(described)].fillna({"x": 0})
    rows = []
    for (name, which), group in measured.groupby(["machine", "case"], sort=False):
        known = {int(row["x"]): row for _, row in group.iterrows()}
        for number in known if x is None else _whole(x):
            row = dict(known[number]) if number in known else _empty(group.iloc[0], number)
            row["x"] = number
            row["predicted"] = _predict(benchmark, str(name), str(which), number, seed)
            rows.append(row)
    if not rows:
        raise UserError(f"{benchmark}: no published rows for machine {machine!r}, case {case!r}")
    frame = pd.DataFrame(rows)
    frame["error"] = frame["predicted"] / frame["value"].astype(float) - 1
    return frame.reset_index(drop=True)


def _whole(x: Sequence[int]) -> list[int]:
    for number in x:
        if int(number) != number:
            raise UserError(f"validate published: x = {number!r} is not allowed; allowed: integers")
    return [int(number) for number in x]


def _empty(example: pd.Series, x: int) -> dict[str, object]:
    """A row of a case for an x that was not measured."""
    row: dict[str, object] = {str(name): value for name, value in example.items()}
    row.update(x=x, value=float("nan"))
    row.update(baseline=float("nan"), note="not measured")
    return row


@functools.lru_cache(maxsize=512)
def _predict(benchmark: str, machine: str, case: str, x: int, seed: int) -> float:
    return _PREDICT[benchmark](find_published(machine), case, x, seed)


def compare_orders(frame: pd.DataFrame, tolerance: float = 0.1) -> pd.DataFrame:
    """Whether the cases come in the same order, measured and predicted, at each machine and x.

    Two cases that were measured within `tolerance` of each other have no order. Columns: machine,
    x, pairs (with an order), right.
    """
    rows = []
    updates = frame[frame["case"].str.contains("update") & frame["value"].notna()]
    for (machine, x), group in updates.groupby(["machine", "x"], sort=False):
        values, predicted = group["value"].tolist(), group["predicted"].tolist()
        pairs = right = 0
        for i in range(len(values)):
            for j in range(i):
                if abs(values[i] - values[j]) <= tolerance * max(values[i], values[j]):
                    continue
                pairs += 1
                right += (values[i] < values[j]) == (predicted[i] < predicted[j])
        rows.append({"machine": machine, "x": x, "pairs": pairs, "right": right})
    return pd.DataFrame(rows)
