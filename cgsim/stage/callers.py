"""Who calls a lookup: the code around it at each place of use, written once for all readings.

IN_HAND
    a driver has the cgroup: its loop fetches (cgroup, key) from a stream in memory, calls, and
    touches the datum
OF_TASK
    a driver works for the running task: current -> css_set -> cgroup, then the same
BEHIND_DISPATCH
    a program that BPF's or the network's dispatcher calls for a packet: skb -> sock -> cgroup ->
    array of effective programs -> program, whose item is left in the running context; then the
    program calls, loads, or asks its map
BARE
    no caller: the lookup alone, its arguments from nowhere

All designs at a place pay for the same caller. The dispatcher follows `bpf_prog_run_array_cg`
(kernel/bpf/cgroup.c).
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.locks import Task
from cgsim.core.space import add_in_place, compute, join, load, poke, store, touch_lines, work

BARE, IN_HAND, OF_TASK, BEHIND_DISPATCH = range(4)
NO_LOOKUP, IGNORE_DATUM, READ_DATUM, COUNT_DATUM, COUNT_COPY = range(-1, 4)
"""What is done with the datum: NO_LOOKUP leaves the lookup out, so that the caller alone is left;
COUNT_COPY adds to this CPU's copy of a percpu datum, whose pointer stands in the datum's place."""

ENTRY_BYTES = 16
"""Of a stream: the cgroup's or the socket's address, and the key."""
_AHEAD = 4  # lines
_BPF_FUNC = 48  # offset in struct bpf_prog: in its first line
_PROGRAM_INSTRUCTIONS, _PROGRAM_BRANCHES = 6, 1  # prologue, dispatcher's loop


class Caller(NamedTuple):
    """A caller; addresses and offsets in bytes.

    place : IN_HAND, OF_TASK, BEHIND_DISPATCH or BARE. stream, entries : the arguments, used again
    from the start. calls : 1 if the lookup is a function or a helper, 0 if its loads stand in the
    caller's own text. programs : items in a cgroup's array. context_offset : of the running
    context's pointer in the task. cpu_offset : address of percpu this_cpu_off.
    """

    place: int
    use: int
    calls: int
    stream: int
    entries: int
    task: Task
    task_cgroups_offset: int
    css_set_cgroup_offset: int
    skb: int
    skb_sk_offset: int
    sock_cgroup_offset: int
    effective_offset: int
    items_offset: int
    item_bytes: int
    programs: int
    run_context: int
    context_offset: int
    cpu_offset: int


NO_CALLER = Caller(BARE, IGNORE_DATUM, 0, 0, 0, Task(0, 0, 0, 0), *[0] * 12)


@njit
def fetch(space, caller, number, token):
    """Argument `number` of the stream, below its entries: (address, key, their tokens).

    No division to come back to the start: the caller of a kernel function makes none, and natively
    it would be the longest step of the chain.
    """
    at = caller.stream + ENTRY_BYTES * number
    if at & 63 == 0:
        touch_lines(space, at + 64 * _AHEAD, 1, 0)  # as a prefetcher does
    subject, subject_token = load(space, at, 8, token)
    key, key_token = load(space, at + 8, 8, token)
    return subject, key, subject_token, key_token


@njit
def run_program(space, caller, array, array_token, program):
    """The dispatcher leaves an item of the cgroup's array in the context and calls its program."""
    if program >= caller.programs:
        program %= caller.programs
    item = array + caller.items_offset + caller.item_bytes * program
    text, text_token = load(space, item, 8, array_token)
    store(space, caller.run_context, 8, item, 0, array_token)
    load(space, text + _BPF_FUNC, 8, text_token)
    call_and_return(space)
    work(space, _PROGRAM_INSTRUCTIONS, _PROGRAM_BRANCHES)


@njit
def dispatch(space, caller, sock, token, program):
    """From a packet of `sock` into program number `program` of its cgroup: (cgroup, token)."""
    poke(space, caller.skb + caller.skb_sk_offset, 8, sock)
    _, sock_token = load(space, caller.skb + caller.skb_sk_offset, 8, token)
    cgroup, cgroup_token = load(space, sock + caller.sock_cgroup_offset, 8, sock_token)
    work(space, 8, 3)
    task, task_token = load(space, caller.task.current, 8, token)
    store(space, task + caller.context_offset, 8, caller.run_context, task_token, 0)
    array, array_token = load(space, cgroup + caller.effective_offset, 8, cgroup_token)
    run_program(space, caller, array, array_token, program)
    return cgroup, cgroup_token


@njit
def come_from_task(space, caller):
    """From the running task to its cgroup; returns the cgroup's token."""
    task, token = load(space, caller.task.current, 8, 0)
    css_set, token = load(space, task + caller.task_cgroups_offset, 8, token)
    _, token = load(space, css_set + caller.css_set_cgroup_offset, 8, token)
    work(space, 2, 0)
    return token


@njit
def arrive(space, caller, actor, key):
    """From a packet's socket or the running task to its cgroup; returns the cgroup's token."""
    token = 0
    if caller.place == BEHIND_DISPATCH:
        _, token = dispatch(space, caller, actor, 0, key)
    elif caller.place == OF_TASK:
        token = come_from_task(space, caller)
    if caller.calls != 0:
        call_and_return(space)
    return token


@njit
def use_datum(space, caller, datum, token):
    """Touch the datum as the place's user does; returns the token."""
    if caller.use == READ_DATUM:
        _, token = load(space, datum, 8, token)
    elif caller.use == COUNT_DATUM:
        _, token = add_in_place(space, datum, 8, 1, token)
    elif caller.use == COUNT_COPY:
        copy, copy_token = load(space, datum, 8, token)
        offset, offset_token = load(space, caller.cpu_offset, 8, 0)
        both = compute(space, join(space, copy_token, offset_token), 1, 0, 0)
        _, token = add_in_place(space, copy + offset, 8, 1, both)
    return token


@njit
def visit(space, caller, actors, most):
    """Come from each actor to its cgroup once for each program, so that no first touch is left.

    actors : int64[n], sockets or tasks. most : visits; what is beyond is left out.
    """
    for i in range(min(actors.size * caller.programs, most)):
        actor = actors[i % actors.size]
        if caller.place == OF_TASK:
            poke(space, caller.task.current, 8, actor)
        arrive(space, caller, actor, i // actors.size)
