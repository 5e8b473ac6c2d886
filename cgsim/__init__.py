"""cgsim: what a lookup of per-cgroup private data costs, simulated access for access.

The public functions are loaded when they are first used, so that `import cgsim` is quick::

    import cgsim

    cgsim.list_designs()
    frame = cgsim.simulate("idr", "zen5-vm", "network", n_keys=8)
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError

if TYPE_CHECKING:
    from cgsim.designs import list_designs
    from cgsim.experiments.attribution import attribute
    from cgsim.experiments.contention import contention
    from cgsim.experiments.counters import counters, update_cost
    from cgsim.experiments.in_workload import simulate
    from cgsim.experiments.lookups import lookup_cost
    from cgsim.experiments.packets import packet_budget
    from cgsim.experiments.recommend import recommend
    from cgsim.experiments.summary import summarise
    from cgsim.experiments.upkeep import upkeep
    from cgsim.machines import list_machines, load_machine
    from cgsim.report.build import build_report
    from cgsim.scenarios.trace import trace
    from cgsim.studies.compare import compare
    from cgsim.studies.run import sweep
    from cgsim.trace_replay.replay import replay, replay_file
    from cgsim.validation.host.calibrate import calibrate
    from cgsim.validation.measure import measure
    from cgsim.workloads import list_workloads, load_workload

_HOMES = {
    "attribute": "cgsim.experiments.attribution",
    "build_report": "cgsim.report.build",
    "calibrate": "cgsim.validation.host.calibrate",
    "contention": "cgsim.experiments.contention",
    "compare": "cgsim.studies.compare",
    "counters": "cgsim.experiments.counters",
    "list_designs": "cgsim.designs",
    "list_machines": "cgsim.machines",
    "list_workloads": "cgsim.workloads",
    "load_machine": "cgsim.machines",
    "load_workload": "cgsim.workloads",
    "lookup_cost": "cgsim.experiments.lookups",
    "measure": "cgsim.validation.measure",
    "packet_budget": "cgsim.experiments.packets",
    "recommend": "cgsim.experiments.recommend",
    "replay": "cgsim.trace_replay.replay",
    "replay_file": "cgsim.trace_replay.replay",
    "simulate": "cgsim.experiments.in_workload",
    "summarise": "cgsim.experiments.summary",
    "sweep": "cgsim.studies.run",
    "trace": "cgsim.scenarios.trace",
    "update_cost": "cgsim.experiments.counters",
    "upkeep": "cgsim.experiments.upkeep",
}

__version__ = "0.1.0"
__all__ = [
    "UserError",
    "__version__",
    "attribute",
    "build_report",
    "calibrate",
    "compare",
    "contention",
    "counters",
    "list_designs",
    "list_machines",
    "list_workloads",
    "load_machine",
    "load_workload",
    "lookup_cost",
    "measure",
    "packet_budget",
    "plot",
    "recommend",
    "replay",
    "replay_file",
    "simulate",
    "summarise",
    "sweep",
    "trace",
    "update_cost",
    "upkeep",
]


class _Package(ModuleType):
    """The package's own type, for names that are both a module's and a function's."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute, but for the import system binding `cgsim.simulate` to the module."""
        if not (isinstance(value, ModuleType) and name in _HOMES):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Load a public function from its module, or the module of figures, on first use."""
    if name == "plot":
        return import_module("cgsim.plot")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
