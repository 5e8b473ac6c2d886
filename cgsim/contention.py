"""Counters on many CPUs: what an update and a read of a layout cost, to a tidy table.

`update_cost` lets CPUs 0 .. n - 1 update one counter in a tight loop and measures between the end
of the warm-up and the last update; `read_cost` lets them read the sum instead. A row is one
replicate (they differ in when the CPUs begin). Times are of the machine's clock with so many busy
cores.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.core.blocks import S_INVALIDATIONS, S_TRANSFERS, TICKS
from cgsim.core.heap import Heap
from cgsim.core.memory import address_of
from cgsim.core.rng import random_below
from cgsim.core.space import Timed
from cgsim.core.system import System, SystemSpec
from cgsim.errors import UserError, out_of_range
from cgsim.machines import Machine, load_machine
from cgsim.percpu import turns
from cgsim.percpu.base import SCRATCH, Layout, get_layout
from cgsim.percpu.place import Place
from cgsim.spec import system_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAP_BYTES = 1 << 29
LOOP_INSTRUCTIONS = 1
"""Of a tight loop, per turn: count down and branch, which the front end takes as one."""

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
    """The engine's parameters for the loops of this module and of `cgsim.published`.

    Their code is written down here, not recorded: `work` counts what the front end takes as one (a
    compare and its branch, a load and its addition), so the width is that of operations.
    """
    spec = system_spec(machine, cpus=cpus, **options)._replace(width=machine.window.dispatch_width)
    if machine.vendor == _RENAMING_VENDOR:
        spec = spec._replace(renamed_cycles=_RENAMED_CYCLES)
    return spec


class Stand:
    """A machine with CPUs 0 .. cpus - 1 and one counter of a layout, ready to run.

    Parameters
    ----------
    layout : Layout
    machine : Machine, at its clock
    cpus : CPUs that run
    slots : copies of the counter (nr_possible_cpus); None: `cpus`
    seed : spreads the CPUs' clocks over the first cycles
    """

    def __init__(
        self,
        layout: Layout,
        machine: Machine,
        cpus: int,
        *,
        slots: int | None = None,
        seed: int = 1,
    ) -> None:
        self.machine = machine
        self.heap = Heap(HEAP_BYTES, seed=seed, cpus=machine.n_cpus)
        self.place = Place(self.heap, machine, cpus, slots)
        self.layout = layout.new(self.place)
        spec = counting_spec(machine, cpus)
        self.system = System(spec, self.heap)
        self.blocks = self.system.cpu_row()
        self.space = Timed(self.heap.mem, self.heap.block, int(self.blocks[0]))
        self.phases = np.zeros(cpus, dtype=np.int64)
        self._scratch = np.zeros((cpus, SCRATCH), dtype=np.int64)
        self.scratch = address_of(self._scratch)
        self.account = np.zeros(turns.RUN_FIELDS, dtype=np.int64)
        for cpu in range(cpus):
            delay = cpu * _STAGGER + random_below(seed, 7, cpu, _STAGGER)
            turns.idle(self.space._replace(cpu=int(self.blocks[cpu])), delay)

    def keys(self) -> np.ndarray:
        """The heap of the CPUs' clocks: int64[cpus]."""
        return turns.clock_keys(self.blocks)

    def done_by_cpu(self) -> np.ndarray:
        """Updates by CPU: int64[cpus]."""
        return self._scratch[:, SCRATCH - 1]

    def ns(self, ticks: float) -> float:
        """Ticks in nanoseconds."""
        return ticks / TICKS / self.machine.ghz

    def total(self) -> int:
        """What the counter holds."""
        return int(turns.sum_of(self.space, self.layout))

    def update(
        self,
        updates: int,
        warm: int,
        amounts: Sequence[int] = (1,),
        *,
        instructions: int = LOOP_INSTRUCTIONS,
        shift: int = 0,
        reads: int = 0,
        seed: int = 1,
    ) -> np.ndarray:
        """Run updates on all CPUs; returns the account (`cgsim.percpu.turns`)."""
        turns.run_updates(
            self.space, self.layout, self.blocks, self.scratch, self.phases, self.keys(),
            self.account, updates, warm, instructions, np.array(amounts, dtype=np.int64),
            shift, reads, seed,
        )  # fmt: skip
        return self.account

    def read(self, rounds: int, *, instructions: int = LOOP_INSTRUCTIONS) -> np.ndarray:
        """Let all CPUs read the sum `rounds` times; returns the account."""
        turns.run_reads(
            self.space, self.layout, self.blocks, self.keys(), self.account, rounds, instructions
        )
        return self.account


