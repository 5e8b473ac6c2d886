"""Where a layout's words stand: simulated memory, and which CPU is where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.host_memory import address_of
from cgsim.percpu.chunks import PercpuAllocator

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.machines.model import Machine

LINE_BYTES = 64
_ARENA_BYTES = 1 << 20


class CounterMemory:
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
        self._percpu = PercpuAllocator(heap, self.slots)
        self._arenas: dict[str, tuple[int, int]] = {}
        self._keep: list[np.ndarray] = []

    def words(self, struct: str, size_bytes: int) -> int:
        """Zeroed bytes that begin a line, on huge pages; returns their simulated address."""
        size = -(-size_bytes // LINE_BYTES) * LINE_BYTES
        at, left = self._arenas.get(struct, (0, 0))
        if left < size:
            left = max(size, _ARENA_BYTES)
            at = self.heap.place(struct, left)
        self._arenas[struct] = (at + size, left - size)
        return at

    def percpu(self, size_bytes: int, *, first: bool = False) -> tuple[int, int]:
        """A percpu allocation: (address of CPU 0's copy, stride to the next CPU's)."""
        return self._percpu.allocate(size_bytes, first=first)

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
