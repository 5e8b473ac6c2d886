"""cgroup_priv as posted in v3: a pointer key, an embedded base, a mutex in each cgroup.

After include/linux/cgroup.h and drivers/gpu/drm/i915/i915_cgroup.c of the series
(mattrope/kernel @b749fcd54dd9; data/kernel/README.md says what was read). The entries of one bucket
are all there is of the hash: both keys fall into it. When the core frees what is left was not read:
taken to be the release of the cgroup, when its last reference is gone.

Mended: lookups under RCU; install, free and the driver's list under cgroup_mutex; a second datum
and a dying cgroup are refused; only the key's own entry is unlinked, and freed after a grace
period; the driver waits for callbacks before its text goes.
"""

from __future__ import annotations

from typing import Any

from cgsim.interface.checker.language import (
    LIST,
    Kind,
    Static,
    atomic_dec,
    call_rcu,
    check,
    kfree,
    kzalloc,
    module_text,
    mutex_lock,
    mutex_unlock,
    rcu_barrier,
    rcu_read_lock,
    rcu_read_unlock,
    refcount_inc_not_zero,
    refuse,
    synchronize_rcu,
    wait_until_zero,
)
from cgsim.interface.protocols.common import (
    BASE,
    EEXIST,
    ENODEV,
    ENOENT,
    LATE,
    POSTED,
    SEED,
    core,
    leave_tree,
    release_cgroup,
    tree_of,
)

Cgroup = Kind("cgroup", ("*next", "mutex", "refs", "online"))
Priv = Kind("cgroup_priv", ("*next", "pprev", "key", "value", "cgroup", "*dnext", "dprev"), pool=2)
Device = Kind("device", ("*dnext", "dprev"))

one: Any = Static("one", Cgroup, {"refs": 1, "online": 1})
two: Any = Static("two", Cgroup, {"refs": 1, "online": 1})
top: Any = Static("top", Cgroup, {"refs": 1, "online": 1})
device: Any = Static("device", Device)
device.initial.update(dnext=device, dprev=device)
tree = tree_of(one, two)


# --- hlist and list, as in include/linux/{rculist,list}.h ---


def hlist_add_head(node, head):
    first = head.next
    node.next = first
    node.pprev = head
    if first:
        first.pprev = node
    head.next = node


def hash_del(node):
    """hlist_del_init: nothing if it is in no list."""
    before = node.pprev
    if before:
        after = node.next
        before.next = after
        if after:
            after.pprev = before
        node.next = 0
        node.pprev = 0


def hlist_del_rcu(node):
    """A reader that stands on the node still gets on."""
    before = node.pprev
    after = node.next
    before.next = after
    if after:
        after.pprev = before


def list_add(new, head):
    after = head.dnext
    check(after.dprev == head, LIST)  # __list_add_valid
    after.dprev = new
    new.dnext = after
    new.dprev = head
    head.dnext = new


def list_del(entry):
    before = entry.dprev
    after = entry.dnext
    check(before.dnext == entry, LIST)  # __list_del_entry_valid
    check(after.dprev == entry, LIST)
    after.dprev = before
    before.dnext = after


# --- the core ---


def cgroup_priv_lookup(cgrp, key):
    priv = cgrp.next
    while priv:
        if priv.key == key:
            return priv
        priv = priv.next
    return 0


def cgroup_priv_install(cgrp, priv):
    priv.cgroup = cgrp
    hlist_add_head(priv, cgrp)


def cgroup_priv_free_posted(cgrp, key):
    mutex_lock(cgrp.mutex)
    priv = cgrp.next
    while priv:
        following = priv.next
        hash_del(priv)
        if priv.key == key:
            i915_cgroup_free(priv)
        priv = following
    mutex_unlock(cgrp.mutex)


