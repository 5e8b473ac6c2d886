"""Experiments through the store: what was computed before is found there.

`simulate`, `lookup_cost`, `upkeep`, `update_cost`, `lifetime_cost` and `packet_cost` take the same
arguments as the functions of these names and return the same frames. Each replicate is a point, so
one more, or one design more, computes only what is new. The store is the user's own (`cgsim
store`); where it cannot be written to, one line says so and everything is computed.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from cgsim.errors import UserError
from cgsim.limits import COMMON
from cgsim.studies.identity import key_of
from cgsim.studies.places import LIMIT_BYTES, default_store
from cgsim.studies.points import (
    arguments_of,
    default_of,
    function_of,
    is_plain,
    make_point,
    play,
)
from cgsim.studies.store import ARGUMENTS, KEY, ROW, Result, Store, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.studies.points import Point

TALLY = "CGSIM_TALLY"
"""An environment variable: the file to which each process adds what it computed and found."""

_unwritable = False


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
    store = _store()
    keys = [key_of(point) for point in points]
    missing = [number for number, key in enumerate(keys) if key not in store]
    if threads == 1 or len(missing) < 2:
        played = [play(points[number]) for number in missing]
    else:
        with ThreadPoolExecutor(threads) as pool:
            played = list(pool.map(play, (points[number] for number in missing)))
    new = [Result(keys[n], points[n], rows) for n, rows in zip(missing, played, strict=True)]
    _add(store, new)
    count(len(new), len(points) - len(new))
    known = [result.key for result in new]
    parts = [table_of(new)] if new else []
    old = [key for key in keys if key not in known]
    parts += [store.table(old)] if old else []
    table = pa.concat_tables(parts, promote_options="permissive")
    frame = table.to_pandas()
    order = {key: number for number, key in enumerate(keys)}
    frame.insert(0, "replicate", frame[KEY].map(order))
    frame = frame.sort_values(["replicate", ROW], kind="stable", ignore_index=True)
    replicate = frame.pop("replicate")
    frame = frame.drop(columns=[KEY, ROW, ARGUMENTS])
    frame.insert(frame.columns.get_loc("seed"), "replicate", replicate)
    return frame


@functools.cache
def _opened(directory: Path) -> Store:
    return Store(directory)


def _store() -> Store:
    """The user's store, opened once."""
    return _opened(default_store())


def _add(store: Store, results: list[Result]) -> None:
    """Keep results, if that is possible."""
    global _unwritable
    if not results or _unwritable:
        return
    try:
        store.add(results[0].point.experiment, results)
    except UserError as error:
        _unwritable = True
        print(f"cgsim: warning: points are not kept: {error}", file=sys.stderr, flush=True)


def count(computed: int, found: int) -> None:
    """Add to the tally of the run that this process is a part of, if it has one."""
    path = os.environ.get(TALLY)
    if path:
        line = json.dumps({"computed": computed, "found": found}) + "\n"
        with open(path, "a") as stream:
            stream.write(line)


def read_tally(path: Path) -> dict[str, int]:
    """How many points the processes of a run computed, and how many they found."""
    total = {"computed": 0, "found": 0}
    if path.is_file():
        for line in path.read_text().splitlines():
            for name, number in json.loads(line).items():
                total[name] += number
    return total


def tidy_store() -> None:
    """Join the small files of the user's store, and keep it within its limit."""
    try:
        store = Store(default_store())
        store.compact(at_least=2)
        store.shrink(LIMIT_BYTES)
    except (UserError, OSError) as error:
        print(f"cgsim: warning: the store of points: {error}", file=sys.stderr, flush=True)
