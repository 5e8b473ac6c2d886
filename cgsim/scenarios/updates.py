"""Scenarios of what runs for each packet or each update: cgroup filters and rstat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.core.heap import allocate
from cgsim.designs.objects import running_task, stack_guard
from cgsim.scenarios.base import NEITHER, Call, add_scenario, words_to_reset
from cgsim.scenarios.counters import preempt_count, write_field
from cgsim.scenarios.filter_run import FilterRun, Migration, Packet
from cgsim.scenarios.rstat_updated import RstatList, RstatTree

if TYPE_CHECKING:
    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel

# --- rstat ---------------------------------------------------------------------------------------


def _percpu(heap: Heap) -> tuple[int, int, int]:
    """nr_cpu_ids, the mask of possible CPUs, and the offset of this CPU's area: 0 here."""
    names = ("nr_cpu_ids", "__cpu_possible_mask", "__per_cpu_offset")
    cpus, mask, offset = (heap.place(f"global:{name}", 64) for name in names)
    heap.write(cpus, 1)
    heap.write(mask, 1)
    return cpus, mask, offset


def _new(space: Native, cache: int) -> int:
    address = int(allocate(space, cache, 0)[0])
    if address == 0:
        raise MemoryError("the simulated memory is exhausted")
    return address


def _tree(heap: Heap, space: Native, kernel: Kernel, levels: int, queued: bool) -> Call:
    """6.12: a cgroup with its ancestors, `levels` in all."""
    copies = heap.add_cache("cgroup_rstat_cpu", kernel.size("cgroup_rstat_cpu"))
    cgroups = heap.add_cache("cgroup", kernel.size("cgroup"))
    copy_offset = kernel.offset("cgroup", "rstat_cpu")
    parent_offset = kernel.offset("cgroup", "self.parent")
    following = kernel.offset("cgroup_rstat_cpu", "updated_next")
    children = kernel.offset("cgroup_rstat_cpu", "updated_children")
    cgroup = copy = 0
    changed = []
    for _ in range(levels):
        child, copy = _new(space, cgroups), _new(space, copies)
        changed += [copy + following, copy + children]
        heap.write(child + parent_offset, cgroup)
        heap.write(child + copy_offset, copy)
        cgroup = child
    if queued:
        heap.write(copy + following, cgroup)
    parameters = RstatTree(
        *_percpu(heap),
        preempt_count(heap, kernel)[0],
        heap.place("percpu:cgroup_rstat_cpu_lock", 64),
        copy_offset,
        parent_offset,
        children,
        following,
        check_work=26,
        check_branches=4,
        link_work=41,
        link_branches=7,
        level_work=7,
        level_branches=2,
    )
    return Call(parameters, cgroup, 0, NEITHER, words_to_reset(heap, changed))


def _list(heap: Heap, space: Native, kernel: Kernel, queued: bool) -> Call:
    """7.3: a css alone; its ancestors are found when it is flushed."""
    cgroup = heap.place("cgroup", kernel.size("cgroup"))
    copy = heap.place("css_rstat_cpu", kernel.size("css_rstat_cpu"))
    node = copy + kernel.offset("css_rstat_cpu", "lnode")
    heap.write(cgroup + kernel.offset("cgroup", "self.rstat_cpu"), copy)
    heap.write(node, 0 if queued else node)
    parameters = RstatList(
        *_percpu(heap),
        heap.place("percpu:rstat_backlog_list", 64),
        kernel.offset("cgroup", "self.cgroup"),
        kernel.offset("cgroup", "self.ss"),
        kernel.offset("cgroup", "self.rstat_cpu"),
        kernel.offset("css_rstat_cpu", "lnode"),
        check_work=28,
        check_branches=7,
        link_work=9,
        link_branches=4,
    )
    return Call(parameters, cgroup, 0, NEITHER, words_to_reset(heap, [node]))


def _rstat(heap: Heap, space: Native, kernel: Kernel, levels: int, queued: bool) -> Call:
    if kernel.series == "6.12":
        return _tree(heap, space, kernel, levels, queued)
    return _list(heap, space, kernel, queued)


