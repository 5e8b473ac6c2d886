"""A machine with CPUs and counters of a layout on it, ready to run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.core.block_fields import TICKS
from cgsim.core.heap import Heap
from cgsim.core.host_memory import address_of
from cgsim.core.rng import random_below
from cgsim.core.space import Timed
from cgsim.core.system import System, SystemSpec
from cgsim.designs.base import Design
from cgsim.errors import UserError
from cgsim.machines import Machine
from cgsim.machines.system_spec import system_spec
from cgsim.percpu import many_cpus
from cgsim.percpu.base import SCRATCH, Layout
from cgsim.percpu.chunks import UNIT_BYTES
from cgsim.percpu.counter_memory import CounterMemory
from cgsim.percpu.turns import clock_keys, idle, meet
from cgsim.stage.population import Population, build_population
from cgsim.workloads.popularity import alias_table, draw_many, zipf_pmf

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOP_INSTRUCTIONS = 1
"""Of a tight loop, per turn: count down and branch, which the front end takes as one."""
SWITCH_NS = 1500.0
"""Of the scheduler moving a task, without what the caches lose: from memory, 1000 to 2000."""

_HEAP_BYTES, _LARGEST_HEAP = 1 << 29, 1 << 33
_PICKS = 1 << 16
MAX_CGROUPS = 1 << 16
_STAGGER = 2 * TICKS
_RENAMING_VENDOR, _RENAMED_CYCLES = "AMD", 1.0
"""Zen 2 and Zen 4 on rename memory words with simple addresses: an in-place addition to one takes
1.0 cycles on Zen 5 (machine zen5-vm), and other forwards `store_forward_cycles`."""


def busy_machine(machine: Machine, cpus: int) -> Machine:
    """The machine at the clock that it has while CPUs 0 .. cpus - 1 are busy."""
    cores: dict[int, set[int]] = {}
    for cpu in range(cpus):
        cores.setdefault(machine.socket_of(cpu), set()).add(machine.core_of(cpu))
    ghz = machine.busy_ghz(max(len(busy) for busy in cores.values()))
    return dataclasses.replace(machine, clock=dataclasses.replace(machine.clock, ghz=ghz))


def counting_spec(machine: Machine, cpus: int, **options: Any) -> SystemSpec:
    """The engine's parameters for the loops of this module and of `cgsim.validation.perfbook`.

    Their code is written down here, not recorded: `work` counts what the front end takes as one (a
    compare and its branch, a load and its addition), so the width is that of operations. Nearly all
    are integer operations, so it is no wider than there are ALUs.
    """
    width = min(machine.window.dispatch_width, machine.window.integer_alus)
    spec = system_spec(machine, cpus=cpus, **options)._replace(width=width)
    if machine.vendor == _RENAMING_VENDOR:
        spec = spec._replace(renamed_cycles=_RENAMED_CYCLES)
    return spec


class Stand:
    """A machine with CPUs 0 .. cpus - 1 and counters of a layout, ready to run.

    Parameters
    ----------
    layout : Layout
    machine : Machine, at its clock
    cpus : CPUs that run
    slots : copies of a counter (nr_possible_cpus); None: `cpus`
    cgroups : cgroups with a counter each
    zipf : exponent of their popularity; 0: all alike
    design : the lookup that finds a cgroup's counter; None: its address is known
    seed : spreads the CPUs' clocks over the first cycles, and makes every choice

    Raises UserError for more memory than a stand may have.
    """

    def __init__(
        self,
        layout: Layout,
        machine: Machine,
        cpus: int,
        *,
        slots: int | None = None,
        cgroups: int = 1,
        zipf: float = 0.0,
        design: str | Design | None = None,
        seed: int = 1,
    ) -> None:
        self.machine = machine
        self.kind = layout
        self.seed = seed
        copies = max(slots or cpus, cpus)
        self.population: Population | None = None
        if design is None:
            self.heap = Heap(_heap_bytes(layout, machine, copies, cgroups), seed=seed, cpus=cpus)
            self._build(layout, cpus, slots, cgroups)
        else:
            # the design's heap has room for both
            self.population = build_population(
                design, n_cgroups=cgroups, n_keys=1, seed=seed, cpus=machine.n_cpus,
                prepare=self._keep_heap,
            )  # fmt: skip
            self._build(layout, cpus, slots, cgroups)
        self.layout = self._counters[0]
        self.cgroups = (
            np.zeros(cgroups, dtype=np.int64)
            if self.population is None
            else self.population.cgroups
        )
        self.key = 0 if self.population is None else int(self.population.keys[0])
        self.finder: Any = many_cpus.NoLookup(0)
        if self.population is not None:
            self.finder = self.population.parameters
        self.picks = np.zeros(1, dtype=np.int64)
        if cgroups > 1:
            self.picks = draw_many(alias_table(zipf_pmf(cgroups, zipf)), seed, 8, _PICKS)
        self.rows = np.array(self._counters, dtype=np.int64)
        self.phases = np.zeros(cpus, dtype=np.int64)
        self.system = System(counting_spec(machine, cpus), self.heap)
        self.blocks = self.system.cpu_row()
        self.space = Timed(self.heap.mem, self.heap.block, int(self.blocks[0]))
        self._tasks = np.zeros(cpus, dtype=np.int64)
        self._scratch = np.zeros((2 * cpus, SCRATCH), dtype=np.int64)
        self.scratch = address_of(self._scratch)
        self.account = np.zeros(many_cpus.RUN_FIELDS, dtype=np.int64)
        for cpu in range(cpus):
            delay = cpu * _STAGGER + random_below(seed, 7, cpu, _STAGGER)
            idle(self.space._replace(cpu=int(self.blocks[cpu])), delay)

    def _keep_heap(self, heap: Heap) -> None:
        self.heap = heap

    def _build(self, layout: Layout, cpus: int, slots: int | None, cgroups: int) -> None:
        self.memory = CounterMemory(self.heap, self.machine, cpus, slots)
        self._counters = [layout.new(self.memory) for _ in range(cgroups)]
        self.allocator = self.memory.words("allocator", 4096)

    def plan(self, **chances: int) -> many_cpus.Plan:
        """The plan for these counters; `chances`: fields that are not 0."""
        fields = dict.fromkeys(many_cpus.Plan._fields, 0) | {
            "rows": address_of(self.rows),
            "counters": len(self.rows),
            "fields": self.rows.shape[1],
            "switch_ticks": round(SWITCH_NS * self.machine.ghz * TICKS),
            "per_task": int(self.kind.per_task),
            "migrates": int(self.kind.migrates),
            "interruptible": int(self.kind.interrupts != "off"),
            "seed": self.seed,
        }
        return many_cpus.Plan(**(fields | chances))

    def keys(self) -> np.ndarray:
        """The heap of the CPUs' clocks: int64[cpus]."""
        return clock_keys(self.blocks)

    def done_by_cpu(self) -> np.ndarray:
        """Updates by CPU: int64[cpus]."""
        return self._scratch[: len(self.blocks), many_cpus.COUNT]

    def ns(self, ticks: float) -> float:
        """Ticks in nanoseconds."""
        return ticks / TICKS / self.machine.ghz

    def totals(self) -> np.ndarray:
        """What the counters hold: int64[cgroups]."""
        sums = np.zeros(len(self.rows), dtype=np.int64)
        many_cpus.sums_of(self.space, self.layout, address_of(self.rows), self.rows.shape[1], sums)
        return sums

    def total(self) -> int:
        """What all counters hold together."""
        return int(self.totals().sum())

    def update(
        self,
        updates: int,
        warm: int,
        amounts: Sequence[int] = (1,),
        *,
        instructions: int = LOOP_INSTRUCTIONS,
        **chances: int,
    ) -> np.ndarray:
        """Run updates on all CPUs; returns the account (`cgsim.percpu.many_cpus`)."""
        many_cpus.run_updates(
            self.space, self.layout, self.finder, self.plan(instructions=instructions, **chances),
            self.blocks, self.scratch, self.phases, self.keys(), self._tasks, self.account, updates,
            warm, np.array(amounts, dtype=np.int64), self.picks, self.cgroups, self.key,
        )  # fmt: skip
        return self.account

    def update_all_copies(self) -> None:
        """Let each CPU update a few times, from one point in time to another."""
        self.meet()
        self.update(max(4 * len(self.blocks), 64), 1)
        self.meet()

    def meet(self) -> None:
        """All CPUs wait for the last one."""
        meet(self.space, self.blocks, TICKS)

    def read(self, rounds: int, *, instructions: int = LOOP_INSTRUCTIONS) -> np.ndarray:
        """Let all CPUs read the sum `rounds` times; returns the account."""
        many_cpus.run_reads(
            self.space, self.layout, self.blocks, self.keys(), self.account, rounds, instructions
        )
        return self.account


def _heap_bytes(layout: Layout, machine: Machine, copies: int, cgroups: int) -> int:
    """Memory for the counters: what they take, and the address space of percpu chunks."""
    shape = layout.shape(machine, copies)
    counters = 2 * cgroups * (layout.memory_bytes(machine, copies) + 128 * copies)
    chunks = sum(1 + cgroups * size // (UNIT_BYTES // 2) for size in shape.percpu)
    needed = _HEAP_BYTES + counters + 3 * chunks * UNIT_BYTES * copies
    if needed > _LARGEST_HEAP:
        raise UserError(
            f"layout {layout.name}: {cgroups} cgroups and {copies} CPUs need "
            f"{needed / 2**30:.1f} GiB of simulated memory; allowed: {_LARGEST_HEAP >> 30} GiB"
        )
    return 1 << (needed - 1).bit_length()
