"""Experiments through the store: what was computed before is found there.

`simulate`, `lookup_cost`, `upkeep`, `update_cost`, `lifetime_cost` and `packet_cost` take the same
arguments as the functions of these names and return the same frames. Each replicate is a point, so
one more, or one design more, computes only what is new. The store is the user's own (`cgsim
store`); where it cannot be written to, one line says so and everything is computed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from cgsim.limits import COMMON
from cgsim.studies.identity import key_of
from cgsim.studies.own_store import user_store
from cgsim.studies.points import (
    arguments_of,
    default_of,
    function_of,
    is_plain,
    make_point,
    play,
)
from cgsim.studies.store import ARGUMENTS, KEY, ROW, Result, table_of
from cgsim.studies.tally import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.studies.points import Point


def _through_store(experiment: str) -> Callable[..., pd.DataFrame]:
    """The experiment's function, its points from the store."""

    def kept(*arguments: Any, **named: Any) -> pd.DataFrame:
        values = arguments_of(experiment, arguments, named)
        if not all(is_plain(value) for value in values.values()):
            return function_of(experiment)(*arguments, **named)  # a design or machine of one's own
        replicates, seed, threads = (
            int(COMMON[name].check(experiment, name, values.pop(name, default)))
            for name, default in (
                ("replicates", default_of(experiment, "replicates")),
                ("seed", default_of(experiment, "seed")),
                ("threads", 1),
            )
        )
        points = [
            make_point(experiment, {**values, "seed": seed + number})
            for number in range(replicates)
        ]
        return _frame(points, threads)

    kept.__name__ = experiment
    kept.__doc__ = f"As the experiment `{experiment}`, its points from the store."
    return kept


simulate = _through_store("simulate")
lookup_cost = _through_store("lookup_cost")
upkeep = _through_store("upkeep")
update_cost = _through_store("update_cost")
lifetime_cost = _through_store("lifetime_cost")
packet_cost = _through_store("packet_cost")


def _frame(points: list[Point], threads: int) -> pd.DataFrame:
    """The rows of the replicates of a point."""
    store = user_store()
    keys = [key_of(point) for point in points]
    old = [key for key in keys if key in store]
    try:
        parts = [store.table(old)] if old else []
    except KeyError:  # somebody has emptied the store meanwhile
        old, parts = [], []
    missing = [number for number, key in enumerate(keys) if key not in old]
    if threads == 1 or len(missing) < 2:
        played = [play(points[number]) for number in missing]
    else:
        with ThreadPoolExecutor(threads) as pool:
            played = list(pool.map(play, (points[number] for number in missing)))
    new = [Result(keys[n], points[n], rows) for n, rows in zip(missing, played, strict=True)]
    if new:
        store.add(new[0].point.experiment, new)
    count(len(new), len(points) - len(new))
    parts += [table_of(new)] if new else []
    table = pa.concat_tables(parts, promote_options="permissive")
    frame = table.to_pandas()
    order = {key: number for number, key in enumerate(keys)}
    frame.insert(0, "replicate", frame[KEY].map(order))
    frame = frame.sort_values(["replicate", ROW], kind="stable", ignore_index=True)
    replicate = frame.pop("replicate")
    frame = frame.drop(columns=[KEY, ROW, ARGUMENTS])
    frame.insert(frame.columns.get_loc("seed"), "replicate", replicate)
    return frame
