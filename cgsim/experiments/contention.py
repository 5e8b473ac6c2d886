"""Lookups on many CPUs at once, of one cgroup or of cgroups of unequal popularity.

CPUs 0 .. n - 1 look a key up in a tight loop, use the datum, and give back the reference where the
lookup took one. They take turns in simulated time, the CPU with the smallest clock first, so lines
move between them as their operations are ordered; a turn is one lookup with its use.

========  =========================================================================================
use       what is done with the datum
========  =========================================================================================
read      its first word is read: a limit, a priority
percpu    it is a pointer to an area with a copy for each CPU: an unlocked addition to one's own
shared    one locked addition to its first word, for all CPUs
========  =========================================================================================

What belongs to a CPU or its task (its percpu areas, the running task, the caller's stack) is its
own: each CPU sees copies of those pages (`cgsim.core.space.OnCpu`). A mutex is held from a lookup's
begin to its end: who comes in between waits for the holder's clock, first the one whose clock is
smallest, as with optimistic spinning; that nobody is put to sleep makes it a lower bound. RCU is
taken by the caller, once for many lookups, where a lookup does not take it itself. Code and offsets
are those of 7.3.4.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cgsim.compile.block_access import get
from cgsim.compile.jit import njit
from cgsim.core import traced
from cgsim.core.block_fields import C_CAUSES, COHERENCE, LOCK, S_INVALIDATIONS, S_TRANSFERS, TICKS
from cgsim.core.host_memory import address_of
from cgsim.core.rng import random_below
from cgsim.core.space import (
    OnCpu,
    Traced,
    add_in_place,
    atomic_add,
    load,
    now,
    pause,
    poke,
    work,
)
from cgsim.core.system import System
from cgsim.designs.base import Design, get_design, list_designs, lookup, put
from cgsim.errors import UserError
from cgsim.experiments.counter_stand import busy_machine
from cgsim.experiments.footprint import own_areas, ways
from cgsim.experiments.places_of_use import fit, get_user
from cgsim.experiments.replicates import run_replicates
from cgsim.limits import COMMON, Range, check_choice, check_common
from cgsim.machines import Machine, load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.percpu.turns import CPU_BITS, CPU_MASK, clock_keys, sift
from cgsim.stage.loops import compiled_for
from cgsim.stage.population import build_population
from cgsim.workloads.popularity import alias_table, draw_many, zipf_pmf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.core.heap import Heap
    from cgsim.stage.population import Population

USES = ("read", "percpu", "shared")
CPUS = (1, 2, 4, 8, 16, 32, 64)
LOOKUPS_PER_CPU = 60
"""Measured; half as many warm the caches. More than a store buffer hides."""

_KERNEL = "7.3.4"
_READ, _PERCPU, _SHARED, _OWN_AREA = range(4)
_PICKS = 1 << 14
_LOOP_INSTRUCTIONS = 6  # of the caller: fetch the cgroup, call, loop
_PAGE_SHIFT, _CACHE_SHIFT, _CACHE_MASK = 12, 16, 0xFFFF
_TASKS_OWN = ("task_struct", "keybuf", "ptrbuf")
_AREA_BYTES = 16
_MAX_CGROUPS = 1 << 16
_MOST_WARM = 1 << 20


class Run(NamedTuple):
    """What the CPUs do: use (of `_READ` ..), mutex (1 if lookups exclude each other), seed."""

    use: int
    mutex: int
    seed: int


@njit
def _use(space, use, datum, token):
    """What the caller does with the datum."""
    if use == _READ:
        load(space, datum, 8, token)
    elif use == _SHARED:
        atomic_add(space, datum, 8, 1, token)
    elif use == _PERCPU:
        area, area_token = load(space, datum, 8, token)
        add_in_place(space, area, 8, 1, area_token)
    else:
        add_in_place(space, datum, 8, 1, token)


@njit
def _look_up(space, design, run, blocks, copies, keys, cgroups, picks, key, free_at, lookups):
    """Lookups on all CPUs, until so many are begun.

    space : OnCpu, whose `cpu` and `copies` are replaced by those of the CPU whose turn it is
    blocks, copies : int64[cpus]. keys : the heap of their clocks, overwritten
    picks : int64[n], cgroups as often as they are looked up
    free_at : int64[cgroups], when each one's mutex is free, overwritten

    Returns the ticks waited for mutexes, by all CPUs.
    """
    cpus = blocks.size
    waited = 0
    for turn in range(lookups):
        cpu = keys[0] & CPU_MASK
        own = OnCpu(space.mem, space.heap, blocks[cpu], space.table, space.pages, copies[cpu])
        number = picks[random_below(run.seed, cpu, turn, picks.size)]
        work(own, _LOOP_INSTRUCTIONS, 1)
        if run.mutex != 0:
            late = free_at[number] - now(own)
            if late > 0:
                pause(own, late, 0)
                waited += late
        datum, token = lookup(own, design, cgroups[number], key, 0, 0)
        if run.mutex != 0:
            free_at[number] = now(own)
        _use(own, run.use, datum, token)
        put(own, design, datum, token)
        keys[0] = now(own) << CPU_BITS | cpu
        sift(keys, cpus)
    return waited


@njit
def _one_turn(space, design, use, cgroup, key):
    """One lookup with its use, to see what it locks."""
    datum, token = lookup(space, design, cgroup, key, 0, 0)
    _use(space, use, datum, token)
    put(space, design, datum, token)


@njit
def _point(space, design, cgroups, key, areas):
    """Let every cgroup's datum point to an area."""
    for c in range(cgroups.size):
        datum, token = lookup(space, design, cgroups[c], key, 0, 0)
        poke(space, datum, 8, areas + _AREA_BYTES * c)
        put(space, design, datum, token)


