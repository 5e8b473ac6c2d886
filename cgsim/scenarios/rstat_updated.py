"""rstat: note that a cgroup has new counts on this CPU, as 6.12 and 7.3 do it."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.space import add_in_place, compare_exchange, join, load, store, work
from cgsim.scenarios.play import add_operation


class RstatTree(NamedTuple):
    """Parameters of cgroup_rstat_updated (6.12): addresses and offsets in bytes.

    The three pairs count instructions besides accesses, and conditional branches among them: up to
    the check, from there with the lock, and for each level but the root's.
    """

    cpus: int  # nr_cpu_ids, the mask of possible CPUs, and the offset of this CPU's percpu area
    mask: int
    cpu_offset: int
    preempt: int
    lock: int
    copy_offset: int  # the two of a cgroup
    parent_offset: int
    children_offset: int  # the two of its percpu copy
    next_offset: int
    check_work: int
    check_branches: int
    link_work: int
    link_branches: int
    level_work: int
    level_branches: int


class RstatList(NamedTuple):
    """Parameters of css_rstat_updated (7.3): addresses and offsets in bytes, counts as above."""

    cpus: int
    mask: int
    cpu_offset: int
    backlog: int  # this CPU's list of what a flush has to look at
    cgroup_offset: int  # the three of a css
    subsystem_offset: int
    copy_offset: int
    node_offset: int  # of its percpu copy
    check_work: int
    check_branches: int
    link_work: int
    link_branches: int


@njit
def _copy(space, parameters, cgroup, token):
    """per_cpu_ptr(cgroup->rstat_cpu, cpu); 6.12 reads the CPU's offset again each time."""
    offset, offset_token = load(space, parameters.cpu_offset, 8, 0)
    copy, copy_token = load(space, cgroup + parameters.copy_offset, 8, token)
    return copy + offset, offset, join(space, offset_token, copy_token), offset_token


@njit
def rstat_tree(space, parameters, owner, key, token, key_token):
    """Link a cgroup and those of its ancestors that are not yet linked into this CPU's tree."""
    work(space, parameters.check_work, parameters.check_branches)
    load(space, parameters.cpus, 4, 0)
    load(space, parameters.mask, 8, 0)
    copy, _, copy_token, offset_token = _copy(space, parameters, owner, token)
    linked, _ = load(space, copy + parameters.next_offset, 8, copy_token)
    if linked != 0:
        return linked, 0
    work(space, parameters.link_work, parameters.link_branches)
    add_in_place(space, parameters.preempt, 4, 1, 0)
    load(space, parameters.lock, 4, offset_token)
    compare_exchange(space, parameters.lock, 4, 0, 1, offset_token)
    call_and_return(space)
    cgroup = owner
    while cgroup != 0:
        copy, offset, copy_token, own_token = _copy(space, parameters, cgroup, token)
        parent, parent_token = load(space, cgroup + parameters.parent_offset, 8, token)
        linked, _ = load(space, copy + parameters.next_offset, 8, copy_token)
        if linked != 0:
            break
        if parent == 0:
            store(space, copy + parameters.next_offset, 8, cgroup, copy_token, token)
            break
        work(space, parameters.level_work, parameters.level_branches)
        above, above_token = load(space, parent + parameters.copy_offset, 8, parent_token)
        above += offset
        above_token = join(space, own_token, above_token)
        first, first_token = load(space, above + parameters.children_offset, 8, above_token)
        store(space, copy + parameters.next_offset, 8, first, copy_token, first_token)
        store(space, above + parameters.children_offset, 8, cgroup, above_token, token)
        cgroup, token = parent, parent_token
    store(space, parameters.lock, 1, 0, offset_token, 0)
    add_in_place(space, parameters.preempt, 4, -1, 0)
    return 0, 0


@njit
def rstat_list(space, parameters, owner, key, token, key_token):
    """Put a css on this CPU's list, once per flush."""
    work(space, parameters.check_work, parameters.check_branches)
    load(space, parameters.cpus, 4, 0)
    load(space, parameters.mask, 8, 0)
    load(space, owner + parameters.cgroup_offset, 8, token)
    load(space, owner + parameters.subsystem_offset, 8, token)
    copy, copy_token = load(space, owner + parameters.copy_offset, 8, token)
    offset, offset_token = load(space, parameters.cpu_offset, 8, 0)
    node = copy + offset + parameters.node_offset
    node_token = join(space, copy_token, offset_token)
    following, _ = load(space, node, 8, node_token)
    if following != node:  # a node that is on no list points to itself
        return following, 0
    work(space, parameters.link_work, parameters.link_branches)
    compare_exchange(space, node, 8, node, 0, node_token)
    load(space, owner + parameters.subsystem_offset, 8, token)
    _, offset_token = load(space, parameters.cpu_offset, 8, 0)
    first, first_token = load(space, parameters.backlog, 8, offset_token)
    store(space, node, 8, first, node_token, first_token)
    compare_exchange(space, parameters.backlog, 8, first, node, offset_token)
    return 0, 0


add_operation(RstatTree, rstat_tree)
add_operation(RstatList, rstat_list)
