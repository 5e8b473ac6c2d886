"""What a workload is: validated parameters for people, turned into a `Stream` for the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from cgsim.core.rng import random_permutation
from cgsim.errors import UserError, out_of_range

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_BYTES = 64

COLUMNS = ("cgroup", "key", "actor", "hot_lines", "cold_lines", "instructions", "idle_ns")
"""The arrays of a stream, in the order of the rows that a generator fills."""

PLACEMENT = 1
"""Random stream that decides which cgroup an actor is in."""

FIRST_STREAM = 16
"""Random streams from here on belong to the generators."""


class _Limits(NamedTuple):
    """What one parameter may be."""

    low: float
    high: float
    whole: bool


def quantity(unit: str, low: float, high: float) -> Any:
    """A parameter that is a finite number of `unit` in [low, high]."""
    return field(metadata={"unit": unit, "limits": _Limits(low, high, False)})


def count(unit: str, low: float, high: float) -> Any:
    """A parameter that is a whole number of `unit` in [low, high]."""
    return field(metadata={"unit": unit, "limits": _Limits(low, high, True)})


def structured(unit: str) -> Any:
    """A parameter of another form, which the workload's `check` validates; `unit` describes it."""
    return field(metadata={"unit": unit})


@dataclass(frozen=True)
class Workload:
    """Common part of all workloads.

    Numbers are checked against their range when an instance is made, then `check` sees to what
    involves several fields; both raise `UserError`.
    """

    name: str
    """The entry of data/workloads.yml that it was loaded from."""
    title: str
    reach: ClassVar[str]
    """As of a `Stream`."""
    rcu_held: ClassVar[bool]
    """As of a `Stream`."""

    def __post_init__(self) -> None:
        for item in fields(self):
            limits = item.metadata.get("limits")
            if limits is not None:
                value = self._number(item.name, item.metadata["unit"], limits)
                object.__setattr__(self, item.name, value)
        self.check()

    def _number(self, name: str, unit: str, limits: _Limits) -> int | float:
        """The value of a field as int or float, if it is within its limits."""
        value = getattr(self, name)
        allowed = f"{'a whole number' if limits.whole else 'a number'} of {limits.low:g}.."
        allowed += f"{limits.high:g} {unit}"
        if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
            raise self.refuse(name, allowed)
        number = float(value)
        if not limits.low <= number <= limits.high or (limits.whole and not number.is_integer()):
            raise self.refuse(name, allowed)
        return int(number) if limits.whole else number

    def refuse(self, name: str, allowed: str) -> UserError:
        """The error for this workload's value of a field."""
        return out_of_range(f"workload {self.name}", name, getattr(self, name), allowed)

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""


def units(model: type[Workload]) -> dict[str, str]:
    """Unit of each parameter of a kind of workload, in order."""
    return {item.name: item.metadata["unit"] for item in fields(model) if item.metadata}


def values(workload: Workload) -> dict[str, Any]:
    """Value of each parameter of a workload, in order."""
    return {name: getattr(workload, name) for name in units(type(workload))}


@dataclass(frozen=True, eq=False)
class Stream:
    """Lookups of one CPU in order, with what its caches and clock see between them.

    All arrays are int64[n]. What lies between two lookups belongs to the later one.
    """

    cgroup: np.ndarray
    """Whose datum is looked up, in range(n_cgroups)."""
    key: np.ndarray
    """The key it is looked up under, in range(n_keys)."""
    actor: np.ndarray
    """The socket or process through which the cgroup is reached, in range(n_actors)."""
    hot_lines: np.ndarray
    """Lines of other code's own working set that are touched before: the same ones each time."""
    cold_lines: np.ndarray
    """Lines touched before, each time the next ones of a ring of `ring_bytes`."""
    instructions: np.ndarray
    """Instructions of other code before."""
    idle_ns: np.ndarray
    """Time before in which the CPU does nothing (ns)."""
    n_cgroups: int
    n_keys: int
    n_actors: int
    actor_cgroup: np.ndarray
    """int64[n_actors]: the cgroup of each socket or process."""
    hot_bytes: int
    """Bytes of the working set that `hot_lines` is a part of."""
    ring_bytes: int
    rcu_held: bool
    """The caller is within rcu_read_lock already."""
    reach: str
    """'skb': skb->sk->cgroup; 'current': current->cgroups."""
    rate_per_s: float
    """Lookups per second on this CPU."""
    instructions_per_ns: float
    """Speed of the other code, by which `instructions` take time."""
    title: str
    parameters: dict[str, Any]
    sources: tuple[str, ...]
    """Where the values of the parameters come from."""

    def __len__(self) -> int:
        return self.cgroup.size


def check_request(n_lookups: object, seed: object) -> tuple[int, int]:
    """Both as int; raises `UserError` if they are not a count and a seed."""
    numbers = []
    for name, value, low, high in (
        ("n_lookups", n_lookups, 1, 1 << 30),
        ("seed", seed, 0, (1 << 63) - 1),
    ):
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            raise out_of_range("stream", name, value, f"a whole number of {low}..{high}")
        if not low <= value <= high:
            raise out_of_range("stream", name, value, f"a whole number of {low}..{high}")
        numbers.append(int(value))
    return numbers[0], numbers[1]


def place_actors(n_actors: int, n_occupied: int, n_cgroups: int, seed: int) -> np.ndarray:
    """The cgroup of each actor, int64[n_actors].

    Actors are dealt in turn to `n_occupied` of the cgroups, which are chosen at random.
    """
    occupied = random_permutation(n_cgroups, seed, PLACEMENT)[:n_occupied]
    return occupied[np.arange(n_actors) % n_occupied]


def mean_time_ns(columns: Mapping[str, np.ndarray], instructions_per_ns: float) -> float:
    """Mean time from one lookup to the next (ns)."""
    busy = float(columns["instructions"].mean()) / instructions_per_ns
    return max(busy + float(columns["idle_ns"].mean()), math.ulp(1.0))
