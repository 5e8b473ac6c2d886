"""What a workload is: validated parameters for people, turned into a `Stream` for the engine."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from cgsim.core.rng import random_permutation
from cgsim.errors import UserError, out_of_range
from cgsim.limits import Range

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

LINE_BYTES = 64

COLUMNS = (
    "cgroup", "key", "actor", "act", "hot_lines", "cold_lines", "instructions", "idle_ns",
)  # fmt: skip
"""The rows of `Stream.rows`, in order."""

PLACEMENT = 1
"""Random stream that decides which cgroup an actor is in."""

FIRST_STREAM = 16
"""Random streams from here on belong to the generators."""

STREAMS_PER_CPU = 32
"""Each CPU's generator has so many random streams."""

MAX_CPUS = 64


def quantity(unit: str, low: float, high: float) -> Any:
    """A parameter that is a finite number of `unit` in [low, high]."""
    return field(metadata={"unit": unit, "range": Range(low, high, whole=False)})


def count(unit: str, low: float, high: float) -> Any:
    """A parameter that is a whole number of `unit` in [low, high]."""
    return field(metadata={"unit": unit, "range": Range(low, high)})


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
    """The file that it was loaded from, without directory and suffix."""
    title: str
    reach: ClassVar[str]
    """'skb': through a packet's socket. 'current': through the running task."""
    rcu_held: ClassVar[bool]
    """The caller is within rcu_read_lock already."""
    changes_cgroups: ClassVar[bool] = False
    """Whether data, or cgroups, come and go."""

    def __post_init__(self) -> None:
        for item in fields(self):
            allowed = item.metadata.get("range")
            if allowed is None:
                continue
            value = getattr(self, item.name)
            if not allowed.holds(value):
                raise self.refuse(item.name, f"{allowed} {item.metadata['unit']}")
            object.__setattr__(self, item.name, int(value) if allowed.whole else float(value))
        self.check()

    def refuse(self, name: str, allowed: str) -> UserError:
        """The error for this workload's value of a field."""
        return out_of_range(f"workload {self.name}", name, getattr(self, name), allowed)

    @classmethod
    def follow(cls, values: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
        """The values, those that were not given made to fit those that were."""
        return values

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""

    def rows_for(self, lookups: int) -> int:
        """Rows with about so many lookups among them."""
        return lookups

    def choice(self, name: str, allowed: Sequence[str]) -> None:
        """Raise `UserError` if a field is not one of these names."""
        if getattr(self, name) not in allowed:
            raise self.refuse(name, ", ".join(allowed))


def units(model: type[Workload]) -> dict[str, str]:
    """Unit of each parameter of a kind of workload, in order."""
    return {item.name: item.metadata["unit"] for item in fields(model) if item.metadata}


def values(workload: Workload) -> dict[str, Any]:
    """Value of each parameter of a workload, in order."""
    return {name: getattr(workload, name) for name in units(type(workload))}


class Second(NamedTuple):
    """Where the clients' part of a surrounding begins, behind the packets'.

    first_actor : the actors from it on are tasks, those before it sockets. hot_bytes, ring_bytes :
    of the packets. programs : of a hook, at least.
    """

    first_actor: int
    hot_bytes: int
    ring_bytes: int
    programs: int


class Surrounding(NamedTuple):
    """What the engine must build around the lookups of a workload.

    actors : int64[n], the cgroup of each socket or task. hot_bytes : working set of other code.
    ring_bytes : what other code streams through. parents : int64[n_cgroups], the parent of each
    cgroup, -1 for the root. second : None where all actors are sockets or all are tasks.
    """

    actors: np.ndarray
    hot_bytes: int
    ring_bytes: int
    parents: np.ndarray
    second: Second | None = None


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows of some CPUs: what each looks up, and what its caches and clock see in between.

    What lies between two rows belongs to the later one. Columns (`COLUMNS`): cgroup : whose datum,
    in range(n_cgroups); key : in range(n_keys); actor : the socket or task through which the cgroup
    is reached; act : see `cgsim.workloads.acts`; hot_lines : lines of other code's own working set
    that are touched before, the same ones each time; cold_lines : lines touched before, each time
    the next ones of a ring; instructions : of other code before; idle_ns : time before in which the
    CPU does nothing.
    """

    rows: np.ndarray
    """int64[len(COLUMNS), n], one CPU after the other."""
    starts: np.ndarray
    """int64[cpus + 1]: where each CPU's rows begin, and where the last one's end."""

    @property
    def cpus(self) -> int:
        """CPUs that play it."""
        return self.starts.size - 1

    def column(self, name: str) -> np.ndarray:
        """A column, int64[n]."""
        return self.rows[COLUMNS.index(name)]

    def __len__(self) -> int:
        return self.rows.shape[1]


def check_request(n_lookups: object, seed: object) -> tuple[int, int]:
    """Both as int; raises `UserError` if they are not a count and a seed."""
    n = int(Range(1, 1 << 30).check("stream", "n_lookups", n_lookups))
    return n, int(Range(0, (1 << 63) - 1).check("stream", "seed", seed))


# --- the tree ---


def parents_of(n_cgroups: int, children: int) -> np.ndarray:
    """The parent of each cgroup, int64[n_cgroups], -1 for the root: a tree filled level by level.

    children : of each cgroup that has any.
    """
    parents = (np.arange(n_cgroups, dtype=np.int64) - 1) // children
    parents[0] = -1
    return parents


def leaves_of(n_cgroups: int, children: int) -> np.ndarray:
    """The cgroups without children, where processes may be: int64[n]."""
    first = max(-(-(n_cgroups - 1) // children), 0)
    return np.arange(first, n_cgroups, dtype=np.int64)


def place_actors(n_actors: int, n_occupied: int, leaves: np.ndarray, seed: int) -> np.ndarray:
    """The cgroup of each actor, int64[n_actors].

    Actors are dealt in turn to `n_occupied` of the leaves, which are chosen at random.
    """
    occupied = leaves[random_permutation(leaves.size, seed, PLACEMENT)[:n_occupied]]
    return occupied[np.arange(n_actors) % n_occupied]
