"""What each id of the measurements at scale is: the structure, and the call on it.

`data/kernel/scale_scenarios.json` names the objects with their strides and slabs; the structures
are the designs' own, built by their own functions. Nothing of a measured cost enters.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.core.space import Native
from cgsim.data import data_path
from cgsim.designs import (
    array_map,
    cgroup_storage,
    hash_map,
    idr,
    list_walk,
    local_storage,
    subsys_array,
    xarray,
)
from cgsim.errors import UserError, unknown_name
from cgsim.scenarios.counter_ops import PageCounter
from cgsim.scenarios.lookups import registered
from cgsim.validation.scale.calls import ArrayCall, DeviceHash, MapCall, StorageCall
from cgsim.validation.scale.fill import add_counters, add_devices, fill, look_up_all
from cgsim.validation.scale.heap import PlacedHeap

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.kernel import Kernel

_OWNER_FIELD = 0x100  # where the measured run put a cgroup's idr or xarray
_SPARE_BYTES = 1 << 29  # the largest footprint, and what is small
_SMALLEST_TABLE = 1024


class Prepared(NamedTuple):
    """A structure over C cgroups. parameters : what the call takes. owners, keys : int64, its
    arguments to choose from; every owner has every key."""

    heap: PlacedHeap
    parameters: Any
    owners: np.ndarray
    keys: np.ndarray


@dataclass(frozen=True)
class Setup:
    """One id. `build(workshop)` makes the structure; `reads_value`: the loop reads the datum."""

    name: str
    function: str
    scenario: str
    build: Callable[[Workshop], Prepared]
    reads_value: bool


@functools.cache
def _recorded() -> dict[str, Any]:
    with data_path("kernel", "scale_scenarios.json").open(encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


class Workshop:
    """What builds one id over `count` cgroups: a heap with the recorded strides, and cgroups."""

    def __init__(self, name: str, kernel: Kernel, count: int, pages: str, seed: int) -> None:
        self.name, self.kernel, self.count = name, kernel, count
        self._pages, self._seed = pages, seed
        self._objects = _recorded()[name]["params"]["objects"]

    def heap(self, extra_bytes: int = 0, **structs: str) -> PlacedHeap:
        """The heap; `structs`: recorded type -> struct of the design."""
        slabs = {
            structs.get(_word(each["type"]), _word(each["type"])): (
                each["stride"],
                each["slab_bytes"],
            )
            for each in self._objects
            if each["slab_bytes"] is not None
        }
        per_cgroup = sum(
            each["stride"] * each["per_cgroup"]
            for each in self._objects
            if isinstance(each["per_cgroup"], int)
        )
        needed = int(1.3 * per_cgroup * self.count) + extra_bytes + _SPARE_BYTES
        return PlacedHeap(needed, seed=self._seed, pages=self._pages, slabs=slabs)

    def fill(
        self, heap: PlacedHeap, design: Any, keys: np.ndarray, owners: int | None = None
    ) -> np.ndarray:
        """Create the cgroups (or so many owners) with a datum for every key; their addresses."""
        addresses = np.zeros(self.count if owners is None else owners, dtype=np.int64)
        if fill(_space(heap), design, addresses, keys) != 0:
            raise UserError(f"validate scale: {self.name}: the simulated memory is exhausted")
        return addresses


def _word(text: str) -> str:
    """The first word of an object's type, without an array's size."""
    return text.split(" ")[0].split("[")[0]


def _space(heap: PlacedHeap) -> Native:
    return Native(heap.mem, heap.block)


# --- trees ---------------------------------------------------------------------------------------


def _moved(tree: idr.Idr, by: int) -> idr.Idr:
    """The tree's root `by` bytes further into its owner."""
    return tree._replace(
        idr_offset=tree.idr_offset + by,
        head_offset=tree.head_offset + by,
        base_offset=tree.base_offset + by,
        lock_offset=tree.lock_offset + by,
    )


