"""cgroup_priv as posted in v4: an integer key, an idr in each cgroup, a kref in each datum.

After drivers/gpu/drm/i915/i915_cgroup.c and kernel/cgroup/cgroup.c of the series (mattrope/kernel
@8ade09b6a0a2): the getter is a plain kref_get under RCU, `free` a plain kfree, destroykey visits
the root's direct children, a refused ioctl returns `ret`, which is still 0, and a getter takes key
0 for "no key" although errors are negative. An idr is its slots here: one node.

`remove` was not in that interface: it is what destroykey does, for one cgroup. When the core drops
what is left was not read: taken to be the release of the cgroup, when its last
reference is gone and a grace period has passed.

The interface says of a key that errors are below 0, so 0 may be one: `first_key` tries both. (The
core that was read gave ids from 1, where this fault sleeps.)

Mended: kref_get_unless_zero, kfree_rcu, every cgroup visited under cgroup_mutex, destroykey waits
for the references that are out and for callbacks, a dying cgroup is refused, errors are errors.
"""

from __future__ import annotations

from typing import Any

from cgsim.interface.checker.language import (
    ERRORS,
    VALID_KEY,
    Kind,
    Static,
    atomic_dec,
    atomic_inc,
    call_rcu,
    check,
    choose,
    kfree,
    kzalloc,
    module_text,
    mutex_lock,
    mutex_unlock,
    rcu_barrier,
    rcu_read_lock,
    rcu_read_unlock,
    refcount_dec_and_test,
    refcount_inc,
    refcount_inc_not_zero,
    refuse,
    step,
    synchronize_rcu,
    wait_until_zero,
)
from cgsim.interface.protocols.common import (
    BASE,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOENT,
    EPERM,
    KEY,
    LATE,
    OTHER,
    POSTED,
    SEED,
    core,
    leave_tree,
    release_cgroup,
    tree_of,
)

Cgroup = Kind("cgroup", ("refs", "online"), slots=3, slots_point=True)
Datum = Kind("datum", ("ref", "value"), pool=2)
Device = Kind("device", ("live", "lock"))

one: Any = Static("one", Cgroup, {"refs": 1, "online": 1})
two: Any = Static("two", Cgroup, {"refs": 1, "online": 1})
top: Any = Static("top", Cgroup, {"refs": 1, "online": 1})
device: Any = Static("device", Device)
tree = tree_of(one, two)
DIRECT_CHILDREN, ALL = (0,), (0, 1)
ARRAYS = {"cgrp": "idr"}
"""How steps name what the slots of a struct are."""


# --- the core ---


def cgroup_priv_get(cgrp, key):
    """A reference to the datum, 0 if there is none; an idr has nothing at an error's place."""
    if key < 0:
        return 0
    rcu_read_lock()
    datum = cgrp[key]
    if datum:
        if POSTED or SEED == "get from zero":
            refcount_inc(datum.ref)
        elif not refcount_inc_not_zero(datum.ref):
            datum = 0
    rcu_read_unlock()
    return datum


def kref_put(datum):
    if refcount_dec_and_test(datum.ref):
        i915_cgroup_free(datum)


def cgroup_priv_destroykey(key):
    mutex_lock(core.mutex)
    for place in DIRECT_CHILDREN if POSTED else ALL:
        cgrp = tree[place]
        if cgrp:
            datum = cgrp[key]
            if datum:
                cgrp[key] = 0
                kref_put(datum)
    mutex_unlock(core.mutex)
    if not POSTED:
        wait_until_zero(device.live)
        if SEED != "no barrier":
            rcu_barrier()


# --- the driver ---


@module_text
def i915_cgroup_free(datum):
    if POSTED:
        kfree(datum)
    else:
        call_rcu(datum)
        atomic_dec(device.live)


@module_text
def on_grace(datum):
    kfree(datum)


lookup_without_begin, drop = cgroup_priv_get, kref_put


def begin(task):
    rcu_read_lock()
    return task.cgroup


def lookup(cgrp, key):
    """cgroup_priv_get_current: the section of the caller protects the cgroup only."""
    datum = cgroup_priv_get(cgrp, key)
    rcu_read_unlock()
    return datum


def finish(cgrp, datum):
    if datum:
        kref_put(datum)


def install(cgrp, key):
    """get_or_create without the get: kref_init, install (which takes its own), and the put."""
    if key < 0:
        refuse("install: an error is no key (-EINVAL)")
        return EINVAL
    datum = kzalloc(Datum, ref=1, value=0 if LATE else BASE[key] + 1)
    mutex_lock(core.mutex)
    result = 0
    if not POSTED and not cgrp.online:
        refuse("install: the cgroup is dying (-ENODEV)")
        result = ENODEV
    elif cgrp[key]:
        refuse("install: the key has a datum there already (-EEXIST)")
        result = EEXIST
    else:
        if not POSTED:
            atomic_inc(device.live)
        refcount_inc(datum.ref)
        cgrp[key] = datum
    mutex_unlock(core.mutex)
    if result < 0:
        kfree(datum)
    else:
        if LATE:
            datum.value = BASE[key] + 1
        kref_put(datum)
    return result


def remove(cgrp, key):
    mutex_lock(core.mutex)
    datum = cgrp[key]
    result = ENOENT
    if datum:
        cgrp[key] = 0
        kref_put(datum)
        result = 0
    mutex_unlock(core.mutex)
    if result < 0:
        refuse("remove: the key has no datum there (-ENOENT)")
    return result


def unplug(key):
    cgroup_priv_destroykey(key)


def _drop_all(cgrp):
    for key in (KEY, OTHER):
        datum = cgrp[key]
        if datum:
            cgrp[key] = 0
            kref_put(datum)


def destroy(cgrp):
    if POSTED:
        mutex_lock(core.mutex)
        leave_tree(tree, cgrp)
        mutex_unlock(core.mutex)
        atomic_dec(cgrp.refs)
        wait_until_zero(cgrp.refs)
        synchronize_rcu()
        _drop_all(cgrp)
        kfree(cgrp)
    else:
        mutex_lock(core.mutex)
        cgrp.online = 0
        leave_tree(tree, cgrp)
        _drop_all(cgrp)
        mutex_unlock(core.mutex)
        release_cgroup(cgrp)


# --- what the driver does with errors and keys ---


def setparam(permitted):
    """The ioctl's way to `out:`."""
    step("return ret at `out:`")
    result = 0
    if not permitted:
        if not POSTED:
            result = EPERM
        check(result < 0, ERRORS)
    return result


def first_key(cgrp):
    """getkey gives 0 or 1; a datum is installed and read back by the posted getter."""
    key = choose(2)
    datum = kzalloc(Datum, ref=2, value=1)
    cgrp[key] = datum
    value = 0
    if POSTED:
        if key:
            value = cgrp[key].value
    elif key >= 0:
        value = cgrp[key].value
    check(value == 1, VALID_KEY)
