"""Try every interleaving of an interface's actors, and say which properties do not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cgsim.interface.checker.search import (
    DEFAULT_STATES,
    Exploration,
    Step,
    Violation,
    explore_model,
)
from cgsim.interface.interfaces import INTERFACES, Interface, get_interface, model_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Explored:
    """All scenarios of one interface."""

    interface: Interface
    scenarios: tuple[Exploration, ...]

    @property
    def name(self) -> str:
        """The interface's name."""
        return self.interface.name

    @property
    def states(self) -> int:
        """Distinct states, over all scenarios."""
        return sum(scenario.states for scenario in self.scenarios)

    @property
    def complete(self) -> bool:
        """Whether every scenario was searched to its end."""
        return all(scenario.complete for scenario in self.scenarios)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Of each scenario and property the shortest schedule, shortest first."""
        found = [violation for scenario in self.scenarios for violation in scenario.violations]
        return tuple(sorted(found, key=lambda v: (len(v.schedule), v.property, v.scenario)))

    @property
    def shortest(self) -> dict[str, Violation]:
        """Of each property that does not hold, the shortest schedule of all scenarios."""
        found: dict[str, Violation] = {}
        for violation in self.violations:
            found.setdefault(violation.property, violation)
        return found

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "interface": self.name,
            "states": self.states,
            "complete": self.complete,
            "violations": [
                {
                    "property": violation.property,
                    "scenario": violation.scenario,
                    "schedule": [_record(step) for step in violation.schedule],
                }
                for violation in self.violations
            ],
            "scenarios": [
                {
                    "scenario": scenario.scenario,
                    "states": scenario.states,
                    "complete": scenario.complete,
                    "bound": scenario.bound,
                    "depth": scenario.depth,
                    "violations": [violation.property for violation in scenario.violations],
                }
                for scenario in self.scenarios
            ],
        }


def _record(step: Step) -> dict[str, str]:
    return {"actor": step.actor, "does": step.does, "where": step.where}


def explore(
    interfaces: Sequence[str] = (),
    *,
    actors: Sequence[str] = (),
    states: int = DEFAULT_STATES,
    seed: str = "",
) -> list[Explored]:
    """Search interfaces for schedules that violate a property.

    Parameters
    ----------
    interfaces : names; none: all
    actors : roles that run beside each other, one scenario; none: each interface's own scenarios
    states : the most that a scenario's search visits
    seed : a fault to build in, of `SEEDS`

    Raises UserError for an unknown name or a bad number.
    """
    chosen = [get_interface(name) for name in interfaces or INTERFACES]
    found = []
    for interface in chosen:
        scenarios = {"given actors": tuple(actors)} if actors else interface.scenarios
        flags: dict[str, Any] = {"SEED": seed} if seed else {}
        found.append(
            Explored(
                interface,
                tuple(
                    explore_model(model_of(interface, roles, **flags), scenario=name, states=states)
                    for name, roles in scenarios.items()
                ),
            )
        )
    return found


SEEDS = {
    "cgroup-priv": ("no grace period", "no use after free"),
    "cgroup-priv-kref": ("get from zero", "no reference from zero"),
    "registered-type": ("table freed at once", "no use after free"),
    "cgroup-buf": ("no grace period", "no use after free"),
    "map-storage": ("both free", "no double free"),
}
"""A fault that can be built into each, and the property that it breaks: a check of the explorer."""
