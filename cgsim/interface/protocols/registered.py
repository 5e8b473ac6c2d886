"""A registered type: the core allocates its data for each cgroup, behind an id in an index table.

The direction of Tejun's mail: `register(size, align, init, free)` gives an id; the core makes room
in every cgroup's table, which readers reach under RCU and which grows by being replaced
(net_generic's way); `init` and `free` are callbacks of the module. There is no install. Data are
regular memory, or percpu (`PERCPU`), where a reader must not migrate.
"""

from __future__ import annotations

from typing import Any

from cgsim.interface.checker.language import (
    Kind,
    Static,
    call_rcu,
    kfree,
    kzalloc,
    migrate_disable,
    migrate_enable,
    module_text,
    mutex_lock,
    mutex_unlock,
    rcu_barrier,
    rcu_read_lock,
    rcu_read_unlock,
    refuse,
)
from cgsim.interface.protocols.common import (
    BASE,
    ENOENT,
    KEY,
    OTHER,
    SEED,
    core,
    leave_tree,
    release_cgroup,
    tree_of,
)

Cgroup = Kind("cgroup", ("refs", "*table"))
Table = Kind("table", ("len", "free"), slots=3, slots_point=True, pool=2)
Datum = Kind("datum", ("value", "count", "free"), pool=4)
PercpuDatum = Kind("percpu datum", ("value", "count", "free"), pool=4, percpu=1)
PERCPU = False

table_one: Any = Static("table of one", Table, {"len": 2})
table_two: Any = Static("table of two", Table, {"len": 2})
table_top: Any = Static("table of top", Table, {"len": 2})
one: Any = Static("one", Cgroup, {"refs": 1, "table": table_one})
two: Any = Static("two", Cgroup, {"refs": 1, "table": table_two})
top: Any = Static("top", Cgroup, {"refs": 1, "table": table_top})
tree = tree_of(one, two)


@module_text
def type_free(datum):
    kfree(datum)


def on_grace(thing):
    """rcu_head's function: the type's callback, or kfree for a table."""
    if thing.free:
        type_free(thing)
    else:
        kfree(thing)


def retire(datum):
    if SEED == "no grace period":
        type_free(datum)
    else:
        call_rcu(datum)


def begin(task):
    rcu_read_lock()
    if PERCPU:
        migrate_disable()
    return task.cgroup


def lookup(cgrp, key):
    if key < 0:
        return 0  # the comparison is unsigned
    table = cgrp.table
    if key >= table.len:
        return 0
    return table[key]


def finish(cgrp, datum):
    if PERCPU:
        migrate_enable()
    rcu_read_unlock()


def _put_in(cgrp, key, datum):
    """Into the table, or into a larger one that takes its place."""
    table = cgrp.table
    if key < table.len:
        table[key] = datum
    else:
        larger = kzalloc(Table, len=3)
        for index in (1,):
            larger[index] = table[index]
        larger[key] = datum
        cgrp.table = larger
        if SEED == "table freed at once":
            kfree(table)
        else:
            call_rcu(table)


def install(cgrp, key):
    """cgroup_data_register(): the key is the id that it gives."""
    mutex_lock(core.mutex)
    for place in (0, 1):
        member = tree[place]
        if member:
            datum = kzalloc(PercpuDatum if PERCPU else Datum, value=BASE[key] + 1, free=1)
            _put_in(member, key, datum)
    mutex_unlock(core.mutex)
    return 0


def _take_out(cgrp, key):
    table = cgrp.table
    if key < table.len:
        datum = table[key]
        if datum:
            table[key] = 0
            retire(datum)
            return 1
    return 0


def remove(cgrp, key):
    """cgroup_data_unregister(): in every cgroup."""
    mutex_lock(core.mutex)
    found = 0
    for place in (0, 1):
        member = tree[place]
        if member:
            taken = _take_out(member, key)
            if taken:
                found = 1
    mutex_unlock(core.mutex)
    rcu_barrier()
    if not found:
        refuse("unregister: no such type (-ENOENT)")
        return ENOENT
    return 0


def unplug(key):
    remove(0, key)


def destroy(cgrp):
    mutex_lock(core.mutex)
    leave_tree(tree, cgrp)
    for key in (KEY, OTHER):
        _take_out(cgrp, key)
    table = cgrp.table
    mutex_unlock(core.mutex)
    release_cgroup(cgrp)
    kfree(table)
