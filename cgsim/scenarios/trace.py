"""`cgsim trace`: the accesses of one call, beside those recorded of the kernels' machine code.

A scenario's structure is built by its design's own functions in the native reading, then one call
is played in the traced reading, and a warm loop of them in the timed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.core import traced
from cgsim.core.block_fields import TICKS
from cgsim.core.heap import Heap
from cgsim.core.host_memory import address_of
from cgsim.core.space import Native, Timed, Traced
from cgsim.core.system import System
from cgsim.errors import UserError
from cgsim.kernel import load_kernel
from cgsim.kernel_fields import field_name, in_table, nested, without_index
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.scenarios import all_scenarios, find_scenario
from cgsim.scenarios.base import NEITHER
from cgsim.scenarios.play import play_loop, play_once
from cgsim.stage.loops import Harness

if TYPE_CHECKING:
    from cgsim.kernel import Kernel
    from cgsim.machines.model import Machine
    from cgsim.scenarios.base import Call, Scenario

MEMORY_BYTES = 1 << 30
_SEED = 1
_CALLS = 1000
_ACCESSES = 200_000  # at most so many in the measured loop, so that long walks stay quick

HOT_PREFIXES = ("percpu:", "global:")
HOT_STRUCTS = ("task_struct", "keybuf", "ptrbuf", "unknown")
"""Objects that are always hot: the CPU's and the task's own lines, and what the caller has."""

FREE_STRUCTS = ("bucket", "hlist_head", "net_generic", "global:kprobe_table", "unknown")
"""Arrays without field names: the offset follows a freely chosen index."""


def trace(
    scenario: str, kernel: str = "7.3.4", machine: str = "zen5-vm", *, cycles: bool = True
) -> dict[str, Any]:
    """Trace one call of a scenario.

    Parameters
    ----------
    scenario : str
        A name of `list_scenarios`, with a number in place of N.
    kernel, machine : str
        A recorded kernel version; a machine profile.
    cycles : bool
        False leaves the cycles out: they take most of the time.

    Returns
    -------
    dict with `scenario`, `kernel`, `instructions`, `cond_branches`, `accesses` (a list of dicts
    with `op`, `struct`, `offset`, `size`, `field`, `deps`, in program order) and `cycles`
    (`dependent` and `throughput`, of one warm call in a loop). Raises UserError for anything
    unknown or out of range.
    """
    facts = load_kernel(kernel)
    profile = load_machine(machine)
    found, number = find_scenario(scenario)
    _require_kernel(found, facts)
    heap, call = _build(found, number, facts, profile)
    record = _record(heap, call, number)
    result = {
        "scenario": found.name(number),
        "kernel": facts.version,
        "instructions": record.instructions,
        "cond_branches": record.branches,
        "accesses": [_access(heap, facts, access) for access in record.accesses],
    }
    if cycles:
        result["cycles"] = _cycles(heap, call, profile, len(record.accesses))
    return result


def count_locked(scenario: str, kernel: str = "7.3.4", machine: str = "zen5-vm") -> int:
    """Locked operations of one call: the recorded `atomics`, which the accesses do not tell."""
    found, number = find_scenario(scenario)
    heap, call = _build(found, number, load_kernel(kernel), load_machine(machine))
    accesses = _record(heap, call, number).accesses
    return sum(access.operation == "RMW!" for access in accesses)


def list_scenarios() -> list[dict[str, str]]:
    """One row per scenario: `name`, `explanation`, `mirrors`, `kernels`, `n` (the range of N)."""
    return [
        {
            "name": scenario.pattern,
            "explanation": scenario.explanation,
            "mirrors": scenario.mirrors,
            "kernels": ", ".join(scenario.kernels),
            "n": f"{scenario.smallest}..{scenario.largest}" if scenario.takes_number else "",
        }
        for scenario in all_scenarios()
    ]


def _require_kernel(scenario: Scenario, kernel: Kernel) -> None:
    if kernel.series not in scenario.kernels:
        raise UserError(
            f"scenario {scenario.pattern!r}: kernel = {kernel.version!r} is not allowed; "
            f"allowed: {', '.join(scenario.kernels)}"
        )


def _build(scenario: Scenario, number: int, kernel: Kernel, machine: Machine) -> tuple[Heap, Call]:
    heap = Heap(MEMORY_BYTES, seed=_SEED, cpus=machine.n_cpus)
    return heap, scenario.build(heap, Native(heap.mem, heap.block), kernel, number)


def _record(heap: Heap, call: Call, number: int) -> traced.Record:
    """One call in the traced reading."""
    log = traced.new_log(512 + 32 * number)
    space = Traced(heap.mem, heap.block, address_of(log))
    play_once(space, call.parameters, call.owner, call.key)
    return traced.parse(log)


def _access(heap: Heap, kernel: Kernel, access: traced.Access) -> dict[str, Any]:
    cache, _, _, offset = heap.resolve(access.address)
    struct, offset = nested(kernel, heap.caches[cache].struct, offset)
    return {
        # the recording tells locked ones apart by its count `atomics` only
        "op": access.operation.rstrip("!"),
        "struct": struct,
        "offset": offset,
        "size": access.size,
        "field": field_name(kernel, struct, offset, access.size),
        "deps": list(access.deps),
    }


HARNESS = Harness(1, 6 * TICKS, 2)
"""What the native loop itself costs, the same for every scenario: a call through a pointer, the
return and the loop's branch hold the front end up for 6 cycles, and between a result and the next
argument stand an `and` and an `add`. Fitted on the native cycles of the recorded scenarios, as is
`cgsim.machines.system_spec.INSTRUCTIONS_PER_OP` (benchmarks/TRACES.md says what was held out of
which fit)."""


def _cycles(heap: Heap, call: Call, machine: Machine, accesses: int) -> dict[str, float]:
    calls = max(20, min(_CALLS, _ACCESSES // max(accesses, 1)))
    result = {}
    for name, dependent in (("dependent", 1), ("throughput", 0)):
        first = call.first if dependent else NEITHER
        what = (call.parameters, call.owner, call.key)
        arguments = (*what, calls, dependent, first, HARNESS, call.reset)
        system = System(system_spec(machine), heap)
        space = Timed(heap.mem, heap.block, system.cpu())
        play_loop(space, *arguments)
        begin = int(system.causes().sum())
        play_loop(space, *arguments)
        result[name] = round((int(system.causes().sum()) - begin) / TICKS / calls, 2)
    return result


# --- comparison ----------------------------------------------------------------------------------


def is_hot(struct: str) -> bool:
    """True for what is always hot and need not be compared."""
    return struct.startswith(HOT_PREFIXES) or struct in HOT_STRUCTS


def compare(recorded: dict[str, Any], ours: dict[str, Any], *, hot: bool = True) -> list[str]:
    """What differs between a recorded row and a trace; an empty list if nothing does.

    Compared are instructions, conditional branches, and op, struct, offset (by the field's name
    without its index where the index is free), size, order and dependences of accesses. `hot=False`
    leaves out the objects that are always hot.
    """
    differences = [
        f"{name}: {ours[name]}, recorded {recorded[name]}"
        for name in ("instructions", "cond_branches")
        if recorded[name] != ours[name]
    ]
    theirs, mine = (_comparable(side["accesses"], hot) for side in (recorded, ours))
    if len(theirs) != len(mine):
        differences.append(f"accesses: {len(mine)}, recorded {len(theirs)}")
    for index, (wanted, got) in enumerate(zip(theirs, mine, strict=False)):
        if wanted != got:
            differences.append(f"access {index}: {_shown(got)}, recorded {_shown(wanted)}")
    return differences


def _comparable(accesses: list[dict[str, Any]], hot: bool) -> list[tuple[Any, ...]]:
    kept = [i for i, access in enumerate(accesses) if hot or not is_hot(access["struct"])]
    index = {old: new for new, old in enumerate(kept)}
    rows = []
    for i in kept:
        access = accesses[i]
        name = without_index(access["field"])
        free = (
            access["struct"] in FREE_STRUCTS
            or in_table(access["struct"], access["offset"])
            or (name is not None and "[]" in name)
        )
        place = name if free else access["offset"]
        deps = tuple(index[d] for d in access["deps"] if d in index)
        rows.append((access["op"], access["struct"], place, access["size"], deps))
    return rows


def _shown(row: tuple[Any, ...]) -> str:
    operation, struct, place, size, deps = row
    return f"{operation} {struct}+{place} ({size} bytes) deps {list(deps)}"
