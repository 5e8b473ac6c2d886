"""What the operations of a design's upkeep do: locks, memory, copies, waiting; no times.

Read off the traced reading, operation by operation. A locked word is a lock if it was free before
and is free after (0 both times), else an atomic operation on what it counts. Who can be blocked
follows from where locks lie: in the cgroup, in a map's or a table's bucket, or once for all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.core import traced
from cgsim.core.host_memory import address_of
from cgsim.core.space import Traced, peek
from cgsim.experiments.operations import GRACE, INSTALL, REMOVE, TEARDOWN, Stand, Step, lives

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TRACED_CGROUPS = 4
_DROPPED_CGROUPS = 32
_NAMES = ("locks", "blocks")
_MUTEX_BYTES = 8  # of its owner's word; a spinlock has 4
_OF_ONE_CGROUP = ("cgroup", "bpf_local_storage", "task_struct", "sock")


class _Watch:
    """Counts what an operation does to the heap and to locks."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.readers_wait = stand.population.design.reader_side == "mutex"
        heap = stand.heap
        n_keys = stand.population.keys.size
        self.log = traced.new_log(
            8192 + 64 * n_keys + 4 * n_keys * stand.percpu.cpus + 128 * stand.residents.size
        )
        self.space = Traced(heap.mem, heap.block, address_of(self.log))

    def effects(self, play: Callable[[Any], None], *, copies: bool) -> dict[str, Any]:
        """The counts of one operation; `copies`: what it retires, it has copied."""
        heap = self.stand.heap
        caches = range(len(heap.caches))
        live = [heap.live(cache) for cache in caches]
        waiting = [set(heap.retired(cache)) for cache in caches]
        traced.clear(self.log)
        play(self.space)
        record = traced.parse(self.log)
        grown = [heap.live(cache) - live[cache] for cache in caches]
        strides = [cache.stride_bytes for cache in heap.caches]
        retired = [
            (address, strides[cache])
            for cache in caches
            for address in heap.retired(cache)
            if address not in waiting[cache]
        ]
        locked = [(a.address, a.size) for a in record.accesses if a.operation == "RMW!"]
        words = {word for word in locked if self._is_lock(word, record)}
        copied = sum(
            access.size
            for access in record.accesses
            if access.operation == "R"
            and any(start <= access.address < start + size for start, size in retired)
        )
        return {
            "locked": len(locked),
            "atomics": sum(word not in words for word in locked),
            "locks": {self._named(*word) for word in words},
            "blocks": {self._blocks(self._struct(word[0])) for word in words},
            "allocated": sum(max(n, 0) for n in grown),
            "allocated_bytes": sum(max(n, 0) * strides[i] for i, n in enumerate(grown)),
            "freed_bytes": sum(max(-n, 0) * strides[i] for i, n in enumerate(grown)),
            "retired": len(retired),
            "waiting_bytes": sum(size for _, size in retired),
            "copied_bytes": copied if copies else 0,
            "left": 0,
        }

    def _is_lock(self, word: tuple[int, int], record: traced.Record) -> bool:
        """Whether a locked word is free again, and was given back by its holder.

        A spinlock is released by a plain store of its first byte, a mutex by a second exchange.
        """
        address, size = word
        if int(peek(self.stand.population.native, address, size)) != 0:
            return False
        uses = [a for a in record.accesses if a.address == address]
        taken = [a for a in uses if a.operation == "RMW!"]
        return len(taken) < len(uses) or (size == _MUTEX_BYTES and len(taken) % 2 == 0)

    def _struct(self, address: int) -> str:
        return self.stand.heap.caches[self.stand.heap.resolve(address)[0]].struct

    def _named(self, address: int, size: int) -> str:
        """The struct of a lock's word, said if it is a mutex: who waits for that sleeps."""
        return self._struct(address) + (" (mutex)" if size == _MUTEX_BYTES else "")

    def _blocks(self, struct: str) -> str:
        """Who can wait for a lock in a struct."""
        who = "lookups and updates" if self.readers_wait else "updates"
        if struct in _OF_ONE_CGROUP:
            return f"{who} of the same cgroup"
        if struct.startswith("global:"):
            return f"{who} of all cgroups"
        return f"{who} in the same {struct}"


def trace_lives(stand: Stand, cgroups: int) -> dict[str, list[dict[str, Any]]]:
    """The effects of each step in the lives of some cgroups, by operation."""
    watch = _Watch(stand)
    stand.vacate(watch.space)
    found: dict[str, list[dict[str, Any]]] = {}
    for step in lives(cgroups, stand.population.keys.size, stand.seed):
        if step.what == GRACE:
            stand.play(watch.space, step)
            continue
        effects = watch.effects(partial(stand.play, step=step), copies=step.what == INSTALL)
        if stand.percpu.cpus:
            _add_areas(effects, step, stand)
        found.setdefault(step.operation, []).append(effects)
    return found


def _add_areas(effects: dict[str, Any], step: Step, stand: Stand) -> None:
    """The percpu areas' share: taken at once, given back after the grace period."""
    size = stand.percpu.area_bytes * stand.percpu.cpus
    if step.what == INSTALL:
        effects["allocated"] += 1
        effects["allocated_bytes"] += size
    elif step.what in (REMOVE, TEARDOWN):
        count = 1 if step.what == REMOVE else stand.population.keys.size
        effects["retired"] += count
        effects["waiting_bytes"] += count * size


def trace_drop(stand: Stand, key: int) -> dict[str, Any]:
    """The effects of dropping a key: those on a few cgroups, times the number of cgroups."""
    n_cgroups = stand.residents.size
    sampled = min(n_cgroups, _DROPPED_CGROUPS)
    watch = _Watch(stand)
    rows = [
        watch.effects(partial(stand.drop, first=c, last=c + 1, key=key), copies=False)
        for c in range(sampled)
    ]
    stand.play(watch.space, Step("drop key", GRACE))
    for c in range(sampled):
        stand.restore(watch.space, c, key)
    return {
        name: set.union(*(row[name] for row in rows)) if name in _NAMES else value * n_cgroups
        for name, value in averaged(rows).items()
    }


def trace_drop_by_list(stand: Stand, key: int) -> dict[str, Any]:
    """The effects of an owner that goes and takes away what its list leads to."""
    dropped = 0

    def play(space: Any) -> None:
        nonlocal dropped
        dropped = stand.drop_by_list(space, key)

    effects = _Watch(stand).effects(play, copies=False)
    return effects | {"left": stand.residents.size - dropped}


def averaged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means of the counts; the names of all structs locked, and of all who can wait."""
    return {
        name: ", ".join(sorted(set.union(*(row[name] for row in rows))))
        if name in _NAMES
        else float(np.mean([row[name] for row in rows]))
        for name in rows[0]
    }
