"""Scenarios of the chains from a packet, a socket or the running task to a cgroup's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.designs.objects import running_task
from cgsim.scenarios.base import NEITHER, OWNER, Call, add_scenario
from cgsim.scenarios.cgroup_id import CurrentCgroupId, SockCgroupId

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel

_ESTABLISHED = 1  # TCP_ESTABLISHED: a full socket


def _cgroup(heap: Heap, kernel: Kernel) -> int:
    cgroup = heap.place("cgroup", kernel.size("cgroup"))
    node = heap.place("kernfs_node", kernel.size("kernfs_node"))
    heap.write(cgroup + kernel.offset("cgroup", "kn"), node)
    heap.write(node + kernel.offset("kernfs_node", "id"), 4242)
    return cgroup


def _socket(heap: Heap, kernel: Kernel, through_skb: bool) -> Call:
    sock = heap.place("sock", kernel.size("sock"))
    state = kernel.offset("sock", "__sk_common.skc_state")
    heap.write(sock + (state & ~7), _ESTABLISHED << 8 * (state & 7))
    cgroup_offset = kernel.offset("sock", "sk_cgrp_data")
    heap.write(sock + cgroup_offset, _cgroup(heap, kernel))
    start = sock
    if through_skb:
        start = heap.place("sk_buff", kernel.size("sk_buff"))
        heap.write(start + kernel.offset("sk_buff", "sk"), sock)
    # sk_fullsock() tests the state once per state it excludes, one more in 7.3
    checks, code = {"7.3": (3, 15), "6.12": (2, 13)}[kernel.series]
    parameters = SockCgroupId(
        int(through_skb),
        kernel.offset("sk_buff", "sk"),
        state,
        checks,
        cgroup_offset,
        kernel.offset("cgroup", "kn"),
        kernel.offset("kernfs_node", "id"),
        code,
        2 * checks - 1,
    )
    return Call(parameters, start, 0, OWNER)


def _current(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    task = running_task(heap, kernel)
    css_set = heap.place("css_set", kernel.size("css_set"))
    cgroups = kernel.offset("task_struct", "cgroups")
    dfl_cgrp = kernel.offset("css_set", "dfl_cgrp")
    heap.write(task.task + cgroups, css_set)
    heap.write(css_set + dfl_cgrp, _cgroup(heap, kernel))
    parameters = CurrentCgroupId(
        task,
        cgroups,
        dfl_cgrp,
        kernel.offset("cgroup", "kn"),
        kernel.offset("kernfs_node", "id"),
    )
    return Call(parameters, 0, 0, NEITHER)


add_scenario(
    pattern="cgroup-id/skb",
    explanation="a packet's cgroup id: skb, socket, cgroup, kernfs node",
    mirrors="bpf_skb_cgroup_id, net/core/filter.c",
    build=lambda heap, space, kernel, number: _socket(heap, kernel, True),
    functions="bpf_skb_cgroup_id",
    rows="^bpf_skb_cgroup_id$",
)
add_scenario(
    pattern="cgroup-id/sk",
    explanation="a socket's cgroup id: socket, cgroup, kernfs node",
    mirrors="bpf_sk_cgroup_id, net/core/filter.c",
    build=lambda heap, space, kernel, number: _socket(heap, kernel, False),
    functions="bpf_sk_cgroup_id",
    rows="^bpf_sk_cgroup_id$",
)
add_scenario(
    pattern="cgroup-id/current",
    explanation="the running task's cgroup id under RCU: task, css_set, cgroup, kernfs node",
    mirrors="bpf_get_current_cgroup_id, kernel/bpf/helpers.c",
    build=_current,
    functions="bpf_get_current_cgroup_id",
    rows="^bpf_get_current_cgroup_id$",
)
