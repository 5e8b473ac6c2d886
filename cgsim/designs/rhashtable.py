"""Rhashtable: one resizable hash for all cgroups, keyed by (key's number, cgroup).

Mirrors `__netlink_lookup` (net/netlink/af_netlink.c, include/linux/rhashtable.h), where the number
is a port and the cgroup a network namespace: jhash2 of the namespace's cookie and the port, then a
chain on which port and cookie are compared. Bit 0 of a bucket's word is its lock; the last entry of
a chain points to a marker, an odd number. The table doubles above 75 % load and shrinks below 30 %,
by a worker that moves every entry into a new one; its time is charged to the install or remove that
set it off.

6.12 goes on with the bucket's own address where a bucket is empty, without a branch, so that an
entry's address hangs on both.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import (
    atomic_add,
    branch,
    compare_exchange,
    compute,
    join,
    load,
    peek,
    poke,
    store,
    work,
)
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import new_id
from cgsim.designs.jhash import jhash_u64_u32
from cgsim.designs.objects import cgroup_cache, field_offset, running_task, stack_guard

SMALLEST_BITS = 6  # HASH_DEFAULT_SIZE; also the table's min_size here
_LARGEST_BITS = 24
# Instructions besides the accesses, the RCU calls and two branches an entry, and branches, from the
# recorded counts; `_STEP_WORK` for each entry passed. A miss was not recorded: it is counted as a
# hit, with the read that looks for a table to come.
_WORK, _BRANCHES, _STEP_WORK = 76, 4, 2
_HASH_ALU = 19  # jhash2 of three words and the bucket's address, from the recorded latency
_ENTRY_ALU = 1
_SITE_END, _SITE_MATCH = 0x600, 0x601
_UPDATE_WORK, _UPDATE_BRANCHES = 60, 8  # an estimate: rhashtable_insert_fast was not recorded


class Rhashtable(NamedTuple):
    """Parameters of the rhashtable design: caches, addresses and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    first_table_cache: int  # of 2^SMALLEST_BITS buckets, then doubling
    table: int  # simulated address of the struct rhashtable
    ids: int
    cookie_offset: int  # of the owner's number that never comes again
    size_offset: int  # the four of a bucket_table
    nest_offset: int
    seed_offset: int
    future_offset: int
    buckets_offset: int
    tbl_offset: int  # the three of the struct rhashtable
    head_offset_offset: int
    nelems_offset: int
    node_offset: int  # the three of an entry
    number_offset: int
    owner_offset: int
    datum_offset: int
    joins_bucket: int  # an entry's address hangs on its bucket's, too
    guard: int  # 0: the caller has the stack guard
    task: Task


def prepare(heap, kernel, *, owner="cgroup", value_bytes=16):
    """`owner`: 'cgroup' (an entry of its own for each datum) or 'netlink' (netlink's sockets)."""
    old = kernel.series == "6.12"
    if owner == "netlink":
        owners = heap.add_cache("net", kernel.size("net"))
        cookie = kernel.offset("net", "net_cookie")
        node = kernel.offset("netlink_sock", "node")
        number = kernel.offset("netlink_sock", "portid")
        net = kernel.offset("netlink_sock", "sk.__sk_common.skc_net.net")
        datum = kernel.size("netlink_sock")
        values = heap.add_cache("netlink_sock", datum + value_bytes)
        table = heap.place("netlink_table", kernel.size("rhashtable"))
    else:
        owners = cgroup_cache(heap, kernel, 8)
        cookie = field_offset(kernel)
        node, number, net, datum = 0, 8, 16, 24
        values = heap.add_cache("rhash_entry", datum + value_bytes)
        table = heap.place("global:rhashtable", kernel.size("rhashtable"))
    buckets = kernel.size("bucket_table")
    tables = [
        heap.add_cache("bucket_table", buckets + (8 << bits))
        for bits in range(SMALLEST_BITS, _LARGEST_BITS + 1)
    ]
    head_offset = kernel.offset("netlink_table", "hash.p.head_offset")
    heap.write(table + (head_offset & ~7), node << 8 * (head_offset & 7))
    return Rhashtable(
        owners,
        values,
        tables[0],
        table,
        heap.place("global:ids", 64),
        cookie,
        kernel.offset("bucket_table", "size"),
        kernel.offset("bucket_table", "nest"),
        kernel.offset("bucket_table", "hash_rnd"),
        kernel.offset("bucket_table", "future_tbl"),
        buckets,
        kernel.offset("rhashtable", "tbl"),
        head_offset,
        kernel.offset("rhashtable", "nelems"),
        node,
        number,
        net,
        datum,
        int(old),
        0 if old and owner == "netlink" else stack_guard(heap, kernel),
        running_task(heap, kernel),
    )


@njit
def _new_table(space, design, bits, token):
    """A table of 2^bits empty buckets; returns (table or 0, token)."""
    table, table_token = allocate(space, design.first_table_cache + bits - SMALLEST_BITS, token)
    if table != 0:
        store(space, table + design.size_offset, 4, 1 << bits, table_token, 0)
        seed = peek(space, design.ids + 8, 8) + 1  # get_random_u32(), but reproducible
        poke(space, design.ids + 8, 8, seed)
        store(space, table + design.seed_offset, 4, seed * 0x9E3779B1 & 0xFFFFFFFF, table_token, 0)
    return table, table_token


