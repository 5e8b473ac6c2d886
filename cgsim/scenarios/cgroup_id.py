"""The chains that lead to a cgroup's id, load for load."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import load, work
from cgsim.scenarios.play import add_operation


class SockCgroupId(NamedTuple):
    """Parameters of bpf_skb_cgroup_id and bpf_sk_cgroup_id; offsets in bytes.

    state_checks : how often the socket's state is read. work, branches : instructions besides the
    loads, and those of them that are conditional branches.
    """

    through_skb: int
    sk_offset: int
    state_offset: int
    state_checks: int
    cgroup_offset: int
    kn_offset: int
    id_offset: int
    work: int
    branches: int


class CurrentCgroupId(NamedTuple):
    """Parameters of bpf_get_current_cgroup_id; offsets in bytes."""

    task: Task
    cgroups_offset: int
    dfl_cgrp_offset: int
    kn_offset: int
    id_offset: int


@njit
def _cgroup_id(space, parameters, cgroup, token):
    node, node_token = load(space, cgroup + parameters.kn_offset, 8, token)
    return load(space, node + parameters.id_offset, 8, node_token)


@njit
def sock_cgroup_id(space, parameters, owner, key, token, key_token):
    """The id of the cgroup of a socket, or of a packet's socket."""
    work(space, parameters.work, parameters.branches)
    sock = owner
    if parameters.through_skb != 0:
        sock, token = load(space, owner + parameters.sk_offset, 8, token)
    for _ in range(parameters.state_checks):
        load(space, sock + parameters.state_offset, 1, token)
    cgroup, cgroup_token = load(space, sock + parameters.cgroup_offset, 8, token)
    return _cgroup_id(space, parameters, cgroup, cgroup_token)


@njit
def current_cgroup_id(space, parameters, owner, key, token, key_token):
    """The id of the running task's cgroup on the default hierarchy."""
    rcu_read_lock(space, parameters.task)
    task, task_token = load(space, parameters.task.current, 8, 0)
    css_set, set_token = load(space, task + parameters.cgroups_offset, 8, task_token)
    cgroup, cgroup_token = load(space, css_set + parameters.dfl_cgrp_offset, 8, set_token)
    number, number_token = _cgroup_id(space, parameters, cgroup, cgroup_token)
    work(space, 6, 0)
    rcu_read_unlock(space, parameters.task)
    return number, number_token


add_operation(SockCgroupId, sock_cgroup_id)
add_operation(CurrentCgroupId, current_cgroup_id)
