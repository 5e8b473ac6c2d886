"""Subsys: a fixed array of pointers in the object, as each cgroup controller has.

Mirrors `mem_cgroup_from_task` (mm/memcontrol.c): task->cgroups->subsys[id]. From the cgroup itself,
cgroup->subsys[id] is one load. The array's size is fixed when the kernel is built
(CGROUP_SUBSYS_COUNT), so a module cannot have a slot.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release, retire
from cgsim.core.space import join, load, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import new_id
from cgsim.designs.objects import cgroup_cache

_SUBSYSTEMS = 14
# mem_cgroup_from_task: 7 instructions, 2 of them the loads, 1 a branch.
_WORK, _BRANCHES = 5, 1


class SubsysArray(NamedTuple):
    """Parameters of the subsys design: caches and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    set_cache: int
    ids: int
    set_offset: int  # from the task to its css_set; -1: the array is in the cgroup itself
    array_offset: int
    datum_offset: int


def prepare(heap, kernel, *, owner="cgroup", value_bytes=16):
    """`owner`: 'cgroup' (cgroup->subsys[]) or 'task' (task->cgroups->subsys[], as mirrored)."""
    ids = heap.place("global:ids", 64)
    values = heap.add_cache("css" if owner == "task" else "datum", value_bytes)
    if owner == "task":
        tasks = heap.add_cache("task_struct", kernel.size("task_struct"))
        sets = heap.add_cache("css_set", kernel.size("css_set"))
        offset = kernel.offset("task_struct", "cgroups")
        return SubsysArray(tasks, values, sets, ids, offset, kernel.offset("css_set", "subsys"), 0)
    cgroups = cgroup_cache(heap, kernel, 0)
    return SubsysArray(cgroups, values, -1, ids, -1, kernel.offset("cgroup", "subsys"), 0)


@njit
def register(space, design):
    """The key is the controller's number, given at build time."""
    return new_id(space, design.ids)


@njit
def create(space, design):
    """A cgroup with an empty array."""
    owner, token = allocate(space, design.cgroup_cache, 0)
    if owner != 0 and design.set_offset >= 0:
        css_set, set_token = allocate(space, design.set_cache, token)
        if css_set == 0:
            return 0
        store(space, owner + design.set_offset, 8, css_set, token, set_token)
    return owner


@njit
def _array(space, design, owner, token):
    if design.set_offset < 0:
        return owner + design.array_offset, token
    css_set, set_token = load(space, owner + design.set_offset, 8, token)
    return css_set + design.array_offset, set_token


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of a controller: one load from the cgroup, two from the task."""
    array, array_token = _array(space, design, cgroup, token)
    # the controller's number is a constant of the code: no index register
    datum, datum_token = load(space, array + 8 * key, 8, join(space, array_token, key_token))
    work(space, _WORK, _BRANCHES)
    return datum, datum_token


@njit
def insert(space, design, cgroup, key, token):
    """Allocate a datum into its slot; 0 if the array has no such slot."""
    if key >= _SUBSYSTEMS:
        return 0
    datum, datum_token = allocate(space, design.value_cache, token)
    if datum == 0:
        return 0
    array, array_token = _array(space, design, cgroup, token)
    store(space, array + 8 * key, 8, datum, array_token, datum_token)
    return datum


@njit
def remove(space, design, cgroup, key, token):
    """Clear the slot, kfree_rcu the datum."""
    if key >= _SUBSYSTEMS:
        return False
    array, array_token = _array(space, design, cgroup, token)
    datum, datum_token = load(space, array + 8 * key, 8, array_token)
    if datum == 0:
        return False
    store(space, array + 8 * key, 8, 0, array_token, 0)
    retire(space, design.value_cache, datum, datum_token)
    return True


@njit
def teardown(space, design, cgroup, token):
    """Free every datum, then the owner."""
    array, array_token = _array(space, design, cgroup, token)
    for key in range(_SUBSYSTEMS):
        datum, datum_token = load(space, array + 8 * key, 8, array_token)
        if datum != 0:
            release(space, design.value_cache, datum, datum_token)
    if design.set_offset >= 0:
        release(space, design.set_cache, array - design.array_offset, array_token)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="subsys",
        title="fixed array in the object",
        mirrors="mem_cgroup_from_task, mm/memcontrol.c (task->cgroups->subsys[])",
        parameters=SubsysArray,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        reader_side="rcu",
        max_keys=_SUBSYSTEMS,
        loads_to_datum="cgroup.subsys[id] -> datum",
    )
)
