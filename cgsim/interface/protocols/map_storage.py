"""BPF map storage: made at first use, found behind the cgroup, freed by its owner's or map's death.

After kernel/bpf/bpf_local_storage.c and bpf_cgrp_storage.c: an element hangs in its cgroup's
storage, under that one's lock, and in its map, under the map's; whoever takes it out of the storage
frees it, after a grace period. A key is a map here, `install` a lookup that may create, `remove` a
delete, `unplug` the map's free. The storage's list is a slot for each map, the map's buckets a slot
for each cgroup. The helper that gives up while its CPU is busy with another is left out.
"""

from __future__ import annotations

from typing import Any

from cgsim.interface.checker.language import (
    Kind,
    Static,
    atomic_dec,
    call_rcu,
    kfree,
    kzalloc,
    migrate_disable,
    migrate_enable,
    rcu_barrier,
    rcu_read_lock,
    rcu_read_unlock,
    refuse,
    spin_lock,
    spin_unlock,
    synchronize_rcu,
    wait_until_zero,
)
from cgsim.interface.protocols.common import BASE, EEXIST, ENOENT, KEY, OTHER, SEED

Cgroup = Kind("cgroup", ("refs", "lock", "place"), slots=3, slots_point=True)
Map = Kind("map", ("lock",), slots=3, slots_point=True)
Element = Kind("element", ("value", "map", "cgroup", "count"), pool=3)

one: Any = Static("one", Cgroup, {"refs": 1, "place": 0})
two: Any = Static("two", Cgroup, {"refs": 1, "place": 1})
top: Any = Static("top", Cgroup, {"refs": 1, "place": 2})
MAPS: Any = (0, Static("map", Map), Static("map 2", Map))
ARRAYS = {"cgrp": "storage", "MAPS[key]": "buckets"}
"""How steps name what the slots of a struct are."""


def on_grace(element):
    kfree(element)


def begin(task):
    migrate_disable()
    rcu_read_lock()
    return task.cgroup


def lookup(cgrp, key):
    return cgrp[key]


def finish(cgrp, element):
    rcu_read_unlock()
    migrate_enable()


def install(cgrp, key):
    """bpf_cgrp_storage_get with F_CREATE: what is there already is as good."""
    rcu_read_lock()
    found = cgrp[key]
    if not found:
        element = kzalloc(Element, value=BASE[key] + 1, map=MAPS[key], cgroup=cgrp)
        spin_lock(cgrp.lock)
        if SEED != "no second look":
            found = cgrp[key]
        if not found:
            cgrp[key] = element
            place = cgrp.place
            spin_lock(element.map.lock)
            MAPS[key][place] = element
            spin_unlock(element.map.lock)
        spin_unlock(cgrp.lock)
        if found:
            kfree(element)
    rcu_read_unlock()
    if found:
        return EEXIST
    return 0


def _unlink(element, key):
    """Out of the map, then out of the storage; who does the latter frees it."""
    cgrp = element.cgroup
    place = cgrp.place
    spin_lock(MAPS[key].lock)
    if MAPS[key][place] == element:
        MAPS[key][place] = 0
    spin_unlock(MAPS[key].lock)
    spin_lock(cgrp.lock)
    mine = 0
    if cgrp[key] == element or SEED == "both free":
        mine = 1
        cgrp[key] = 0
    spin_unlock(cgrp.lock)
    if mine:
        call_rcu(element)


def remove(cgrp, key):
    rcu_read_lock()
    element = cgrp[key]
    result = ENOENT
    if element:
        result = 0
        _unlink(element, key)
    rcu_read_unlock()
    if result < 0:
        refuse("delete: the map has no datum there (-ENOENT)")
    return result


def unplug(key):
    for place in (0, 1):
        rcu_read_lock()
        element = MAPS[key][place]
        if element:
            _unlink(element, key)
        rcu_read_unlock()
    synchronize_rcu()
    kfree(MAPS[key])
    rcu_barrier()


def destroy(cgrp):
    atomic_dec(cgrp.refs)
    wait_until_zero(cgrp.refs)
    synchronize_rcu()
    rcu_read_lock()
    for key in (KEY, OTHER):
        element = cgrp[key]
        if element:
            _unlink(element, key)
    rcu_read_unlock()
    synchronize_rcu()
    kfree(cgrp)
