"""From a study to its points: what each is asked for, checked before anything runs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cgsim.errors import UserError, unknown_name
from cgsim.limits import COMMON, Range, check_switches
from cgsim.studies.points import (
    MACHINE_CPUS,
    MACHINE_PREFIX,
    Point,
    machine_of,
    make_point,
    parameter_names,
)
from cgsim.studies.sampling import draw
from cgsim.studies.spec import ALONE, Study

_SWITCHES = ("aged", "prefetch_next_line")


class LeftOut(NamedTuple):
    """A point that a design cannot be at, with the reason."""

    design: str
    n_keys: int
    reason: str


@dataclass(frozen=True)
class Case:
    """One point of the study with one design or layout: all but the seed.

    factors : the values that vary, as the study names them.
    """

    number: int
    subject: str
    experiment: str
    arguments: tuple[tuple[str, Any], ...]
    factors: tuple[tuple[str, Any], ...]

    def replicate(self, seed: int) -> Point:
        """The point of one seed."""
        return make_point(self.experiment, {**dict(self.arguments), "seed": seed})


@dataclass(frozen=True)
class Plan:
    """The cases of a study in the order of its table, and those that are not possible."""

    study: Study
    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]


def plan_study(study: Study) -> Plan:
    """All cases of a study, checked.

    Raises UserError, in the name of the study's file, for an argument that does not exist or whose
    value is not allowed.
    """
    cases = []
    left_out = {}
    for number, (settings, factors) in enumerate(_settings(study)):
        experiment = _experiment(study, settings)
        for name in study.subjects:
            try:
                arguments = _arguments(study, experiment, {study.subject: name, **settings})
                reason = _impossible(study.subject, name, arguments)
                if not reason:
                    _check(experiment, arguments)
            except UserError as error:
                raise study.error(str(error)) from None
            if reason:
                left_out[name, arguments["n_keys"]] = LeftOut(name, arguments["n_keys"], reason)
                continue
            ordered = tuple(sorted(arguments.items()))
            cases.append(Case(number, name, experiment, ordered, tuple(factors.items())))
    if not cases:
        raise study.error("none of its points is possible for any of its designs")
    return Plan(study, tuple(cases), tuple(left_out.values()))


def _settings(study: Study) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each point's arguments but for the design, and those among them that vary."""
    axes = {name: values for name, values in study.axes.items() if values}
    varied: list[dict[str, Any]]
    if study.sample is not None:
        varied = draw(study.sample, study.factors)
    else:
        grid = itertools.product(*study.factors.values())
        varied = [dict(zip(study.factors, values, strict=True)) for values in grid]
    for values in itertools.product(*axes.values()):
        setting = dict(zip(axes, values, strict=True))
        for given in study.points or ({},):
            for factors in varied:
                changes = {**given, **factors}
                yield {**setting, **study.constants, **changes}, changes


def _experiment(study: Study, settings: Mapping[str, Any]) -> str:
    """The experiment of a point."""
    if study.experiment:
        return study.experiment
    if study.subject == "layout":
        return "update_cost"
    return "lookup_cost" if settings.get("workload") == ALONE else "simulate"


def _arguments(study: Study, experiment: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What the experiment is given; raises UserError for a name that it does not know."""
    settings = dict(settings)
    names = parameter_names(experiment)
    if experiment != "simulate" and "workload" not in names:
        settings.pop("workload", None)
    if experiment == "lookup_cost" and "modes" not in settings:
        # a footprint lies before lookups that stand alone
        usual = "isolated" if "footprint_bytes" in settings else "dependent"
        settings["modes"] = (settings.pop("mode", usual),)
    fields = frozenset[str]()
    if experiment == "simulate":
        fields = _workload_fields(str(settings["workload"]))
    if "cpus" in settings and "cpus" not in names | fields:
        settings[MACHINE_CPUS] = settings.pop("cpus")
    for name in settings:
        if name.startswith(MACHINE_PREFIX) or name in names:
            continue
        allowed = set(names | fields)
        allowed -= {"seed", "modes", study.subject}
        if name not in allowed:
            allowed |= {"mode"} if experiment == "lookup_cost" else set()
            raise unknown_name(f"parameter of {experiment}", name, allowed | {"cpus"})
    return settings


@functools.cache
def _workload_fields(name: str) -> frozenset[str]:
    from cgsim.workloads import load_workload
    from cgsim.workloads.base import values

    return frozenset(values(load_workload(name)))


def _impossible(subject: str, name: str, arguments: Mapping[str, Any]) -> str:
    """Why a design cannot be at a point; empty if it can."""
    n_keys = arguments.get("n_keys")
    if subject != "design" or not isinstance(n_keys, int):
        return ""
    from cgsim.designs import get_design

    most = get_design(name).max_keys
    return f"holds at most {most} keys" if n_keys > most else ""


def _check(experiment: str, arguments: dict[str, Any]) -> None:
    """Raise UserError for a value that is not allowed, as far as that is known beforehand."""
    from cgsim.kernel import kernel_versions

    _check_machine(
        arguments["machine"],
        tuple((n, v) for n, v in arguments.items() if n.startswith(MACHINE_PREFIX)),
    )
    if "cpus" in arguments:
        machine = machine_of(arguments)
        Range(1, machine.n_cpus).check(f"machine {machine.name}", "cpus", arguments["cpus"])
    for name, value in arguments.items():
        if name in COMMON:
            COMMON[name].check(experiment, name, value)
        elif name in _SWITCHES:
            check_switches(experiment, **{name: value})
    kernel = arguments.get("kernel")
    if kernel is not None and kernel not in kernel_versions():
        raise unknown_name("kernel", kernel, kernel_versions())
    if experiment == "simulate":
        own = parameter_names(experiment)
        fields = {
            name: value
            for name, value in arguments.items()
            if name not in own and not name.startswith(MACHINE_PREFIX)
        }
        _check_workload(arguments["workload"], tuple(sorted(fields.items())))
    if experiment == "lookup_cost":
        from cgsim.experiments.lookups import MODES

        for mode in arguments["modes"]:
            if mode not in MODES:
                raise unknown_name("mode", mode, MODES)


@functools.lru_cache(maxsize=4096)
def _check_machine(name: Any, values: tuple[tuple[str, Any], ...]) -> None:
    machine_of({"machine": name, **dict(values)})


@functools.lru_cache(maxsize=4096)
def _check_workload(name: str, fields: tuple[tuple[str, Any], ...]) -> None:
    from cgsim.workloads import load_workload

    load_workload(name, **dict(fields))
