"""Table: Tejun Heo's proposal, an integer id and an RCU-protected index table per cgroup.

Mirrors `net_generic` (include/net/netns/generic.h, net/core/net_namespace.c): the table's header
(its length and rcu_head) overlays slots 0 to 2, ids start at 3. A table is allocated for the
largest id that was known at that time (`max_gen_ptrs`), 13 slots at least; one that is older than
the id grows by copy: a new table, rcu_assign_pointer, the old one freed after a grace period.
net_generic does not check the bound, since every network namespace grows before an id is used; a
table per cgroup has to (`bounds_check`).
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import spin_lock, spin_unlock
from cgsim.core.space import branch, compute, join, load, peek, poke, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import new_id
from cgsim.designs.objects import cgroup_cache, field_offset

_FIRST_ID, _INITIAL_SLOTS = 3, 13
_SMALLEST_CLASS, _CLASSES = 128, 11
_LENGTH = 0
_SITE_BOUND = 0x300
# Instructions besides accesses: an index computed, a bound compared, a NULL test, the return.
# net_generic is always inlined; read off its two loads in netlink_tap_init_net.
_WORK, _BOUND_WORK = 3, 1


class IndexTable(NamedTuple):
    """Parameters of the table design: caches and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    first_table_cache: int  # kmalloc-128, then doubling
    ids: int
    most: int  # simulated address of max_gen_ptrs
    pointer_offset: int
    lock_offset: int
    datum_offset: int
    bounds_check: int


def prepare(heap, kernel, *, owner="cgroup", bounds_check=True, value_bytes=16):
    """`owner`: 'cgroup' or 'net' (struct net with its `gen` pointer, as net_generic)."""
    if owner == "net":
        owners = heap.add_cache("net", kernel.size("net"))
        pointer = kernel.offset("net", "gen")
        lock = 0
    else:
        pointer = field_offset(kernel)
        lock = pointer + 8
        owners = cgroup_cache(heap, kernel, 16)
    values = heap.add_cache("datum" if owner == "cgroup" else "netns_priv", value_bytes)
    tables = [heap.add_cache("net_generic", _SMALLEST_CLASS << i) for i in range(_CLASSES)]
    ids = heap.place("global:ids", 64)
    most = heap.place("global:max_gen_ptrs", 64)
    heap.write(most, _INITIAL_SLOTS)
    return IndexTable(owners, values, tables[0], ids, most, pointer, lock, 0, int(bounds_check))


@njit
def register(space, design):
    """The key is the next free integer, from 3: the header takes the first three slots."""
    key = _FIRST_ID + new_id(space, design.ids)
    poke(space, design.most, 8, max(peek(space, design.most, 8), key + 1))
    return key


@njit
def _table_cache(design, slots):
    """The kmalloc cache for a table of `slots`."""
    index = 0
    while _SMALLEST_CLASS << index < 8 * slots:
        index += 1
    return design.first_table_cache + index


@njit
def _new_table(space, design, token):
    """net_alloc_generic: a table for the largest id known; returns (table or 0, slots, token)."""
    slots, slots_token = load(space, design.most, 4, 0)
    table, table_token = allocate(space, _table_cache(design, slots), token)
    if table != 0:
        store(space, table + _LENGTH, 4, slots, table_token, slots_token)
    return table, slots, table_token


@njit
def create(space, design):
    """A cgroup with a table for every id known."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    if cgroup == 0:
        return 0
    table, _, table_token = _new_table(space, design, token)
    if table == 0:
        return 0
    store(space, cgroup + design.pointer_offset, 8, table, token, table_token)
    return cgroup


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of an id: table pointer, slot; the length where the bound is checked."""
    table, table_token = load(space, cgroup + design.pointer_offset, 8, token)
    if design.bounds_check != 0:
        slots, slots_token = load(space, table + _LENGTH, 4, table_token)
        work(space, _BOUND_WORK, 0)
        branch(space, _SITE_BOUND, key >= slots, slots_token)
        if key >= slots:
            return 0, slots_token
    datum, datum_token = load(
        space, table + 8 * key, 8, compute(space, join(space, key_token, table_token), 0, 0, 1)
    )
    work(space, _WORK, 0)
    return datum, datum_token


@njit
def insert(space, design, cgroup, key, token):
    """Allocate a datum and store it in its slot; a table older than the id is copied first."""
    datum, datum_token = allocate(space, design.value_cache, token)
    if datum == 0:
        return 0
    if design.lock_offset != 0:
        spin_lock(space, cgroup + design.lock_offset, token)
    table, table_token = load(space, cgroup + design.pointer_offset, 8, token)
    slots, slots_token = load(space, table + _LENGTH, 4, table_token)
    branch(space, _SITE_BOUND, key >= slots, slots_token)
    if key >= slots:
        larger, _, larger_token = _new_table(space, design, token)
        if larger == 0:
            return 0
        for slot in range(_FIRST_ID, slots):
            value, value_token = load(space, table + 8 * slot, 8, table_token)
            store(space, larger + 8 * slot, 8, value, larger_token, value_token)
        store(space, cgroup + design.pointer_offset, 8, larger, token, larger_token)
        retire(space, _table_cache(design, slots), table, table_token)
        table, table_token = larger, larger_token
    store(space, table + 8 * key, 8, datum, table_token, datum_token)
    if design.lock_offset != 0:
        spin_unlock(space, cgroup + design.lock_offset, token)
    return datum


@njit
def remove(space, design, cgroup, key, token):
    """Clear the slot, kfree_rcu the datum; the table keeps its size."""
    if design.lock_offset != 0:
        spin_lock(space, cgroup + design.lock_offset, token)
    table, table_token = load(space, cgroup + design.pointer_offset, 8, token)
    slots, _ = load(space, table + _LENGTH, 4, table_token)
    datum, datum_token = 0, token
    if key < slots:
        datum, datum_token = load(space, table + 8 * key, 8, table_token)
        store(space, table + 8 * key, 8, 0, table_token, 0)
    if design.lock_offset != 0:
        spin_unlock(space, cgroup + design.lock_offset, token)
    if datum == 0:
        return False
    retire(space, design.value_cache, datum, datum_token)
    return True


@njit
def teardown(space, design, cgroup, token):
    """Free every datum in the table, the table and the cgroup."""
    table, table_token = load(space, cgroup + design.pointer_offset, 8, token)
    slots, _ = load(space, table + _LENGTH, 4, table_token)
    for slot in range(_FIRST_ID, slots):
        datum, datum_token = load(space, table + 8 * slot, 8, table_token)
        if datum != 0:
            release(space, design.value_cache, datum, datum_token)
    release(space, _table_cache(design, slots), table, table_token)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="table",
        title="RCU index table per cgroup",
        mirrors="net_generic, include/net/netns/generic.h",
        parameters=IndexTable,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        reader_side="rcu",
        max_keys=1 << 14,
        loads_to_datum="cgroup.table -> table[id] -> datum",
    )
)
