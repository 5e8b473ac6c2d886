"""A study: what to vary, on what, how often; read from YAML or made in Python.

The smallest study::

    name: keys
    designs: [list, table]
    workload: network
    machine: zen4-genoa
    factors: {n_keys: [2, 5], n_cgroups: [50, 300]}
    lookups: 500
    replicates: 3
    seed: 11

`docs/studies.md` lists all fields.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cgsim.errors import UserError, unknown_name
from cgsim.limits import COMMON
from cgsim.strict_yaml import read_yaml
from cgsim.studies.points import EXPERIMENTS
from cgsim.studies.sampling import Sample, read_sample
from cgsim.studies.stopping import Stop, read_stop

ALONE = "alone"
"""The workload of lookups one after another (`cgsim.lookup_cost`)."""

_AXES = {"machine": "machines", "kernel": "kernels", "workload": "workloads"}
_DEFAULTS = {"machine": "zen5-vm", "workload": "network"}
_SUBJECTS = {"design": "designs", "layout": "layouts"}
_OWN = ("name", "experiment", "factors", "sample", "points", "replicates", "seed", "metrics",
        "stop")  # fmt: skip


@dataclass(frozen=True)
class Study:
    """What a study varies and what it keeps.

    subject : "design" or "layout", what is compared at each point. subjects : their names.
    axes : machines, kernels and workloads, an empty tuple where the experiment decides. factors :
    the values of a grid, or the ranges of a sample. points : given points, each by the factors.
    constants : arguments that all points share. stop : when a point has enough replicates.
    """

    name: str
    subject: str
    subjects: tuple[str, ...]
    axes: Mapping[str, tuple[str, ...]]
    factors: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[Mapping[str, Any], ...] = ()
    sample: Sample | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    replicates: int = 3
    seed: int = 1
    metrics: tuple[str, ...] = ()
    stop: Stop | None = None
    experiment: str = ""
    source: str = "study"
    """The file that errors name."""

    def error(self, problem: str) -> UserError:
        """The error for something in this study."""
        return UserError(f"{self.source}: {problem}")


def read_study(source: str | os.PathLike[str] | Mapping[str, Any] | Study) -> Study:
    """A study of a YAML file, of a mapping with the same fields, or as it is.

    Raises UserError with one line that names file, field, value and what is allowed.
    """
    if isinstance(source, Study):
        return source
    if isinstance(source, Mapping):
        return _Reader("study", None).study(dict(source))
    path = Path(source)
    return _Reader(os.fspath(path), path.parent).study(read_yaml(path, "a study"))


class _Reader:
    """Checks the fields of one study."""

    def __init__(self, source: str, directory: Path | None) -> None:
        self.source = source
        self.directory = directory

    def error(self, field_name: str, value: object, allowed: str) -> UserError:
        return UserError(
            f"{self.source}: {field_name} = {value!r} is not allowed; allowed: {allowed}"
        )

    def study(self, given: Any) -> Study:
        if not isinstance(given, dict) or not given:
            raise self.error("study", given, "a mapping of fields")
        given = dict(given)
        subject, subjects = self.subjects(given)
        experiment = given.pop("experiment", "")
        if experiment and experiment not in EXPERIMENTS:
            raise UserError(f"{self.source}: {unknown_name('experiment', experiment, EXPERIMENTS)}")
        if experiment and EXPERIMENTS[experiment].subject != subject:
            other = _SUBJECTS[EXPERIMENTS[experiment].subject]
            raise UserError(f"{self.source}: experiment {experiment} compares {other}")
        factors = self.mapping("factors", given.pop("factors", {}))
        points = self.points(given.pop("points", []))
        sample = read_sample(given.pop("sample", None), factors, self.source)
        if sample is None:
            factors = {n: self.names(f"factors.{n}", v, anything=True) for n, v in factors.items()}
        taken = {*factors, *(name for point in points for name in point)}
        axes = {name: self.axis(given, name, many, subject, taken) for name, many in _AXES.items()}
        common = {
            name: self.count(name, given.pop(name, default))
            for name, default in (("replicates", 3), ("seed", 1))
        }
        name = given.pop("name", Path(self.source).stem)
        if not isinstance(name, str) or not name:
            raise self.error("name", name, "a text")
        metrics = self.names("metrics", given.pop("metrics", []), empty=True)
        stop = read_stop(given.pop("stop", None), subjects, self.source)
        for key, value in given.items():
            if isinstance(value, dict) or (isinstance(value, list) and key not in ("amounts",)):
                raise self.error(key, value, "one value; what varies is among the factors")
            if key in taken:
                raise UserError(f"{self.source}: {key} is given twice, once among the factors")
        machines = tuple(self.machine(text) for text in axes["machine"])
        return Study(
            name, subject, subjects, {**axes, "machine": machines}, factors, points, sample, given,
            common["replicates"], common["seed"], metrics, stop, experiment, self.source,
        )  # fmt: skip

    def subjects(self, given: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
        """What is compared."""
        found = [
            (one, key)
            for one, many in _SUBJECTS.items()
            for key in (many, one)
            # layouts that a named lookup finds: `design` is a parameter of theirs
            if key in given and not (key == "design" and "layouts" in given)
        ]
        if len(found) != 1:
            known = ", ".join([*_SUBJECTS.values()])
            given_too = "none of them" if not found else "more than one of them"
            raise UserError(f"{self.source}: give one of {known}; there is {given_too}")
        subject, key = found[0]
        names = self.names(key, given.pop(key))
        self.known(subject, names)
        return subject, names

    def known(self, subject: str, names: Sequence[str]) -> None:
        """Refuse designs or layouts that there are not."""
        from cgsim.designs import get_design
        from cgsim.percpu import get_layout

        for name in names:
            try:
                (get_design if subject == "design" else get_layout)(name)
            except UserError as error:
                raise UserError(f"{self.source}: {error}") from None

    def axis(
        self, given: dict[str, Any], one: str, many: str, subject: str, taken: set[str]
    ) -> tuple[str, ...]:
        """The values of machine, kernel or workload."""
        keys = [key for key in (one, many) if key in given]
        if len(keys) + (one in taken) > 1:
            raise UserError(f"{self.source}: {one} is given twice; give it once")
        if keys:
            return self.names(keys[0], given.pop(keys[0]))
        if one in taken or one not in _DEFAULTS or (one == "workload" and subject == "layout"):
            return ()
        return (_DEFAULTS[one],)

    def names(
        self, field_name: str, value: Any, *, anything: bool = False, empty: bool = False
    ) -> tuple[Any, ...]:
        """A list of different texts (or of plain values, with `anything`), or one of them."""
        items = value if isinstance(value, list | tuple) else [value]
        kinds = (str, int, float, bool) if anything else (str,)
        allowed = "different plain values" if anything else "different names"
        if not (items or empty) or not all(isinstance(item, kinds) for item in items):
            raise self.error(field_name, value, f"a list of {allowed}")
        if len({(type(item), item) for item in items}) != len(items):
            raise self.error(field_name, value, f"a list of {allowed}")
        return tuple(items)

    def mapping(self, field_name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.error(field_name, value, "a mapping from names to values")
        return dict(value)

    def points(self, value: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(value, list):
            raise self.error("points", value, "a list of mappings")
        return tuple(self.mapping(f"points[{n}]", point) for n, point in enumerate(value))

    def count(self, name: str, value: Any) -> int:
        try:
            return int(COMMON[name].check(self.source, name, value))
        except UserError as error:
            raise UserError(str(error)) from None

    def machine(self, text: str) -> str:
        """A machine's name, or its path, which may be relative to the study's file."""
        if self.directory is not None and text.endswith((".yml", ".yaml")):
            beside = self.directory / text
            if beside.is_file():
                return os.fspath(beside)
        return text