@njit
def _cause(blocks, cause):
    """Ticks of a cause on all CPUs."""
    total = 0
    for cpu in range(blocks.size):
        total += get(blocks[cpu], C_CAUSES + cause)
    return total


def why_not(design: Design, use: str, user: str = "") -> str:
    """Why a design has no figure for a use of the datum (by a user); "" if it has one."""
    if user and not (at_home := fit(design, user)).usable:
        return at_home.why
    if use == "percpu":
        return "" if "percpu" in ways(design) else "its datum is not a pointer to percpu areas"
    return "its data are percpu by themselves" if own_areas(design) else ""


def contention(
    machine: str | Machine,
    designs: Sequence[str | Design] = (),
    *,
    cpus: Sequence[int] = CPUS,
    uses: Sequence[str] = USES,
    user: str = "",
    n_cgroups: int = 1,
    zipf: float = 1.0,
    lookups_per_cpu: int = LOOKUPS_PER_CPU,
    replicates: int = 3,
    seed: int = 1,
    threads: int = 1,
) -> pd.DataFrame:
    """Cost of a lookup while CPUs 0 .. n - 1 do nothing else.

    Parameters
    ----------
    machine : name, path of a profile, or a `Machine` with as many CPUs
    designs : names or `Design`s; none: all
    cpus : numbers of CPUs
    uses : of `USES`
    user : of `cgsim.experiments.places_of_use`: only designs that this one can use; "": all
    n_cgroups : 1: all CPUs look up the same cgroup; more: each lookup picks one
    zipf : exponent of the cgroups' popularity; 0: all alike
    lookups_per_cpu : measured per replicate. Before, each CPU looks up random cgroups, all alike,
        so often that it has met nearly all (up to a million lookups in all), then half as many as
        are measured
    replicates : with seeds seed, seed + 1, ...
    threads : host threads over replicates; the result does not depend on it

    Returns
    -------
    DataFrame, one row per design, use, number of CPUs and replicate:

    =================================  ========================================================
    design, machine, kernel, use,      what was played
    n_cgroups, zipf, cpus, replicate,
    seed, ghz, lookups
    usable, why                        False for a design that has no figure for this use, and
                                       why; its figures are NaN, in one row
    sleeps                             True where a lookup takes a mutex: not in softirq
    ns                                 of one lookup of one CPU with its use
    locked                             locked instructions of one lookup with its use
    transfers, invalidations           lines that came from another core, copies lost, per lookup
    mutex_ns                           waiting for the holder of a mutex, of `ns`
    coherence_ns, lock_ns              waiting for lines of other cores; locked instructions
    =================================  ========================================================

    Raises UserError for a bad argument.
    """
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    allowed = Range(1, min(model.n_cpus, 1 << CPU_BITS))
    for number in cpus:
        if not allowed.holds(number):
            raise UserError(
                f"machine {model.name}: cpus = {number!r} is not allowed; allowed: {allowed}"
            )
    for use in uses:
        check_choice("contention", "uses", use, USES)
    if user:
        get_user(user)
    check_common("contention", replicates=replicates, seed=seed, threads=threads)
    Range(1, _MAX_CGROUPS).check("contention", "n_cgroups", n_cgroups)
    Range(0, 4, whole=False).check("contention", "zipf", zipf)
    Range(10, 10**6).check("contention", "lookups_per_cpu", lookups_per_cpu)
    COMMON["cpus"].check("contention", "cpus", max(cpus, default=0))
    chosen = [get_design(d) if isinstance(d, str) else d for d in designs] or list_designs()
    facts = {
        "machine": model.name, "kernel": _KERNEL, "n_cgroups": n_cgroups, "zipf": zipf,
    }  # fmt: skip
    parts: list[pd.DataFrame] = []
    for design in dict.fromkeys(chosen):
        named = {"design": design.name} | facts
        possible = [use for use in uses if not why_not(design, use, user)]
        reasons = [
            named | {"use": use, "usable": False, "why": why, "sleeps": False}
            for use in uses
            if (why := why_not(design, use, user))
        ]
        if possible:
            one = partial(
                _replicate, design, model, possible, tuple(cpus), named, lookups_per_cpu, seed
            )
            parts.append(run_replicates(one, replicates, threads))
        if reasons:
            parts.append(pd.DataFrame(reasons))
    return pd.concat(parts, ignore_index=True)


