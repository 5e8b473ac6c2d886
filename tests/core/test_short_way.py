"""The short way, compiled into the designs, gives what the long way gives, tick for tick."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.compile.jit import JIT_DISABLED
from cgsim.core import block_fields as b
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.loops import (
    COUNT_DATUM,
    DEPENDENT,
    IGNORE_DATUM,
    READ_DATUM,
    SERIALIZED,
    THROUGHPUT,
    Harness,
    run_lookups,
)
from cgsim.stage.population import build_population

_HARNESS = Harness(instructions=7, ticks=0, chain=1)
_CLOCKS = (b.C_RETIRE, b.C_DISPATCH, b.C_INSTRUCTIONS, b.C_ACCESSES, b.C_BRANCHES, b.C_MISPREDICTS)


_LOOKUPS = 60 if JIT_DISABLED else 3000
_NARROW = {"alu_entries": 4, "agu_entries": 3, "rob_entries": 40}


@pytest.mark.parametrize(
    ("machine", "changes"),
    [("zen4-genoa", {}), ("skylake-sp", {}), ("zen4-genoa", _NARROW)],
    ids=["zen4-genoa", "skylake-sp", "narrow"],
)
@pytest.mark.parametrize("design", ["list", "idr", "htab", "xarray"])
@pytest.mark.parametrize(
    ("mode", "use"),
    [(THROUGHPUT, IGNORE_DATUM), (DEPENDENT, READ_DATUM), (SERIALIZED, COUNT_DATUM)],
)
def test_the_short_way_is_the_long_way(
    design: str, machine: str, changes: dict[str, int], mode: int, use: int
) -> None:
    """Few cgroups hit L1 mostly, many push each other out, and stores are forwarded to loads."""
    spec = system_spec(load_machine(machine), 1)._replace(**changes)
    for n_cgroups in (2, 300):
        population = build_population(design, n_cgroups=n_cgroups, n_keys=8, seed=3)
        rng = np.random.default_rng(5)
        order = rng.integers(0, [n_cgroups, 8], (_LOOKUPS, 2))
        ways = []
        for places in (False, True):  # attribution takes the long way at each access
            system = System(spec, population.heap, places=places)
            space = Timed(population.heap.mem, population.heap.block, system.cpu())
            run_lookups(
                space, population.parameters, population.cgroups, population.keys, order, mode,
                use, _HARNESS,
            )  # fmt: skip
            ways.append(([system.field(clock) for clock in _CLOCKS], system.causes().tolist()))
        assert ways[0] == ways[1]
