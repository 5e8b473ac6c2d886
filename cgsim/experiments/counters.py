"""Counters on many CPUs: what an update, a read, a reset and a life of a layout cost, as tables.

`update_cost` lets CPUs 0 .. n - 1 update counters in a tight loop and measures between the end of
the warm-up and the last update; `read_cost` and `lifetime_cost` do one thing at a time. A row
is one replicate (they differ in when the CPUs begin, and in every random choice). Times are of the
machine's clock with so many busy cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.core.block_fields import S_INVALIDATIONS, S_TRANSFERS
from cgsim.core.heap import kmalloc_bytes
from cgsim.designs.base import Design
from cgsim.errors import UserError, out_of_range
from cgsim.experiments.counter_stand import MAX_CGROUPS, Stand, busy_machine
from cgsim.experiments.replicates import run_replicates
from cgsim.machines import Machine, load_machine
from cgsim.percpu import lifetime, many_cpus
from cgsim.percpu.base import Layout, get_layout, list_layouts
from cgsim.percpu.chunks import percpu_bytes, populated_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    _check_whole("cgroups", cgroups, 1, MAX_CGROUPS)
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
    group: int = 1,
    replicates: int = 1,
    seed: int = 1,
    threads: int = 1,
) -> pd.DataFrame:
    """What CPU 0 pays for a cgroup's counter from creation to teardown, while nobody updates.

    The CPUs 0 .. cpus - 1 have updated it before it is read, reset and taken away, so its copies
    lie in their caches. `slots`: copies (nr_possible_cpus); None: all CPUs of the machine.
    `group`: counters that one allocation of each kind serves, as percpu_counter_init_many does;
    times and bytes are per counter.

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
        if group > 1:
            # the others of the group have the first one's allocations, and zero their own copies
            zeroed = lifetime.create(
                stand.space, stand.layout, costs._replace(slabs=0, percpus=0, slab_lines=0)
            )
            create = (create + (group - 1) * zeroed) / group
        stand.update_all_copies()
        read = many_cpus.timed_read(stand.space, stand.layout)
        stand.update_all_copies()
        clear = many_cpus.timed_reset(stand.space, stand.layout)
        stand.update_all_copies()
        gone = lifetime.teardown(stand.space, stand.layout, costs)
        if group > 1:
            rest = lifetime.teardown(stand.space, stand.layout, costs._replace(slabs=0, percpus=0))
            gone = (gone + (group - 1) * rest) / group
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
            "bytes": grouped_bytes(chosen, model, copies, group),
            "error_bound": chosen.error_bound(cpus),
        }

    return run_replicates(lambda replicate: [one(replicate)], replicates, threads)


def check_cpus(machine: Machine, cpus: Sequence[int]) -> None:
    """Raise UserError for a number of CPUs that the machine has not."""
    for number in cpus:
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not whole or not 1 <= number <= machine.n_cpus:
            raise UserError(
                f"machine {machine.name}: cpus = {number!r} is not allowed; "
                f"allowed: 1..{machine.n_cpus}"
            )


def _resolve(machine: str | Machine, cpus: int) -> Machine:
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    check_cpus(model, [cpus])
    return model


def grouped_bytes(layout: Layout, machine: Machine, possible: int, group: int) -> float:
    """Bytes of a counter where `group` of them share each allocation, rounded as a whole."""
    shape = layout.shape(machine, possible)
    slab = sum(int(kmalloc_bytes(size * group)) for size in shape.slab)
    return (slab + possible * sum(percpu_bytes(size * group) for size in shape.percpu)) / group


def counters(
    layouts: Sequence[str],
    machine: str | Machine,
    cpus: int,
    *,
    possible: int | None = None,
    group: int = 1,
    replicates: int = 1,
    seed: int = 1,
    threads: int = 1,
) -> pd.DataFrame:
    """Layouts of a counter side by side: updates by all CPUs, sums, life, bytes, error.

    Parameters
    ----------
    layouts : names (`cgsim.percpu.list_layouts`); none: all
    machine : name, path of a profile, or a `Machine`
    cpus : that update, all of one counter; the online ones
    possible : CPUs that the kernel reserves for; None: those of the machine
    group : counters that one allocation serves
    replicates : with seeds seed, seed + 1, ...
    threads : host threads over replicates; the result does not depend on it

    Returns
    -------
    DataFrame, one row per layout and replicate: layout, machine, cpus, possible, replicate, seed,
    ns (an update by one of the CPUs), lost (updates), sum_online_ns and sum_possible_ns (a sum over
    the copies of these CPUs, in a tight loop on all CPUs), create_ns, teardown_ns, bytes,
    error_bound (counts that a plain read may be off).

    Raises UserError for a bad argument.
    """
    model = _resolve(machine, cpus)
    reserved = model.n_cpus if possible is None else possible
    options: dict[str, Any] = {"replicates": replicates, "seed": seed, "threads": threads}
    frames = []
    for name in layouts or [layout.name for layout in list_layouts()]:
        frame = update_cost(name, model, cpus, **options)
        frame = frame[["layout", "machine", "cpus", "replicate", "seed", "ns", "lost"]].copy()
        frame.insert(3, "possible", reserved)
        life = lifetime_cost(name, model, cpus, slots=reserved, group=group, **options)
        frame["sum_online_ns"] = read_cost(name, model, cpus, **options)["ns"]
        frame["sum_possible_ns"] = read_cost(name, model, cpus, slots=reserved, **options)["ns"]
        for column in ("create_ns", "teardown_ns", "bytes", "error_bound"):
            frame[column] = life[column]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


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
