"""V4: the later form of the 2018 series, an integer key and a reference at each lookup.

Mirrors `cgroup_priv_get` and its callers (mattrope/kernel, kernel/cgroup/cgroup.c at 8ade09b6a0a2,
drivers/gpu/drm/drm_cgroup.c at 9c603a9d44e1): an idr per cgroup under RCU, keys are integers from
1, the datum embeds a kref. `cgroup_priv_install` takes a reference of its own beside the one that
its caller made and drops when it is done. A lookup returns the datum with a reference, by a plain
`kref_get`: one that finds a datum just before its last `kref_put` takes a reference to what is
about to be freed. `cgroup_priv_destroykey` (`drop`) visits the root's direct children only, whose
list is kept here (`adopt`); what lies deeper stays, and a new driver may get the same key.

Get and put are one locked operation each, on a line that all users of a datum share.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core import references
from cgsim.core.calls import call_and_return
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import load, peek, poke, store, work
from cgsim.designs import idr
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import free_id, reused_id
from cgsim.designs.objects import cgroup_cache, field_offset, running_task

_FIRST_KEY = 1
_REFERENCE, _DATUM = 0, 8  # the kref, padded to a word
# Counted from the source's statements; no machine code of the series was recorded.
_GET_WORK, _GET_BRANCHES = 12, 2
_PUT_WORK, _PUT_BRANCHES = 4, 1


class KrefTree(NamedTuple):
    """Parameters of the v4 design: caches and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    tree: idr.Idr
    ids: int
    children: int  # simulated address of the root's children: how many, and their addresses
    task: Task
    datum_offset: int


def prepare(heap, kernel, *, value_bytes=16):
    """The idr stands at the end of struct cgroup."""
    owners = cgroup_cache(heap, kernel, kernel.size("idr"))
    values = heap.add_cache("kref_datum", _DATUM + value_bytes)
    tree = idr.idr_at(heap, kernel, field_offset(kernel), owners, values)
    ids = heap.place("global:ids", 4096)
    children = heap.place("global:root_children", 4096)
    return KrefTree(owners, values, tree, ids, children, running_task(heap, kernel), _DATUM)


@njit
def register(space, design):
    """cgroup_priv_getkey: the lowest free integer, from 1."""
    return _FIRST_KEY + reused_id(space, design.ids)


@njit
def create(space, design):
    """A cgroup with an empty idr."""
    return idr.create(space, design.tree)


@njit
def adopt(space, design, cgroup):
    """Make a cgroup one of the root's direct children."""
    count = peek(space, design.children, 8)
    poke(space, design.children + 8 + 8 * count, 8, cgroup)
    poke(space, design.children, 8, count + 1)


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """cgroup_priv_get: the datum of a key, with a reference taken under RCU."""
    work(space, _GET_WORK, _GET_BRANCHES)
    rcu_read_lock(space, design.task)
    call_and_return(space)  # idr_find
    entry, entry_token = idr.lookup(space, design.tree, cgroup, key, token, key_token)
    if entry != 0:
        references.get(space, entry + _REFERENCE, entry_token)
    rcu_read_unlock(space, design.task)
    if entry == 0:
        return 0, entry_token
    return entry + _DATUM, entry_token


@njit
def put(space, design, datum, token):
    """kref_put: drop a reference; the last one frees the datum after a grace period."""
    entry = datum - _DATUM
    work(space, _PUT_WORK, _PUT_BRANCHES)
    if references.put(space, entry + _REFERENCE, token):
        retire(space, design.value_cache, entry, token)


@njit
def insert(space, design, cgroup, key, token):
    """kref_init, cgroup_priv_install, which takes a reference; then the caller drops its own."""
    entry, entry_token = allocate(space, design.value_cache, token)
    if entry == 0:
        return 0
    store(space, entry + _REFERENCE, 4, 1, entry_token, 0)
    if not idr.link(space, design.tree, cgroup, key, entry, token, entry_token):
        release(space, design.value_cache, entry, entry_token)
        return 0
    references.get(space, entry + _REFERENCE, entry_token)
    put(space, design, entry + _DATUM, entry_token)
    return entry + _DATUM


@njit
def remove(space, design, cgroup, key, token):
    """Unlink the datum, then drop the tree's reference."""
    entry, entry_token = idr.unlink(space, design.tree, cgroup, key, token)
    if entry == 0:
        return False
    put(space, design, entry + _DATUM, entry_token)
    return True


@njit
def drop(space, design, key, token):
    """cgroup_priv_destroykey: free the key, remove its data from the root's direct children."""
    dropped = 0
    free_id(space, design.ids, key - _FIRST_KEY)
    count, count_token = load(space, design.children, 8, token)
    for i in range(count):
        cgroup, cgroup_token = load(space, design.children + 8 + 8 * i, 8, count_token)
        if remove(space, design, cgroup, key, cgroup_token):
            dropped += 1
    return dropped


@njit
def teardown(space, design, cgroup, token):
    """Drop the tree's reference to every datum, then free the cgroup."""
    key = idr.first_key(space, design.tree, cgroup, token)
    while key >= 0:
        remove(space, design, cgroup, key, token)
        key = idr.first_key(space, design.tree, cgroup, token)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="v4",
        title="integer key and a kref (2018, v4)",
        mirrors="cgroup_priv_get, the later form of the 2018 series; idr_find",
        parameters=KrefTree,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        put=put,
        drop=drop,
        reader_side="none",
        max_keys=1 << 20,
        loads_to_datum="cgroup.idr -> (shift -> slots[key]) per level -> kref (locked) -> datum",
    )
)
