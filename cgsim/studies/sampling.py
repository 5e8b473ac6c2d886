"""Samples of a space of factors: Sobol points or a Latin hypercube, by scipy.

With `sample: {method: sobol, points: 64}` a factor is a range, `{low: 1, high: 64}`, with
`scale: log` where a factor of two matters alike everywhere, or a list, of which each value is as
likely. A range between whole numbers yields whole numbers, unless it says `whole: false`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.stats import qmc

from cgsim.errors import UserError, unknown_name
from cgsim.limits import COMMON, Range

METHODS = ("sobol", "latin")
_MOST_POINTS = 1 << 24


@dataclass(frozen=True)
class Sample:
    """How points are drawn."""

    method: str
    points: int
    seed: int


@dataclass(frozen=True)
class Span:
    """The values of one factor: a range, or choices."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    def at(self, share: float) -> Any:
        """The value at a share of [0, 1) of the way from low to high."""
        if self.choices:
            return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]
        low, high = (self.low, self.high)
        if self.whole and not self.log:
            return min(int(low) + int(share * (int(high) - int(low) + 1)), int(high))
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        return min(max(round(value), int(low)), int(high)) if self.whole else value


def read_span(where: str, value: Any) -> Span:
    """A span of a mapping {low, high, scale, whole} or of a list of choices."""
    if isinstance(value, list | tuple) and value:
        return Span(choices=tuple(value))
    allowed = "a list, or {low, high} with low < high, and scale: linear or log"
    if not isinstance(value, Mapping) or not {"low", "high"} <= set(value):
        raise UserError(f"{where} = {value!r} is not allowed; allowed: {allowed}")
    for key in value:
        if key not in ("low", "high", "scale", "whole"):
            raise UserError(f"{where}: {unknown_name('field', key, ('low', 'high', 'scale'))}")
    low, high, scale = value["low"], value["high"], value.get("scale", "linear")
    numbers = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in (low, high))
    if not numbers or not -math.inf < low < high < math.inf or scale not in ("linear", "log"):
        raise UserError(f"{where} = {dict(value)!r} is not allowed; allowed: {allowed}")
    if scale == "log" and low <= 0:
        raise UserError(f"{where}: low = {low!r} is not allowed; allowed: above 0 on a log scale")
    whole = value.get("whole", isinstance(low, int) and isinstance(high, int))
    if not isinstance(whole, bool):
        raise UserError(f"{where}: whole = {whole!r} is not allowed; allowed: true or false")
    return Span(float(low), float(high), scale == "log", whole)


def read_sample(given: Any, factors: Mapping[str, Any], source: str) -> Sample | None:
    """The field `sample`; checks the factors' ranges, too. None if there is none."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise UserError(
            f"{source}: sample = {given!r} is not allowed; allowed: {{method, points, seed}}"
        )
    for key in given:
        if key not in ("method", "points", "seed"):
            allowed = ("method", "points", "seed")
            raise UserError(f"{source}: sample: {unknown_name('field', key, allowed)}")
    method = given.get("method", "sobol")
    if method not in METHODS:
        raise UserError(f"{source}: sample: {unknown_name('method', method, METHODS)}")
    points = Range(1, _MOST_POINTS).check(f"{source}: sample", "points", given.get("points"))
    seed = COMMON["seed"].check(f"{source}: sample", "seed", given.get("seed", 1))
    if not factors:
        raise UserError(f"{source}: sample: there are no factors to sample")
    for name, value in factors.items():
        read_span(f"{source}: factors.{name}", value)
    return Sample(method, int(points), int(seed))


def draw(sample: Sample, factors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a sample, each with a value for every factor."""
    spans = {name: read_span(name, value) for name, value in factors.items()}
    if sample.method == "sobol":
        # a whole power of two is drawn, as the sequence is balanced only then
        engine = qmc.Sobol(len(spans), scramble=True, rng=sample.seed)
        shares = engine.random_base2(max(sample.points - 1, 0).bit_length())[: sample.points]
    else:
        shares = qmc.LatinHypercube(len(spans), rng=sample.seed).random(sample.points)
    names = list(spans)
    return [
        {name: spans[name].at(float(share)) for name, share in zip(names, row, strict=True)}
        for row in shares
    ]
