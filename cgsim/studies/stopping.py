"""When a point has enough replicates.

A study without a rule computes `replicates` of each. With one, replicates are added in rounds of
that number, to the points whose question is open, until the rule is met or something is spent. What
is computed follows from results alone, never from times, so the table is the same however it ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgsim.errors import UserError, unknown_name
from cgsim.studies.statistics import paired, relative_half_width

_FIELDS = ("width", "pair", "budget", "most_replicates")


@dataclass(frozen=True)
class Stop:
    """A rule: `width`, `pair` or both; what is spent is a budget of rows or of replicates.

    width : a design's 95 % interval of ns may reach so far from its mean, as a share of it. pair :
    two designs whose order must be known, or be known to differ by less than `width` (or 1 %).
    budget : rows of the whole study. most_replicates : of each point.
    """

    width: float | None
    pair: tuple[str, str] | None
    budget: int | None
    most_replicates: int

    def met(self, costs: Mapping[str, np.ndarray]) -> bool:
        """Whether a point has enough; `costs`: design -> ns by replicate."""
        if self.width is not None and self.pair is None:
            return all(relative_half_width(values) <= self.width for values in costs.values())
        if self.pair is not None:
            first, second = self.pair
            if first not in costs or second not in costs:
                return True
            level = self.width if self.width is not None else 0.01
            return paired(costs[first], costs[second], level=level).verdict != "undecided"
        return True


def read_stop(given: Any, subjects: Sequence[str], source: str) -> Stop | None:
    """The field `stop`; None if there is none."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise UserError(
            f"{source}: stop = {given!r} is not allowed; allowed: a mapping of {', '.join(_FIELDS)}"
        )
    for key in given:
        if key not in _FIELDS:
            raise UserError(f"{source}: stop: {unknown_name('field', key, _FIELDS)}")
    width, pair = given.get("width"), given.get("pair")
    if width is None and pair is None:
        raise UserError(f"{source}: stop: give width, pair or both")
    if width is not None:
        number = isinstance(width, (int, float)) and not isinstance(width, bool)
        if not number or not 0 < width < 1:
            raise _refusal(source, "width", width, "a share above 0 and below 1")
    if pair is not None:
        two = isinstance(pair, list | tuple) and len(pair) == 2 and pair[0] != pair[1]
        if not two or not set(pair) <= set(subjects):
            raise _refusal(source, "pair", pair, f"two of {', '.join(subjects)}")
    counts = {"budget": given.get("budget"), "most_replicates": given.get("most_replicates", 30)}
    for name, value in counts.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not whole and not (name == "budget" and value is None):
            raise _refusal(source, name, value, "a whole number from 1 on")
    return Stop(
        None if width is None else float(width),
        None if pair is None else (str(pair[0]), str(pair[1])),
        counts["budget"],
        int(counts["most_replicates"]),
    )


def _refusal(source: str, name: str, value: Any, allowed: str) -> UserError:
    return UserError(f"{source}: stop.{name} = {value!r} is not allowed; allowed: {allowed}")