def update_cost(
    layout: str | Layout,
    machine: str | Machine,
    cpus: int,
    *,
    updates: int | None = None,
    amounts: Sequence[int] = (1,),
    shift: int = 0,
    reads: int = 0,
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
    updates : measured over all CPUs; None: 200 per CPU (more than
        a store buffer hides), and several of a layout's batches
    amounts : what each CPU adds in turn
    shift : CPU n updates the copy of CPU (n + shift) % cpus
    reads : of 1024 operations, how many read the sum instead of updating
    replicates : with seeds seed, seed + 1, ...
    threads : host threads over replicates; the result does not depend on it

    Returns
    -------
    DataFrame, one row per replicate: layout, machine, cpus, replicate, seed, ghz, ns (per update of
    one CPU), updates, sum, lost, transfers (lines moved between cores per update), read_ns.

    Raises UserError for a bad argument.
    """
    chosen = get_layout(layout) if isinstance(layout, str) else layout
    model = busy_machine(_resolve(machine, cpus), cpus)
    if not 0 <= reads < 1024:
        raise out_of_range("update_cost", "reads", reads, "0..1023")
    if not 0 <= shift < cpus:
        raise out_of_range("update_cost", "shift", shift, f"0..{cpus - 1}")
    count = updates or _enough(chosen, cpus)

    def one(replicate: int) -> dict[str, Any]:
        stand = Stand(chosen, model, cpus, seed=seed + replicate)
        warm = count // 2
        account = stand.update(
            count + warm, warm, amounts, shift=shift, reads=reads, seed=seed + replicate
        )
        measured = int(account[turns.STARTED] - account[turns.BEGIN_STARTED])
        ticks = int(account[turns.END_TICKS] - account[turns.BEGIN_TICKS])
        total = stand.total()
        wanted = _wanted(stand, amounts)
        read_count = int(account[turns.READS])
        return {
            "layout": chosen.name,
            "machine": model.name,
            "cpus": cpus,
            "replicate": replicate,
            "seed": seed + replicate,
            "ghz": model.ghz,
            "ns": stand.ns(ticks) * cpus / measured,
            "updates": int(account[turns.DONE]),
            "sum": total,
            "lost": wanted - total,
            "transfers": stand.system.system_field(S_TRANSFERS) / (count + warm),
            "invalidations": stand.system.system_field(S_INVALIDATIONS) / (count + warm),
            "read_ns": stand.ns(int(account[turns.READ_TICKS])) / max(read_count, 1),
        }

    return _frame(one, replicates, threads)


def _enough(layout: Layout, cpus: int) -> int:
    bound = layout.error_bound(cpus)
    batch = int(bound / cpus) if np.isfinite(bound) else 0
    return max(200 * cpus, 4 * batch * cpus, 4000)


def _wanted(stand: Stand, amounts: Sequence[int]) -> int:
    """What the counter would hold if no update was lost."""
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
            "ns": stand.ns(int(account[turns.READ_TICKS])) / int(account[turns.READS]),
            "sum": int(account[turns.LAST_SUM]),
        }

    return _frame(one, replicates, threads)


def _resolve(machine: str | Machine, cpus: int) -> Machine:
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    if not 1 <= cpus <= model.n_cpus:
        raise UserError(
            f"machine {model.name}: cpus = {cpus!r} is not allowed; allowed: 1..{model.n_cpus}"
        )
    return model


def _frame(one: Any, replicates: int, threads: int) -> pd.DataFrame:
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            return pd.DataFrame(list(pool.map(one, range(replicates))))
    return pd.DataFrame([one(replicate) for replicate in range(replicates)])


def sweep_updates(
    layouts: Sequence[str], machine: str | Machine, cpus: Sequence[int], **options: Any
) -> pd.DataFrame:
    """`update_cost` of every layout at every number of CPUs, one frame."""
    return pd.concat(
        [update_cost(layout, machine, n, **options) for layout in layouts for n in cpus],
        ignore_index=True,
    )


def memory_table(
    layouts: Sequence[str], machine: str | Machine, possible: Sequence[int]
) -> pd.DataFrame:
    """Bytes of one counter by layout and possible CPUs: columns layout, possible, bytes."""
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    return pd.DataFrame(
        [
            {"layout": name, "possible": n, "bytes": get_layout(name).memory_bytes(model, n)}
            for name in layouts
            for n in possible
        ]
    )
