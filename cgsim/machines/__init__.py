"""The machines that are simulated: profiles in `data/machines/`, or files of one's own."""

from cgsim.machines.model import (
    ByDistance,
    Cache,
    Coherence,
    Distance,
    Machine,
    Memory,
    Tlb,
    Window,
)
from cgsim.machines.reader import (
    explain,
    find_published,
    list_machines,
    load_machine,
    published_names,
)

__all__ = [
    "ByDistance",
    "Cache",
    "Coherence",
    "Distance",
    "Machine",
    "Memory",
    "Tlb",
    "Window",
    "explain",
    "find_published",
    "list_machines",
    "load_machine",
    "published_names",
]
