"""Points: small records of what to compute, and the experiments that compute them.

A point names an experiment (a public function that returns a tidy frame) and its arguments, plain
values all of them, for one seed. It travels as such to whatever process computes it, and its key
in the store is a hash of it. Machines and designs go by name; a value of a machine is replaced by
an argument named after it, as `machine.memory.local_ns`; `machine.cpus` cuts it to so many CPUs.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from cgsim.errors import UserError, unknown_name
from cgsim.limits import Range
from cgsim.machines import Machine, load_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MACHINE_PREFIX = "machine."
MACHINE_CPUS = "machine.cpus"
_PER_RUN = ("replicates", "threads")


class Experiment(NamedTuple):
    """A function that computes points. `subject`: the argument that is compared, "" for none."""

    module: str
    function: str
    subject: str


EXPERIMENTS = {
    "simulate": Experiment("cgsim.experiments.in_workload", "simulate", "design"),
    "lookup_cost": Experiment("cgsim.experiments.lookups", "lookup_cost", "design"),
    "upkeep": Experiment("cgsim.experiments.upkeep", "upkeep", "design"),
    "update_cost": Experiment("cgsim.experiments.counters", "update_cost", "layout"),
    "read_cost": Experiment("cgsim.experiments.counters", "read_cost", "layout"),
    "lifetime_cost": Experiment("cgsim.experiments.counters", "lifetime_cost", "layout"),
    "packet_cost": Experiment("cgsim.interface.cost", "packet_cost", ""),
}
"""By name: that of the function."""


class Point(NamedTuple):
    """One seed of a point of a study: `arguments` are (name, plain value), sorted by name."""

    experiment: str
    arguments: tuple[tuple[str, Any], ...]

    @property
    def values(self) -> dict[str, Any]:
        """The arguments by name."""
        return dict(self.arguments)

    def to_json(self) -> str:
        """The arguments as canonical JSON."""
        return json.dumps(self.values, sort_keys=True, separators=(",", ":"))

    def __str__(self) -> str:
        """As an error names it."""
        return f"{self.experiment}({', '.join(f'{k}={v!r}' for k, v in self.arguments)})"


def is_plain(value: Any) -> bool:
    """Whether a value can be an argument of a point."""
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))


def make_point(experiment: str, arguments: Mapping[str, Any]) -> Point:
    """A point of some arguments; those that are the function's own defaults go without saying.

    Lists become tuples, so that a point can be a key.
    """
    plain = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in arguments.items()
        if name == "seed" or default_of(experiment, name) != value
    }
    return Point(experiment, tuple(sorted(plain.items())))


def function_of(experiment: str) -> Callable[..., Any]:
    """The function of an experiment."""
    home = EXPERIMENTS[experiment]
    return getattr(import_module(home.module), home.function)


@functools.cache
def parameter_names(experiment: str) -> frozenset[str]:
    """The names that the arguments of a point may have, without those of a workload."""
    signature = _signature(experiment).parameters.values()
    names = {p.name for p in signature if p.kind is not p.VAR_KEYWORD}
    return frozenset(names - set(_PER_RUN))


@functools.cache
def _signature(experiment: str) -> inspect.Signature:
    return inspect.signature(function_of(experiment))


def default_of(experiment: str, name: str) -> Any:
    """The default of a parameter; `inspect.Parameter.empty` if it has none."""
    parameter = _signature(experiment).parameters.get(name)
    return inspect.Parameter.empty if parameter is None else parameter.default


def arguments_of(
    experiment: str, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name."""
    values = dict(_signature(experiment).bind(*arguments, **named).arguments)
    for parameter in _signature(experiment).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            values |= values.pop(parameter.name, {})
    return values


def play(point: Point) -> list[dict[str, Any]]:
    """Compute a point; its rows as plain values, without the replicate's number.

    Raises UserError, in the name of the point, for arguments that do not go together.
    """
    values = point.values
    try:
        machine = machine_of(values)
        plain = {n: v for n, v in values.items() if not n.startswith(MACHINE_PREFIX)}
        frame = function_of(point.experiment)(**{**plain, "machine": machine}, replicates=1)
    except UserError as error:
        raise UserError(f"{point}: {error}") from None
    return frame.drop(columns="replicate", errors="ignore").to_dict("records")


def machine_of(values: Mapping[str, Any]) -> Machine:
    """The machine of a point's arguments, with the values that they replace."""
    machine = load_machine(values["machine"])
    given = {n: v for n, v in values.items() if n.startswith(MACHINE_PREFIX)}
    cpus = given.pop(MACHINE_CPUS, None)
    for name, value in given.items():
        machine = _replaced(machine, name, name.split(".")[1:], value)
    return machine if cpus is None else with_cpus(machine, cpus)


def _replaced(node: Any, name: str, path: list[str], value: Any) -> Any:
    """A copy of nested dataclasses with one number in it replaced."""
    first, *rest = path
    if isinstance(node, tuple) and not hasattr(node, "_fields"):
        # caches and TLBs are named levels
        names = [getattr(level, "name", str(number)) for number, level in enumerate(node)]
        if first not in names:
            raise unknown_name("value of a machine", name, _prefixed(name, first, names))
        at = names.index(first)
        return (*node[:at], _replaced(node[at], name, rest, value), *node[at + 1 :])
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        raise UserError(f"{name}: has no values below it")
    fields = [field.name for field in dataclasses.fields(node)]
    if first not in fields:
        raise unknown_name("value of a machine", name, _prefixed(name, first, fields))
    old = getattr(node, first)
    if rest:
        new = _replaced(old, name, rest, value)
    else:
        leaf = dataclasses.fields(node)[fields.index(first)].metadata.get("leaf")
        if leaf is None or leaf.names or not isinstance(old, (int, float)):
            raise UserError(f"{name} = {value!r}: is no number of the machine")
        new = Range(leaf.low, leaf.high, leaf.whole).check("machine", name, value)
    return dataclasses.replace(node, **{first: new})


def _prefixed(name: str, last: str, names: Iterable[str]) -> list[str]:
    """Names at the place of `last` within the dotted `name`."""
    head = name[: name.index(last)]
    return [head + other for other in names]


def with_cpus(machine: Machine, cpus: int) -> Machine:
    """The machine cut to so many CPUs: whole sockets if they are more than one has.

    Raises UserError for more than it has, or no whole number of sockets.
    """
    topology = machine.topology
    per_socket = topology.cores_per_socket * topology.threads_per_core
    whole = isinstance(cpus, int) and not isinstance(cpus, bool) and 1 <= cpus <= machine.n_cpus
    if not whole or (cpus > per_socket and cpus % per_socket):
        sockets = "" if topology.sockets == 1 else f", above {per_socket} multiples of it"
        raise UserError(
            f"machine {machine.name}: cpus = {cpus!r} is not allowed; "
            f"allowed: a whole number of 1..{machine.n_cpus}{sockets}"
        )
    if cpus >= per_socket:
        cut = dataclasses.replace(topology, sockets=cpus // per_socket)
    else:
        threads = topology.threads_per_core if cpus % topology.threads_per_core == 0 else 1
        cut = dataclasses.replace(
            topology, sockets=1, threads_per_core=threads, cores_per_socket=cpus // threads
        )
    return dataclasses.replace(machine, topology=cut)
