"""Running a study: points, of which the store has some, the missing ones computed, one table."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cgsim.errors import UserError
from cgsim.limits import Range
from cgsim.provenance import git_state, usable_cores, version
from cgsim.studies.frames import assemble, read_frame, to_pandas, write_frame
from cgsim.studies.identity import key_of
from cgsim.studies.manifest import write_run
from cgsim.studies.own_store import user_store
from cgsim.studies.plan import Case, LeftOut, Plan, plan_study
from cgsim.studies.progress import Progress
from cgsim.studies.scheduler import Played, Where, here, on_dask, on_pool, run_tasks
from cgsim.studies.spec import Study, read_study
from cgsim.studies.store import KEY, Result, Store
from cgsim.studies.tally import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from cgsim.studies.points import Point

RESULTS = "results.parquet"
STORE = "store"


@dataclass(frozen=True)
class Run:
    """A study that has run: its rows, and how many points were computed and how many found."""

    study: Study
    table: pa.Table
    attrs: dict[str, Any]
    computed: int
    found: int
    seconds: float
    where: str
    left_out: tuple[LeftOut, ...]


def sweep(
    study: str | os.PathLike[str] | Mapping[str, Any] | Study,
    *,
    out: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run a study; what its store has already is not computed again.

    Parameters
    ----------
    study : a YAML file, a mapping with the same fields, or a `Study`
    out : directory for `results.parquet`, `manifest.json` and the store; None: nothing is written
        but to the store
    store : directory of the store; None: `out`/store, or the user's own (`cgsim store`)
    workers : processes; 1: this one; None: one a core
    scheduler : the address of a Dask scheduler, or a `distributed.Client`; None: this machine
    progress : say how far it is on standard error

    Returns
    -------
    DataFrame, one row per point, design (or layout) and replicate, in the order of the study
    however it ran: `study`, `point` (its number), the factors, and the columns of `cgsim.simulate`,
    `cgsim.lookup_cost` or `cgsim.update_cost`; `attrs` with version, commit and the study's fields.

    Raises UserError for a mistake in the study, and for a file of the store that is damaged.
    """
    run = run_study(
        study, out=out, store=store, workers=workers, scheduler=scheduler,
        progress=Progress(silent=not progress),
    )  # fmt: skip
    return to_pandas(run.table, run.attrs)


def run_study(
    study: str | os.PathLike[str] | Mapping[str, Any] | Study,
    *,
    out: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    progress: Progress | None = None,
) -> Run:
    """As `sweep`; returns the record of the run."""
    start = time.perf_counter()
    chosen = read_study(study)
    plan = plan_study(chosen)
    target = None if out is None else Path(out)
    if target is not None:
        _check_target(target)
    kept = _open(target, store)
    if target is not None:
        write_run(target, _facts(chosen, plan, kept), state="running")
    where = _where(workers, scheduler)
    rounds = _Rounds(plan, kept, where, progress or Progress(silent=True))
    rounds.run()
    kept.compact()
    count(rounds.computed, rounds.found)
    table = rounds.table()
    state = git_state()
    attrs = {
        "version": version(),
        "commit": state["commit"],
        "dirty": state["dirty"],
        "parameters": _fields(chosen),
    }
    if target is not None:
        write_frame(target / RESULTS, table, attrs)
    seconds = round(time.perf_counter() - start, 3)
    run = Run(
        chosen, table, attrs, rounds.computed, rounds.found, seconds, where.title, plan.left_out
    )
    if target is not None:
        facts = _facts(chosen, plan, kept) | {
            "points": {"computed": run.computed, "found": run.found},
            "rows": table.num_rows,
            "seconds": seconds,
            "where": where.title,
            "files": [RESULTS],
        }
        write_run(target, facts, state="finished")
    return run


def _open(target: Path | None, store: str | os.PathLike[str] | None) -> Store:
    """The store of a run."""
    if store is not None:
        return Store(store)
    if target is not None:
        return Store(target / STORE)
    return user_store()


def _check_target(target: Path) -> None:
    """Refuse a directory whose results are not ours to replace."""
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is not a directory")
    if (target / RESULTS).exists():
        try:
            read_frame(target / RESULTS)
        except UserError as error:
            raise UserError(f"{error}; move it away: it is written anew from the store") from None


def _where(workers: int | None, scheduler: Any) -> Where:
    """Where to compute."""
    if workers is not None:
        Range(1, 1024).check("sweep", "workers", workers)
    if scheduler is not None:
        return on_dask(scheduler)
    count = usable_cores() if workers is None else workers
    return here() if count == 1 else on_pool(count)


def _fields(study: Study) -> dict[str, Any]:
    """A study as plain values."""
    return {
        "name": study.name,
        f"{study.subject}s": list(study.subjects),
        **{name: list(values) for name, values in study.axes.items() if values},
        "factors": {n: list(v) if isinstance(v, tuple) else v for n, v in study.factors.items()},
        "points": [dict(point) for point in study.points],
        "sample": None if study.sample is None else vars(study.sample),
        **study.constants,
        "replicates": study.replicates,
        "seed": study.seed,
        "stop": None if study.stop is None else vars(study.stop),
    }


