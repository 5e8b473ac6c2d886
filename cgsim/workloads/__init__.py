"""Workloads: who looks up whose datum when, and what other code does to the caches in between.

    workload = load_workload("k8s-node", n_keys=16)
    feeds = Feeds(workload, seed=1)
    stream = feeds.take(100_000)

Rows are a pure function of workload and seed, whatever the pieces they are taken in and the threads
that make them. Every default stands in `data/workloads/` with its source, or as an assumption with
the reason for it; `explain` tells them apart.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.errors import UserError, unknown_name
from cgsim.workloads import catalogue
from cgsim.workloads.base import Stream, Workload, check_request, units, values
from cgsim.workloads.churn import ChurnWorkload
from cgsim.workloads.gpu import GpuWorkload
from cgsim.workloads.mixed import MixedWorkload
from cgsim.workloads.network import NetworkWorkload
from cgsim.workloads.recorded import RecordedWorkload, is_recording

if TYPE_CHECKING:
    from pathlib import Path

    from cgsim.workloads.catalogue import Entry, Value

__all__ = [
    "ChurnWorkload",
    "Feeds",
    "Field",
    "GpuWorkload",
    "MixedWorkload",
    "NetworkWorkload",
    "RecordedWorkload",
    "Stream",
    "explain",
    "list_workloads",
    "load_workload",
    "make_stream",
]

AnyWorkload = NetworkWorkload | GpuWorkload | MixedWorkload | RecordedWorkload

_MODELS: dict[str, type[AnyWorkload]] = {
    "network": NetworkWorkload,
    "gpu": GpuWorkload,
    "churn": ChurnWorkload,
    "mixed": MixedWorkload,
    "recorded": RecordedWorkload,
}

_GIVEN = "given by the caller"


class Field(NamedTuple):
    """One parameter of a workload. `source`: a citation, or `assumption: reason`."""

    field: str
    value: Any
    unit: str
    source: str


def list_workloads() -> tuple[str, ...]:
    """The names of the workloads that come with the package."""
    return catalogue.names()


def load_workload(name: str | Path, /, **overrides: Any) -> AnyWorkload:
    """A workload by its name in data/workloads/ or by a file, with some of its values replaced.

    What ends in .csv or .parquet is a file of recorded events, what ends in .yml or .yaml or has a
    directory part a file of values. Raises `UserError` for an
    unknown name or field, and for a value out of its range.
    """
    if is_recording(name):
        name, overrides = "recorded", {**overrides, "events_file": str(name)}
    entry = catalogue.entry(name)
    base = _values(entry)
    for field in overrides:
        if field not in base:
            raise unknown_name(f"field of workload {entry.name}", field, base)
    merged = {field: item.value for field, item in base.items()} | overrides
    model = _MODELS[entry.model]
    return model(name=entry.name, title=entry.title, **model.follow(merged, overrides))


def _values(entry: Entry) -> dict[str, Value]:
    """All values of a workload: its own over those of the entry named as its model."""
    if entry.model not in _MODELS:
        raise UserError(f"{entry.path}: model: {unknown_name('model', entry.model, _MODELS)}")
    expected = units(_MODELS[entry.model])
    for field, item in entry.values.items():
        if field not in expected:
            raise UserError(f"{entry.path}: {unknown_name('field of values', field, expected)}")
        if item.unit != expected[field]:
            raise UserError(
                f"{entry.path}: values.{field}.unit = {item.unit!r} is not allowed; "
                f"allowed: {expected[field]}"
            )
    base = catalogue.entry(entry.model).values | entry.values
    for field in expected:
        if field not in base:
            raise UserError(f"{entry.path}: values.{field} is missing")
    return {field: base[field] for field in expected}


def explain(workload: Workload, name: str | Path | None = None) -> list[Field]:
    """Every parameter with its value, unit and source, in order.

    name : what it was loaded from, if that is a file.
    """
    origin = workload.name if name is None or is_recording(name) else name
    known = _values(catalogue.entry(origin))
    plain = values(load_workload(origin))
    rows = []
    for field, value in values(workload).items():
        source = known[field].origin if value == plain[field] else _GIVEN
        rows.append(Field(field, value, known[field].unit, source))
    return rows


class Feeds:
    """The generators of all CPUs of a workload.

    Parameters
    ----------
    workload : what to make rows of
    seed : of all its draws
    threads : host threads over the CPUs' generators; the rows do not depend on it
    """

    def __init__(self, workload: AnyWorkload, seed: int, *, threads: int = 1) -> None:
        self.surrounding = workload.surrounding(seed)
        self._threads = threads
        self._feeds = [workload.feed(cpu, self.surrounding, seed) for cpu in range(workload.cpus)]

    def take(self, n: int) -> Stream:
        """The next `n` rows, as many of each CPU as of the others or one more."""
        each, more = divmod(n, len(self._feeds))
        counts = [each + (cpu < more) for cpu in range(len(self._feeds))]
        if self._threads > 1:
            with ThreadPoolExecutor(self._threads) as pool:
                parts = list(pool.map(lambda f, c: f.take(c), self._feeds, counts))
        else:
            parts = [feed.take(size) for feed, size in zip(self._feeds, counts, strict=True)]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Stream(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0], starts)


def make_stream(workload: AnyWorkload, n_lookups: int, seed: int) -> Stream:
    """The first `n_lookups` rows of a workload; raises `UserError` for a bad count or seed."""
    n_lookups, seed = check_request(n_lookups, seed)
    return Feeds(workload, seed).take(n_lookups)
