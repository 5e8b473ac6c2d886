"""The model's own error: what data/validation/errors.yml says of measurements nearest to a figure.

A family is a kind of lookups that were measured natively and predicted. What was not measured, a
design or a machine, is given the nearest family's error, and is said to be not measured.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.strict_yaml import read_yaml

if TYPE_CHECKING:
    from cgsim.machines import Machine


@dataclass(frozen=True)
class Family:
    """Errors of one kind of measured lookups, as shares; see the file's head."""

    name: str
    what: str
    rows: int
    median: float
    ninetieth: float
    low: float
    high: float
    pairs: int
    pair_ninetieth: float
    pair_floor_ns: float
    ordered_pairs: int
    ordered: float

    def of_difference(self, larger_ns: float) -> float:
        """The error of a difference of two costs, the larger of which is given (ns)."""
        return max(self.pair_floor_ns, self.pair_ninetieth * larger_ns)

    def interval(self, low_ns: float, high_ns: float) -> tuple[float, float]:
        """Where nine of ten measured values would lie, given a prediction's own interval.

        Small figures are no better known than by `pair_floor_ns`.
        """
        ns, floor = (low_ns + high_ns) / 2, self.pair_floor_ns
        low = min(max(low_ns, 0.0) / (1 + self.high), ns - floor)
        return max(low, 0.0), max(high_ns / (1 + self.low), ns + floor)


@dataclass(frozen=True)
class Errors:
    """The file: on which machine was measured, which designs, and the families by name."""

    machine: str
    source: str
    designs: tuple[str, ...]
    families: dict[str, Family]

    def measured(self, design: str, machine: str) -> bool:
        """Whether figures of this design on this machine were measured."""
        return machine == self.machine and design in self.designs


@cache
def model_errors() -> Errors:
    """The file that comes with the package; raises UserError if it cannot be read."""
    path = data_path("validation", "errors.yml")
    document: Any = read_yaml(path, "the model's errors")
    try:
        families = [Family(**{f.name: each[f.name] for f in fields(Family)})
                    for each in document["families"]]  # fmt: skip
        return Errors(
            document["machine"],
            document["source"],
            tuple(document["measured_designs"]),
            {family.name: family for family in families},
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a file of errors: {error} is missing or unknown") from None


def nearest_family(machine: Machine, mode: str, between_bytes: float = 0.0) -> Family:
    """The family nearest to lookups of a mode, with so much touched by other code in between."""
    families = model_errors().families
    if mode in families:
        return families[mode]
    levels = [level.size_bytes for level in machine.caches]
    if between_bytes <= levels[0] / 2:
        return families["isolated, L1"]
    return families["isolated, L2" if between_bytes <= levels[1] else "isolated, beyond L2"]


def family_of(row: Any, machine: Machine | None = None) -> Family:
    """The measurements nearest to a row; `machine` where the row's is not one of the package's."""
    model = machine or load_machine(str(row["machine"]))
    between = row["between_bytes"] if row["mode"] == "workload" else row["footprint_bytes"]
    return nearest_family(model, str(row["mode"]), float(between))
