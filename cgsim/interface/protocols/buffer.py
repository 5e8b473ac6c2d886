"""bpf_get_cgroup_buf: memory made at attach, found without a lookup, bounds checked at load.

The dispatcher runs a cgroup's effective programs in a read section that cannot migrate. A key is a
program here, `install` its attach, `remove` its detach.

As posted, which is our reading of one sentence of the mail: one buffer in each cgroup, which the
programs divide; an attach that needs more puts a larger copy in its place. What programs that are
running write while it is copied is lost. Mended: each attachment has memory of its own, that never
moves, behind the program's item in the effective array (as cgroup storage has it).
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
    mutex_lock,
    mutex_unlock,
    rcu_read_lock,
    rcu_read_unlock,
    refuse,
)
from cgsim.interface.protocols.common import (
    BASE,
    EEXIST,
    ENODEV,
    ENOENT,
    KEY,
    OTHER,
    POSTED,
    SEED,
    core,
    leave_tree,
    release_cgroup,
    tree_of,
)

Cgroup = Kind("cgroup", ("refs", "online", "*buffer"), slots=3, slots_point=True)
Part = Kind("part", ("value", "count"), pool=3)
Buffer = Kind("buffer", ("len",), slots=4, pool=2)

one: Any = Static("one", Cgroup, {"refs": 1, "online": 1})
two: Any = Static("two", Cgroup, {"refs": 1, "online": 1})
top: Any = Static("top", Cgroup, {"refs": 1, "online": 1})
tree = tree_of(one, two)
ARRAYS = {"cgrp": "effective"}
"""How steps name what the slots of a struct are."""
AT = (0, 0, 2)
"""A program's offset in the shared buffer: its value, then its count."""


def on_grace(thing):
    kfree(thing)


def begin(task):
    migrate_disable()
    rcu_read_lock()
    return task.cgroup


def lookup(cgrp, key):
    """The program runs if it is attached; its memory is behind its item, or in the buffer."""
    item = cgrp[key]
    if POSTED and item:
        return cgrp.buffer
    return item


def finish(cgrp, part):
    rcu_read_unlock()
    migrate_enable()


def value_of(part, key):
    if POSTED:
        return part[AT[key]]
    return part.value


def set_value(part, key, value):
    if POSTED:
        part[AT[key]] = value
    else:
        part.value = value


def count_of(part, key):
    if POSTED:
        return part[AT[key] + 1]
    return part.count


def bump(part, key):
    if POSTED:
        count = part[AT[key] + 1]
        part[AT[key] + 1] = count + 1
    else:
        count = part.count
        part.count = count + 1


def _grow(cgrp, key):
    larger = kzalloc(Buffer, len=4)
    old = cgrp.buffer
    if old:
        for index in (0, 1, 2, 3):
            larger[index] = old[index]
    larger[AT[key]] = BASE[key] + 1
    cgrp.buffer = larger
    if old:
        call_rcu(old)


def install(cgrp, key):
    mutex_lock(core.mutex)
    result = 0
    if not cgrp.online:
        refuse("attach: the cgroup is dying (-ENODEV)")
        result = ENODEV
    elif cgrp[key]:
        refuse("attach: the program is attached there already (-EEXIST)")
        result = EEXIST
    elif POSTED:
        _grow(cgrp, key)
        cgrp[key] = 1
    else:
        part = kzalloc(Part, value=BASE[key] + 1)
        cgrp[key] = part
    mutex_unlock(core.mutex)
    return result


def _detach(cgrp, key):
    part = cgrp[key]
    if part:
        cgrp[key] = 0
        if not POSTED:
            if SEED == "no grace period":
                kfree(part)
            else:
                call_rcu(part)
        return 0
    return ENOENT


def remove(cgrp, key):
    mutex_lock(core.mutex)
    result = _detach(cgrp, key)
    mutex_unlock(core.mutex)
    if result < 0:
        refuse("detach: the program is not attached there (-ENOENT)")
    return result


def unplug(key):
    """The program's last attachments go with their cgroups or links; here, all of them."""
    mutex_lock(core.mutex)
    for place in (0, 1):
        cgrp = tree[place]
        if cgrp:
            _detach(cgrp, key)
    mutex_unlock(core.mutex)


def destroy(cgrp):
    mutex_lock(core.mutex)
    cgrp.online = 0
    leave_tree(tree, cgrp)
    for key in (KEY, OTHER):
        _detach(cgrp, key)
    if POSTED:
        old = cgrp.buffer
        cgrp.buffer = 0
        if old:
            call_rcu(old)
    mutex_unlock(core.mutex)
    release_cgroup(cgrp)
