"""Objects that every design shares: the cgroup, what drivers register, the running task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.core.locks import Task

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.kernel import Kernel

CGROUP = "cgroup"
CGROUP_LEVEL = 4
"""Depth of a container's cgroup: kubepods.slice, QoS, pod, container (data/workloads/)."""

DEVICE_BYTES = 2048
"""A driver's device object (assumption); its address serves as a key, it is not read."""

NODE_BYTES, NODES_PER_SLAB_BYTES = 576, 16384
"""xa_node and its slab: radix_tree_node as measured at scale (data/kernel/scale_scenarios.json)."""


def field_offset(kernel: Kernel) -> int:
    """Where a design's own fields begin in struct cgroup: behind the ancestors array.

    cgroup_create allocates struct_size(cgrp, ancestors, level + 1), from kmalloc-4k in 7.3.4.
    """
    return kernel.size(CGROUP) + 8 * (CGROUP_LEVEL + 1)


def cgroup_cache(heap: Heap, kernel: Kernel, extra_bytes: int) -> int:
    """The slab cache of struct cgroup with `extra_bytes` of a design's fields."""
    return heap.add_cache(CGROUP, field_offset(kernel) + extra_bytes)


def device_cache(heap: Heap) -> int:
    """The slab cache of drivers' devices."""
    return heap.add_cache("device", DEVICE_BYTES)


def node_cache(heap: Heap) -> int:
    """The slab cache of xa_node."""
    return heap.add_cache(
        "xa_node",
        NODE_BYTES,
        stride_bytes=NODE_BYTES,
        slab_bytes=NODES_PER_SLAB_BYTES,
        name="radix_tree_node",
    )


def running_task(heap: Heap, kernel: Kernel) -> Task:
    """The task that runs on the CPU, with the percpu pointer to it."""
    percpu = "percpu:current_task" if kernel.series == "7.3" else "percpu:pcpu_hot"
    task = heap.place("task_struct", kernel.size("task_struct"), name="current")
    current = heap.place(percpu, 64, name=percpu)
    heap.write(current, task)
    nesting = kernel.offset("task_struct", "rcu_read_lock_nesting")
    return Task(current, task, nesting, nesting + 4)


def stack_guard(heap: Heap, kernel: Kernel) -> int:
    """The percpu word that stack-protected functions read on entry and on return."""
    if kernel.series == "7.3":
        return heap.place("percpu:__stack_chk_guard", 64)
    return heap.place("percpu:fixed_percpu_data", 64) + 40
