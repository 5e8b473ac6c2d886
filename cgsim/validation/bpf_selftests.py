"""The kernel's selftest benchmarks of BPF lookups: local storage by maps, a hash map by fill.

Mirrors tools/testing/selftests/bpf/benchs/bench_local_storage.c and
bench_bpf_hashmap_lookup.c with their programs: a callback of bpf_loop that makes one get, or with
"interleaved" one of the map in turn and, at every third map, one more of map 0. What a turn of the
loop takes without a get is published for local storage ("baseline") and not predicted: the median
of a case's baselines holds the front end up at each turn. The hash map by fill, whose baseline was
not published, is taken to have the same loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.core.block_fields import TICKS
from cgsim.core.heap import PAGE_4K, Heap
from cgsim.core.rng import random_integers
from cgsim.core.space import Native, Timed, poke
from cgsim.core.system import System
from cgsim.designs import hash_map, local_storage
from cgsim.errors import unknown_name
from cgsim.kernel import load_kernel
from cgsim.limits import Range
from cgsim.machines.system_spec import system_spec
from cgsim.scenarios.lookups import registered
from cgsim.scenarios.play import create_owner, install_all
from cgsim.stage.loops import THROUGHPUT, Harness
from cgsim.validation.numbered_map import NumberedMap, OuterStorage, fill_numbered
from cgsim.validation.scale.loop import Caller, run_calls

if TYPE_CHECKING:
    from cgsim.machines.model import Machine

KERNEL = "6.12.117"
"""The recorded kernel that is nearest to those measured (5.19 and 6.2)."""
MAX_MAPS = 4096
CONTROL_ENTRIES = 1 << 22
FILL_ENTRIES = 1 << 16
_TURN_IPC = 2  # not measured: code with a retpoline or two
_MEASURED = 20_000
_WARM = 20_000
_SEQUENCE_BYTES = 1 << 16


class StorageCase(NamedTuple):
    """One case of local_storage. baseline_ns : what its loop takes without a get (published)."""

    baseline_ns: float
    hashed: bool = False
    interleaved: bool = False


STORAGE_CASES = {
    "local_storage sequential get": StorageCase(9.0),
    "local_storage interleaved get": StorageCase(7.05, interleaved=True),
    "hashmap control sequential get": StorageCase(18.7, hashed=True),
}
FILL_CASE = "M lookups/s by fill percent"


def predict_local_storage(machine: Machine, case: str, x: int, seed: int = 1) -> float:
    """ns of a get, the loop included; x : maps, or keys in use of the hash map.

    Raises UserError for an unknown case or an x outside of 1..4096 maps or 1..4194304 keys.
    """
    if case not in STORAGE_CASES:
        raise unknown_name("case", case, STORAGE_CASES)
    chosen = STORAGE_CASES[case]
    most = CONTROL_ENTRIES if chosen.hashed else MAX_MAPS
    Range(1, most).check("local_storage", "x", x)
    harness = _turn(machine, chosen.baseline_ns)
    if chosen.hashed:
        keys = random_integers(max(_WARM, min(4 * x, 1 << 20)) + _MEASURED, seed, 1, x)
        return _hashed(machine, CONTROL_ENTRIES, x, keys, harness, seed, nested=True)
    order = _in_turn(x, chosen.interleaved)
    return _stored(machine, x, np.resize(order, max(_WARM, 2 * order.size) + _MEASURED), harness)


def predict_hashmap(machine: Machine, case: str, x: int, seed: int = 1) -> float:
    """Million lookups per second in a map of 65536 entries that is x percent full.

    Raises UserError for an unknown case or an x outside of 1..100.
    """
    if case != FILL_CASE:
        raise unknown_name("case", case, (FILL_CASE,))
    Range(1, 100).check("hashmap_lookup", "x", x)
    used = FILL_ENTRIES * x // 100
    keys = np.resize(np.arange(used, dtype=np.int64), 2 * used + _MEASURED)
    harness = _turn(machine, STORAGE_CASES["local_storage sequential get"].baseline_ns)
    return 1e3 / _hashed(machine, FILL_ENTRIES, used, keys, harness, seed, nested=False)


def _turn(machine: Machine, baseline_ns: float) -> Harness:
    """The loop's turn: its time, and instructions that fill the window meanwhile."""
    cycles = machine.cycles(baseline_ns)
    return Harness(round(_TURN_IPC * cycles), round(cycles * TICKS), 0)


