"""What the operations of a design's upkeep cost: the timed reading, each after other code."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.core.block_fields import C_ACCESSES, C_DRAIN, C_INSTRUCTIONS, C_RETIRE, CAUSES, TICKS
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.experiments.operations import GRACE, Stand, Step, lives
from cgsim.machines.system_spec import system_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.machines import Machine


class _Clock:
    """A machine that starts cold, and what operations cost on it."""

    def __init__(self, stand: Stand, machine: Machine) -> None:
        self.stand = stand
        self.system = System(system_spec(machine), stand.heap)
        self.space = Timed(stand.heap.mem, stand.heap.block, self.system.cpu())

    def cost(self, play: Callable[[Any], object]) -> np.ndarray:
        """float64[4 + causes] of one operation after other code.

        Ticks, ticks until its stores are done, instructions, accesses, ticks by cause.
        """
        self.stand.other_code(self.space)
        before = self._read()
        play(self.space)
        after = self._read()
        after[1] = max(self.system.field(C_DRAIN), after[0])
        return after - before

    def _read(self) -> np.ndarray:
        fields = (C_RETIRE, C_RETIRE, C_INSTRUCTIONS, C_ACCESSES)
        counted = [self.system.field(field) for field in fields]
        return np.array([*counted, *self.system.causes()], dtype=float)


class Times(NamedTuple):
    """Costs of an operation, a row each, and of freeing what all of them left waiting (ticks)."""

    rows: list[np.ndarray]
    deferred: list[float]


def time_lives(stand: Stand, machine: Machine, cgroups: int) -> dict[str, Times]:
    """The cost of each step in the lives of some cgroups; a first round only warms the machine."""
    clock = _Clock(stand, machine)
    n_keys = stand.population.keys.size
    for step in lives(cgroups, n_keys, stand.seed + 1):
        clock.cost(partial(stand.play, step=step))
    found: dict[str, Times] = {}
    for step in lives(cgroups, n_keys, stand.seed + 2):
        cost = clock.cost(partial(stand.play, step=step))
        times = found.setdefault(step.operation, Times([], []))
        if step.what == GRACE:
            times.deferred.append(float(cost[0]))
        else:
            times.rows.append(cost)
    return found


def time_drop(stand: Stand, machine: Machine, key: int) -> Times:
    """The cost of dropping a key, on a machine that has looked its data up once."""
    n_cgroups = stand.residents.size
    return _time_drop(stand, machine, key, partial(stand.drop, first=0, last=n_cgroups, key=key))


def time_drop_by_list(stand: Stand, machine: Machine, key: int) -> Times:
    """The cost of an owner that goes, on a machine that has looked its data up once."""
    return _time_drop(stand, machine, key, partial(stand.drop_by_list, key=key))


def _time_drop(stand: Stand, machine: Machine, key: int, play: Callable[[Any], object]) -> Times:
    """Designs with and without a list begin alike: an owner's drop cannot be played twice."""
    clock = _Clock(stand, machine)
    clock.cost(partial(stand.visit, key=key))
    cost = clock.cost(play)
    grace = clock.cost(partial(stand.play, step=Step("drop key", GRACE)))
    return Times([cost], [float(grace[0])])


def summed(times: Times, machine: Machine) -> dict[str, Any]:
    """The columns of an operation's costs."""
    rows = np.array(times.rows)
    cycles = rows[:, 0] / TICKS
    row: dict[str, Any] = {
        "operations": len(rows),
        "ns": machine.ns(float(cycles.mean())),
        "cycles": float(cycles.mean()),
        "p50_ns": machine.ns(float(np.quantile(cycles, 0.5))),
        "p99_ns": machine.ns(float(np.quantile(cycles, 0.99))),
        "max_ns": machine.ns(float(cycles.max())),
        "drained_ns": machine.ns(float(rows[:, 1].mean()) / TICKS),
        "instructions": float(rows[:, 2].mean()),
        "accesses": float(rows[:, 3].mean()),
        "deferred_ns": machine.ns(sum(times.deferred) / TICKS) / len(rows),
    }
    means = rows[:, 4:].mean(axis=0) / TICKS
    return row | {f"{name}_cycles": float(v) for name, v in zip(CAUSES, means, strict=True)}