_UPDATED = "cgroup_rstat_updated (6.12), css_rstat_updated (7.3), kernel/cgroup/rstat.c"
add_scenario(
    pattern="rstat/queued",
    explanation="an update of a cgroup that waits for a flush already",
    mirrors=_UPDATED,
    build=lambda heap, space, kernel, number: _rstat(heap, space, kernel, 2, True),
    functions="(cgroup|css)_rstat_updated",
    rows="already on list",
)
add_scenario(
    pattern="rstat/first",
    explanation="the first update since a flush (6.12: of the root, whose ancestors are none)",
    mirrors=_UPDATED,
    build=lambda heap, space, kernel, number: _rstat(heap, space, kernel, 1, False),
    functions="(cgroup|css)_rstat_updated",
    rows="first update(, 1 levels| since flush)",
)
add_scenario(
    pattern="rstat/levels=N",
    explanation="the first update since a flush, no ancestor queued, N levels in all",
    mirrors="cgroup_rstat_updated, kernel/cgroup/rstat.c",
    build=lambda heap, space, kernel, number: _tree(heap, space, kernel, number, False),
    functions="cgroup_rstat_updated",
    rows="first update, {n} levels",
    kernels=("6.12",),
)

# --- filters -------------------------------------------------------------------------------------

_AF_INET = 2
_IN, _OUT = 0, 1  # enum cgroup_bpf_attach_type
# instructions besides accesses and RCU calls, and branches: with no program, for entering the
# loop, for each program
_CODE = {"7.3": (64, 12, 6, 38, 5), "6.12": (80, 12, 0, 39, 5)}
# What the path of a packet that leaves has more than that of one that arrives: instructions and
# branches with no program, instructions for each one, whose answer is split into two bits. Recorded
# is their sum for one program (+2, -1 and +9, 0 beside a load); the three are those of the source.
_EGRESS = {"7.3": (-1, -1, 3), "6.12": (6, 0, 3)}


def _packet(kernel: Kernel) -> Packet:
    fields = ("sk", "data", "head", "network_header", "len", "data_len", "cb[40]")
    return Packet(*(kernel.offset("sk_buff", field) for field in fields))


def _migration(heap: Heap, kernel: Kernel) -> Migration:
    pinned = {"7.3": 4592, "6.12": 3312}[kernel.series]  # recorded, without a name
    return Migration(
        *preempt_count(heap, kernel),
        heap.place("percpu:this_cpu_off", 64),
        heap.place("percpu:runqueues", 8192) + pinned,
        kernel.offset("task_struct", "migration_disabled"),
        kernel.offset("task_struct", "cpus_ptr"),
    )


def _filter(heap: Heap, space: Native, kernel: Kernel, programs: int, direction: int) -> Call:
    item = kernel.size("bpf_prog_array_item")
    items = kernel.offset("bpf_prog_array", "items")
    array = heap.place("bpf_prog_array", items + item * (programs + 1))
    cache = heap.add_cache("bpf_prog", 256)  # its size was not recorded
    for number in range(programs):
        heap.write(array + items + item * number, _new(space, cache))
    cgroup = heap.place("cgroup", kernel.size("cgroup"))
    effective = kernel.offset("cgroup", "bpf.effective") + 8 * direction
    heap.write(cgroup + effective, array)
    sock = heap.place("sock", kernel.size("sock"))
    family = kernel.offset("sock", "__sk_common.skc_family")
    write_field(heap, sock + family, 2, _AF_INET)
    heap.write(sock + kernel.offset("sock", "sk_cgrp_data"), cgroup)
    code, branches, first, program, program_branches = _CODE[kernel.series]
    extra = _EGRESS[kernel.series] if direction == _OUT else (0, 0, 0)
    parameters = FilterRun(
        int(kernel.series == "6.12"),
        int(direction == _OUT),
        running_task(heap, kernel),
        stack_guard(heap, kernel),
        _packet(kernel),
        _migration(heap, kernel),
        heap.place("sk_buff", kernel.size("sk_buff")),
        family,
        kernel.offset("sock", "sk_cgrp_data"),
        effective,
        items,
        item,
        kernel.offset("task_struct", "bpf_ctx"),
        heap.place("bpf_cg_run_ctx", 64),
        kernel.offset("bpf_prog", "jited"),
        kernel.offset("bpf_prog", "bpf_func"),
        code + extra[0],
        branches + extra[1],
        first,
        program + extra[2],
        program_branches,
    )
    return Call(parameters, sock, 0, NEITHER)


for _name, _direction in (("ingress", _IN), ("egress", _OUT)):
    add_scenario(
        pattern=f"filter/{_name}=N",
        explanation=f"N programs of a cgroup run on an {_name} packet, each returns 1",
        mirrors="__cgroup_bpf_run_filter_skb, kernel/bpf/cgroup.c",
        build=lambda heap, space, kernel, number, direction=_direction: _filter(
            heap, space, kernel, number, direction
        ),
        functions="__cgroup_bpf_run_filter_skb",
        rows=f"{_name} filter, {{n}} progs",
        smallest=0,
        largest=10_000,
    )
