"""Counters, access for access."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.space import (
    add_in_place,
    atomic_add,
    compare_exchange,
    load,
    store,
    work,
)
from cgsim.scenarios.play import add_operation


class PercpuCounter(NamedTuple):
    """Parameters of percpu_counter_add_batch; addresses and offsets in bytes."""

    batch: int
    preempt: int
    preempt_bytes: int
    count_offset: int
    counters_offset: int
    reads_twice: int  # 6.12 reads the pointer to the counters again before it adds
    work: int
    slow_work: int


@njit
def percpu_counter_add(space, parameters, owner, key, token, key_token):
    """Add `key` to a counter: to this CPU's part, or at the batch to the shared one."""
    counters, counters_token = load(space, owner + parameters.counters_offset, 8, token)
    count, count_token = load(space, counters, 4, counters_token)
    if count + key < parameters.batch:
        work(space, parameters.work, 2)
        if parameters.reads_twice != 0:
            counters, counters_token = load(space, owner + parameters.counters_offset, 8, token)
        add_in_place(space, counters, 4, key, counters_token)
        return counters, count_token
    work(space, parameters.slow_work, 4)
    call_and_return(space)  # _raw_spin_lock_irqsave, inlined but for its slow path
    add_in_place(space, parameters.preempt, parameters.preempt_bytes, 1, 0)
    compare_exchange(space, owner, 4, 0, 1, token)
    counters, counters_token = load(space, owner + parameters.counters_offset, 8, token)
    count, count_token = load(space, counters, 4, counters_token)
    add_in_place(space, owner + parameters.count_offset, 8, count + key, token)
    add_in_place(space, counters, 4, -count, counters_token)
    store(space, owner, 1, 0, token, 0)
    add_in_place(space, parameters.preempt, parameters.preempt_bytes, -1, 0)
    return counters, count_token


class PageCounter(NamedTuple):
    """Parameters of page_counter_try_charge; offsets in bytes."""

    track_failcnt_offset: int  # -1: not read (6.12)
    protection_offset: int
    max_offset: int
    local_watermark_offset: int
    watermark_offset: int
    parent_offset: int
    work: int
    level_work: int


@njit
def page_counter_try_charge(space, parameters, owner, key, token, key_token):
    """Charge `key` pages to a counter and all its ancestors; returns what the last one held."""
    work(space, parameters.work, 1)
    if parameters.track_failcnt_offset >= 0:
        load(space, owner + parameters.track_failcnt_offset, 1, token)
    load(space, owner + parameters.protection_offset, 1, token)
    usage = 0
    usage_token = token
    counter = owner
    while counter != 0:
        work(space, parameters.level_work, 5)
        usage, usage_token = atomic_add(space, counter, 8, key, token)
        usage += key
        limit, _ = load(space, counter + parameters.max_offset, 8, token)
        if usage > limit:
            atomic_add(space, counter, 8, -key, token)
            return 0, usage_token
        # a charge that repeats raises the watermarks each time
        for offset in (parameters.local_watermark_offset, parameters.watermark_offset):
            highest, _ = load(space, counter + offset, 8, token)
            if usage > highest:
                store(space, counter + offset, 8, usage, token, usage_token)
        counter, token = load(space, counter + parameters.parent_offset, 8, token)
    return usage, usage_token


add_operation(PercpuCounter, percpu_counter_add)
add_operation(PageCounter, page_counter_try_charge)
