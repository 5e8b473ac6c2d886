"""Callers: paid by all at a place alike, and the same work in every reading."""

from __future__ import annotations

import numpy as np
import pytest

from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.designs.base import get_design
from cgsim.experiments.in_workload import simulate
from cgsim.experiments.places_of_use import USERS, able, calls
from cgsim.kernel import load_kernel
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.callers import BEHIND_DISPATCH, COUNT_DATUM, IN_HAND
from cgsim.stage.loops import DEPENDENT, THROUGHPUT, Harness, run_lookups
from cgsim.stage.population import Population, build_population
from cgsim.stage.surroundings import HeapSurroundings

MACHINE = "zen4-genoa"
HARNESS = Harness(4, 0, 0)


@pytest.mark.compiled
@pytest.mark.parametrize("user", ["driver", "packet-hook"])
def test_all_designs_at_a_place_pay_for_the_same_caller(user: str) -> None:
    """Without the lookup, every design's hook or driver does exactly the same."""
    designs, _ = able(user, 2, ["list", "hash-rcu", "table", "direct", "direct-inlined", "subsys",
                                "cgroup-storage"])  # fmt: skip
    workload = USERS[user].workload
    paid = {
        name: simulate(
            name, MACHINE, workload, user=user, n_keys=2, lookups=60, replicates=1,
            without_lookup=True,
        )[["instructions", "accesses"]].iloc[0].tolist()
        for name in designs
    }  # fmt: skip
    assert len(designs) >= 4
    assert len({tuple(each) for each in paid.values()}) == 1, paid


def _staged(place: int) -> tuple[HeapSurroundings, Population, np.ndarray, np.ndarray]:
    design = get_design("table")
    stage = HeapSurroundings(
        load_kernel("7.3.4"), place, COUNT_DATUM, calls(design), 64, 64, stream_entries=64
    )
    population = build_population(design, n_cgroups=20, n_keys=3, seed=5, prepare=stage.prepare)
    sockets = stage.furnish(population, np.arange(20), 5)
    actors = population.cgroups if place == IN_HAND else sockets
    order = np.column_stack([np.arange(64) % 20, np.arange(64) % 3])
    stage.fill_stream(population, actors, order)
    return stage, population, actors, order


@pytest.mark.compiled
@pytest.mark.parametrize("place", [IN_HAND, BEHIND_DISPATCH])
@pytest.mark.parametrize("mode", [THROUGHPUT, DEPENDENT])
def test_the_native_caller_uses_the_same_data_as_the_timed_one(place: int, mode: int) -> None:
    """Both readings find the same data, through the stream, and count each use."""
    stage, population, _, order = _staged(place)
    what = (population.parameters, population.cgroups, population.keys)
    caller = stage.caller(population)
    native = run_lookups(population.native, *what, order, mode, COUNT_DATUM, HARNESS, caller)
    system = System(system_spec(load_machine(MACHINE)), population.heap)
    timed = Timed(population.heap.mem, population.heap.block, system.cpu())
    played = run_lookups(timed, *what, order, mode, COUNT_DATUM, HARNESS, caller)
    bare = run_lookups(population.native, *what, order, mode, 0, HARNESS)
    assert native == played == bare
    counted = sum(
        population.heap.read(int(address))
        for address in {
            run_lookups(population.native, *what, order[i : i + 1], mode, 0, HARNESS)
            for i in range(60)
        }
    )
    assert counted == 2 * 64
