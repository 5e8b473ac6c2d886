"""Scenarios of BPF hash maps keyed by the cgroup's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.designs import hash_map
from cgsim.scenarios.base import KEY, Call, add_scenario
from cgsim.scenarios.lookups import filled, registered
from cgsim.scenarios.play import create_owner

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel

_SEED = 0x5BD1E995


def _colliding(buckets: int, count: int) -> list[int]:
    """`count` cgroup ids whose elements share a bucket."""
    found: list[int] = []
    identity, wanted = 1, None
    while len(found) < count:
        bucket = hash_map.jhash_u64(identity, _SEED) & (buckets - 1)
        wanted = bucket if wanted is None else wanted
        if bucket == wanted:
            found.append(identity)
        identity += 1
    return found


def _chain(kind: str, heap: Heap, space: Native, kernel: Kernel, number: int, miss: bool) -> Call:
    """A map with `number` elements in one bucket; the last is looked up, or another one."""
    design = hash_map.prepare(heap, kernel, kind=kind)
    table = registered(space, design, 1)
    identities = _colliding(design.buckets, number + 1)
    wanted = 0
    for i in range(number - 1, -1, -1):
        cgroup = filled(space, design, np.zeros(0, dtype=np.int64))
        heap.write(heap.read(cgroup + design.kn_offset) + design.id_offset, identities[i])
        hash_map.insert(space, design, cgroup, int(table[0]), 0)
        wanted = wanted or cgroup
    if miss:
        wanted = int(create_owner(space, design))
        heap.write(heap.read(wanted + design.kn_offset) + design.id_offset, identities[number])
    return Call(design, wanted, int(table[0]), KEY)


for _pattern, _kind, _miss, _text, _function, _rows in (
    (
        "htab/position=N",
        "htab",
        False,
        "found at position N",
        "htab_map",
        "found at chain pos {n}$",
    ),
    ("htab/miss=N", "htab", True, "N elements of others in its bucket", "htab_map", "miss, empty"),
    ("htab-inlined", "inlined", False, "as the verifier calls it", "__htab_map", "pos 1"),
    ("percpu-htab", "percpu-htab", False, "percpu, position 1", "htab_percpu_map", "pos 1"),
    ("lru-htab", "lru-htab", False, "LRU, position 1", "htab_lru_map", "pos 1"),
):
    add_scenario(
        pattern=_pattern,
        explanation=f"BPF hash map keyed by cgroup id: {_text}",
        mirrors=f"{_function}_lookup_elem, kernel/bpf/hashtab.c",
        build=lambda heap, space, kernel, number, kind=_kind, miss=_miss: _chain(
            kind, heap, space, kernel, number if kind == "htab" else 1, miss
        ),
        functions=f"{_function}_lookup_elem",
        rows=_rows,
        smallest=0 if _miss else 1,
        largest=10_000,
    )