@njit
def register(space, design):
    """The key is the next free integer, from 0; the first driver makes the table."""
    if peek(space, design.table + design.tbl_offset, 8) == 0:
        table, _ = _new_table(space, design, SMALLEST_BITS, 0)
        poke(space, design.table + design.tbl_offset, 8, table)
    return new_id(space, design.ids)


@njit
def create(space, design):
    """A cgroup with a cookie."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    if cgroup != 0:
        cookie = peek(space, design.ids + 16, 8) + 1
        poke(space, design.ids + 16, 8, cookie)
        store(space, cgroup + design.cookie_offset, 8, cookie, token, 0)
    return cgroup


@njit
def find(space, design, table, owner, number, table_token, owner_token):
    """Hash, bucket, chain; returns (entry or 0, token of its address)."""
    work(space, _WORK, _BRANCHES)
    if design.guard != 0:
        load(space, design.guard, 8, 0)
    cookie, cookie_token = load(space, owner + design.cookie_offset, 8, owner_token)
    rcu_read_lock(space, design.task)
    call_and_return(space)
    buckets, buckets_token = load(space, table + design.tbl_offset, 8, table_token)
    seed, seed_token = load(space, buckets + design.seed_offset, 4, buckets_token)
    size, size_token = load(space, buckets + design.size_offset, 4, buckets_token)
    load(space, buckets + design.nest_offset, 4, buckets_token)
    hashed = jhash_u64_u32(cookie, number, seed) & (size - 1)
    where = join(space, join(space, cookie_token, seed_token), size_token)
    where = compute(space, join(space, where, buckets_token), _HASH_ALU, 0, 0)
    bucket = buckets + design.buckets_offset + 8 * hashed
    node, node_token = load(space, bucket, 8, where)
    node &= ~1  # the lock
    if design.joins_bucket != 0:
        node_token = compute(space, join(space, node_token, where), 1, 0, 0)
    head_offset, head_token = load(space, table + design.head_offset_offset, 2, table_token)
    found = 0
    while found == 0:
        end = node == 0 or node & 1 != 0
        branch(space, _SITE_END, end, node_token)
        if end:
            load(space, buckets + design.future_offset, 8, buckets_token)
            break
        entry = node - head_offset
        entry_token = compute(space, join(space, node_token, head_token), _ENTRY_ALU, 0, 0)
        other, other_token = load(space, entry + design.number_offset, 4, entry_token)
        branch(space, _SITE_MATCH, other == number, other_token)
        if other == number:
            net, net_token = load(space, entry + design.owner_offset, 8, entry_token)
            other_cookie, _ = load(space, net + design.cookie_offset, 8, net_token)
            if other_cookie == cookie:
                found = entry
        if found == 0:
            node, node_token = load(space, node, 8, node_token)
            work(space, _STEP_WORK, 0)
    rcu_read_unlock(space, design.task)
    if design.guard != 0:
        load(space, design.guard, 8, 0)
    if found == 0:
        return 0, 0  # a constant: what leads here is control
    return found, entry_token


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of (key, cgroup): cookie, table, bucket, then one entry per collision."""
    entry, entry_token = find(space, design, design.table, cgroup, key, 0, token)
    if entry == 0:
        return 0, 0
    return entry + design.datum_offset, entry_token


@njit
def _bucket(space, design, buckets, cookie, number, token):
    """The address of a bucket, from the table's header."""
    seed, seed_token = load(space, buckets + design.seed_offset, 4, token)
    size, size_token = load(space, buckets + design.size_offset, 4, token)
    hashed = jhash_u64_u32(cookie, number, seed) & (size - 1)
    where = compute(space, join(space, seed_token, size_token), _HASH_ALU, 0, 0)
    return buckets + design.buckets_offset + 8 * hashed, where


@njit
def _lock(space, bucket, token):
    """rht_lock: a locked bit in the bucket's word; returns (first node or 0, token)."""
    work(space, 6, 1)
    word, word_token = load(space, bucket, 8, token)
    compare_exchange(space, bucket, 8, word, word | 1, token)
    return word & ~1, word_token


