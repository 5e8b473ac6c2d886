"""Scenarios of the designs that need no more than their own functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.heap import allocate
from cgsim.designs import cgroup_storage, idr, index_table, list_walk, pointer_hash, subsys_array
from cgsim.designs.objects import running_task
from cgsim.scenarios.base import KEY, OWNER, Call, add_scenario
from cgsim.scenarios.net_init import NetInit
from cgsim.scenarios.play import create_owner, install_all, register_all

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel


def filled(space: Native, design: object, keys: np.ndarray) -> int:
    """A new owner with a datum for every key; what a list or chain finds first is keys[0]."""
    owner = create_owner(space, design)
    if owner == 0 or install_all(space, design, owner, keys):
        raise MemoryError("the simulated memory is exhausted")
    return int(owner)


def registered(space: Native, design: object, count: int) -> np.ndarray:
    """`count` keys that the design gave to drivers, int64."""
    keys = np.zeros(count, dtype=np.int64)
    register_all(space, design, keys)
    return keys


# --- list ----------------------------------------------------------------------------------------


def _list(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design = list_walk.prepare(heap, kernel, owner="rdma")
    keys = registered(space, design, number)
    return Call(design, filled(space, design, keys), int(keys[-1]), OWNER)


add_scenario(
    pattern="list/position=N",
    explanation="RCU list walk, the key at position N",
    mirrors="get_cg_rpool_locked, kernel/cgroup/rdma.c",
    build=_list,
    functions="get_cg_rpool_locked",
    rows="found at k={n}$",
)

# --- idr -----------------------------------------------------------------------------------------

_BITS = 6
_DEEPEST = 6  # ids are ints: 31 bits in levels of 6


def id_of_depth(depth: int) -> int:
    """An id whose lookup takes `depth` levels, with a slot of its own at each."""
    number = 0
    for level in range(depth):
        digit = 1 if level + 1 == depth else 9 * level + 4
        number |= digit << _BITS * level
    return number


def _idr(heap: Heap, space: Native, kernel: Kernel, depth: int) -> Call:
    design = idr.prepare(heap, kernel, owner="idr")
    if depth > 0:
        key = id_of_depth(depth)
        return Call(design, filled(space, design, np.array([key])), key, OWNER)
    # a single entry at index 0 stands in the root itself
    owner = filled(space, design, np.zeros(0, dtype=np.int64))
    heap.write(owner + design.head_offset, int(allocate(space, design.value_cache, 0)[0]))
    return Call(design, owner, 0, OWNER)


def _idr_miss(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    call = _idr(heap, space, kernel, 2)
    return call._replace(key=call.key + 1)


add_scenario(
    pattern="idr/depth=N",
    explanation="idr, N levels deep (0: a single entry in the root)",
    mirrors="idr_find, lib/idr.c",
    build=_idr,
    functions="idr_find",
    rows="idr_find (hit |on the tree .*)depth{n}",
    smallest=0,
    largest=_DEEPEST,
)
add_scenario(
    pattern="idr/miss",
    explanation="idr two levels deep, an empty slot",
    mirrors="idr_find, lib/idr.c",
    build=_idr_miss,
    functions="idr_find",
    rows="miss depth2",
)

# --- hash ----------------------------------------------------------------------------------------


def _keys_in_bucket(bits: int, bucket: int, count: int) -> np.ndarray:
    """`count` addresses of kernel text, 16 bytes apart or more, that hash to one bucket."""
    tried = 0xFFFFFFFF81000000 + 16 * np.arange((count + 8) << (bits + 1), dtype=np.uint64)
    hashed = tried * np.uint64(0x61C8864680B583EB) >> np.uint64(64 - bits)
    return tried[hashed == bucket][:count].view(np.int64)


def _kprobe(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design = pointer_hash.prepare(heap, kernel, owner="kprobe")
    keys = _keys_in_bucket(design.bits, 6, number)
    return Call(design, filled(space, design, keys), int(keys[-1]), KEY)


def _kprobe_miss(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    call = _kprobe(heap, space, kernel, 1)
    return call._replace(key=int(_keys_in_bucket(call.parameters.bits, 7, 1)[0]))


add_scenario(
    pattern="hash/position=N",
    explanation="global pointer hash of 64 buckets, the key at position N of its chain",
    mirrors="get_kprobe, kernel/kprobes.c",
    build=_kprobe,
    functions="get_kprobe",
    rows="found at chain pos {n}$",
)
add_scenario(
    pattern="hash/miss",
    explanation="global pointer hash, an empty bucket",
    mirrors="get_kprobe, kernel/kprobes.c",
    build=_kprobe_miss,
    functions="get_kprobe",
    rows="miss, empty bucket",
)

# --- css -----------------------------------------------------------------------------------------


def _css(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design = subsys_array.prepare(heap, kernel, owner="task")
    keys = registered(space, design, 5)  # memory is the fifth controller
    return Call(design, filled(space, design, keys), int(keys[-1]), OWNER)


add_scenario(
    pattern="css",
    explanation="fixed array in the object: task->cgroups->subsys[id]",
    mirrors="mem_cgroup_from_task, mm/memcontrol.c",
    build=_css,
    functions="mem_cgroup_from_task",
    rows="css lookup",
)

# --- net_generic ---------------------------------------------------------------------------------


def _net_init(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design = index_table.prepare(heap, kernel, owner="net", bounds_check=False)
    keys = registered(space, design, 18)
    net = filled(space, design, keys)
    net_id = heap.place("global:netlink_tap_net_id", 64)
    heap.write(net_id, int(keys[-1]))
    code = {"7.3": 8, "6.12": 10}[kernel.series]
    return Call(NetInit(design, net_id, running_task(heap, kernel), code), net, 0, OWNER)


add_scenario(
    pattern="net-generic",
    explanation="RCU index table: an id from a global, table, slot, two stores to the data",
    mirrors="net_generic in netlink_tap_init_net, net/netlink/af_netlink.c",
    build=_net_init,
    functions="netlink_tap_init_net",
    rows="net_generic",
)

# --- BPF cgroup storage --------------------------------------------------------------------------


def _direct(heap: Heap, space: Native, kernel: Kernel, percpu: bool) -> Call:
    design = cgroup_storage.prepare(heap, kernel, percpu=percpu)
    keys = registered(space, design, 1)
    return Call(design, filled(space, design, keys), int(keys[0]), KEY)


add_scenario(
    pattern="direct",
    explanation="BPF cgroup storage, shared: task, run context, array item, storage, buffer",
    mirrors="bpf_get_local_storage, kernel/bpf/cgroup.c",
    build=lambda heap, space, kernel, number: _direct(heap, space, kernel, False),
    functions="bpf_get_local_storage",
    rows="shared",
)
add_scenario(
    pattern="direct/percpu",
    explanation="BPF cgroup storage, percpu: the same, and this CPU's offset",
    mirrors="bpf_get_local_storage, kernel/bpf/cgroup.c",
    build=lambda heap, space, kernel, number: _direct(heap, space, kernel, True),
    functions="bpf_get_local_storage",
    rows="percpu",
)