def _replicate(
    design: Design,
    machine: Machine,
    uses: Sequence[str],
    cpus: Sequence[int],
    named: dict[str, Any],
    per_cpu: int,
    seed: int,
    replicate: int,
) -> list[dict[str, Any]]:
    """The rows of a replicate, all on one population."""
    own_seed = seed + replicate
    stand = _Stand(design, named["n_cgroups"], named["zipf"], max(cpus), own_seed)
    return [
        named
        | {
            "use": use,
            "cpus": number,
            "replicate": replicate,
            "seed": own_seed,
            "usable": True,
            "why": "",
            "sleeps": design.reader_side == "mutex",
        }
        | stand.measure(busy_machine(machine, number), use, number, per_cpu)
        for use in uses
        for number in cpus
    ]


class _Stand:
    """A population with a key, and copies of what is a CPU's own."""

    def __init__(self, design: Design, n_cgroups: int, zipf: float, cpus: int, seed: int) -> None:
        places: dict[str, int] = {}

        def prepare(heap: Heap) -> None:
            places["areas"] = heap.place("percpu:areas", _AREA_BYTES * n_cgroups)

        self.population = build_population(
            design, n_cgroups=n_cgroups, n_keys=1, seed=seed, cpus=cpus, kernel=_KERNEL,
            prepare=prepare,
        )  # fmt: skip
        self.heap = self.population.heap
        self.design, self.seed, self.areas = design, seed, places["areas"]
        self.picks = np.zeros(1, dtype=np.int64)
        if n_cgroups > 1:
            self.picks = draw_many(alias_table(zipf_pmf(n_cgroups, zipf)), seed, 8, _PICKS)
        self.table = _copied_pages(self.heap)
        bytes_each = max(int(self.table.max()), 1) << _PAGE_SHIFT
        first = self.heap.place("copies of percpu:", bytes_each * cpus)
        self.copies = first + bytes_each * np.arange(cpus, dtype=np.int64)
        self.kernel = compiled_for(_look_up, type(self.population.parameters))

    def measure(self, machine: Machine, use: str, cpus: int, per_cpu: int) -> dict[str, Any]:
        """The figures of a use on so many CPUs, of a machine that starts cold."""
        population = self.population
        number = USES.index(use)
        if use == "percpu":
            if own_areas(self.design):
                number = _OWN_AREA
            else:
                _point_all(population, self.areas)
        system = System(system_spec(machine, cpus=cpus), self.heap)
        blocks = system.cpu_row()
        space = OnCpu(
            self.heap.mem, self.heap.block, int(blocks[0]), address_of(self.table),
            self.table.size, int(self.copies[0]),
        )  # fmt: skip
        free_at = np.zeros(population.cgroups.size, dtype=np.int64)
        before, waited = np.zeros(5), 0
        total = per_cpu * cpus
        n_cgroups = population.cgroups.size
        each = np.arange(n_cgroups, dtype=np.int64)
        all_seen = min(int(cpus * n_cgroups * (math.log(n_cgroups) + 2)), _MOST_WARM)
        for picks, lookups in ((each, all_seen), (self.picks, total // 2), (self.picks, total)):
            before = _counted(system, blocks)
            waited = self.kernel(
                space, population.parameters,
                Run(number, int(self.design.reader_side == "mutex"), self.seed),
                blocks, self.copies[:cpus], clock_keys(blocks), population.cgroups, picks,
                int(population.keys[0]), free_at, lookups,
            )  # fmt: skip
        counted = _counted(system, blocks) - before
        ns = machine.ns
        return {
            "ghz": machine.ghz,
            "lookups": total,
            "ns": ns(float(counted[4]) / TICKS) / total,
            "locked": _locked(population, number),
            "transfers": float(counted[0]) / total,
            "invalidations": float(counted[1]) / total,
            "mutex_ns": ns(waited / TICKS) / total,
            "coherence_ns": ns(float(counted[2]) / TICKS) / total,
            "lock_ns": ns(float(counted[3]) / TICKS) / total,
        }


def _counted(system: System, blocks: np.ndarray) -> np.ndarray:
    """Lines moved, copies lost; all CPUs' ticks: coherence, locked instructions, and all."""
    fields = [system.system_field(field) for field in (S_TRANSFERS, S_INVALIDATIONS)]
    clocks = (clock_keys(blocks) >> CPU_BITS).sum()
    return np.array([*fields, _cause(blocks, COHERENCE), _cause(blocks, LOCK), clocks], dtype=float)


def _copied_pages(heap: Heap) -> np.ndarray:
    """For each page up to the last that is a CPU's own, the number of its copy, from 1, or 0."""
    own = np.array(
        [c.struct.startswith("percpu:") or c.struct in _TASKS_OWN for c in heap.caches], dtype=bool
    )
    used = int(np.flatnonzero(heap.page_map)[-1]) + 1
    entries = heap.page_map[:used]
    marked = (entries != 0) & own[entries >> _CACHE_SHIFT & _CACHE_MASK]
    table = np.where(marked, np.cumsum(marked), 0).astype(np.int64)
    last = np.flatnonzero(marked)
    return table[: int(last[-1]) + 1 if last.size else 1]


def _point_all(population: Population, areas: int) -> None:
    kernel = compiled_for(_point, type(population.parameters))
    kernel(
        population.native, population.parameters, population.cgroups, int(population.keys[0]), areas
    )


def _locked(population: Population, use: int) -> int:
    """Locked instructions of one lookup with its use, after one that filled what caches it."""
    log = traced.new_log(2048)
    space = Traced(population.heap.mem, population.heap.block, address_of(log))
    kernel = compiled_for(_one_turn, type(population.parameters))
    for _ in range(2):
        traced.clear(log)
        kernel(
            space, population.parameters, use, int(population.cgroups[0]), int(population.keys[0])
        )
    return sum(a.operation == "RMW!" for a in traced.parse(log).accesses)
