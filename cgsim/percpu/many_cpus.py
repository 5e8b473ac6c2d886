"""Many CPUs at once: they take turns in simulated time.

The CPU with the smallest clock runs its next turn; ties go to the lower number. So operations reach
the caches and the directory in the order of simulated time, and what contention costs comes out of
lines that move and are busy, not of a formula. The order is a function of the simulated clocks
alone, never of host threads. A read of all copies is one turn.

A turn begins an update, reads instead, or goes on with the update that the CPU is in. A turn of
other code may come first: an interrupt that updates the same counter, or the scheduler, which lets
two CPUs exchange their tasks.
"""

from typing import NamedTuple

from numba.extending import overload

from cgsim.compile.block_access import add, get, put
from cgsim.compile.jit import JIT_DISABLED, PART, njit
from cgsim.core.rng import random_below
from cgsim.core.space import Timed, load, now, pause, work
from cgsim.designs.base import lookup
from cgsim.percpu.base import SCRATCH, from_row, peek_sum, read, reset, step
from cgsim.percpu.queued import PARKED, take_wake
from cgsim.percpu.turns import CPU_BITS, CPU_MASK, MAX_CPUS, enter, leave, sift

CHANCES = 1024

# Words of scratch that belong to the turns; the first three are the layout's, then `queued.WAKE`.
_COUNTER, _TARGET, _AMOUNT, COUNT = 4, 5, 6, 7

# The account of a run.
(
    STARTED,  # updates begun, those of interrupts not included
    DONE,  # updates completed, likewise
    READS,
    READ_TICKS,  # CPU time of all reads
    BEGIN_TICKS,  # global time (the smallest clock) when the measured part began
    BEGIN_STARTED,  # updates begun by then
    END_TICKS,  # global time when the last update was begun
    LAST_SUM,  # what the last read returned
    INTERRUPTS,  # updates that interrupts made in the middle of another one, of 1 each
    MOVES,  # exchanges of tasks
    RUN_FIELDS,
) = range(11)


class Plan(NamedTuple):
    """What the CPUs do, besides the arguments of `run_updates`.

    rows : raw address of the counters' parameters; counters : how many; fields : int64 words each.
    instructions : of the calling loop, per round of amounts. shift : CPU n updates the copy of CPU
    (n + shift) % cpus. reads, moves, interrupts : how many of 1024 operations read the sum instead,
    how many exchange tasks before an update, how many turns in an update are interrupted.
    switch_ticks : of an exchange. per_task, migrates, interruptible : as the layout says.
    """

    rows: int
    counters: int
    fields: int
    instructions: int
    shift: int
    reads: int
    moves: int
    interrupts: int
    switch_ticks: int
    per_task: int
    migrates: int
    interruptible: int
    seed: int


class NoLookup(NamedTuple):
    """The counter's address is known. `nothing`: numba has no type for an empty tuple's fields."""

    nothing: int


def _find_nothing(space, finder, cgroups, key, counter):
    return 0


def _find_by_design(space, finder, cgroups, key, counter):
    datum, token = lookup(space, finder, cgroups[counter], key, 0, 0)
    # the datum holds where the counter is
    _, token = load(space, datum, 8, token)
    return token


def find(space, finder, cgroups, key, counter):
    """The token of a counter's address: through a design's lookup, or 0 at once."""
    if isinstance(finder, NoLookup):
        return _find_nothing(space, finder, cgroups, key, counter)
    return _find_by_design(space, finder, cgroups, key, counter)


if not JIT_DISABLED:

    @overload(find, jit_options=PART)
    def _resolve_find(space, finder, cgroups, key, counter):
        known = getattr(finder, "instance_class", None) is NoLookup
        return _find_nothing if known else _find_by_design


@njit
def _wake(space, blocks, keys, live, woken, clock):
    """A parked CPU goes on at `clock`, if it is not later already; returns the heap's size."""
    own = Timed(space.mem, space.heap, blocks[woken])
    late = clock - now(own)
    if late > 0:
        pause(own, late, 0)
    return enter(keys, live, now(own) << CPU_BITS | woken)