def cgroup_priv_free(cgrp, key):
    """With cgroup_mutex held."""
    priv = cgroup_priv_lookup(cgrp, key)
    if priv:
        hlist_del_rcu(priv)
        list_del(priv)
        if SEED == "no grace period":
            kfree(priv)
        else:
            call_rcu(priv)
        return 0
    return ENOENT


# --- the driver ---


@module_text
def i915_cgroup_free(priv):
    hash_del(priv)
    list_del(priv)
    kfree(priv)


@module_text
def on_grace(priv):
    kfree(priv)


def begin(task):
    rcu_read_lock()
    cgrp = task.cgroup
    if POSTED:
        while not refcount_inc_not_zero(cgrp.refs):
            cgrp = task.cgroup
        rcu_read_unlock()
    return cgrp


def lookup(cgrp, key):
    if POSTED:
        mutex_lock(cgrp.mutex)
    return cgroup_priv_lookup(cgrp, key)


def lookup_without_begin(cgrp, key):
    if POSTED and cgrp.mutex == 0:
        refuse("WARN_ON(!mutex_is_locked(&cgrp->privdata_mutex))")
    return cgroup_priv_lookup(cgrp, key)


def finish(cgrp, priv):
    if POSTED:
        mutex_unlock(cgrp.mutex)
        atomic_dec(cgrp.refs)
    else:
        rcu_read_unlock()


def install(cgrp, key):
    if POSTED:
        mutex_lock(cgrp.mutex)
        priv = kzalloc(Priv, key=key, value=0 if LATE else BASE[key] + 1)
        list_add(priv, device)
        cgroup_priv_install(cgrp, priv)
        if LATE:
            priv.value = BASE[key] + 1
        mutex_unlock(cgrp.mutex)
        return 0
    mutex_lock(core.mutex)
    result = 0
    if not cgrp.online:
        refuse("install: the cgroup is dying (-ENODEV)")
        result = ENODEV
    elif cgroup_priv_lookup(cgrp, key):
        refuse("install: the key has a datum there already (-EEXIST)")
        result = EEXIST
    else:
        priv = kzalloc(Priv, key=key, value=0 if LATE else BASE[key] + 1)
        list_add(priv, device)
        cgroup_priv_install(cgrp, priv)
        if LATE:
            priv.value = BASE[key] + 1
    mutex_unlock(core.mutex)
    return result


def remove(cgrp, key):
    if POSTED:
        cgroup_priv_free_posted(cgrp, key)
        return 0
    mutex_lock(core.mutex)
    result = cgroup_priv_free(cgrp, key)
    mutex_unlock(core.mutex)
    if result < 0:
        refuse("free: the key has no datum there (-ENOENT)")
    return result


def unplug(key):
    mutex_lock(core.mutex)
    if POSTED:
        priv = device.dnext
        while priv != device:
            following = priv.dnext
            cgrp = priv.cgroup
            mutex_lock(cgrp.mutex)
            i915_cgroup_free(priv)
            mutex_unlock(cgrp.mutex)
            priv = following
        mutex_unlock(core.mutex)
    else:
        for place in (0, 1):
            cgrp = tree[place]
            if cgrp:
                cgroup_priv_free(cgrp, key)
        mutex_unlock(core.mutex)
        if SEED != "no barrier":
            rcu_barrier()


def destroy(cgrp):
    if POSTED:
        atomic_dec(cgrp.refs)
        wait_until_zero(cgrp.refs)
        synchronize_rcu()
        mutex_lock(cgrp.mutex)
        priv = cgrp.next
        while priv:
            following = priv.next
            hash_del(priv)
            i915_cgroup_free(priv)
            priv = following
        mutex_unlock(cgrp.mutex)
        kfree(cgrp)
    else:
        mutex_lock(core.mutex)
        cgrp.online = 0
        leave_tree(tree, cgrp)
        priv = cgrp.next
        while priv:
            following = priv.next
            hlist_del_rcu(priv)
            list_del(priv)
            call_rcu(priv)
            priv = following
        mutex_unlock(core.mutex)
        release_cgroup(cgrp)
