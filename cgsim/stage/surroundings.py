"""What surrounds a workload's lookups: sockets or tasks, other code's memory, the running task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate
from cgsim.core.host_memory import address_of
from cgsim.core.space import poke
from cgsim.designs.objects import running_task
from cgsim.errors import UserError
from cgsim.stage.loops import COUNT_DATUM, FROM_CGROUP, FROM_CURRENT, FROM_SKB, Scene

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.locks import Task
    from cgsim.kernel import Kernel
    from cgsim.stage.population import Population

TCP_SOCK_BYTES = 42 * 64
"""tcp_sock takes 42 cache lines in 6.5: commit 14006f1d8fa24, data/workloads.yml."""

_REACH = {"cgroup": FROM_CGROUP, "skb": FROM_SKB, "current": FROM_CURRENT}


@njit
def _make_sockets(space, cache, cgroup_offset, cgroups, actor_cgroup, actors):
    for i in range(actors.size):
        actors[i] = allocate(space, cache, 0)[0]
        if actors[i] == 0:
            return False
        poke(space, actors[i] + cgroup_offset, 8, cgroups[actor_cgroup[i]])
    return True


@njit
def _make_tasks(space, task_cache, set_cache, offsets, cgroups, actor_cgroup, actors):
    sets = np.zeros(cgroups.size, dtype=np.int64)
    for i in range(actors.size):
        c = actor_cgroup[i]
        if sets[c] == 0:
            sets[c] = allocate(space, set_cache, 0)[0]
            if sets[c] == 0:
                return False
            poke(space, sets[c] + offsets[1], 8, cgroups[c])
        actors[i] = allocate(space, task_cache, 0)[0]
        if actors[i] == 0:
            return False
        poke(space, actors[i] + offsets[0], 8, sets[c])
    return True


@dataclass
class Stage:
    """The caches and places of a scene on a heap; made before the population is built.

    reach : 'cgroup', 'skb' or 'current'. hot_bytes, ring_bytes : memory of other code.
    """

    kernel: Kernel
    reach: str
    hot_bytes: int
    ring_bytes: int
    skb: int = 0
    hot: int = 0
    ring: int = 0
    task: Task | None = None
    caches: tuple[int, int] = (0, 0)

    def prepare(self, heap: Heap) -> None:
        """Add what the scene needs to a heap; `build_population` calls it."""
        self.skb = heap.place("sk_buff", self.kernel.size("sk_buff"))
        self.task = running_task(heap, self.kernel)
        self.hot = heap.place("other code", max(self.hot_bytes, 64))
        self.ring = heap.place("packets and other data", max(self.ring_bytes, 64))
        if self.reach == "skb":
            size = TCP_SOCK_BYTES
            self.caches = (heap.add_cache("sock", size, stride_bytes=size, name="TCP"), 0)
        elif self.reach == "current":
            size = -(-self.kernel.size("task_struct") // 64) * 64
            tasks = heap.add_cache("task_struct", size, stride_bytes=size, name="task_struct")
            self.caches = (tasks, heap.add_cache("css_set", self.kernel.size("css_set")))

    def scene(
        self, population: Population, actor_cgroup: np.ndarray, *, rcu_held: bool, seed: int
    ) -> tuple[Scene, np.ndarray]:
        """The scene for the engine, and the array of actors that it points into."""
        assert self.task is not None, "prepare() comes first"
        kernel, native = self.kernel, population.native
        actors = np.zeros(max(actor_cgroup.size, 1), dtype=np.int64)
        made = True
        if self.reach == "skb":
            offset = kernel.offset("sock", "sk_cgrp_data")
            made = _make_sockets(
                native, self.caches[0], offset, population.cgroups, actor_cgroup, actors
            )
        elif self.reach == "current":
            offsets = (
                kernel.offset("task_struct", "cgroups"),
                kernel.offset("css_set", "dfl_cgrp"),
            )
            made = _make_tasks(
                native, *self.caches, offsets, population.cgroups, actor_cgroup, actors
            )
        if not made:
            raise UserError("the simulated memory is exhausted by sockets or tasks")
        # a program with the address in its text, or storage found through the task, needs no cgroup
        reach = FROM_CGROUP if not population.design.needs_cgroup else _REACH[self.reach]
        scene = Scene(
            hot=self.hot,
            ring=self.ring,
            ring_lines=max(self.ring_bytes // 64, 1),
            reach=reach,
            actors=address_of(actors),
            skb=self.skb,
            skb_sk_offset=kernel.offset("sk_buff", "sk"),
            sock_cgroup_offset=kernel.offset("sock", "sk_cgrp_data"),
            task_cgroups_offset=kernel.offset("task_struct", "cgroups"),
            css_set_cgroup_offset=kernel.offset("css_set", "dfl_cgrp"),
            task=self.task,
            read_lock=int(population.design.reader_side == "rcu" and not rcu_held),
            use=COUNT_DATUM,
            seed=seed,
        )
        return scene, actors
