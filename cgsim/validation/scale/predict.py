"""Native cost at scale beside what the simulator predicts for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.core.block_fields import TICKS
from cgsim.core.rng import random_integers, random_permutation, random_unit
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.data import data_path
from cgsim.errors import out_of_range, unknown_name
from cgsim.kernel import load_kernel
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.scenarios.trace import HARNESS
from cgsim.stage.loops import DEPENDENT, SERIALIZED, THROUGHPUT
from cgsim.validation.scale.calls import EmptyCall
from cgsim.validation.scale.heap import PAGE_SIZES
from cgsim.validation.scale.loop import Caller, run_calls, run_isolated
from cgsim.validation.scale.setups import Prepared, Setup, Workshop, setup_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.machines.model import Machine

MACHINE = "zen5-vm"
KERNEL = "7.3.4"
MODES = ("throughput", "dependent", "serialized", "polluted")
DISTRIBUTIONS = ("uniform", "zipf1.0")
MAX_CGROUPS = 100_000
MAX_FOOTPRINT_BYTES = 1 << 28
KEY_COLUMNS = ("id", "C", "distribution", "pages", "mode", "footprint_bytes")

_SEQUENCE = 200_000  # lookups of the measured run's precomputed sequence
_MODE_NUMBERS = {"throughput": THROUGHPUT, "dependent": DEPENDENT, "serialized": SERIALIZED}
_MEASURED = 20_000
_POLLUTED_BYTES = 1 << 28  # of buffer read in the measured part of a polluted loop
_EMPTY_INSTRUCTIONS = 2
# The given file leaves the footprint of its polluted rows empty. The empty loop's time tells them
# apart: it is the time to read that much (zen5_vm_measured.json, memory_parallelism).
_FOOTPRINTS = ((10, 0), (100, 16 << 10), (5_000, 256 << 10), (float("inf"), 2 << 20))


def measured_scale() -> pd.DataFrame:
    """The rows of `data/kernel/scale.csv`, with `value`: the figure to compare with, in ns.

    It is `ns`, and for polluted rows `isolated_ns`; their `footprint_bytes` is inferred where the
    file leaves it empty.
    """
    frame = pd.read_csv(data_path("kernel", "scale.csv"))
    polluted = frame["mode"] == "polluted"
    frame["value"] = frame["ns"].where(~polluted, frame["isolated_ns"])
    inferred = [
        next(size for limit, size in _FOOTPRINTS if ns <= limit) for ns in frame["empty_ns"]
    ]
    footprint = frame["footprint_bytes"].fillna(pd.Series(inferred, index=frame.index))
    frame["footprint_bytes"] = footprint.where(polluted, 0).astype("int64")
    return frame


def validate_scale(
    ids: Sequence[str] | None = None,
    cgroups: Sequence[int] | None = None,
    distribution: str | None = None,
    pages: str | None = None,
    mode: str | None = None,
    footprint_bytes: int | None = None,
    seed: int = 1,
    machine: str = MACHINE,
) -> pd.DataFrame:
    """Predict rows of the measurements at scale.

    Parameters
    ----------
    ids : of `scale_ids`; None: all that were measured
    cgroups : numbers of cgroups, 1..100000
    distribution : "uniform" or "zipf1.0", of cgroups over lookups
    pages : "4k" or "huge"
    mode : "throughput", "dependent", "serialized" or "polluted"
    footprint_bytes : read before each lookup of the polluted mode
    seed : of placement and order

    Every argument that is given stands for itself; a combination that was not measured gives a row
    without a value. What is not given is taken from the measured rows of the id; ids, numbers or
    modes that no row has take their place.

    Returns
    -------
    DataFrame: id, function, C, distribution, pages, mode, footprint_bytes, ns and isolated_ns (as
    measured), value (of the two the one to compare with), predicted_ns, error (predicted_ns / value
    - 1), empty_ns, predicted_empty_ns.

    Raises UserError for a bad argument.
    """
    _check(ids, cgroups, distribution, pages, mode, footprint_bytes)
    measured = measured_scale()
    rows = _wanted(measured, ids, cgroups, distribution, pages, mode, footprint_bytes)
    known = {
        tuple(row[column] for column in KEY_COLUMNS): row for row in measured.to_dict("records")
    }
    profile = load_machine(machine)
    predicted: dict[tuple[Any, ...], tuple[float, float]] = {}
    for group in _groups(rows):
        predicted |= _predict_group(profile, group, seed)
    table = []
    for row in rows:
        found = known.get(row, {})
        value = found.get("value", float("nan"))
        ns, empty_ns = predicted[row]
        table.append(
            dict(zip(KEY_COLUMNS, row, strict=True))
            | {
                "function": setup_of(row[0]).function,
                "ns": found.get("ns", float("nan")),
                "isolated_ns": found.get("isolated_ns", float("nan")),
                "value": value,
                "predicted_ns": ns,
                "error": ns / value - 1,
                "empty_ns": found.get("empty_ns", float("nan")),
                "predicted_empty_ns": empty_ns,
            }
        )
    return pd.DataFrame(table)


def _check(
    ids: Sequence[str] | None,
    cgroups: Sequence[int] | None,
    distribution: str | None,
    pages: str | None,
    mode: str | None,
    footprint_bytes: int | None,
) -> None:
    for name in ids or ():
        setup_of(name)
    for number in cgroups or ():
        if not 1 <= number <= MAX_CGROUPS:
            raise out_of_range(
                "validate scale", "cgroups", number, f"whole numbers in 1..{MAX_CGROUPS}"
            )
    for what, value, allowed in (
        ("distribution", distribution, DISTRIBUTIONS),
        ("pages", pages, tuple(PAGE_SIZES)),
        ("mode", mode, MODES),
    ):
        if value is not None and value not in allowed:
            raise unknown_name(what, value, allowed)
    if footprint_bytes is not None and not 0 <= footprint_bytes <= MAX_FOOTPRINT_BYTES:
        raise out_of_range(
            "validate scale", "footprint", footprint_bytes, f"0..{MAX_FOOTPRINT_BYTES}"
        )


def _wanted(
    measured: pd.DataFrame,
    ids: Sequence[str] | None,
    cgroups: Sequence[int] | None,
    distribution: str | None,
    pages: str | None,
    mode: str | None,
    footprint_bytes: int | None,
) -> list[tuple[Any, ...]]:
    """The rows asked for, as tuples of `KEY_COLUMNS`."""
    if footprint_bytes is not None and mode is None:
        mode = "polluted"
    rows: list[tuple[Any, ...]] = []
    for name in ids or list(dict.fromkeys(measured["id"])):
        own = measured[measured["id"] == name]
        plain = own[own["mode"] != "polluted"]
        numbers = cgroups or sorted(set(plain["C"])) or [1, 1000]
        for count in numbers:
            for which in (mode,) if mode else MODES:
                polluted = own[(own["mode"] == which) & (own["C"] == count)]
                if which == "polluted" and mode is None and (cgroups or polluted.empty):
                    continue
                sizes: Sequence[int] = (0,)
                if which == "polluted":
                    given = [] if footprint_bytes is None else [footprint_bytes]
                    sizes = given or sorted(set(polluted["footprint_bytes"])) or [256 << 10]
                seen = sorted(set(own[own["mode"] == which]["pages"])) or sorted(PAGE_SIZES)
                for size in sizes:
                    for page in (pages,) if pages else seen:
                        key = (name, int(count), distribution or "uniform", page, which, int(size))
                        rows.append(key)
    return rows


def _groups(rows: list[tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
    """Rows that one structure serves: the same id, C and pages."""
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault((row[0], row[1], row[3]), []).append(row)
    return list(groups.values())


def _predict_group(
    machine: Machine, group: list[tuple[Any, ...]], seed: int
) -> dict[tuple[Any, ...], tuple[float, float]]:
    name, count, _, pages, _, _ = group[0]
    setup = setup_of(name)
    shop = Workshop(name, load_kernel(KERNEL), count, pages, seed)
    prepared = setup.build(shop)
    sequence = prepared.heap.place("sequence", 8 * _SEQUENCE + 4096)
    buffer = prepared.heap.place("buffer", max(row[5] for row in group) or 64)
    stack = prepared.heap.place("stack", 64)
    found = {}
    for row in group:
        caller = Caller(HARNESS, sequence, _SEQUENCE, buffer, row[5] // 64, stack)
        orders = drawn_order(prepared, count, row[2], seed)
        found[row] = _predict(machine, setup, prepared, caller, row[4], orders)
    return found


def drawn_order(prepared: Prepared, count: int, distribution: str, seed: int) -> np.ndarray:
    """int64[n, 2]: indices of owner and key of the sequence's lookups."""
    order = np.zeros((_SEQUENCE, 2), dtype=np.int64)
    column = 0 if prepared.owners.size == count else 1
    if distribution == "uniform":
        chosen = random_integers(_SEQUENCE, seed, 200, count)
    else:
        weights = np.cumsum(1.0 / np.arange(1, count + 1))
        units = np.array([random_unit(seed, 201, i) for i in range(_SEQUENCE)])
        ranks = np.searchsorted(weights / weights[-1], units, side="right")
        chosen = random_permutation(count, seed, 202)[np.minimum(ranks, count - 1)]
    order[:, column] = chosen
    if column == 0:
        order[:, 1] = random_integers(_SEQUENCE, seed, 203, prepared.keys.size)
    return order


