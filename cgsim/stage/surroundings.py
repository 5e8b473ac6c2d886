"""What surrounds lookups: sockets, tasks, programs, other code's memory, a caller's arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.heap import PAGE_4K, allocate, prefill
from cgsim.core.host_memory import address_of
from cgsim.core.space import peek, poke
from cgsim.designs.base import lookup, put
from cgsim.designs.objects import running_task
from cgsim.errors import UserError
from cgsim.stage.callers import BEHIND_DISPATCH, COUNT_COPY, ENTRY_BYTES, OF_TASK, Caller
from cgsim.stage.loops import Scene, compiled_for
from cgsim.stage.streams import CURRENT, OWN_STRIDE, TASK, Surroundings, link_parents

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.locks import Task
    from cgsim.kernel import Kernel
    from cgsim.stage.population import Population
    from cgsim.workloads.base import Second

TCP_SOCK_BYTES = 42 * 64
"""tcp_sock takes 42 cache lines in 6.5: commit 14006f1d8fa24, data/workloads/."""
MAX_PROGRAMS = 64
"""BPF_CGROUP_MAX_PROGS: programs of a cgroup and hook."""
PROGRAM_BYTES = 512
"""A bpf_prog's own line and its aux's (assumption); its text is not simulated."""
COPY_BYTES = 16
"""Of a percpu datum."""


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


@njit
def _make_programs(space, caches, offsets, cgroups, programs, own, seed):
    """Arrays of effective programs, where a design has not made them, and what stands in them.

    caches : of arrays and of programs. offsets : of the array in a cgroup, of its items, and their
    stride. own : each cgroup runs programs of its own, else all run the same.
    """
    if not prefill(space, caches[1], programs * (cgroups.size if own else 1), seed):
        return False
    if peek(space, cgroups[0] + offsets[0], 8) == 0:
        prefill(space, caches[0], cgroups.size, seed)
    shared = np.zeros(programs, dtype=np.int64)
    for c in range(cgroups.size):
        array = peek(space, cgroups[c] + offsets[0], 8)
        if array == 0:
            array = allocate(space, caches[0], 0)[0]
            if array == 0:
                return False
            poke(space, cgroups[c] + offsets[0], 8, array)
        for k in range(programs):
            if own or shared[k] == 0:
                shared[k] = allocate(space, caches[1], 0)[0]
                if shared[k] == 0:
                    return False
            poke(space, array + offsets[1] + offsets[2] * k, 8, shared[k])
    return True


@njit
def _make_copies(space, cache, design, cgroups, keys, seed):
    """Let each datum be a pointer to a percpu area; an object of the cache is this CPU's copy."""
    if not prefill(space, cache, cgroups.size * keys.size, seed):
        return False
    for c in range(cgroups.size):
        for k in range(keys.size):
            datum, _ = lookup(space, design, cgroups[c], keys[k], 0, 0)
            copy = allocate(space, cache, 0)[0]
            if copy == 0:
                return False
            poke(space, datum, 8, copy)
            put(space, design, datum, 0)
    return True


