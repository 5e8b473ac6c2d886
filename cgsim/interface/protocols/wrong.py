"""Users' mistakes as actors, in terms of the verbs of `common`."""

from __future__ import annotations

from typing import Any

from cgsim.interface.checker.language import (
    ANOTHER_KEY,
    OLD_OR_NEW,
    ONE_DATUM,
    OUTSIDE,
    Kind,
    Static,
    check,
    kfree,
    might_sleep,
    refuse_at_load,
    step,
)
from cgsim.interface.protocols.common import (
    BASE,
    KEY,
    OTHER,
    begin,
    finish,
    install,
    installed,
    ioctl,
    lookup,
    module,
    remove,
    removing,
    value_of,
)

copy: Any = Static("copy of this CPU", Kind("copy", ("value",), percpu=1))
percpu_pointer: Any = Static("percpu pointer", Kind("percpu pointer", ("value",), percpu=2))
NEXT_KEY = OTHER
"""The key that the next device gets while the last one's was not given back."""
ROOM = 1
"""Words of a datum that was made too small."""


def twice(cgrp):
    """Install, and install again."""
    step("install() is called")
    first = install(cgrp, KEY)
    second = install(cgrp, KEY)
    if first == 0:
        check(second < 0, ONE_DATUM)


def keeps_pointer(task):
    """The datum is used after its use was declared to be over."""
    cgrp = begin(task)
    datum = lookup(cgrp, KEY)
    finish(cgrp, datum)
    if datum:
        value = value_of(datum, KEY)
        check(value == BASE[KEY] + 1, OLD_OR_NEW)


def next_device(task, cgrp):
    """A device goes and leaves its data; the next one looks up what it never installed."""
    step("install() is called")
    install(cgrp, KEY)
    found = begin(task)
    datum = lookup(found, NEXT_KEY)
    if datum:
        check(False, ANOTHER_KEY)
    finish(found, datum)


def forgets_finish(task):
    """begin and lookup, and that is all."""
    cgrp = begin(task)
    lookup(cgrp, KEY)


def finishes_twice(task):
    """What was taken once is given back twice."""
    cgrp = begin(task)
    datum = lookup(cgrp, KEY)
    if datum:
        finish(cgrp, datum)
        finish(cgrp, datum)
    else:
        finish(cgrp, datum)


def sleepy_grace(datum):
    """A free callback that may sleep."""
    might_sleep()
    kfree(datum)


def too_small(task):
    """The driver reads the second word of a datum that it made one word large."""
    cgrp = begin(task)
    datum = lookup(cgrp, KEY)
    if datum:
        value_of(datum, KEY)
        check(ROOM > 1, OUTSIDE)
    finish(cgrp, datum)


def reads(task):
    """Look up, read."""
    cgrp = begin(task)
    datum = lookup(cgrp, KEY)
    if datum:
        value_of(datum, KEY)
    finish(cgrp, datum)


def copy_of_this_cpu(datum, key):
    """The word behind a percpu pointer that the datum holds."""
    return copy.value


def cookie(datum, key):
    """A percpu pointer, taken for the address of memory."""
    return percpu_pointer.value


def unregistered(directory):
    """The driver is unloaded and leaves its data."""
    ioctl(directory, KEY)
    removing[KEY] = 1
    module.loaded = 0


def without_section(task):
    """lookup without begin: the cgroup is held by other means."""
    step("lookup() is called")
    cgrp = task.cgroup
    datum = lookup(cgrp, KEY)
    if datum:
        value_of(datum, KEY)
        drop(datum)


def drop(datum):
    """What ends a use, where that is not the end of a section."""


def removes_nothing(cgrp):
    """A key that was never installed is removed."""
    step("remove() is called")
    remove(cgrp, KEY)


def removes_twice(cgrp):
    """One removes what it installed, and removes it again; another may do so, too."""
    step("install() is called")
    if install(cgrp, KEY) == 0:
        remove(cgrp, KEY)
        remove(cgrp, KEY)


def error_as_key(task, cgrp):
    """The key could not be had; its user goes on with the error in its place."""
    step("install() is called")
    install(cgrp, -12)
    found = begin(task)
    datum = lookup(found, -12)
    check(datum == 0, ANOTHER_KEY)
    finish(found, datum)


def error_as_id(task):
    """As `error_as_key`, where nothing is installed."""
    found = begin(task)
    datum = lookup(found, -12)
    check(datum == 0, ANOTHER_KEY)
    finish(found, datum)


def sleeps_in_use(task):
    """The datum's user sleeps before its use is over."""
    cgrp = begin(task)
    datum = lookup(cgrp, KEY)
    if datum:
        might_sleep()
        value_of(datum, KEY)
    finish(cgrp, datum)


def reuses_after_remove(task, cgrp):
    """Remove, then look up again: the key is still known, the datum is not."""
    step("install() is called")
    if install(cgrp, KEY) == 0:
        installed[KEY] = 1
        removing[KEY] = 1
        remove(cgrp, KEY)
        found = begin(task)
        datum = lookup(found, KEY)
        finish(found, datum)
        check(datum == 0, OLD_OR_NEW)


def refused_by_the_verifier():
    """What a verifier sees when the program is loaded."""
    step("bpf(BPF_PROG_LOAD)")
    refuse_at_load(WHY)


WHY = ""
