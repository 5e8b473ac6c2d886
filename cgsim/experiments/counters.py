"""Counters on many CPUs: what an update, a read, a reset and a life of a layout cost, as tables.

`update_cost` lets CPUs 0 .. n - 1 update counters in a tight loop and measures between the end of
the warm-up and the last update; `read_cost`, `reset_cost` and `lifetime_cost` do one thing at a
time. A row is one replicate (they differ in when the CPUs begin, and in every random choice). Times
are of the machine's clock with so many busy cores.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.core.block_fields import S_INVALIDATIONS, S_TRANSFERS, TICKS
from cgsim.core.heap import Heap
from cgsim.core.host_memory import address_of
from cgsim.core.rng import random_below
from cgsim.core.space import Timed
from cgsim.core.system import System, SystemSpec
from cgsim.designs.base import Design
from cgsim.errors import UserError, out_of_range
from cgsim.experiments.replicates import run_replicates
from cgsim.machines import Machine, load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.percpu import lifetime, many_cpus
from cgsim.percpu.base import SCRATCH, Layout, get_layout
from cgsim.percpu.chunks import UNIT_BYTES, populated_bytes
from cgsim.percpu.counter_memory import Place
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
_MAX_CGROUPS = 1 << 16
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
        self.place = Place(self.heap, self.machine, cpus, slots)
        self._counters = [layout.new(self.place) for _ in range(cgroups)]
        self.allocator = self.place.words("allocator", 4096)

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


def update_cost(
    layout: str | Layout,
    machine: str | Machine,
    cpus: int,
    *,
    updates: int | None = None,
    amounts: Sequence[int] = (1,),
    cgroups: int = 1,
    zipf: float = 0.0,
    design: str | Design | None = None,
    shift: int = 0,
    reads: int = 0,
    moves: int = 0,
    interrupts: int = 0,
    replicates: int = 1,
    seed: int = 1,
    threads: int = 1,
) -> pd.DataFrame:
    """Cost of an update in a tight loop on CPUs 0 .. cpus - 1.

    Parameters
    ----------
    layout : name, or a `Layout`
    machine : name, path of a profile, or a `Machine`
    cpus : how many CPUs update
    updates : measured over all CPUs; None: 200 per CPU (more than a store buffer hides), and
        several of a layout's batches
    amounts : what each CPU adds in turn
    cgroups : cgroups with a counter each; each update picks one
    zipf : exponent of the cgroups' popularity; 0: all alike
    design : the lookup that finds the cgroup's counter first; None: its address is known
    shift : CPU n updates the copy of CPU (n + shift) % cpus: an update by a remote CPU
    reads : of 1024 operations, how many read the sum instead of updating
    moves : of 1024 turns, before how many two CPUs exchange their tasks
    interrupts : of 1024 turns within an update, how many are interrupted by another update
    replicates : with seeds seed, seed + 1, ...
    threads : host threads over replicates; the result does not depend on it

    Returns
    -------
    DataFrame, one row per replicate: layout, design, machine, cpus, cgroups, replicate, seed, ghz,
    ns (per update of one CPU, all else included), updates (those of interrupts too), sum, lost,
    transfers and invalidations (lines moved between cores, copies lost, per update), moves,
    interrupts, read_ns.

    Raises UserError for a bad argument.
    """
    chosen = get_layout(layout) if isinstance(layout, str) else layout
    model = busy_machine(_resolve(machine, cpus), cpus)
    for name, value in (("reads", reads), ("moves", moves), ("interrupts", interrupts)):
        _check_whole(name, value, 0, many_cpus.CHANCES - 1)
    _check_whole("shift", shift, 0, cpus - 1)
    _check_whole("cgroups", cgroups, 1, _MAX_CGROUPS)
    _check_whole("replicates", replicates, 1, 10**4)
    if not 0 <= zipf <= 4:
        raise out_of_range("update_cost", "zipf", zipf, "0..4")
    count = _enough(chosen, cpus) if updates is None else updates
    _check_whole("updates", count, 1, 10**12)

    def one(replicate: int) -> dict[str, Any]:
        stand = Stand(
            chosen, model, cpus, cgroups=cgroups, zipf=zipf, design=design, seed=seed + replicate
        )
        warm = count // 2
        account = stand.update(
            count + warm, warm, amounts, shift=shift, reads=reads, moves=moves,
            interrupts=interrupts,
        )  # fmt: skip
        measured = int(account[many_cpus.STARTED] - account[many_cpus.BEGIN_STARTED])
        ticks = int(account[many_cpus.END_TICKS] - account[many_cpus.BEGIN_TICKS])
        total = stand.total()
        nested = int(account[many_cpus.INTERRUPTS])
        return {
            "layout": chosen.name,
            "design": design.name if isinstance(design, Design) else design or "",
            "machine": model.name,
            "cpus": cpus,
            "cgroups": cgroups,
            "replicate": replicate,
            "seed": seed + replicate,
            "ghz": model.ghz,
            "ns": stand.ns(ticks) * cpus / measured,
            "updates": int(account[many_cpus.DONE]) + nested,
            "sum": total,
            "lost": _wanted(stand, amounts) + nested - total,
            "transfers": stand.system.system_field(S_TRANSFERS) / (count + warm),
            "invalidations": stand.system.system_field(S_INVALIDATIONS) / (count + warm),
            "moves": int(account[many_cpus.MOVES]),
            "interrupts": nested,
            "read_ns": stand.ns(int(account[many_cpus.READ_TICKS]))
            / max(account[many_cpus.READS], 1),
        }

    return run_replicates(lambda replicate: [one(replicate)], replicates, threads)


def _check_whole(name: str, value: int, low: int, high: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not low <= value <= high:
        raise out_of_range("counters", name, value, f"a whole number of {low}..{high}")


def _enough(layout: Layout, cpus: int) -> int:
    bound = layout.error_bound(cpus)
    batch = int(bound / cpus) if np.isfinite(bound) else 0
    return max(200 * cpus, 4 * batch * cpus, 4000)


def _wanted(stand: Stand, amounts: Sequence[int]) -> int:
    """What the counters would hold if no update was lost."""
    cycle = np.cumsum(np.array(amounts, dtype=np.int64))
    total = 0
    for done in stand.done_by_cpu():
        rounds, rest = divmod(int(done), len(amounts))
        total += rounds * int(cycle[-1]) + (int(cycle[rest - 1]) if rest else 0)
    return total


def read_cost(
    layout: str | Layout,
    machine: str | Machine,
    cpus: int,
    *,
    slots: int | None = None,
    rounds: int = 20,
    replicates: int = 1,
    seed: int = 1,
    threads: int = 1,
) -> pd.DataFrame:
    """Cost of reading the sum in a tight loop, while nobody updates.

    `slots`: copies of the counter; None: as many as CPUs. Columns as `update_cost`, ns per read.
    """
    chosen = get_layout(layout) if isinstance(layout, str) else layout
    model = busy_machine(_resolve(machine, cpus), cpus)

    def one(replicate: int) -> dict[str, Any]:
        stand = Stand(chosen, model, cpus, slots=slots, seed=seed + replicate)
        account = stand.read(rounds)
        return {
            "layout": chosen.name,
            "machine": model.name,
            "cpus": cpus,
            "replicate": replicate,
            "seed": seed + replicate,
            "ghz": model.ghz,
            "ns": stand.ns(int(account[many_cpus.READ_TICKS])) / int(account[many_cpus.READS]),
            "sum": int(account[many_cpus.LAST_SUM]),
        }

    return run_replicates(lambda replicate: [one(replicate)], replicates, threads)


def lifetime_cost(
    layout: str | Layout,
    machine: str | Machine,
    cpus: int,
    *,
    slots: int | None = None,
    replicates: int = 1,
    seed: int = 1,
    threads: int = 1,
) -> pd.DataFrame:
    """What CPU 0 pays for a cgroup's counter from creation to teardown, while nobody updates.

    The CPUs 0 .. cpus - 1 have updated it before it is read, reset and taken away, so its copies
    lie in their caches. `slots`: copies (nr_possible_cpus); None: all CPUs of the machine.

    Returns a DataFrame, one row per replicate: layout, machine, cpus, slots, replicate, seed, ghz,
    create_ns (allocation and zeroing of all copies), read_ns, reset_ns, teardown_ns, bytes (as the
    allocators round them), error_bound (of a plain read, in counts).

    Raises UserError for a bad argument.
    """
    chosen = get_layout(layout) if isinstance(layout, str) else layout
    model = busy_machine(_resolve(machine, cpus), 1)
    copies = model.n_cpus if slots is None else slots
    _check_whole("slots", copies, cpus, 1 << 12)

    def one(replicate: int) -> dict[str, Any]:
        stand = Stand(chosen, model, cpus, slots=copies, seed=seed + replicate)
        shape = chosen.shape(model, copies)
        costs = lifetime.Costs(
            stand.allocator, sum(-(-size // 64) for size in shape.slab), len(shape.slab),
            len(shape.percpu), int(chosen.teardown_reads),
        )  # fmt: skip
        create = lifetime.create(stand.space, stand.layout, costs)
        stand.update_all_copies()
        read = many_cpus.timed_read(stand.space, stand.layout)
        stand.update_all_copies()
        clear = many_cpus.timed_reset(stand.space, stand.layout)
        stand.update_all_copies()
        gone = lifetime.teardown(stand.space, stand.layout, costs)
        return {
            "layout": chosen.name,
            "machine": model.name,
            "cpus": cpus,
            "slots": copies,
            "replicate": replicate,
            "seed": seed + replicate,
            "ghz": model.ghz,
            "create_ns": stand.ns(create),
            "read_ns": stand.ns(read),
            "reset_ns": stand.ns(clear),
            "teardown_ns": stand.ns(gone),
            "bytes": chosen.memory_bytes(model, copies),
            "error_bound": chosen.error_bound(cpus),
        }

    return run_replicates(lambda replicate: [one(replicate)], replicates, threads)


def _resolve(machine: str | Machine, cpus: int) -> Machine:
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    whole = isinstance(cpus, (int, np.integer)) and not isinstance(cpus, bool)
    if not whole or not 1 <= cpus <= model.n_cpus:
        raise UserError(
            f"machine {model.name}: cpus = {cpus!r} is not allowed; allowed: 1..{model.n_cpus}"
        )
    return model


def sweep_updates(
    layouts: Sequence[str], machine: str | Machine, cpus: Sequence[int], **options: Any
) -> pd.DataFrame:
    """`update_cost` of every layout at every number of CPUs, one frame."""
    return pd.concat(
        [update_cost(layout, machine, n, **options) for layout in layouts for n in cpus],
        ignore_index=True,
    )


def sweep_lifetimes(
    layouts: Sequence[str], machine: str | Machine, cpus: Sequence[int], **options: Any
) -> pd.DataFrame:
    """`lifetime_cost` of every layout with as many copies as CPUs, one frame."""
    return pd.concat(
        [lifetime_cost(layout, machine, n, slots=n, **options) for layout in layouts for n in cpus],
        ignore_index=True,
    )


def memory_table(
    layouts: Sequence[str],
    machine: str | Machine,
    possible: Sequence[int],
    cgroups: Sequence[int] = (1,),
) -> pd.DataFrame:
    """Bytes of counters by layout, possible CPUs and cgroups.

    Columns: layout, possible, cgroups, bytes (one counter, rounded), online_bytes (of those the
    copies that CPUs of the machine use), total_bytes (of all cgroups' counters: whole pages for
    percpu memory, populated for all possible CPUs, and the chunks' own accounts).
    """
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    rows = []
    for name in layouts:
        layout = get_layout(name)
        for n in possible:
            shape = layout.shape(model, n)
            one = layout.memory_bytes(model, n)
            for many in cgroups:
                percpu = sum(populated_bytes(size, many, n) for size in shape.percpu)
                slab = layout.memory_bytes(model, n) - n * sum(shape.percpu)
                rows.append(
                    {
                        "layout": name,
                        "possible": n,
                        "cgroups": many,
                        "bytes": one,
                        "online_bytes": layout.memory_bytes(model, min(n, model.n_cpus)),
                        "total_bytes": many * slab + percpu,
                    }
                )
    return pd.DataFrame(rows)
