"""What all interfaces share: the world around them, and the actors that use them.

The actors call the verbs; which interface's those are is the environment that they are compiled in:

===================  ===============================================================================
begin(task)         the cgroup of a task or socket, held as a reader of this interface must
lookup(cgrp, key)    the datum, 0 if there is none
finish(cgrp, datum)  the datum's use has ended
install(cgrp, key)   0, or an error below 0
remove(cgrp, key)    0, or an error below 0
unplug(key)          the key's owner goes: all its data, in every cgroup
destroy(cgrp)        the core's side of rmdir, up to the free of the struct
on_grace(datum)      what runs when a grace period has ended
===================  ===============================================================================
"""

from __future__ import annotations

from typing import Any

from cgsim.interface.checker.language import (
    ANOTHER_KEY,
    FOUND,
    LOST_UPDATE,
    OLD_OR_NEW,
    ONE_DATUM,
    Kind,
    Primitive,
    Static,
    atomic_dec,
    check,
    kfree,
    rcu_read_lock,
    rcu_read_unlock,
    refcount_inc_not_zero,
    softirq_enter,
    softirq_exit,
    step,
    synchronize_rcu,
    take_callback,
    wait_until_zero,
)

VERBS = ("begin", "lookup", "finish", "install", "remove", "unplug", "destroy", "on_grace")
begin, lookup, finish, install, remove, unplug, destroy, on_grace = map(Primitive, VERBS)
POSTED = False
SEED = ""
LATE = False
"""Flags: as posted; with a fault built in; the driver fills a datum in after its install."""

EPERM, ENOENT, ENOMEM, EEXIST, ENODEV, EINVAL = -1, -2, -12, -17, -19, -22
KEY, OTHER = 1, 2
BASE = (0, 10, 20, 30)
"""The value of a key's datum is its base + 1 from the start, + 2 once an ioctl has set it."""

_Core = Kind("core", ("mutex",))
_Module = Kind("module", ("loaded",))
_Task = Kind("task", ("cgroup",))
_Tree = Kind("tree", (), slots=2)
_Ghost = Kind("ghost", (), slots=4, ghost=True)

core: Any = Static("core", _Core)
module: Any = Static("module", _Module, {"loaded": 1})
installed: Any = Static("installed", _Ghost)
"""By key: an install in the cgroup that is looked at has said that it is done."""
removing: Any = Static("removing", _Ghost)
"""By key: from here on the datum may be gone."""
counted: Any = Static("counted", _Ghost)


def task_in(cgrp: Any, name: str = "task") -> Any:
    """A task or a socket in a cgroup, or its directory."""
    return Static(name, _Task, {"cgroup": cgrp})


def value_of(datum, key):
    return datum.value


def set_value(datum, key, value):
    datum.value = value


def count_of(datum, key):
    return datum.count


def bump(datum, key):
    """Not atomic: one CPU counts, as with a percpu datum."""
    count = datum.count
    datum.count = count + 1


def use(cgrp, key):
    """Look up, read, and check what was found."""
    known = installed[key]
    datum = lookup(cgrp, key)
    if datum:
        value = value_of(datum, key)
        check(value == 0 or (value > BASE[key] and value < BASE[key] + 10), ANOTHER_KEY)
        check(value == BASE[key] + 1 or value == BASE[key] + 2, OLD_OR_NEW)
    elif known:
        check(removing[key], FOUND)
    return datum


def reader(task, key):
    """A task reads its cgroup's datum, as i915 at submission."""
    cgrp = begin(task)
    datum = use(cgrp, key)
    finish(cgrp, datum)


def softirq_reader(task, key):
    """A packet arrives: its socket's cgroup's datum, from an interrupt."""
    softirq_enter()
    cgrp = begin(task)
    datum = use(cgrp, key)
    finish(cgrp, datum)
    softirq_exit()


