"""Compiles what the notebooks and the mail call, so that parallel processes find it cached."""

from __future__ import annotations

from cgsim.anatomy import anatomy
from cgsim.designs import list_designs
from cgsim.interface import explore, packet_cost
from cgsim.machines import list_machines
from cgsim.memory import ways
from cgsim.simulate import MODES, lookup_cost, simulate
from cgsim.upkeep import upkeep


def warm() -> None:
    """Run one tiny point of each kind, once per type of the designs; prints nothing.

    Designs that share a type share the compiled code. Safe to repeat: warm code is only loaded.
    """
    machine = "zen5-vm" if "zen5-vm" in list_machines() else list_machines()[0]
    first_of = {design.parameters: design for design in list_designs()}
    for design in first_of.values():
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
        upkeep(
            design, machine, n_cgroups=4, n_keys=2, data=ways(design)[0], samples=1, replicates=1
        )
        explore([design])
    packet_cost(machine, n_cgroups=2, packets=10, replicates=1)
    simulate("direct", machine, "gpu", lookups=10, replicates=1)
    simulate("direct", machine, "network", lookups=10, replicates=1)