def _nodes(count: int, keys: int) -> int:
    """Nodes of `count` trees over so many dense keys."""
    total, level = 0, -(-keys // 64)
    while True:
        total += level
        if level == 1:
            return count * total
        level = -(-level // 64)


def _idr(shop: Workshop, keys: int) -> Prepared:
    heap = shop.heap(32 * keys * shop.count, cgroup="idr")
    design = _moved(idr.prepare(heap, shop.kernel, owner="idr"), _OWNER_FIELD)
    heap.shuffle(design.cgroup_cache, shop.count)
    heap.shuffle(design.node_cache, _nodes(shop.count, keys))
    numbers = np.arange(keys, dtype=np.int64)
    return Prepared(heap, design, shop.fill(heap, design, numbers), numbers)


def _global_idr(shop: Workshop) -> Prepared:
    heap = shop.heap(64 * shop.count, cgroup="idr")
    design = idr.prepare(heap, shop.kernel, owner="idr")
    heap.shuffle(design.node_cache, _nodes(1, shop.count))
    numbers = np.arange(shop.count, dtype=np.int64)
    return Prepared(heap, design, shop.fill(heap, design, numbers, owners=1), numbers)


def _xarray(shop: Workshop, keys: int) -> Prepared:
    heap = shop.heap(32 * keys * shop.count, cgroup="xarray")
    design = xarray.prepare(heap, shop.kernel, owner="xarray")
    design = design._replace(tree=_moved(design.tree, _OWNER_FIELD))
    heap.shuffle(design.cgroup_cache, shop.count)
    heap.shuffle(design.tree.node_cache, _nodes(shop.count, keys))
    numbers = np.arange(keys, dtype=np.int64)
    return Prepared(heap, design, shop.fill(heap, design, numbers), numbers)


# --- lists, hashes -------------------------------------------------------------------------------


def _list(shop: Workshop, length: int, last: bool) -> Prepared:
    heap = shop.heap(4096 * length)
    design = list_walk.prepare(heap, shop.kernel, owner="rdma")
    heap.shuffle(design.cgroup_cache, shop.count)
    heap.shuffle(design.value_cache, shop.count * length)
    devices = registered(_space(heap), design, length)
    owners = shop.fill(heap, design, devices)
    return Prepared(heap, design, owners, devices[-1:] if last else devices)


def _devices(shop: Workshop, indices: tuple[int, ...]) -> Prepared:
    heap = shop.heap(dev_index_head="hlist_head")
    kernel = shop.kernel
    caches = [
        heap.add_cache("net", kernel.size("net")),
        heap.add_cache("hlist_head", 2048),
        heap.add_cache("net_device", kernel.size("net_device")),
    ]
    design = DeviceHash(
        kernel.offset("net", "dev_index_head"),
        kernel.offset("net_device", "index_hlist"),
        kernel.offset("net_device", "ifindex"),
        255,
    )
    for cache, each in zip(caches, (1, 1, len(indices)), strict=True):
        heap.shuffle(cache, each * shop.count)
    owners = np.zeros(shop.count, dtype=np.int64)
    numbers = np.array(indices, dtype=np.int64)
    add_devices(_space(heap), design, np.array(caches), owners, numbers)
    return Prepared(heap, design, owners, numbers)


# --- BPF -----------------------------------------------------------------------------------------


def _storage(shop: Workshop, owner: str, others: int) -> Prepared:
    """One map's element in every owner, found in its slot, or `others` elements of other maps."""
    structs = {"tcp_sock": "sock"} if owner == "sock" else {}
    heap = shop.heap(1 << 20, **structs)
    design = local_storage.prepare(heap, shop.kernel, owner=owner, value_bytes=56)
    heap.shuffle(design.cgroup_cache, shop.count)
    heap.shuffle(design.storage_cache, shop.count)
    heap.shuffle(design.value_cache, shop.count * max(others, 1))
    maps = registered(_space(heap), design, others + 1)
    owners = shop.fill(heap, design, maps[1:] if others else maps)
    if not others:
        look_up_all(_space(heap), design, owners, maps[0])
    return Prepared(heap, design, owners, maps[:1])


def _hash_map(shop: Workshop) -> Prepared:
    entries = max(shop.count, _SMALLEST_TABLE)
    heap = shop.heap(64 * entries + 4096 * shop.count + 4 * 16 * entries)
    design = hash_map.prepare(heap, shop.kernel, entries=entries, value_bytes=8)
    table = registered(_space(heap), design, 1)
    heap.shuffle(design.value_cache, shop.count)
    owners = shop.fill(heap, design, table)
    return Prepared(heap, MapCall(design, int(table[0])), owners, np.zeros(1, dtype=np.int64))


def _array(shop: Workshop) -> Prepared:
    heap = shop.heap(64 * shop.count)
    design = array_map.prepare(heap, shop.kernel, inlined=False, entries=shop.count, value_bytes=64)
    array = int(registered(_space(heap), design, 1)[0])
    indices = np.arange(shop.count, dtype=np.int64)
    return Prepared(heap, ArrayCall(design, array), indices, np.zeros(1, dtype=np.int64))


def _cgroup_storage(shop: Workshop) -> Prepared:
    heap = shop.heap(4096 * shop.count)
    design = cgroup_storage.prepare(heap, shop.kernel, value_bytes=48, keys=1)
    for cache in (design.array_cache, design.storage_cache, design.value_cache):
        heap.shuffle(cache, shop.count)
    programs = registered(_space(heap), design, 1)
    return Prepared(heap, StorageCall(design), shop.fill(heap, design, programs), programs)


# --- task, counters ------------------------------------------------------------------------------


def _task(shop: Workshop) -> Prepared:
    heap = shop.heap(64 * shop.count)
    design = subsys_array.prepare(heap, shop.kernel, owner="task")
    heap.shuffle(design.cgroup_cache, shop.count)
    heap.shuffle(design.set_cache, shop.count)
    keys = registered(_space(heap), design, 5)[-1:]  # memory is the fifth controller
    return Prepared(heap, design, shop.fill(heap, design, keys), keys)


def _page_counter(shop: Workshop) -> Prepared:
    heap = shop.heap(1 << 16)
    kernel = shop.kernel
    cache = heap.add_cache("mem_cgroup", kernel.size("mem_cgroup"))
    heap.shuffle(cache, shop.count + 1)
    design = PageCounter(
        129,
        128,
        kernel.offset("page_counter", "max"),
        kernel.offset("page_counter", "local_watermark"),
        kernel.offset("page_counter", "watermark"),
        kernel.offset("page_counter", "parent"),
        26,
        11,
    )
    owners = np.zeros(shop.count, dtype=np.int64)
    counter = kernel.offset("mem_cgroup", "memory")
    add_counters(_space(heap), design, cache, counter, owners)
    return Prepared(heap, design, owners, np.ones(1, dtype=np.int64))


# --- the table -----------------------------------------------------------------------------------

_SETUPS: dict[str, Callable[[Workshop], Prepared]] = {
    "idr1": lambda shop: _idr(shop, 64),
    "idr1k": lambda shop: _idr(shop, 64),
    "idr2": lambda shop: _idr(shop, 256),
    "idr2k": lambda shop: _idr(shop, 256),
    "idrg": _global_idr,
    "xa1": lambda shop: _xarray(shop, 64),
    "xa1k": lambda shop: _xarray(shop, 64),
    "list1": lambda shop: _list(shop, 1, last=False),
    "list4": lambda shop: _list(shop, 4, last=False),
    "list4l": lambda shop: _list(shop, 4, last=True),
    "list16": lambda shop: _list(shop, 16, last=False),
    "list16l": lambda shop: _list(shop, 16, last=True),
    "dev1": lambda shop: _devices(shop, (1, 2)),
    "dev2": lambda shop: _devices(shop, (1, 257)),
    "cghit": lambda shop: _storage(shop, "cgroup", 0),
    "cghitk": lambda shop: _storage(shop, "cgroup", 0),
    "cghitk+deref": lambda shop: _storage(shop, "cgroup", 0),
    "miss4": lambda shop: _storage(shop, "cgroup", 4),
    "miss4k": lambda shop: _storage(shop, "cgroup", 4),
    "miss16": lambda shop: _storage(shop, "cgroup", 16),
    "skhit": lambda shop: _storage(shop, "sock", 0),
    "htab": _hash_map,
    "htabd+deref": _hash_map,
    "arr": _array,
    "arrd+deref": _array,
    "lst": _cgroup_storage,
    "lstd+deref": _cgroup_storage,
    "task": _task,
    "pc2": _page_counter,
}


def setup_of(name: str) -> Setup:
    """The setup of an id; raises UserError for one that does not exist."""
    if name not in _SETUPS:
        raise unknown_name("id", name, _SETUPS)
    recorded = _recorded()[name]
    return Setup(
        name,
        recorded["function"],
        recorded["scenario"],
        _SETUPS[name],
        bool(recorded["params"]["reads_value"]),
    )


def scale_ids() -> list[str]:
    """All ids, in the order of `scale_scenarios.json`."""
    return list(_SETUPS)
