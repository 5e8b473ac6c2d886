"""Compiles what the notebooks and the mail call, so that parallel processes find it cached."""

from __future__ import annotations

from cgsim.anatomy import anatomy
from cgsim.designs import get_design
from cgsim.machines import list_machines
from cgsim.report.experiments import DESIGNS
from cgsim.simulate import MODES, lookup_cost, simulate


def warm() -> None:
    """Run one tiny point of each kind, once per type of the designs shown; prints nothing.

    Designs that share a type share the compiled code. Safe to repeat: warm code is only loaded.
    """
    machine = "zen5-vm" if "zen5-vm" in list_machines() else list_machines()[0]
    first_of = {get_design(name).parameters: name for name in DESIGNS}
    for name in first_of.values():
        lookup_cost(
            name,
            machine,
            n_cgroups=4,
            n_keys=2,
            modes=MODES,
            footprint_bytes=64,
            lookups=10,
            replicates=1,
        )
        anatomy(get_design(name), n_keys=2)
    simulate("direct", machine, "gpu", lookups=10, replicates=1)
    simulate("direct", machine, "network", lookups=10, replicates=1)
