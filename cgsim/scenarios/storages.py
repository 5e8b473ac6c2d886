"""Scenarios of bpf_local_storage: hit, walk, conflict, miss; cgroups, tasks, sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.designs import local_storage
from cgsim.scenarios.base import KEY, Call, add_scenario, words_to_reset
from cgsim.scenarios.lookups import filled, registered
from cgsim.scenarios.play import create_owner, look_up

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel

_SLOTS = 16


def _prepared(owner: str, heap: Heap, space: Native, kernel: Kernel, maps: int) -> tuple:
    design = local_storage.prepare(heap, kernel, owner=owner)
    return design, registered(space, design, maps)


def _slot(heap: Heap, design: local_storage.LocalStorage, owner: int, smap: int) -> int:
    """The address of a map's cache slot in an owner's storage."""
    storage = heap.read(owner + design.pointer_offset)
    word = heap.read((smap + design.index_offset) & ~7)
    return storage + 8 * (word >> 8 * ((smap + design.index_offset) & 7) & 0xFFFF)


def _hit(owner: str, heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design, maps = _prepared(owner, heap, space, kernel, 1)
    start = filled(space, design, maps)
    look_up(space, design, start, int(maps[0]))
    return Call(design, start, int(maps[0]), KEY)


def _walk(owner: str, heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design, maps = _prepared(owner, heap, space, kernel, number)
    start = filled(space, design, maps)
    slot = _slot(heap, design, start, int(maps[-1]))
    return Call(design, start, int(maps[-1]), KEY, words_to_reset(heap, [slot]))


def _conflict(owner: str, heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    """The map at position N shares its slot with the first in the list (the last if N is 1)."""
    design, maps = _prepared(owner, heap, space, kernel, _SLOTS + max(number, 2))
    wanted, rival = int(maps[0]), int(maps[_SLOTS])
    others = [int(m) for m in maps[1:_SLOTS]] + [int(m) for m in maps[_SLOTS + 1 :]]
    order = [rival, *others[: number - 2], wanted] if number > 1 else [wanted, rival]
    start = filled(space, design, np.array(order))
    look_up(space, design, start, rival)
    slot = _slot(heap, design, start, wanted)
    return Call(design, start, wanted, KEY, words_to_reset(heap, [slot]))


def _miss(owner: str, heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    """N elements of other maps, none of which is in the slot."""
    design, maps = _prepared(owner, heap, space, kernel, number + 1)
    if number > 0:
        start = filled(space, design, maps[1:])
    else:
        start = int(create_owner(space, design))
        local_storage.add_storage(space, design, start, 0)
    return Call(design, start, int(maps[0]), KEY)


for _prefix, _owner, _function, _file in (
    ("", "cgroup", "bpf_cgrp_storage_get", "kernel/bpf/bpf_cgrp_storage.c"),
    ("task-", "task", "bpf_task_storage_get", "kernel/bpf/bpf_task_storage.c"),
    ("sk-", "sock", "bpf_sk_storage_get", "net/core/bpf_sk_storage.c"),
):
    for _name, _build, _text, _rows, _smallest in (
        ("hit", _hit, "the map's cache slot holds its element", "cache hit$", 1),
        (
            "walk=N",
            _walk,
            "empty slot, element at position N; the slot is rewritten under the lock",
            "_get list walk found at k={n}$",
            1,
        ),
        (
            "conflict=N",
            _conflict,
            "the slot holds another map's element, element at position N",
            "held by another map, then list walk found at k={n}$",
            1,
        ),
        ("miss=N", _miss, "N elements of other maps, none of this one", "miss, {n} other", 0),
    ):
        add_scenario(
            pattern=f"{_prefix}storage/{_name}",
            explanation=f"BPF local storage of a {_owner}: {_text}",
            mirrors=f"{_function}, {_file}",
            build=lambda heap, space, kernel, number, build=_build, owner=_owner: build(
                owner, heap, space, kernel, number
            ),
            functions=_function,
            rows=_rows,
            smallest=_smallest,
            largest=10_000,
        )
