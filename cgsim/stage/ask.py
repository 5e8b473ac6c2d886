"""One operation of a design, asked for by its number."""

from cgsim.compile.jit import njit
from cgsim.designs.base import create, drop, insert, lookup, put, register, remove, teardown

REGISTER, CREATE, INSTALL, LOOKUP, PUT, REMOVE, TEARDOWN, DROP = range(8)


@njit
def ask(space, design, what, cgroup, key):
    """One operation; returns its answer. `key` of `PUT` is the datum."""
    if what == REGISTER:
        return register(space, design)
    if what == CREATE:
        return create(space, design)
    if what == INSTALL:
        return insert(space, design, cgroup, key, 0)
    if what == LOOKUP:
        return lookup(space, design, cgroup, key, 0, 0)[0]
    if what == PUT:
        put(space, design, key, 0)
        return 0
    if what == REMOVE:
        return 1 if remove(space, design, cgroup, key, 0) else 0
    if what == DROP:
        return drop(space, design, key, 0)
    teardown(space, design, cgroup, 0)
    return 0