def _facts(study: Study, plan: Plan, store: Store) -> dict[str, Any]:
    """What a run's manifest says from its beginning."""
    return {
        "study": _fields(study),
        "store": os.fspath(store.directory),
        "left_out": [item._asdict() for item in plan.left_out],
    }


class _Rounds:
    """The replicates that are wanted so far, round by round until the stopping rule is met."""

    def __init__(self, plan: Plan, store: Store, where: Where, progress: Progress) -> None:
        self.plan, self.store, self.where, self.progress = plan, store, where, progress
        self.computed = self.found = 0
        self._wanted = dict.fromkeys((case.number for case in plan.cases), plan.study.replicates)
        self._seen: dict[int, int] = {}
        self._by_point: dict[int, list[Case]] = {}
        for case in plan.cases:
            self._by_point.setdefault(case.number, []).append(case)

    def run(self) -> None:
        """Compute what is missing, and more, until there is nothing to add."""
        while True:
            points = {key_of(point): point for point in self._new()}
            missing = {k: p for k, p in points.items() if k not in self.store}
            self.found += len(points) - len(missing)
            if missing:
                self._compute(missing, len(points))
            if not self._extend():
                return

    def _new(self) -> Iterator[Point]:
        """The points of this round, seeds together: they share what is drawn at random."""
        for number, cases in self._by_point.items():
            for replicate in range(self._seen.get(number, 0), self._wanted[number]):
                for case in cases:
                    yield case.replicate(self.plan.study.seed + replicate)
            self._seen[number] = self._wanted[number]

    def _compute(self, missing: dict[str, Point], total: int) -> None:
        self.progress.start(total, total - len(missing))

        def done(items: list[tuple[str, Point]], played: Played) -> None:
            results = [
                Result(key, point, rows)
                for (key, point), rows in zip(items, played.rows, strict=True)
            ]
            self.store.add(items[0][1].experiment, results)
            self.computed += len(items)
            self.progress.step(len(items))

        try:
            run_tasks(missing.items(), self.where, done)
        finally:
            self.progress.close()

    def _extend(self) -> bool:
        """Want more replicates of the points that are open; False if there are none."""
        study = self.plan.study
        if study.stop is None:
            return False
        rows = sum(len(cases) * self._wanted[n] for n, cases in self._by_point.items())
        extended = False
        for number, cases in self._by_point.items():
            have = self._wanted[number]
            more = min(study.replicates, study.stop.most_replicates - have)
            if more <= 0 or study.stop.met({c.subject: self._costs(c, have) for c in cases}):
                continue
            if study.stop.budget is not None and rows + more * len(cases) > study.stop.budget:
                continue
            rows += more * len(cases)
            self._wanted[number] = have + more
            extended = True
        return extended

    def _costs(self, case: Case, replicates: int) -> np.ndarray:
        """float64[replicates]: ns of a case by replicate."""
        seed = self.plan.study.seed
        keys = [key_of(case.replicate(seed + r)) for r in range(replicates)]
        return self.store.table(keys)["ns"].to_numpy()

    def table(self) -> pa.Table:
        """All rows, in the order of the study: point, design, replicate."""
        study = self.plan.study
        keys, labels = [], []
        for case in self.plan.cases:
            for replicate in range(self._wanted[case.number]):
                keys.append(key_of(case.replicate(study.seed + replicate)))
                labels.append(
                    {"study": study.name, "point": case.number, **dict(case.factors),
                     "replicate": replicate}
                )  # fmt: skip
        try:
            rows = self.store.table(keys)
        except KeyError:
            raise UserError(
                f"{self.store.directory}: was emptied while the study ran; run it again"
            ) from None
        counts = _counts(rows, keys)
        table = assemble(rows, labels, counts)
        if study.metrics:
            table = _with_metrics(study, table)
        return table


def _counts(rows: pa.Table, keys: Sequence[str]) -> list[int]:
    """How many rows each point has."""
    found: dict[str, int] = {}
    for key in rows[KEY].to_pylist():
        found[key] = found.get(key, 0) + 1
    return [found[key] for key in keys]


NAMING = (
    "study", "point", "design", "layout", "machine", "kernel", "workload", "user", "n_cgroups",
    "n_keys", "mode", "operation", "footprint_bytes", "cpus", "cgroups", "replicate", "seed",
    "lookups",
)  # fmt: skip
"""Columns that name a row, whatever the study."""


def _with_metrics(study: Study, table: pa.Table) -> pa.Table:
    """The columns that name a row, and the metrics asked for."""
    for name in study.metrics:
        if name not in table.column_names:
            known = ", ".join(n for n in table.column_names if n not in NAMING)
            raise study.error(f"metrics: unknown column {name!r}; allowed: {known}")
    named = [n for n in table.column_names if n in NAMING or n in study.factors]
    return table.select([*named, *(n for n in study.metrics if n not in named)])