@njit
def _resize(space, design, bits, token):
    """rht_deferred_worker: move all entries to a new table; the old one waits for readers."""
    old, old_token = load(space, design.table + design.tbl_offset, 8, token)
    new, new_token = _new_table(space, design, bits, token)
    if new == 0:
        return
    size = peek(space, old + design.size_offset, 4)
    store(space, old + design.future_offset, 8, new, old_token, new_token)
    for index in range(size):
        bucket = old + design.buckets_offset + 8 * index
        node, node_token = _lock(space, bucket, old_token)
        while node != 0 and node & 1 == 0:
            following, following_token = load(space, node, 8, node_token)
            entry = node - design.node_offset
            number, _ = load(space, entry + design.number_offset, 4, node_token)
            owner, owner_token = load(space, entry + design.owner_offset, 8, node_token)
            cookie, _ = load(space, owner + design.cookie_offset, 8, owner_token)
            target, where = _bucket(space, design, new, cookie, number, new_token)
            work(space, _UPDATE_WORK, _UPDATE_BRANCHES)
            first, first_token = _lock(space, target, where)
            first = first if first != 0 else target | 1
            store(space, node, 8, first, node_token, first_token)
            store(space, target, 8, node, where, node_token)  # unlocks
            node, node_token = following, following_token
        store(space, bucket, 8, 0, old_token, 0)
    store(space, design.table + design.tbl_offset, 8, new, token, new_token)
    at = design.first_table_cache
    while size > 1 << SMALLEST_BITS:
        size >>= 1
        at += 1
    retire(space, at, old, old_token)


@njit
def _bits_for(size):
    """The exponent of a power of two."""
    bits = 0
    while 1 << bits < size:
        bits += 1
    return bits


@njit
def insert(space, design, cgroup, key, token):
    """rhashtable_insert_fast: link at the chain's head under the bucket's lock, grow above 75 %."""
    entry, entry_token = allocate(space, design.value_cache, token)
    if entry == 0:
        return 0
    node = entry + design.node_offset
    store(space, entry + design.number_offset, 4, key, entry_token, 0)
    store(space, entry + design.owner_offset, 8, cgroup, entry_token, token)
    cookie, cookie_token = load(space, cgroup + design.cookie_offset, 8, token)
    buckets, buckets_token = load(space, design.table + design.tbl_offset, 8, 0)
    bucket, where = _bucket(space, design, buckets, cookie, key, buckets_token)
    where = join(space, where, cookie_token)
    work(space, _UPDATE_WORK, _UPDATE_BRANCHES)
    first, first_token = _lock(space, bucket, where)
    first = first if first != 0 else bucket | 1
    store(space, node, 8, first, entry_token, first_token)
    store(space, bucket, 8, node, where, entry_token)  # unlocks
    count, _ = atomic_add(space, design.table + design.nelems_offset, 4, 1, 0)
    size = peek(space, buckets + design.size_offset, 4)
    if count + 1 > size // 4 * 3 and size < 1 << _LARGEST_BITS:
        _resize(space, design, _bits_for(2 * size), 0)
    return entry + design.datum_offset


@njit
def remove(space, design, cgroup, key, token):
    """rhashtable_remove_fast: unlink under the bucket's lock, kfree_rcu, shrink below 30 %."""
    cookie, cookie_token = load(space, cgroup + design.cookie_offset, 8, token)
    buckets, buckets_token = load(space, design.table + design.tbl_offset, 8, 0)
    bucket, where = _bucket(space, design, buckets, cookie, key, buckets_token)
    where = join(space, where, cookie_token)
    work(space, _UPDATE_WORK, _UPDATE_BRANCHES)
    first, first_token = _lock(space, bucket, where)
    node, node_token = first, first_token
    previous, previous_token = bucket, where
    found = 0
    while found == 0 and node != 0 and node & 1 == 0:
        entry = node - design.node_offset
        number, _ = load(space, entry + design.number_offset, 4, node_token)
        if number == key:
            owner, _ = load(space, entry + design.owner_offset, 8, node_token)
            if owner == cgroup:
                found = entry
        following, following_token = load(space, node, 8, node_token)
        if found != 0:
            # the bucket's own word never holds the marker
            after = following
            if previous == bucket and following & 1 != 0:
                after = 0
            store(space, previous, 8, after, previous_token, following_token)
        else:
            previous, previous_token = node, node_token
            node, node_token = following, following_token
    if previous != bucket or found == 0:
        store(space, bucket, 8, first, where, first_token)  # unlocks
    if found == 0:
        return False
    retire(space, design.value_cache, found, node_token)
    count, _ = atomic_add(space, design.table + design.nelems_offset, 4, -1, 0)
    size = peek(space, buckets + design.size_offset, 4)
    count -= 1
    if count < size * 3 // 10 and size > 1 << SMALLEST_BITS:
        bits = max(_bits_for(count * 3 // 2), SMALLEST_BITS)
        if 1 << bits < size:
            _resize(space, design, bits, 0)
    return True


@njit
def teardown(space, design, cgroup, token):
    """Nothing in the table knows the cgroup: try every key, then free the cgroup."""
    for key in range(peek(space, design.ids, 8)):
        remove(space, design, cgroup, key, token)
    release(space, design.cgroup_cache, cgroup, token)


DESIGN = add_design(
    Design(
        name="rhashtable",
        title="one resizable hash for all cgroups",
        mirrors="__netlink_lookup, net/netlink/af_netlink.c and include/linux/rhashtable.h",
        parameters=Rhashtable,
        prepare=prepare,
        register=register,
        create=create,
        insert=insert,
        lookup=lookup,
        remove=remove,
        teardown=teardown,
        reader_side="rcu",
        max_keys=1 << 20,
        loads_to_datum="cgroup.cookie, table -> seed -> bucket[hash] -> entry (+1 per collision)",
    )
)
