"""V4: the later form of the 2018 series, an integer key and a reference at each lookup.

Mirrors `cgroup_priv_get` as its callers show it (mattrope/kernel, drivers/gpu/drm/drm_cgroup.c at
9c603a9d44e1): the key is an integer that the driver got, the datum embeds a kref, a lookup returns
it with a reference taken, and the caller must drop that again. The series' own code for the lookup
was not found. Here it is `radix_tree_lookup` in a tree per cgroup under RCU, from memory and
unverified. Get and put are one locked operation each, on a line that all users of a datum share.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core import references
from cgsim.core.calls import call_and_return
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import store, work
from cgsim.designs import idr
from cgsim.designs.base import Design, add_design
from cgsim.designs.objects import cgroup_cache, field_offset, running_task
from cgsim.designs.xarray import tree_at, walk

_REFERENCE, _DATUM = 0, 8  # the kref, padded to a word
# Counted from the source's statements; no machine code of the series was recorded.
_GET_WORK, _GET_BRANCHES = 12, 2
_PUT_WORK, _PUT_BRANCHES = 4, 1


class KrefTree(NamedTuple):
    """Parameters of the v4 design: caches and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    tree: idr.Idr
    task: Task
    datum_offset: int


def prepare(heap, kernel, *, value_bytes=16):
    """The tree stands at the end of struct cgroup."""
    start = field_offset(kernel)
    owners = cgroup_cache(heap, kernel, kernel.size("xarray"))
    values = heap.add_cache("kref_datum", _DATUM + value_bytes)
    tree = tree_at(heap, kernel, "radix", start, owners, values)
    return KrefTree(owners, values, tree, running_task(heap, kernel), _DATUM)


@njit
def register(space, design):
    """cgroup_priv_getkey: the next free integer, from 0."""
    return idr.register(space, design.tree)


@njit
def create(space, design):
    """A cgroup with an empty tree."""
    return idr.create(space, design.tree)


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """cgroup_priv_get: the datum of a key, with a reference taken under RCU."""
    work(space, _GET_WORK, _GET_BRANCHES)
    rcu_read_lock(space, design.task)
    call_and_return(space)  # radix_tree_lookup
    entry, entry_token = walk(space, design.tree, 0, cgroup, key, token, key_token)
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
    """cgroup_priv_install: a datum with its first reference, linked at the key."""
    entry, entry_token = allocate(space, design.value_cache, token)
    if entry == 0:
        return 0
    store(space, entry + _REFERENCE, 4, 1, entry_token, 0)
    if not idr.link(space, design.tree, cgroup, key, entry, token, entry_token):
        release(space, design.value_cache, entry, entry_token)
        return 0
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
        mirrors="cgroup_priv_get, the later form of the 2018 series; radix_tree_lookup",
        parameters=KrefTree,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        put=put,
        reader_side="none",
        max_keys=1 << 20,
        loads_to_datum="cgroup.root -> (shift -> slots[key]) per level -> kref (locked) -> datum",
    )
)