def _in_turn(maps: int, interleaved: bool) -> np.ndarray:
    """int64[n]: the maps of one round."""
    if not interleaved:
        return np.arange(maps, dtype=np.int64)
    return np.array([m for i in range(maps) for m in ((i, 0) if i % 3 == 0 else (i,))])


def _stored(machine: Machine, maps: int, order: np.ndarray, harness: Harness) -> float:
    heap = Heap(256 << 20, seed=1, cpus=2)
    design = local_storage.prepare(heap, load_kernel(KERNEL), owner="task", value_bytes=4)
    space = Native(heap.mem, heap.block)
    keys = registered(space, design, maps)
    owner = create_owner(space, design)
    # a map's element is made by its first get, so the last map's is the first of the list
    install_all(space, design, owner, keys[::-1].copy())
    outer = heap.place("array_of_maps", 8 * maps)
    for number, key in enumerate(keys):
        poke(space, outer + 8 * number, 8, key)
    numbers = np.arange(maps, dtype=np.int64)
    call = OuterStorage(design, outer)
    return _run(machine, heap, call, np.array([owner]), numbers, order, harness)


def _hashed(
    machine: Machine,
    entries: int,
    used: int,
    keys: np.ndarray,
    harness: Harness,
    seed: int,
    *,
    nested: bool,
) -> float:
    # blocks of pages lie at multiples of their size
    heap = Heap(2 * (64 + 2 * 16) * entries + (64 << 20), seed=seed, cpus=2)
    design = hash_map.prepare(heap, load_kernel(KERNEL), kind="inlined", entries=entries)
    # the elements of a map are one array of pages of their own, handed out in order
    elements = heap.place("htab_elem", 64 * used, page_size=PAGE_4K)
    space = Native(heap.mem, heap.block)
    table = int(registered(space, design, 1)[0])
    fill_numbered(space, design, table, elements, 64, used)
    numbers = np.arange(used, dtype=np.int64)
    # of the benchmark's own outer map; a map in a map is called through map->ops, by a retpoline
    outer = heap.place("array_of_maps", 64) if nested else 0
    retpoline = round(machine.window.mispredict_cycles * TICKS) if nested else 0
    call = NumberedMap(design, table, outer, retpoline)
    return _run(machine, heap, call, numbers, np.zeros(1, dtype=np.int64), keys, harness)


def _run(
    machine: Machine,
    heap: Heap,
    parameters: Any,
    owners: np.ndarray,
    keys: np.ndarray,
    order: np.ndarray,
    harness: Harness,
) -> float:
    """ns of a call, the last `_MEASURED` of them; order : of the owners if there are many."""
    pairs = np.zeros((order.size, 2), dtype=np.int64)
    pairs[:, 0 if owners.size > 1 else 1] = order
    sequence = heap.place("sequence", _SEQUENCE_BYTES + 4096)
    stack = heap.place("stack", 64)
    caller = Caller(harness, sequence, _SEQUENCE_BYTES // 8, 0, 0, stack)
    system = System(system_spec(machine), heap)
    space = Timed(heap.mem, heap.block, system.cpu())
    warm = order.size - _MEASURED
    run_calls(space, parameters, owners, keys, pairs[:warm], 0, THROUGHPUT, 0, caller)
    begin = int(system.causes().sum())
    run_calls(space, parameters, owners, keys, pairs[warm:], warm, THROUGHPUT, 0, caller)
    return machine.ns((int(system.causes().sum()) - begin) / TICKS / _MEASURED)
