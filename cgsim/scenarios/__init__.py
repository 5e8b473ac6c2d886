"""The scenarios of `cgsim trace`: small modules that build a structure and name a call on it."""

from cgsim.scenarios import (
    counters,
    hash_maps,
    in_callers,
    lookups,
    reach,
    storages,
    tree_updates,
    updates,
)
from cgsim.scenarios.base import (
    Scenario,
    all_scenarios,
    find_scenario,
    numbers_in,
    row_matches,
)

__all__ = [
    "Scenario",
    "all_scenarios",
    "counters",
    "find_scenario",
    "hash_maps",
    "in_callers",
    "lookups",
    "numbers_in",
    "reach",
    "row_matches",
    "storages",
    "tree_updates",
    "updates",
]
