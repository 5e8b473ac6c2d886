"""Lookups of every design on this very host: the native reading of the source that is simulated.

A population is built as `cgsim.lookup_cost` builds it, and the same callers look up the same
cgroups and keys in the same order; only the reading differs. `Bench` holds one such population,
times it natively, counts its native code's instructions, and predicts it on a machine.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.core.block_fields import TICKS
from cgsim.core.host_memory import address_of, reserve
from cgsim.core.rng import random_integers, random_permutation
from cgsim.core.space import Timed
from cgsim.core.system import System, SystemSpec
from cgsim.designs.base import list_designs
from cgsim.errors import out_of_range
from cgsim.experiments.places_of_use import IN_KERNEL, USERS, calls, fit, for_user, own_programs
from cgsim.kernel import load_kernel
from cgsim.limits import Range, check_choice, check_common
from cgsim.machines.system_spec import INSTRUCTIONS_PER_OP, system_spec
from cgsim.stage.callers import (
    BEHIND_DISPATCH,
    ENTRY_BYTES,
    IGNORE_DATUM,
    IN_HAND,
    NO_CALLER,
    Caller,
)
from cgsim.stage.loops import DEPENDENT, THROUGHPUT, Harness, compiled_for, run_lookups
from cgsim.stage.population import build_population, design_of
from cgsim.stage.surroundings import HeapSurroundings
from cgsim.validation.host.core_to_core import usable_cpus
from cgsim.validation.host.lookups import (
    native_alone,
    take_stamps,
    timed_alone,
)
from cgsim.validation.host.stepping import count_instructions
from cgsim.validation.host.timing import at_best, times, undisturbed_mean
from cgsim.validation.summary import UNSTABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.machines.model import Machine

MODES = ("throughput", "dependent", "isolated")
_NUMBERS = {"throughput": THROUGHPUT, "dependent": DEPENDENT}
_NO_HARNESS = Harness(instructions=0, ticks=0, chain=0)
_REST_NS = 1e8
"""For which a population has lain when its lookups alone begin: natively a cgroup of 1000 comes up
again after 1000 lookups, each with 0.1 ms for the footprint."""
_CHAIN = 4
"""Operations from a result to the address of the next argument: mask, add, shift, add."""
_REPEATS = Range(3, 1000)
_PART = 1 << 14  # lookups of a repetition
# Repetitions take the parts in turn: a predictor of branches learns a part that comes again, whole.
_STREAM = 16 * _PART
_WARM_PAIRS = 1 << 21
_COUNTED = (100, 600)
_CALLS: dict[tuple[type, str], float] = {}
"""Instructions of the call itself, by the types that are passed: most of those that are counted."""
_LONGEST_ALONE_BYTES = 1 << 28


class Bench:
    """One design's population on this host.

    A lookup has a caller, that of the first user that can have the design, or is "bare": its
    arguments come from the caller's stream (one that lies alone has them in registers), nothing
    calls it, and its datum is left alone.
    """

    def __init__(self, name: str, n_cgroups: int, n_keys: int, footprint_bytes: int, seed: int):
        user = next(each for each in USERS.values() if fit(name, each.name).usable)
        design, use = for_user(name, user.name)
        place = IN_HAND if user.family == IN_KERNEL else BEHIND_DISPATCH
        self.user = user.name
        self.seed, self.footprint_bytes = seed, footprint_bytes
        self.stage = HeapSurroundings(
            load_kernel("7.3.4"), place, use, calls(design), 64, max(footprint_bytes, 64),
            stream_entries=_STREAM, own_programs=own_programs(design),
        )  # fmt: skip
        self.population = build_population(
            design, n_cgroups=n_cgroups, n_keys=n_keys, seed=seed, prepare=self.stage.prepare,
            cpus=len(usable_cpus()),
        )  # fmt: skip
        sockets = self.stage.furnish(self.population, np.arange(n_cgroups), seed)
        self.actors = self.population.cgroups if place == IN_HAND else sockets
        order = np.empty((_STREAM, 2), dtype=np.int64)
        for column, bound in enumerate((n_cgroups, n_keys)):
            order[:, column] = random_integers(_STREAM, seed, 100 + column, bound)
        self.order = order
        self.ring = reserve(max(footprint_bytes, 64))
        self.ring[:] = 1
        self._subjects: np.ndarray | None = None  # of the stream
        population = self.population
        self.what = (population.parameters, population.cgroups, population.keys)

    def caller(self, who: str, mode: str) -> Caller:
        """The caller of "bare" lookups, or of the user's; its stream holds the arguments."""
        if who == "bare" and mode == "isolated":
            return NO_CALLER
        caller, subjects = self.stage.caller(self.population), self.actors
        if who == "bare":
            caller, subjects = caller._replace(place=IN_HAND, calls=0), self.population.cgroups
        if subjects is not self._subjects:
            self.stage.fill_stream(self.population, subjects, self.order)
            self._subjects = subjects
        return caller

    def _part(self, number: int, caller: Caller) -> tuple[np.ndarray, Caller]:
        """Part `number` of the lookups, and the caller that reads them from its stream."""
        first = number * _PART % _STREAM
        moved = caller._replace(stream=caller.stream + ENTRY_BYTES * first)
        return self.order[first : first + _PART], moved

    def _use(self, who: str) -> int:
        return IGNORE_DATUM if who == "bare" else self.stage.use

    def native(self, mode: str, who: str, repeats: int) -> np.ndarray:
        """float64[repeats]: ns of a lookup."""
        caller, use = self.caller(who, mode), self._use(who)
        space = self.population.native
        if mode != "isolated":
            number = _NUMBERS[mode]

            turn = itertools.count()

            def run(lookups: int = _PART) -> None:
                order, moved = self._part(next(turn), caller)
                run_lookups(space, *self.what, order[:lookups], number, use, _NO_HARNESS, moved)

            return times(run, _PART, repeats, empty=lambda: run(0))
        return self._native_alone(caller._replace(use=use), repeats)

    def _native_alone(self, caller: Caller, repeats: int) -> np.ndarray:
        """Of each repetition the mean of its lookups but the slowest, less the stamps' own time."""
        loop = compiled_for(native_alone, type(self.population.parameters))
        number = min(1000, max(_LONGEST_ALONE_BYTES // max(self.footprint_bytes, 1) // 4, 40))
        stamps = np.zeros(number, dtype=np.int64)
        tick_ns, empty = stamp_ns()
        ring, lines = address_of(self.ring), self.footprint_bytes // 64
        first = 0

        def one() -> float:
            nonlocal first
            part = self.order[first : first + number]
            moved = caller._replace(stream=caller.stream + ENTRY_BYTES * first)
            first = (first + number) % (_STREAM - number)
            loop(self.population.native, *self.what, part, moved, ring, lines, stamps)
            return undisturbed_mean(stamps) * tick_ns

        one()
        return np.maximum(at_best(one, repeats) - empty * tick_ns, 0.01)

    def instructions(self, mode: str, who: str) -> float | None:
        """Instructions of a lookup's native code, its loop included; None: cannot be counted."""
        caller, use = self.caller(who, mode), self._use(who)
        space, number = self.population.native, _NUMBERS.get(mode, THROUGHPUT)

        def steps(n: int) -> int | None:
            part = self.order[:n]
            return count_instructions(
                lambda: run_lookups(space, *self.what, part, number, use, _NO_HARNESS, caller)
            )

        few, many = _COUNTED
        counted = steps(many)
        if counted is None:
            return None
        call = (type(self.population.parameters), who)
        if call not in _CALLS:
            first = steps(few)
            if first is None:
                return None
            _CALLS[call] = first - few * (counted - first) / (many - few)
        return (counted - _CALLS[call]) / many

    def predict(
        self, machine: Machine, mode: str, who: str, instructions: float | None
    ) -> tuple[float, float]:
        """(ns of a lookup on a machine, instructions that the engine counts without the rest).

        instructions : of the native code; what it has more than the engine counts runs beside the
        lookup. Natively nothing is called: what stands behind the call goes into the loop.
        """
        caller, use = self.caller(who, mode)._replace(calls=0), self._use(who)
        spec = system_spec(machine)
        ns, counted = self._predict(machine, spec, mode, caller, use, 0)
        if instructions is not None:
            spec = for_native_code(spec, counted, instructions)
            more = max(round(instructions - counted), 0)
            ns, _ = self._predict(machine, spec, mode, caller, use, more)
        return ns, counted

    def _predict(
        self,
        machine: Machine,
        spec: SystemSpec,
        mode: str,
        caller: Caller,
        use: int,
        more: int,
    ) -> tuple[float, float]:
        heap = self.population.heap
        system = System(spec, heap)
        space = Timed(heap.mem, heap.block, system.cpu())
        harness = Harness(instructions=more, ticks=0, chain=_CHAIN)
        number = _NUMBERS.get(mode, THROUGHPUT)
        pairs = random_permutation(self.what[1].size * self.what[2].size, self.seed, 99)
        warm = np.column_stack(np.divmod(pairs[:_WARM_PAIRS], self.what[2].size))
        run_lookups(space, *self.what, warm, THROUGHPUT, IGNORE_DATUM, harness, NO_CALLER)
        if mode == "isolated":
            return self._predict_alone(machine, system, space, caller._replace(use=use), more)

        def play(part: int) -> None:
            order, moved = self._part(part, caller)
            run_lookups(space, *self.what, order, number, use, harness, moved)

        play(0)
        before, begin = system.counters(0)["instructions"], int(system.causes().sum())
        play(1)
        cycles = (int(system.causes().sum()) - begin) / TICKS / _PART
        counted = (system.counters(0)["instructions"] - before) / _PART
        return machine.ns(cycles), counted

    def _predict_alone(
        self, machine: Machine, system: System, space: Timed, caller: Caller, more: int
    ) -> tuple[float, float]:
        loop = compiled_for(timed_alone, type(self.population.parameters))
        lines = self.footprint_bytes // 64
        number = min(1000, max(_LONGEST_ALONE_BYTES // max(self.footprint_bytes, 1) // 4, 40))
        ticks = np.zeros(number, dtype=np.int64)
        pace = round(machine.cycles(machine.memory.ns_per_line or 0.0) * TICKS)
        rest = round(machine.cycles(_REST_NS) * TICKS)
        for first in (0, number):
            part = self.order[first : first + number]
            moved = caller._replace(stream=caller.stream + ENTRY_BYTES * first)
            before = system.counters(0)["instructions"]
            loop(space, *self.what, part, moved, self.stage.ring, lines, pace, rest, more, ticks)
        counted = (system.counters(0)["instructions"] - before) / number
        return machine.ns(undisturbed_mean(ticks) / TICKS), counted


def for_native_code(spec: SystemSpec, counted: float, instructions: float) -> SystemSpec:
    """The machine for native code of other instructions than the engine counts.

    Each takes a slot: `INSTRUCTIONS_PER_OP` is of the kernel's code, with its calls and padding.
    Where there are less than the engine counts, one of the engine's stands for less than one.
    """
    ratio = max(counted / instructions, 1.0)
    width = spec.width / INSTRUCTIONS_PER_OP * ratio
    return spec._replace(width=width, rob_entries=round(spec.rob_entries * ratio))


def stamp_ns() -> tuple[float, float]:
    """(ns of a tick of the time-stamp counter, ticks between two stamps with nothing between)."""
    _stamps(1)  # compiled from now on
    begin, first = time.perf_counter_ns(), _stamps(1)[0]
    time.sleep(0.02)
    last, end = _stamps(1)[0], time.perf_counter_ns()
    return (end - begin) / (last - first), undisturbed_mean(np.diff(_stamps(4000)))


def _stamps(number: int) -> np.ndarray:
    stamps = np.zeros(number, dtype=np.int64)
    take_stamps(stamps)
    return stamps


def measure(
    designs: Sequence[str] | None = None,
    *,
    n_cgroups: Sequence[int] = (1, 1000, 100_000),
    n_keys: Sequence[int] = (1, 8, 64),
    modes: Sequence[str] = MODES,
    footprint_bytes: int = 1 << 21,
    repeats: int = 15,
    seed: int = 1,
    machine: Machine | None = None,
) -> pd.DataFrame:
    """Time lookups of designs natively on this host.

    Parameters
    ----------
    designs : names; None: all. One that cannot hold so many keys is left out.
    n_cgroups, n_keys : sizes of populations, each with each
    modes : "throughput", "dependent", "isolated" (alone, after a read of `footprint_bytes`)
    repeats : of each; each is some thousand lookups
    machine : also predict them on it, with the native code's instruction counts

    Returns
    -------
    DataFrame: design, user, caller ("bare" or the user's), n_cgroups, n_keys, mode,
    footprint_bytes, seed, repeats, ns (lower quartile over repetitions), median_ns, high_ns (upper
    quartile), spread ((high - low) / median), stable (spread up to 10 %); with a machine also
    machine, predicted_ns, error (predicted_ns / ns - 1), instructions (native; NaN if they cannot
    be counted), engine_instructions.

    Raises UserError for a bad argument.
    """
    names = [design.name for design in list_designs()] if designs is None else list(designs)
    _REPEATS.check("measure", "repeats", repeats)
    for mode in modes:
        check_choice("measure", "modes", mode, MODES)
    for count in n_cgroups:
        check_common("measure", n_cgroups=count, footprint_bytes=footprint_bytes, seed=seed)
    for count in n_keys:
        check_common("measure", n_keys=count)
    if not names or not modes:
        raise out_of_range("measure", "designs", names, "one design and one mode at least")
    rows: list[dict[str, Any]] = []
    for name in names:
        most = design_of(name).max_keys
        for cgroups in n_cgroups:
            for keys in n_keys:
                if keys <= most:
                    bench = Bench(name, cgroups, keys, footprint_bytes, seed)
                    rows += _rows(bench, name, modes, repeats, machine)
    return pd.DataFrame(rows)


def _rows(
    bench: Bench,
    name: str,
    modes: Sequence[str],
    repeats: int,
    machine: Machine | None,
) -> list[dict[str, Any]]:
    rows = []
    counts: dict[tuple[str, str], float | None] = {}
    for mode in modes:
        for who in ("bare", bench.user):
            values = bench.native(mode, who, repeats)
            low, middle, high = (float(v) for v in np.percentile(values, (25, 50, 75)))
            row = {
                "design": name,
                "user": bench.user,
                "caller": who,
                "n_cgroups": bench.population.cgroups.size,
                "n_keys": bench.population.keys.size,
                "mode": mode,
                "footprint_bytes": bench.footprint_bytes if mode == "isolated" else 0,
                "seed": bench.seed,
                "repeats": repeats,
                "ns": low,
                "median_ns": middle,
                "high_ns": high,
                "spread": (high - low) / middle,
                "stable": (high - low) / middle <= UNSTABLE,
            }
            if machine is not None:
                key = ("dependent" if mode == "dependent" else "throughput", who)
                if key not in counts:
                    counts[key] = bench.instructions(*key)
                ns, counted = bench.predict(machine, mode, who, counts[key])
                native = counts[key]
                row |= {
                    "machine": machine.name,
                    "predicted_ns": ns,
                    "error": ns / low - 1,
                    "instructions": np.nan if native is None else native,
                    "engine_instructions": counted,
                }
            rows.append(row)
    return rows


def host_load() -> str:
    """How busy the host is, for those who read the figures."""
    return f"load average {os.getloadavg()[0]:.1f} on {len(usable_cpus())} CPUs"
