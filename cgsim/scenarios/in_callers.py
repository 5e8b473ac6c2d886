"""Scenarios of lookups inside their callers: dmem pools, blkgs, netlink's sockets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from cgsim.core.heap import allocate
from cgsim.designs import blkg, dmem, rhashtable
from cgsim.designs.jhash import jhash_u64_u32
from cgsim.designs.objects import running_task, stack_guard
from cgsim.scenarios.base import NEITHER, OWNER, Call, add_scenario, words_to_reset
from cgsim.scenarios.blkg_get import BlkgGet
from cgsim.scenarios.counters import page_counter_fields, write_field
from cgsim.scenarios.dmem_charge import DmemCharge, DmemUncharge
from cgsim.scenarios.lookups import filled, id_of_depth, registered
from cgsim.scenarios.netlink_find import NetlinkFind

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel

# --- dmem ----------------------------------------------------------------------------------------


def _pools(heap: Heap, space: Native, kernel: Kernel, count: int) -> tuple[dmem.Dmem, int, int]:
    """(the design, a cgroup with `count` pools, the region whose pool is the last one)."""
    design = dmem.prepare(heap, kernel, owner="dmem")
    regions = registered(space, design, count)
    # pools are added at the tail, and `filled` begins with the last region
    return design, filled(space, design, regions), int(regions[0])


def _dmem(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design, css, region = _pools(heap, space, kernel, number)
    return Call(design, css, region, OWNER)


_CSS = {"flags_offset": "css.flags", "reference_offset": "css.refcnt.percpu_count_ptr"}
_DMEM_SUBSYSTEM = 14  # the last controller of the recompiled kernel


def _css(heap: Heap, kernel: Kernel, css: int) -> dict[str, int]:
    """A css with its percpu reference count; the offsets of both in it."""
    offsets = {name: kernel.offset("dmemcg_state", field) for name, field in _CSS.items()}
    heap.write(css + offsets["reference_offset"], heap.place("percpu_refcnt", 64))
    return offsets


def _charged(
    heap: Heap, space: Native, kernel: Kernel, levels: int, position: int
) -> tuple[dmem.Dmem, int, int, int, dict[str, int]]:
    """(design, css, region, its page counter with `levels` in all, the css' offsets)."""
    design, css, region = _pools(heap, space, kernel, position)
    page = page_counter_fields(kernel)
    counter = dmem.lookup(space, design, css, region, 0, 0)[0]
    child = counter
    for _ in range(levels - 1):
        above = int(allocate(space, design.value_cache, 0)[0])
        if above == 0:
            raise MemoryError("the simulated memory is exhausted")
        parent = above + design.datum_offset
        heap.write(child + page.parent_offset, parent)
        child = parent
    child = counter
    while child:
        heap.write(child + page.max_offset, (1 << 63) - 1)
        child = heap.read(child + page.parent_offset)
    return design, css, region, counter, _css(heap, kernel, css)


def _charge(heap: Heap, space: Native, kernel: Kernel, levels: int, position: int) -> Call:
    design, css, region, _, offsets = _charged(heap, space, kernel, levels, position)
    css_set = heap.place("css_set", kernel.size("css_set"))
    cgroups = kernel.offset("task_struct", "cgroups")
    subsys = kernel.offset("css_set", "subsys") + 8 * _DMEM_SUBSYSTEM
    heap.write(design.task.task + cgroups, css_set)
    heap.write(css_set + subsys, css)
    parameters = DmemCharge(
        design,
        page_counter_fields(kernel),
        design.task,
        design.guard,
        heap.place("ptrbuf", 64),
        cgroups,
        subsys,
        **offsets,
        work=44,
        branches=6,
    )
    return Call(parameters, 0, region, NEITHER)


def _uncharge(heap: Heap, space: Native, kernel: Kernel, levels: int) -> Call:
    design, _, _, counter, offsets = _charged(heap, space, kernel, levels, 1)
    parameters = DmemUncharge(
        design,
        page_counter_fields(kernel),
        design.task,
        **offsets,
        work=40,
        branches=6,
        level_work=6,
        level_branches=3,
    )
    # the pool's count stays above zero however often it is played
    write_field(heap, counter - design.datum_offset + design.reference_offset, 4, 1 << 30)
    return Call(parameters, counter, 0, NEITHER)


add_scenario(
    pattern="dmem/position=N",
    explanation="RCU list walk that takes a reference, the region at position N",
    mirrors="get_cg_pool_unlocked, kernel/cgroup/dmem.c",
    build=_dmem,
    functions="get_cg_pool_unlocked",
    rows="found at k={n}$",
    kernels=("7.3",),
)
add_scenario(
    pattern="dmem-charge/levels=N",
    explanation="charge one page of a device's memory to the task's cgroup, N levels in all",
    mirrors="dmem_cgroup_try_charge, kernel/cgroup/dmem.c",
    build=lambda heap, space, kernel, number: _charge(heap, space, kernel, number, 1),
    functions="dmem_cgroup_try_charge",
    rows="list pos 1, {n} levels",
    kernels=("7.3",),
)
add_scenario(
    pattern="dmem-charge/position=N",
    explanation="the same with two levels, the region at position N of the list",
    mirrors="dmem_cgroup_try_charge, kernel/cgroup/dmem.c",
    build=lambda heap, space, kernel, number: _charge(heap, space, kernel, 2, number),
    functions="dmem_cgroup_try_charge",
    rows="list pos {n}, 2 levels",
    kernels=("7.3",),
)
add_scenario(
    pattern="dmem-uncharge/levels=N",
    explanation="give the page back, and the references to css and pool, N levels in all",
    mirrors="dmem_cgroup_uncharge, kernel/cgroup/dmem.c",
    build=_uncharge,
    functions="dmem_cgroup_uncharge",
    rows="uncharge, {n} levels",
    kernels=("7.3",),
)

# --- blkg ----------------------------------------------------------------------------------------


def _blkg(heap: Heap, space: Native, kernel: Kernel, depth: int, *, hint: bool = False) -> Call:
    design = blkg.prepare(heap, kernel, owner="blkcg")
    queue = int(registered(space, design, 1)[0])
    write_field(heap, queue + design.id_offset, 4, id_of_depth(depth))
    owner = filled(space, design, np.array([queue]))
    if hint:
        blkg.remember(space, design, owner, queue, 0)
    elif depth == 0:
        # a single entry at index 0 stands in the root itself
        found = blkg.find(space, design, owner, queue, 0, 0)[0]
        heap.write(owner + design.tree.head_offset, int(found))
    bio = heap.place("bio", 256)
    device = heap.place("block_device", 1024)
    heap.write(bio + kernel.offset("bio", "bi_bdev"), device)
    heap.write(owner + kernel.offset("blkcg", "css.parent"), owner)  # not the root; only tested
    old = kernel.series == "6.12"
    if old:
        disk = heap.place("gendisk", 1024)
        heap.write(device + kernel.offset("block_device", "bd_disk"), disk)
        heap.write(disk + kernel.offset("gendisk", "queue"), queue)
    else:
        heap.write(device + kernel.offset("block_device", "bd_queue"), queue)
    association = bio + kernel.offset("bio", "bi_blkg")
    parameters = BlkgGet(
        design,
        running_task(heap, kernel),
        bio,
        association - bio,
        kernel.offset("bio", "bi_bdev"),
        kernel.offset("block_device", "bd_disk" if old else "bd_queue"),
        kernel.offset("gendisk", "queue") if old else -1,
        kernel.offset("blkcg", "css.parent"),
        29 if old else 28,
        5,
    )
    return Call(parameters, owner, 0, NEITHER, words_to_reset(heap, [association]))


add_scenario(
    pattern="blkg/hint",
    explanation="a bio gets the blkg of (block cgroup, device): the hint hits",
    mirrors="bio_associate_blkg_from_css, block/blk-cgroup.c",
    build=lambda heap, space, kernel, number: _blkg(heap, space, kernel, 1, hint=True),
    functions="bio_associate_blkg_from_css",
    rows="hint$",
)
add_scenario(
    pattern="blkg/depth=N",
    explanation="the same without a hint, a radix tree N levels deep (0: one entry in the root)",
    mirrors="bio_associate_blkg_from_css, block/blk-cgroup.c",
    build=_blkg,
    functions="bio_associate_blkg_from_css",
    rows="radix depth{n}$",
    smallest=0,
    largest=6,
)

# --- rhashtable ----------------------------------------------------------------------------------


_BUCKET = 31  # any of the smallest table's, and that of the recording


def _table(heap: Heap, design: rhashtable.Rhashtable) -> tuple[int, int]:
    """(buckets, seed) of the table as it is."""
    table = heap.read(design.table + design.tbl_offset)
    seed = heap.read(table + design.seed_offset) & 0xFFFFFFFF
    return heap.read(table + design.size_offset) & 0xFFFFFFFF, seed


def _ports(heap: Heap, space: Native, design: rhashtable.Rhashtable, net: int, count: int) -> int:
    """Add `count` sockets whose ports share a bucket; returns the port of the chain's last one.

    Sockets of other ports come first, until the table has room for the chain without growing.
    """
    other = 1 << 30
    held = 0
    while _table(heap, design)[0] // 4 * 3 - held < count:
        rhashtable.insert(space, design, net, other + held, 0)
        held += 1
    buckets, seed = _table(heap, design)
    cookie = heap.read(net + design.cookie_offset)
    ports = (p for p in itertools.count(1) if jhash_u64_u32(cookie, p, seed) % buckets == _BUCKET)
    found = list(itertools.islice(ports, count))
    for port in found:  # each at the chain's head
        rhashtable.insert(space, design, net, port, 0)
    return found[0]


def _netlink(heap: Heap, space: Native, kernel: Kernel, number: int) -> Call:
    design = rhashtable.prepare(heap, kernel, owner="netlink")
    registered(space, design, 1)
    net = filled(space, design, np.zeros(0, dtype=np.int64))
    port = _ports(heap, space, design, net, number)
    old = kernel.series == "6.12"
    tables = heap.place("global:nl_table", 64) if old else 0
    if old:
        heap.write(tables, design.table)
    parameters = NetlinkFind(
        design,
        net,
        tables,
        stack_guard(heap, kernel),
        design.task,
        kernel.offset("netlink_sock", "sk.__sk_common.skc_refcnt.refs.counter") if old else 0,
        20,
        3,
    )
    return Call(parameters, design.table, port, OWNER)


add_scenario(
    pattern="rhashtable/position=N",
    explanation="resizable hash, the key at position N of its chain (6.12: and a reference)",
    mirrors="__netlink_lookup, in 6.12 netlink_lookup, net/netlink/af_netlink.c",
    build=_netlink,
    functions="(__)?netlink_lookup",
    rows="found at chain pos {n}$",
    largest=1000,
)
