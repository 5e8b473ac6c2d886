"""Where a layout's words stand: simulated memory, and which CPU is where.

Sources: mm/percpu.c (units, chunks, packing), include/linux/percpu.h (PCPU_MIN_UNIT_SIZE 32 KiB,
minimum allocation 4 bytes) of Linux 6.12; the unit size of the first chunk on x86-64 and the page
sizes are from memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.heap import PAGE_2M, PAGE_4K
from cgsim.core.memory import address_of

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.machines import Machine

LINE_BYTES = 64
MIN_ALLOCATION_BYTES = 8
FIRST_UNIT_BYTES = 256 << 10
"""Distance of two CPUs' units in the first chunk."""
LATER_UNIT_BYTES = 32 << 10
"""Distance of two CPUs' units in a vmalloc'ed chunk, at least PCPU_MIN_UNIT_SIZE."""


class Place:
    """A heap, the CPUs that update, and the CPUs the kernel reserves for.

    Parameters
    ----------
    heap : the simulated memory
    machine : for clusters and NUMA nodes
    cpus : CPUs 0 .. cpus - 1 update
    slots : copies that exist, at least `cpus` (nr_possible_cpus); None: `cpus`
    """

    def __init__(self, heap: Heap, machine: Machine, cpus: int, slots: int | None = None) -> None:
        self.heap = heap
        self.machine = machine
        self.cpus = cpus
        self.slots = max(slots or cpus, cpus)
        self._keep: list[np.ndarray] = []

    def words(self, struct: str, size_bytes: int, *, huge: bool = True) -> int:
        """Zeroed bytes on pages of their own; returns their simulated address."""
        return self.heap.place(struct, size_bytes, page_size=PAGE_2M if huge else PAGE_4K)

    def table(self, values: list[int]) -> int:
        """Raw address of an int64 row: facts of the machine that a layout's code knows."""
        row = np.array(values, dtype=np.int64)
        self._keep.append(row)
        return address_of(row)

    def domains(self, kind: str) -> tuple[int, int]:
        """(raw address of CPU -> domain from 0, number of domains); kind: 'cluster' or 'node'."""
        of = self.machine.cluster_of if kind == "cluster" else self.machine.numa_node_of
        numbers = [of(cpu) for cpu in range(self.cpus)]
        index = {number: i for i, number in enumerate(sorted(set(numbers)))}
        return self.table([index[number] for number in numbers]), len(index)
