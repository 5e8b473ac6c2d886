"""What an experiment will take, counted before it is begun: bytes, and accesses of its lookups.

Counts are of the right size, not exact: objects from populations of a few cgroups, arrays from
their lengths. What would take more than `cgsim.memory.SHARE` of the free memory is refused, in the
name of the parameter that it is due to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cgsim.errors import UserError
from cgsim.memory import SHARE, available_bytes, in_words
from cgsim.stage.population import population_bytes

if TYPE_CHECKING:
    from cgsim.designs.base import Design

LOOKUP_BYTES = 256
"""Of a lookup's rows while they are made: places, actors, lines, times, and their copies."""

PAIR_BYTES = 24
"""Of a pair of cgroup and key in the order in which all are first looked up."""


class Estimate(NamedTuple):
    """What one replicate takes."""

    population_bytes: float
    lookups_bytes: float
    accesses: float

    @property
    def total_bytes(self) -> float:
        return self.population_bytes + self.lookups_bytes


def estimate(design: Design, kernel: str, n_cgroups: int, n_keys: int, lookups: int) -> Estimate:
    """What one replicate of an experiment on a population takes."""
    pairs = n_cgroups * n_keys
    objects = population_bytes(design, n_cgroups=n_cgroups, n_keys=n_keys, kernel=kernel)
    walked = n_keys / 2 if design.name.startswith("list") else 0
    return Estimate(
        objects + PAIR_BYTES * pairs, LOOKUP_BYTES * lookups, (20 + walked) * (2 * lookups + pairs)
    )


def check_estimate(
    where: str,
    design: Design,
    kernel: str,
    *,
    n_cgroups: int,
    n_keys: int,
    lookups: int = 0,
    at_once: int = 1,
) -> Estimate:
    """What one replicate takes; UserError if the experiment takes too much memory.

    at_once : replicates that run at a time, each on a host thread of its own
    """
    each = estimate(design, kernel, n_cgroups, n_keys, lookups)
    allowed = SHARE * available_bytes()
    if each.total_bytes * at_once <= allowed:
        return each
    if each.total_bytes <= allowed:
        name, value = "threads", at_once
    elif each.lookups_bytes > each.population_bytes:
        name, value = "lookups", lookups
    else:
        name, value = max(("n_cgroups", n_cgroups), ("n_keys", n_keys), key=lambda item: item[1])
    raise UserError(
        f"{where}: {name} = {value} would take {in_words(int(each.total_bytes * at_once))} of "
        f"memory; allowed: {in_words(int(allowed))} ({SHARE:.0%} of what is free)"
    )
