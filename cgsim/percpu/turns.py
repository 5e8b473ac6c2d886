"""Many CPUs at once: they take turns in simulated time.

The CPU with the smallest clock runs its next turn; ties go to the lower number. So operations reach
the caches and the directory in the order of simulated time, and what contention costs comes out of
lines that move and are busy, not of a formula. The order is a function of the simulated clocks
alone, never of host threads. A read of all copies is one turn.
"""

import numpy as np

from cgsim.core.blocks import C_RETIRE
from cgsim.core.fields import get, put
from cgsim.core.jit import njit
from cgsim.core.rng import random_below
from cgsim.core.space import Timed, now, pause, work
from cgsim.percpu.base import SCRATCH, peek_sum, read, step

_CPU_BITS = 12  # a key of the heap is clock << _CPU_BITS | CPU
_CPU_MASK = (1 << _CPU_BITS) - 1
_NEVER = 1 << 62
MAX_CPUS = 1 << _CPU_BITS

# The account of a run.
(
    STARTED,  # updates begun
    DONE,  # updates completed
    READS,
    READ_TICKS,  # CPU time of all reads
    BEGIN_TICKS,  # global time (the smallest clock) when the measured part began
    BEGIN_STARTED,  # updates begun by then
    END_TICKS,  # global time when the last update was begun
    LAST_SUM,  # what the last read returned
    RUN_FIELDS,
) = range(9)


@njit
def _sift(keys, size):
    """Restore the heap after its first key grew."""
    key = keys[0]
    at = 0
    child = 1
    while child < size:
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[at] = keys[child]
        at = child
        child = 2 * at + 1
    keys[at] = key


@njit
def run_updates(
    space, layout, blocks, scratch, phases, keys, account, updates, warm, instructions, amounts,
    shift, reads, seed
):  # fmt: skip
    """Play updates (and reads) of one counter on all CPUs until `updates` are begun and done.

    space : Timed, whose `cpu` is replaced by the CPU whose turn it is
    blocks : int64[cpus], raw addresses of the CPUs' blocks
    scratch : raw address of SCRATCH int64 per CPU
    phases, keys : int64[cpus], overwritten; keys must be the heap of the CPUs' clocks
    account : int64[RUN_FIELDS], overwritten
    warm : the measured part begins after so many updates
    instructions : of the calling loop, per round of amounts
    amounts : int64[k], added in turn by each CPU
    shift : CPU n updates the copy of CPU (n + shift) % cpus
    reads : of 1024 operations, how many read the sum instead
    """
    cpus = blocks.size
    account[:] = 0
    phases[:] = 0
    turns = 0
    while True:
        key = keys[0]
        if key >= _NEVER:
            return
        cpu = key & _CPU_MASK
        own = Timed(space.mem, space.heap, blocks[cpu])
        registers = scratch + 8 * SCRATCH * cpu
        if phases[cpu] == 0:
            if account[STARTED] >= updates:
                keys[0] = _NEVER + cpu
                _sift(keys, cpus)
                continue
            if account[STARTED] == warm and account[BEGIN_TICKS] == 0:
                account[BEGIN_TICKS] = key >> _CPU_BITS
                account[BEGIN_STARTED] = account[STARTED]
            if get(registers, SCRATCH - 1) % amounts.size == 0:
                work(own, instructions, 1)
            turns += 1
            if reads > 0 and random_below(seed, cpu, turns, 1024) < reads:
                before = now(own)
                account[LAST_SUM] = read(own, layout)
                account[READS] += 1
                account[READ_TICKS] += now(own) - before
                keys[0] = now(own) << _CPU_BITS | cpu
                _sift(keys, cpus)
                continue
            account[STARTED] += 1
            account[END_TICKS] = key >> _CPU_BITS
            put(registers, SCRATCH - 1, get(registers, SCRATCH - 1) + 1)
        number = get(registers, SCRATCH - 1) - 1
        target = cpu + shift if cpu + shift < cpus else cpu + shift - cpus
        amount = amounts[number % amounts.size]
        phases[cpu] = step(own, layout, target, registers, phases[cpu], amount)
        if phases[cpu] == 0:
            account[DONE] += 1
        keys[0] = now(own) << _CPU_BITS | cpu
        _sift(keys, cpus)


@njit
def run_native(space, layout, scratch, phases, updates, amounts, seed):
    """The same in the native reading: turns of CPUs chosen at random. Returns updates done."""
    cpus = phases.size
    phases[:] = 0
    started = 0
    done = 0
    turn = 0
    active = 0
    while started < updates or active > 0:
        cpu = random_below(seed, 1, turn, cpus)
        turn += 1
        registers = scratch + 8 * SCRATCH * cpu
        if phases[cpu] == 0:
            if started >= updates:
                continue
            started += 1
            active += 1
            put(registers, SCRATCH - 1, get(registers, SCRATCH - 1) + 1)
        amount = amounts[(get(registers, SCRATCH - 1) - 1) % amounts.size]
        phases[cpu] = step(space, layout, cpu, registers, phases[cpu], amount)
        if phases[cpu] == 0:
            done += 1
            active -= 1
    return done


@njit
def run_reads(space, layout, blocks, keys, account, rounds, instructions):
    """Every CPU reads the sum `rounds` times, one after the other; the first ones do not count."""
    cpus = blocks.size
    account[:] = 0
    left = rounds * cpus
    while left > 0:
        cpu = keys[0] & _CPU_MASK
        own = Timed(space.mem, space.heap, blocks[cpu])
        before = now(own)
        work(own, instructions, 1)
        account[LAST_SUM] = read(own, layout)
        left -= 1
        if left < (rounds - 1) * cpus:
            account[READS] += 1
            account[READ_TICKS] += now(own) - before
        keys[0] = now(own) << _CPU_BITS | cpu
        _sift(keys, cpus)


@njit
def sum_of(space, layout):
    """What the counter holds, without cost."""
    return peek_sum(space, layout)


@njit
def idle(space, ticks):
    """The CPU does something else for `ticks`."""
    pause(space, ticks, 0)


@njit
def clock_keys(blocks):
    """The heap of the clocks of CPUs by the raw addresses of their blocks: int64[cpus]."""
    keys = np.empty(blocks.size, dtype=np.int64)
    for cpu in range(blocks.size):
        keys[cpu] = get(blocks[cpu], C_RETIRE) << _CPU_BITS | cpu
    return np.sort(keys)
