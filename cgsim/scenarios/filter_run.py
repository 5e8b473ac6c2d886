"""__cgroup_bpf_run_filter_skb: run the programs attached to a socket's cgroup on a packet."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import add_in_place, load, store, work
from cgsim.scenarios.play import add_operation


class Packet(NamedTuple):
    """Offsets in struct sk_buff, in bytes."""

    sk: int
    data: int
    head: int
    network_header: int
    len: int
    data_len: int
    data_end: int  # in the control block, where a program expects it


class Migration(NamedTuple):
    """What migrate_disable and migrate_enable touch: addresses and offsets in bytes."""

    preempt: int
    preempt_bytes: int
    cpu_offset: int
    pinned: int  # rq->nr_pinned
    disabled_offset: int  # the two of the task
    cpus_offset: int


class FilterRun(NamedTuple):
    """Parameters: addresses and offsets in bytes.

    old : 1 for 6.12, which orders its accesses differently and calls what 7.3 inlines. egress : 1
    for packets that leave, whose path is compiled apart. work,
    branches : instructions besides accesses and RCU calls with no program attached, and conditional
    branches; first : what entering the loop adds; program_work, program_branches : for each one.
    """

    old: int
    egress: int
    task: Task
    guard: int
    packet: Packet
    migration: Migration
    skb: int
    family_offset: int  # the two of the socket
    cgroup_offset: int
    effective_offset: int  # of the cgroup, for this kind of attachment
    items_offset: int
    item_bytes: int
    context_offset: int  # of the task
    run_context: int
    jited_offset: int  # the two of a program
    function_offset: int
    work: int
    branches: int
    first_work: int
    program_work: int
    program_branches: int


@njit
def _current(space, task, old, token):
    """The running task: 6.12 asks the CPU again where 7.3 keeps it in a register."""
    if old != 0:
        token = load(space, task.current, 8, 0)[1]
    return token


@njit
def _pin(space, migration, task, token):
    where = task + migration.disabled_offset
    count, count_token = load(space, where, 2, token)
    add_in_place(space, migration.preempt, migration.preempt_bytes, 1, 0)
    _, offset_token = load(space, migration.cpu_offset, 8, 0)
    add_in_place(space, migration.pinned, 4, 1, offset_token)
    store(space, where, 2, count + 1, token, count_token)
    add_in_place(space, migration.preempt, migration.preempt_bytes, -1, 0)


@njit
def _unpin(space, migration, task, token):
    where = task + migration.disabled_offset
    count, count_token = load(space, where, 2, token)
    add_in_place(space, migration.preempt, migration.preempt_bytes, 1, 0)
    load(space, task + migration.cpus_offset, 8, token)
    store(space, where, 2, count - 1, token, count_token)
    _, offset_token = load(space, migration.cpu_offset, 8, 0)
    add_in_place(space, migration.pinned, 4, -1, offset_token)
    add_in_place(space, migration.preempt, migration.preempt_bytes, -1, 0)


@njit
def _run_programs(space, parameters, array, array_token):
    """Every program up to the item without one."""
    item = array + parameters.items_offset
    program, program_token = load(space, item, 8, array_token)
    if program != 0:
        work(space, parameters.first_work, 0)
    while program != 0:
        work(space, parameters.program_work, parameters.program_branches)
        call_and_return(space)  # __bpf_prog_run_save_cb
        call_and_return(space)  # the program itself: two instructions
        load(space, parameters.guard, 8, 0)
        load(space, program + parameters.jited_offset, 1, program_token)
        load(space, program + parameters.function_offset, 8, program_token)
        load(space, program + parameters.jited_offset, 1, program_token)
        load(space, parameters.guard, 8, 0)
        item += parameters.item_bytes
        program, program_token = load(space, item, 8, array_token)


@njit
def _enter(space, parameters, sock, token):
    """Note what the packet had, show it to programs from its network header on.

    Returns (cgroup, its token, what was there of sk, data_end, and the length pushed).
    """
    p = parameters.packet
    skb = parameters.skb
    load(space, sock + parameters.family_offset, 2, token)
    if parameters.old != 0:
        head, _ = load(space, skb + p.head, 8, 0)
        load(space, parameters.guard, 8, 0)
        start, _ = load(space, skb + p.network_header, 2, 0)
        load(space, skb + p.data, 8, 0)
        old_sock, _ = load(space, skb + p.sk, 8, 0)
        end, _ = load(space, skb + p.data_end, 8, 0)
        length, length_token = load(space, skb + p.len, 4, 0)
        cgroup, cgroup_token = load(space, sock + parameters.cgroup_offset, 8, token)
    else:
        load(space, skb + p.data, 8, 0)
        old_sock, _ = load(space, skb + p.sk, 8, 0)
        start, _ = load(space, skb + p.network_header, 2, 0)
        head, _ = load(space, skb + p.head, 8, 0)
        cgroup, cgroup_token = load(space, sock + parameters.cgroup_offset, 8, token)
        length, length_token = load(space, skb + p.len, 4, 0)
        end, _ = load(space, skb + p.data_end, 8, 0)
    return cgroup, cgroup_token, old_sock, end, length, head + start, length_token


@njit
def filter_run(space, parameters, owner, key, token, key_token):
    """Run the effective programs of the cgroup of the socket `owner` on the packet."""
    p = parameters.packet
    skb = parameters.skb
    task = parameters.task
    old = parameters.old
    work(space, parameters.work, parameters.branches)
    if old == 0:
        load(space, parameters.guard, 8, 0)
    cgroup, cgroup_token, old_sock, end, length, start, length_token = _enter(
        space, parameters, owner, token
    )
    current_token = 0
    if old == 0:
        current_token = load(space, task.current, 8, 0)[1]
        store(space, skb + p.sk, 8, owner, 0, token)
    store(space, skb + p.data, 8, start, 0, 0)
    store(space, skb + p.len, 4, length, 0, length_token)
    load(space, skb + p.data_len, 4, 0)
    if old != 0:
        store(space, skb + p.sk, 8, owner, 0, token)
    store(space, skb + p.data_end, 8, start + length, 0, length_token)
    current_token = _current(space, task, old, current_token)
    if old != 0:
        call_and_return(space)  # migrate_disable
    _pin(space, parameters.migration, task.task, current_token)
    rcu_read_lock(space, task)
    current_token = _current(space, task, old, current_token)
    effective = cgroup + parameters.effective_offset
    context = task.task + parameters.context_offset
    if old != 0 and parameters.egress != 0:
        before, before_token = load(space, context, 8, current_token)
        array, array_token = load(space, effective, 8, cgroup_token)
        current_token = _current(space, task, old, current_token)
    else:
        array, array_token = load(space, effective, 8, cgroup_token)
        before, before_token = load(space, context, 8, current_token)
    store(space, context, 8, parameters.run_context, current_token, 0)
    _run_programs(space, parameters, array, array_token)
    current_token = _current(space, task, old, current_token)
    store(space, context, 8, before, current_token, before_token)
    rcu_read_unlock(space, task)
    current_token = _current(space, task, old, current_token)
    if old != 0:
        call_and_return(space)  # migrate_enable
        load(space, parameters.guard, 8, 0)
    _unpin(space, parameters.migration, task.task, current_token)
    if old != 0:
        load(space, parameters.guard, 8, 0)
    length, length_token = load(space, skb + p.len, 4, 0)
    if old != 0:
        store(space, skb + p.data_end, 8, end, 0, 0)
    store(space, skb + p.len, 4, length, 0, length_token)
    if old == 0:
        store(space, skb + p.data_end, 8, end, 0, 0)
    load(space, skb + p.data_len, 4, 0)
    add_in_place(space, skb + p.data, 8, 0, 0)
    store(space, skb + p.sk, 8, old_sock, 0, 0)
    load(space, parameters.guard, 8, 0)
    return 0, 0


add_operation(FilterRun, filter_run)