@njit
def _happens(chances, seed, stream, turn):
    """Whether something of so many CHANCES comes in a turn."""
    return chances > 0 and random_below(seed, stream, turn, CHANCES) < chances


@njit
def _exchange(plan, blocks, scratch, phases, tasks, cpu, turn):
    """The tasks of two CPUs change places, if neither is in an update that forbids it."""
    cpus = blocks.size
    other = random_below(plan.seed, 4 * cpu + 1, turn, cpus)
    busy = phases[cpu] != 0 or phases[other] != 0
    if other == cpu or phases[other] >= PARKED or (busy and plan.migrates == 0):
        return False
    tasks[cpu], tasks[other] = tasks[other], tasks[cpu]
    phases[cpu], phases[other] = phases[other], phases[cpu]
    one = scratch + 8 * SCRATCH * cpu
    two = scratch + 8 * SCRATCH * other
    for word in range(SCRATCH):
        held = get(one, word)
        put(one, word, get(two, word))
        put(two, word, held)
    return True


@njit
def _interrupt(space, layout, plan, cpu, registers, spare):
    """An interrupt handler adds 1 to the counter that the CPU's task is updating."""
    own = from_row(layout, plan.rows + 8 * plan.fields * get(registers, _COUNTER))
    work(space, 40, 8)
    phase = step(space, own, cpu, spare, 0, 1, 0)
    while phase != 0:
        phase = step(space, own, cpu, spare, phase, 1, 0)


@njit
def run_updates(
    space, layout, finder, plan, blocks, scratch, phases, keys, tasks, account, updates, warm,
    amounts, picks, cgroups, key
):  # fmt: skip
    """Play updates (and reads) on all CPUs until `updates` are begun and done.

    space : Timed, whose `cpu` is replaced by the CPU whose turn it is
    layout, finder : examples of the layout's and the lookup's type (the latter is used as it is)
    blocks : int64[cpus], raw addresses of the CPUs' blocks
    scratch : raw address of SCRATCH int64 per CPU, and once more for interrupts
    phases, keys, tasks : int64[cpus], overwritten; keys must be the heap of the CPUs' clocks
    account : int64[RUN_FIELDS], overwritten
    warm : the measured part begins after so many updates
    amounts : int64[k], added in turn by each CPU
    picks : int64[n], counters as often as they are updated
    cgroups : int64[counters], the cgroups' addresses for the lookup of `key`
    """
    cpus = blocks.size
    account[:] = 0
    phases[:] = 0
    for cpu in range(cpus):
        tasks[cpu] = cpu
    live = cpus
    turn = 0
    while live > 0:
        cpu = keys[0] & CPU_MASK
        own = Timed(space.mem, space.heap, blocks[cpu])
        registers = scratch + 8 * SCRATCH * cpu
        turn += 1
        if _happens(plan.moves, plan.seed, 4 * cpu, turn) and _exchange(
            plan, blocks, scratch, phases, tasks, cpu, turn
        ):
            account[MOVES] += 1
            pause(own, plan.switch_ticks, 0)
        if phases[cpu] == 0:
            if account[STARTED] >= updates:
                live = leave(keys, live)
                continue
            if account[STARTED] == warm and account[BEGIN_TICKS] == 0:
                account[BEGIN_TICKS] = keys[0] >> CPU_BITS
                account[BEGIN_STARTED] = account[STARTED]
            number = get(registers, COUNT)
            if number % amounts.size == 0:
                work(own, plan.instructions, 1)
            counter = 0
            if plan.counters > 1:
                counter = picks[random_below(plan.seed, 4 * cpu + 2, turn, picks.size)]
            if _happens(plan.reads, plan.seed, MAX_CPUS * 4 + cpu, turn):
                before = now(own)
                one = from_row(layout, plan.rows + 8 * plan.fields * counter)
                account[LAST_SUM] = read(own, one)
                account[READS] += 1
                account[READ_TICKS] += now(own) - before
                keys[0] = now(own) << CPU_BITS | cpu
                sift(keys, live)
                continue
            account[STARTED] += 1
            account[END_TICKS] = keys[0] >> CPU_BITS
            target = tasks[cpu] if plan.per_task != 0 else cpu
            target = (
                target + plan.shift if target + plan.shift < cpus else target + plan.shift - cpus
            )
            put(registers, COUNT, number + 1)
            put(registers, _COUNTER, counter)
            put(registers, _TARGET, target)
            put(registers, _AMOUNT, amounts[number % amounts.size])
            token = find(own, finder, cgroups, key, counter)
        else:
            token = 0
            if plan.interruptible != 0 and _happens(plan.interrupts, plan.seed, 4 * cpu + 3, turn):
                account[INTERRUPTS] += 1
                spare = registers + 8 * SCRATCH * cpus
                _interrupt(own, layout, plan, get(registers, _TARGET), registers, spare)
        one = from_row(layout, plan.rows + 8 * plan.fields * get(registers, _COUNTER))
        phase = step(
            own, one, get(registers, _TARGET), registers, phases[cpu] & (PARKED - 1),
            get(registers, _AMOUNT), token,
        )  # fmt: skip
        phases[cpu] = phase
        if phase == 0:
            account[DONE] += 1
        woken = take_wake(registers)
        if phase >= PARKED:
            live = leave(keys, live)
        else:
            keys[0] = now(own) << CPU_BITS | cpu
            sift(keys, live)
        if woken > 0 and phases[woken - 1] >= PARKED:
            phases[woken - 1] -= PARKED
            live = _wake(space, blocks, keys, live, woken - 1, now(own))


