"""What a number may be: the one check of ranges, for every door by which numbers come in.

Python's arguments, the command line's, machine and workload files and notebook parameters all ask
here, so that a refusal reads alike wherever it comes from.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, NamedTuple

from cgsim.errors import out_of_range

if TYPE_CHECKING:
    from collections.abc import Iterable


class Range(NamedTuple):
    """Numbers of [low, high]; only whole ones if `whole`."""

    low: float
    high: float
    whole: bool = True

    def __str__(self) -> str:
        """As errors name it: "a whole number of 1..64"."""
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} of {_plain(self.low)}..{_plain(self.high)}"

    def holds(self, value: object) -> bool:
        """Whether a value is such a number; True and False are none, nor are 2.0 or NaN whole."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        return self.low <= value <= self.high  # type: ignore[operator]

    def check(self, where: str, name: str, value: object) -> int | float:
        """The value as int or float; UserError, in the name of `where`, if it is no such number."""
        if not self.holds(value):
            raise out_of_range(where, name, value, str(self))
        return int(value) if self.whole else float(value)  # type: ignore[call-overload, arg-type]


def _plain(bound: float) -> str:
    return str(int(bound)) if math.isfinite(bound) and bound == int(bound) else f"{bound:g}"


COMMON = {
    "cpus": Range(1, 8192),
    "footprint_bytes": Range(0, 1 << 28),
    "lookups": Range(10, 10**9),
    "n_cgroups": Range(1, 1 << 21),
    "n_keys": Range(1, 1 << 20),
    "packets": Range(10, 10**7),
    "replicates": Range(1, 10**4),
    "samples": Range(1, 10**4),
    "seed": Range(0, 1 << 62),
    "threads": Range(1, 1024),
}
"""What these parameters may be wherever they are asked for; a design or machine may allow less."""


def check_common(where: str, **values: object) -> None:
    """Raise UserError for a value outside of what `COMMON` says of its name."""
    for name, value in values.items():
        COMMON[name].check(where, name, value)


def check_switches(where: str, **values: object) -> None:
    """Raise UserError for a value that is not true or false (numpy's are, too)."""
    for name, value in values.items():
        if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
            raise out_of_range(where, name, value, "true or false")


def check_choice(where: str, name: str, value: object, allowed: Iterable[str]) -> None:
    """Raise UserError for a value that is none of the allowed names."""
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        raise out_of_range(where, name, value, " or ".join(names))