def _predict(
    machine: Machine,
    setup: Setup,
    prepared: Prepared,
    caller: Caller,
    mode: str,
    order: np.ndarray,
) -> tuple[float, float]:
    """(ns of a lookup, ns of the empty loop)."""
    call = (prepared.parameters, prepared.owners, prepared.keys)
    empty = (EmptyCall(_EMPTY_INSTRUCTIONS), prepared.owners, prepared.keys)
    reads = int(setup.reads_value)
    if mode == "polluted":
        full = _isolated(machine, prepared, call, order, reads, caller)
        none = _isolated(machine, prepared, empty, order, 0, caller)
        return machine.ns(full - none), machine.ns(none)
    number = _MODE_NUMBERS[mode]
    full = _back_to_back(machine, prepared, call, order, number, reads, caller)
    none = _back_to_back(machine, prepared, empty, order, number, 0, caller)
    return machine.ns(full), machine.ns(none)


def _back_to_back(
    machine: Machine,
    prepared: Prepared,
    call: tuple[Any, ...],
    order: np.ndarray,
    mode: int,
    reads: int,
    caller: Caller,
) -> float:
    """Cycles of a call.

    The measured runs went through one sequence again and again, the first time unmeasured. So what
    warms ends where the measured part of a repetition begins, and goes back until each pair was
    called some times; the whole sequence twice at most.
    """
    system, space = _machine(machine, prepared)
    pairs = prepared.owners.size * prepared.keys.size
    warm = min(order.shape[0], max(_MEASURED, 20 * pairs))
    first = order.shape[0] - warm
    # from cold memory it takes longer, so that strangers replace more than in the runs that counted
    for _ in range(2 if first == 0 else 1):
        run_calls(space, *call, order[first:], first, mode, reads, caller)
    begin = int(system.causes().sum())
    run_calls(space, *call, order[:_MEASURED], 0, mode, reads, caller)
    return (int(system.causes().sum()) - begin) / TICKS / _MEASURED


def _isolated(
    machine: Machine,
    prepared: Prepared,
    call: tuple[Any, ...],
    order: np.ndarray,
    reads: int,
    caller: Caller,
) -> float:
    """Cycles of a call alone."""
    _, space = _machine(machine, prepared)
    calls = min(2000, max(8, _POLLUTED_BYTES // max(64 * caller.lines, 1)))
    warm = min(max(calls // 2, 4), 200)
    run_isolated(space, *call, order[:warm], 0, reads, caller)
    ticks = run_isolated(space, *call, order[warm : warm + calls], warm, reads, caller)
    return float(ticks) / TICKS / calls


def _machine(machine: Machine, prepared: Prepared) -> tuple[System, Timed]:
    heap = prepared.heap
    system = System(system_spec(machine), heap)
    return system, Timed(heap.mem, heap.block, system.cpu())
