"""Compiles what the notebooks and the mail call, so that parallel processes find it cached.

The first design compiles what all share; the others follow on all cores. A stamp beside the
compiled code says that all of it is there.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from cgsim.compile.cache import open_store
from cgsim.designs import get_design, list_designs
from cgsim.experiments.anatomy import anatomy
from cgsim.experiments.footprint import ways
from cgsim.experiments.lookups import MODES, lookup_cost, simulate
from cgsim.experiments.upkeep import upkeep
from cgsim.interface import explore, packet_cost
from cgsim.machines import list_machines

_STAMP = "report-compiled"


def warm(workers: int = 1) -> None:
    """Run one tiny point of each kind, once per type of the designs; prints nothing.

    Designs that share a type share the compiled code. Does nothing where all is compiled already.
    """
    store = open_store()
    if store.read(_STAMP) is not None:
        return
    first_of = {design.parameters: design.name for design in reversed(list_designs())}
    first, *others = reversed(first_of.values())
    machine = "zen5-vm" if "zen5-vm" in list_machines() else list_machines()[0]
    packet_cost(machine, n_cgroups=2, packets=10, replicates=1)
    simulate("direct", machine, "gpu", lookups=10, replicates=1)
    simulate("direct", machine, "network", lookups=10, replicates=1)
    _warm_design(first, machine)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(others)), mp_context=spawn) as pool:
        for task in [pool.submit(_warm_design, name, machine) for name in others]:
            task.result()
    store.write(_STAMP, b"")


def _warm_design(name: str, machine: str) -> None:
    """All that the notebooks call on a design."""
    design = get_design(name)
    lookup_cost(
        design,
        machine,
        n_cgroups=4,
        n_keys=2,
        modes=MODES,
        footprint_bytes=64,
        lookups=10,
        replicates=1,
    )
    anatomy(design, n_keys=2)
    upkeep(design, machine, n_cgroups=4, n_keys=2, data=ways(design)[0], samples=1, replicates=1)
    explore([design])
