"""Workloads: who looks up whose datum when, and what other code does to the caches in between.

    workload = load_workload("k8s-node", n_keys=16)
    stream = make_stream(workload, n_lookups=100_000, seed=1)

A stream is a pure function of workload and seed, and a shorter one is the beginning of a longer
one. Every default stands in `data/workloads.yml` with its source, or as an assumption with the
reason for it; `describe` tells them apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cgsim.errors import UserError, unknown_name
from cgsim.workloads.base import (
    COLUMNS,
    Stream,
    Workload,
    check_request,
    mean_time_ns,
    units,
    values,
)
from cgsim.workloads.catalogue import Catalogue, Value, catalogue
from cgsim.workloads.gpu import GpuWorkload
from cgsim.workloads.network import NetworkWorkload

__all__ = [
    "Field",
    "GpuWorkload",
    "NetworkWorkload",
    "Stream",
    "describe",
    "list_workloads",
    "load_workload",
    "make_stream",
]

_MODELS: dict[str, type[NetworkWorkload] | type[GpuWorkload]] = {
    "network": NetworkWorkload,
    "gpu": GpuWorkload,
}

_RATE_LOOKUPS = 16_384
"""Lookups over which a stream's rate is measured, the same for streams of any length."""

_GIVEN = "given by the caller"


class Field(NamedTuple):
    """One parameter of a workload. `origin`: its source, or `assumption: reason`."""

    field: str
    value: Any
    unit: str
    origin: str


def list_workloads() -> tuple[str, ...]:
    """The names of the workloads that come with the package, in the order of the file."""
    return tuple(catalogue().entries)


def load_workload(name: str, /, **overrides: Any) -> NetworkWorkload | GpuWorkload:
    """A workload by its name in data/workloads.yml, with some of its values replaced.

    Raises `UserError` for an unknown name or field, and for a value out of its range.
    """
    return _make(catalogue(), name, overrides)


def _make(book: Catalogue, name: str, overrides: dict[str, Any]) -> NetworkWorkload | GpuWorkload:
    """The workload `name` of a catalogue."""
    base = _values(book, name)
    for field in overrides:
        if field not in base:
            raise unknown_name(f"field of workload {name}", field, base)
    model = _MODELS[book.entries[name].model]
    merged = {field: item.value for field, item in base.items()} | overrides
    return model(name=name, title=book.entries[name].title, **merged)


def _values(book: Catalogue, name: str) -> dict[str, Value]:
    """All values of a workload: its own over those of the entry named as its model."""
    if name not in book.entries:
        raise unknown_name("workload", name, book.entries)
    entry = book.entries[name]
    where = f"{book.path}: workloads.{name}"
    if entry.model not in _MODELS or entry.model not in book.entries:
        raise UserError(f"{where}: {unknown_name('model', entry.model, _MODELS)}")
    expected = units(_MODELS[entry.model])
    merged = book.entries[entry.model].values | entry.values
    for field, item in merged.items():
        if field not in expected:
            raise UserError(f"{where}: {unknown_name('field', field, expected)}")
        if item.unit != expected[field]:
            raise UserError(
                f"{where}.{field}.unit = {item.unit!r} is not allowed; allowed: {expected[field]}"
            )
    for field in expected:
        if field not in merged:
            raise UserError(f"{where}.{field} is missing")
    return {field: merged[field] for field in expected}


def describe(workload: Workload) -> list[Field]:
    """Every parameter with its value, unit and origin, in order."""
    known = _values(catalogue(), workload.name)
    plain = values(load_workload(workload.name))
    return [
        Field(name, value, known[name].unit, known[name].origin if value == plain[name] else _GIVEN)
        for name, value in values(workload).items()
    ]


def make_stream(workload: NetworkWorkload | GpuWorkload, n_lookups: int, seed: int) -> Stream:
    """`n_lookups` lookups of a workload; raises `UserError` for a bad count or seed."""
    n_lookups, seed = check_request(n_lookups, seed)
    rows, actor_cgroup = workload.generate(max(n_lookups, _RATE_LOOKUPS), seed)
    columns = dict(zip(COLUMNS, rows, strict=True))
    time_ns = mean_time_ns(
        {name: column[:_RATE_LOOKUPS] for name, column in columns.items()},
        workload.instructions_per_ns,
    )
    rows_of_parameters = describe(workload)
    return Stream(
        **{name: column[:n_lookups].copy() for name, column in columns.items()},
        n_cgroups=workload.n_cgroups,
        n_keys=workload.n_keys,
        n_actors=workload.n_actors,
        actor_cgroup=actor_cgroup,
        hot_bytes=workload.hot_bytes,
        ring_bytes=workload.ring_bytes,
        rcu_held=workload.rcu_held,
        reach=workload.reach,
        rate_per_s=1e9 / time_ns,
        instructions_per_ns=workload.instructions_per_ns,
        title=workload.title,
        parameters={row.field: row.value for row in rows_of_parameters},
        sources=tuple(dict.fromkeys(row.origin for row in rows_of_parameters)),
    )