@njit
def run_native(space, layout, plan, scratch, phases, updates, amounts):
    """The same in the native reading: turns of CPUs chosen at random; waiting CPUs look again.

    Interrupts come as the plan says. Returns (updates done, updates of interrupts).
    """
    cpus = phases.size
    phases[:] = 0
    started = 0
    done = 0
    turn = 0
    active = 0
    extra = 0
    while started < updates or active > 0:
        cpu = random_below(plan.seed, 1, turn, cpus)
        turn += 1
        registers = scratch + 8 * SCRATCH * cpu
        if phases[cpu] == 0:
            if started >= updates:
                continue
            started += 1
            active += 1
            put(registers, _COUNTER, random_below(plan.seed, 2, turn, plan.counters))
            put(registers, _AMOUNT, amounts[get(registers, COUNT) % amounts.size])
            add(registers, COUNT, 1)
        elif plan.interruptible != 0 and _happens(plan.interrupts, plan.seed, 3, turn):
            extra += 1
            spare = registers + 8 * SCRATCH * cpus
            _interrupt(space, layout, plan, cpu, registers, spare)
        one = from_row(layout, plan.rows + 8 * plan.fields * get(registers, _COUNTER))
        phase = step(
            space, one, cpu, registers, phases[cpu] & (PARKED - 1), get(registers, _AMOUNT), 0
        )
        phases[cpu] = phase
        take_wake(registers)
        if phase == 0:
            done += 1
            active -= 1
    return done, extra


@njit
def run_reads(space, layout, blocks, keys, account, rounds, instructions):
    """Every CPU reads the sum `rounds` times, one after the other; the first ones do not count."""
    cpus = blocks.size
    account[:] = 0
    left = rounds * cpus
    while left > 0:
        cpu = keys[0] & CPU_MASK
        own = Timed(space.mem, space.heap, blocks[cpu])
        before = now(own)
        work(own, instructions, 1)
        account[LAST_SUM] = read(own, layout)
        left -= 1
        if left < (rounds - 1) * cpus:
            account[READS] += 1
            account[READ_TICKS] += now(own) - before
        keys[0] = now(own) << CPU_BITS | cpu
        sift(keys, cpus)


@njit
def timed_read(space, layout):
    """One read of the sum; returns its ticks."""
    before = now(space)
    read(space, layout)
    return now(space) - before


@njit
def timed_reset(space, layout):
    """One reset; returns its ticks, until its last store has left the store buffer."""
    pause(space, 0, 0)
    before = now(space)
    reset(space, layout)
    pause(space, 0, 0)
    return now(space) - before


@njit
def sums_of(space, layout, rows, fields, sums):
    """What the counters hold, without cost. sums : int64[counters], overwritten."""
    for counter in range(sums.size):
        sums[counter] = peek_sum(space, from_row(layout, rows + 8 * fields * counter))