@dataclass
class HeapSurroundings:
    """The caches and places of a scene on a heap; made before the population is built.

    place : of the callers (`cgsim.stage.callers`). use : what they do with a datum. hot_bytes,
    ring_bytes : memory of other code. stream_entries : arguments of a caller that fetches them.
    own_programs : each cgroup runs programs of its own. cpus : that play at once. second : of a
    workload with packets and clients, where the clients' part begins.
    """

    kernel: Kernel
    place: int
    use: int
    calls: bool
    hot_bytes: int
    ring_bytes: int
    stream_entries: int = 0
    own_programs: bool = False
    cpus: int = 1
    second: Second | None = None
    own: int = 0
    skb: int = 0
    hot: int = 0
    ring: int = 0
    stream: int = 0
    run_context: int = 0
    cpu_offset: int = 0
    task: Task | None = None
    caches: dict[str, int] = field(default_factory=dict)

    def prepare(self, heap: Heap) -> None:
        """Add what the scene needs to a heap; `build_population` calls it."""
        kernel = self.kernel
        self.skb = heap.place("sk_buff", kernel.size("sk_buff"))
        self.task = running_task(heap, kernel)
        self.hot = heap.place("other code", max(self.hot_bytes, 64))
        self.ring = heap.place("packets and other data", max(self.ring_bytes, 64))
        self.stream = heap.place("arguments", max(self.stream_entries * ENTRY_BYTES, 64))
        if self.place == BEHIND_DISPATCH or self.second:
            size = TCP_SOCK_BYTES
            self.caches["sock"] = heap.add_cache("sock", size, stride_bytes=size, name="TCP")
            item = kernel.size("bpf_prog_array_item")
            array = kernel.size("bpf_prog_array") + item * (MAX_PROGRAMS + 1)
            self.caches["array"] = heap.add_cache("bpf_prog_array", array)
            self.caches["program"] = heap.add_cache("bpf_prog", PROGRAM_BYTES)
            self.run_context = heap.place("bpf_cg_run_ctx", kernel.size("bpf_cg_run_ctx"))
            context = self.task.task + kernel.offset("task_struct", "bpf_ctx")
            heap.write(context, self.run_context)
        if self.place == OF_TASK or self.second:
            size = -(-kernel.size("task_struct") // 64) * 64
            tasks = heap.add_cache("task_struct", size, stride_bytes=size, name="task_struct")
            self.caches["task"] = tasks
            self.caches["css_set"] = heap.add_cache("css_set", kernel.size("css_set"))
        if self.cpus > 1:
            self.own = heap.place("CPUs", OWN_STRIDE * self.cpus)
            for cpu in range(self.cpus):
                base = self.own + OWN_STRIDE * cpu
                heap.write(base + CURRENT, base + TASK)
        if self.use == COUNT_COPY:
            self.cpu_offset = heap.place("percpu:this_cpu_off", 64)
            self.caches["copy"] = heap.add_cache("percpu:counter", COPY_BYTES, page_size=PAGE_4K)

    def caller(self, population: Population) -> Caller:
        """The caller at this place, for a population on the prepared heap."""
        assert self.task is not None, "prepare() comes first"
        kernel, parameters = self.kernel, population.parameters
        task = self.task
        # a design that goes through the running task brings the task and its context with it
        if hasattr(parameters, "run_context"):
            task = task._replace(current=parameters.current)
        return Caller(
            place=self.place,
            use=self.use,
            calls=int(self.calls),
            stream=self.stream,
            entries=max(self.stream_entries, 1),
            task=task,
            task_cgroups_offset=kernel.offset("task_struct", "cgroups"),
            css_set_cgroup_offset=kernel.offset("css_set", "dfl_cgrp"),
            skb=self.skb,
            skb_sk_offset=kernel.offset("sk_buff", "sk"),
            sock_cgroup_offset=kernel.offset("sock", "sk_cgrp_data"),
            effective_offset=kernel.offset("cgroup", "bpf.effective"),
            items_offset=kernel.offset("bpf_prog_array", "items"),
            item_bytes=kernel.size("bpf_prog_array_item"),
            programs=self.programs(population),
            run_context=getattr(parameters, "run_context", self.run_context),
            context_offset=kernel.offset("task_struct", "bpf_ctx"),
            cpu_offset=self.cpu_offset,
        )

    def programs(self, population: Population) -> int:
        """Programs of each cgroup: one for each key, as far as there may be so many."""
        least = self.second.programs if self.second else 0
        return min(max(population.keys.size, least), MAX_PROGRAMS)

    def fill_stream(self, population: Population, actors: np.ndarray, order: np.ndarray) -> None:
        """Write a caller's arguments: of order's lookups, int64[n, 2] indices of cgroup and key.

        actors : int64[cgroups], what stands for each cgroup: its address or its socket's.
        """
        words = population.heap.words(self.stream, 2 * len(order))
        words[0::2] = actors[order[:, 0]]
        words[1::2] = population.keys[order[:, 1]]

    def furnish(self, population: Population, actor_cgroup: np.ndarray, seed: int) -> np.ndarray:
        """Make the sockets or tasks of some cgroups, programs and copies; the actors' addresses.

        actor_cgroup : int64[n], the cgroup of each. Raises UserError if memory is exhausted.
        """
        kernel, native = self.kernel, population.native
        cgroups = population.cgroups
        actors = np.zeros(max(actor_cgroup.size, 1), dtype=np.int64)
        made = True
        behind = self.place == BEHIND_DISPATCH
        sockets = self.second.first_actor if self.second else actors.size if behind else 0
        if behind or self.second:
            offset = kernel.offset("sock", "sk_cgrp_data")
            made = _make_sockets(
                native, self.caches["sock"], offset, cgroups, actor_cgroup[:sockets],
                actors[:sockets],
            )  # fmt: skip
            caller = self.caller(population)
            caches = (self.caches["array"], self.caches["program"])
            offsets = (caller.effective_offset, caller.items_offset, caller.item_bytes)
            made = made and _make_programs(
                native, caches, offsets, cgroups, caller.programs, self.own_programs, seed
            )
        if self.place == OF_TASK or self.second:
            fields = (
                kernel.offset("task_struct", "cgroups"),
                kernel.offset("css_set", "dfl_cgrp"),
            )
            caches = (self.caches["task"], self.caches["css_set"])
            made = made and _make_tasks(
                native, *caches, fields, cgroups, actor_cgroup[sockets:], actors[sockets:]
            )
        if self.use == COUNT_COPY:
            make = compiled_for(_make_copies, type(population.parameters))
            made = made and make(
                native, self.caches["copy"], population.parameters, cgroups, population.keys, seed
            )
        if not made:
            raise UserError("the simulated memory is exhausted by sockets, tasks or copies")
        return actors

    def scene(
        self, population: Population, actors: np.ndarray, *, rcu_held: bool, seed: int
    ) -> Scene:
        """The scene for the engine; it points into `actors`, of `furnish`."""
        return Scene(
            hot=self.hot,
            ring=self.ring,
            ring_lines=max(self.ring_bytes // 64, 1),
            actors=address_of(actors),
            read_lock=int(population.design.reader_side == "rcu" and not rcu_held),
            seed=seed,
            caller=self.caller(population),
        )

    def surroundings(
        self,
        population: Population,
        actors: np.ndarray,
        parents: np.ndarray,
        strides: tuple[int, int],
        *,
        rcu_held: bool,
        seed: int,
        numbered: bool,
    ) -> Surroundings:
        """The surroundings of a workload's rows; they point into `actors` and `parents`.

        parents : int64[n_cgroups], the parent of each cgroup, -1 for the root. strides : bytes of
        one CPU's working set and ring. numbered : other code's lines have numbers.
        """
        kernel = self.kernel
        parent_offset = kernel.offset("cgroup", "self.parent")
        link_parents(population.native, population.cgroups, parents, parent_offset)
        return Surroundings(
            hot=self.hot,
            hot_stride=strides[0],
            hot_split=self.second.hot_bytes if self.second else 0,
            ring=self.ring,
            ring_stride=strides[1],
            ring_split=self.second.ring_bytes // 64 if self.second else 0,
            ring_lines=strides[1] // 64,
            numbered=int(numbered),
            actors=address_of(actors),
            parents=address_of(parents),
            parent_offset=parent_offset,
            state_offset=kernel.offset("sock", "__sk_common.skc_state"),
            family_offset=kernel.offset("sock", "__sk_common.skc_family"),
            own=self.own,
            read_lock=int(population.design.reader_side == "rcu" and not rcu_held),
            seed=seed,
            caller=self.caller(population),
        )