def tree_of(*cgroups: Any) -> Any:
    """The core's tree: slot 0 is the root's child, slot 1 that one's child. 0: removed."""
    return Static("tree", _Tree, {"slots": cgroups})


def leave_tree(tree, cgrp):
    """With cgroup_mutex held: nobody who walks the tree comes to the cgroup any more."""
    for place in (0, 1):
        if tree[place] == cgrp:
            tree[place] = 0


def release_cgroup(cgrp):
    """The base reference goes; the struct is freed when the last has gone, after a grace period."""
    atomic_dec(cgrp.refs)
    wait_until_zero(cgrp.refs)
    synchronize_rcu()
    kfree(cgrp)


def pin(directory):
    """The cgroup of a file descriptor with a reference, 0 if it is gone."""
    rcu_read_lock()
    cgrp = directory.cgroup
    if cgrp and not refcount_inc_not_zero(cgrp.refs):
        cgrp = 0
    rcu_read_unlock()
    return cgrp


def installer(cgrp, key):
    """Attach a datum to a cgroup."""
    step("install() is called")
    result = install(cgrp, key)
    if result == 0:
        check(installed[key] == 0 or removing[key], ONE_DATUM)
        installed[key] = 1


def ioctl(directory, key):
    """As `installer`, with the cgroup from a file descriptor, as an ioctl has it."""
    cgrp = pin(directory)
    if cgrp:
        result = install(cgrp, key)
        if result == 0:
            check(installed[key] == 0 or removing[key], ONE_DATUM)
            installed[key] = 1
        atomic_dec(cgrp.refs)


def owner(task, cgrp, key):
    """Attach a datum, use it, remove it."""
    step("install() is called")
    result = install(cgrp, key)
    if result == 0:
        installed[key] = 1
        found = begin(task)
        datum = use(found, key)
        finish(found, datum)
        removing[key] = 1
        remove(cgrp, key)


def neighbour(cgrp, key):
    """As `owner`, in a cgroup that nobody looks at."""
    step("install() is called")
    result = install(cgrp, key)
    if result == 0:
        remove(cgrp, key)


def remover(cgrp, key):
    """Remove a datum that may be in use."""
    step("remove() is called")
    removing[key] = 1
    remove(cgrp, key)


def driver(directory, key):
    """An ioctl attaches a datum; then the device is unplugged and its driver unloaded."""
    ioctl(directory, key)
    removing[key] = 1
    unplug(key)
    module.loaded = 0


def destroyer(task, directory, elsewhere):
    """The last task moves to another cgroup, and this one is removed."""
    step("rmdir")
    removing[KEY] = 1
    removing[OTHER] = 1
    task.cgroup = elsewhere
    cgrp = directory.cgroup
    directory.cgroup = 0
    destroy(cgrp)


def setter(task, key):
    """An ioctl changes a datum that is there."""
    cgrp = begin(task)
    datum = lookup(cgrp, key)
    if datum:
        set_value(datum, key, BASE[key] + 2)
    finish(cgrp, datum)


def mover(task, cgrp):
    """A task migrates to another cgroup: what it finds from then on is that one's."""
    step("write to cgroup.procs")
    removing[KEY] = 1
    task.cgroup = cgrp


def callbacks():
    """RCU's callbacks, in softirq, one after another."""
    while True:
        datum = take_callback()
        softirq_enter()
        on_grace(datum)
        softirq_exit()


def counter(task, key):
    """A packet is counted in place; the check at the end misses none."""
    softirq_enter()
    cgrp = begin(task)
    datum = lookup(cgrp, key)
    if datum:
        bump(datum, key)
        counted[key] = counted[key] + 1
    finish(cgrp, datum)
    softirq_exit()


def teller(task, key):
    """Reads the counter after all that it knows of have been counted."""
    cgrp = begin(task)
    expected = counted[key]
    datum = lookup(cgrp, key)
    if datum:
        count = count_of(datum, key)
        check(count >= expected, LOST_UPDATE)
    finish(cgrp, datum)
