"""Hash: a small table of chains, keyed by a pointer.

Mirrors two pieces of code. The 2018 patch (v3 of the series): 16 buckets and a mutex in each
struct cgroup, entries `struct cgroup_priv` of 40 bytes with the private data behind them, looked
up with the mutex held. And `get_kprobe` (kernel/kprobes.c): one global table of 64 buckets, read
under RCU.

The 2018 code's `cgroup_priv_free` walks the whole bucket and frees every entry of the key, at once
and under the mutex: nothing waits for a grace period. `as_posted` keeps its fault: it unlinks every
entry of the bucket before it compares keys, so removing one datum loses others.

With `owner_list` an entry is also on a list of its device, as the posted i915 user keeps one
(`cgroup_list`): that is what a driver that goes walks (`drop`). It takes 16 bytes of each entry.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cgsim.compile.jit import JIT_DISABLED, njit
from cgsim.core.heap import allocate, release, retire
from cgsim.core.locks import mutex_lock, mutex_unlock, spin_lock, spin_unlock
from cgsim.core.space import branch, compute, join, load, store, work
from cgsim.designs import list_walk
from cgsim.designs.base import Design, add_design
from cgsim.designs.objects import cgroup_cache, device_cache, field_offset, running_task

# Instructions of get_kprobe besides accesses and branches, from the recorded counts: hit at
# position 1, each further entry, and a miss.
_CODE = {"7.3": (5, 2, 2, 1), "6.12": (5, 2, 3, 1)}
_SITE_END, _SITE_MATCH = 0x200, 0x201
_PRIV_BUCKETS_BITS, _PRIV_MUTEX_BYTES = 4, 32
_PRIV_CGROUP, _PRIV_KEY, _PRIV_NODE, _PRIV_BYTES = 0, 8, 24, 40
_DEVICE_LIST, _LIST_BYTES = 0, 16  # in the device; in an entry, behind the cgroup_priv
_KPROBE_BITS = 6


class PointerHash(NamedTuple):
    """Parameters of the hash design: caches and offsets in bytes."""

    cgroup_cache: int
    value_cache: int
    device_cache: int
    table: int  # the global table, 0 if each cgroup has its own
    table_offset: int
    bits: int
    key_offset: int
    node_offset: int
    datum_offset: int
    mutex_offset: int  # 0: readers use RCU, writers the lock
    lock_offset: int
    task: int
    as_posted: int
    list_offset: int  # in an entry, of its node in the device's list; 0: there is no such list
    entry_work: int
    hit_work: int
    miss_work: int
    step_work: int


def prepare(
    heap, kernel, *, owner="cgroup", mutex=True, as_posted=False, owner_list=False, value_bytes=16
):
    """`owner`: 'cgroup' (the 2018 patch) or 'kprobe' (the global table); `mutex`: as in 2018."""
    code = _CODE[kernel.series]
    task = running_task(heap, kernel).task
    if owner == "kprobe":
        owners = heap.add_cache("cgroup", 64)
        entry_bytes = kernel.size("kprobe")
        values = heap.add_cache("kprobe", entry_bytes)
        table = heap.place("global:kprobe_table", 8 << _KPROBE_BITS)
        key = kernel.offset("kprobe", "addr")
        return PointerHash(
            owners, values, device_cache(heap), table, 0, _KPROBE_BITS, key, 0, key + 8, 0, 0, task,
            0, 0, *code,
        )  # fmt: skip
    start = field_offset(kernel)
    buckets = 8 << _PRIV_BUCKETS_BITS
    owners = cgroup_cache(heap, kernel, buckets + _PRIV_MUTEX_BYTES)
    datum = _PRIV_BYTES + (_LIST_BYTES if owner_list else 0)
    values = heap.add_cache("cgroup_priv", datum + value_bytes)
    lock = start + buckets
    return PointerHash(
        owners, values, device_cache(heap), 0, start, _PRIV_BUCKETS_BITS, _PRIV_KEY, _PRIV_NODE,
        datum, lock if mutex else 0, lock, task, int(as_posted),
        _PRIV_BYTES if owner_list else 0, *code,
    )  # fmt: skip


if JIT_DISABLED:

    def hash_64(value, bits):
        """The top `bits` of value times 2^64 / golden ratio (include/linux/hash.h)."""
        return (int(value) * 0x61C8864680B583EB & (1 << 64) - 1) >> (64 - bits)

else:

    @njit
    def hash_64(value, bits):
        """The top `bits` of value times 2^64 / golden ratio (include/linux/hash.h)."""
        product = np.uint64(value) * np.uint64(0x61C8864680B583EB)
        return np.int64(product >> np.uint64(64 - bits))


@njit
def register(space, design):
    """The key is the address of the driver's device."""
    device, token = allocate(space, design.device_cache, 0)
    if device != 0 and design.list_offset != 0:
        head = device + _DEVICE_LIST
        store(space, head, 8, head, token, token)
        store(space, head + 8, 8, head, token, token)
    return device


@njit
def create(space, design):
    """A cgroup with empty buckets."""
    return allocate(space, design.cgroup_cache, 0)[0]


@njit
def _bucket(space, design, cgroup, key):
    table = design.table if design.table != 0 else cgroup + design.table_offset
    return table + 8 * hash_64(key, design.bits)


@njit
def _find(space, design, bucket, key, token):
    """Walk a chain; returns (hlist node or 0, token)."""
    node, node_token = load(space, bucket, 8, token)
    branch(space, _SITE_END, node == 0, node_token)
    while node != 0:
        entry = node - design.node_offset
        found, found_token = load(space, entry + design.key_offset, 8, node_token)
        branch(space, _SITE_MATCH, found == key, found_token)
        if found == key:
            return node, node_token
        node, node_token = load(space, node, 8, node_token)
        branch(space, _SITE_END, node == 0, node_token)
        work(space, design.step_work, 0)
    return 0, node_token


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of a key: hash, bucket head, then one entry per collision."""
    if design.mutex_offset != 0:
        mutex_lock(space, cgroup + design.mutex_offset, design.task, token)
    work(space, design.entry_work, 0)
    hashed = compute(space, key_token, 1, 1, 0)
    bucket = _bucket(space, design, cgroup, key)
    node, node_token = _find(space, design, bucket, key, join(space, token, hashed))
    if design.mutex_offset != 0:
        mutex_unlock(space, cgroup + design.mutex_offset, design.task, token)
    if node == 0:
        work(space, design.miss_work, 0)
        return 0, 0  # a constant: what leads here is control
    work(space, design.hit_work, 0)
    return node - design.node_offset + design.datum_offset, node_token


@njit
def _lock(space, design, cgroup, token):
    if design.mutex_offset != 0:
        mutex_lock(space, cgroup + design.mutex_offset, design.task, token)
    elif design.lock_offset != 0:
        spin_lock(space, cgroup + design.lock_offset, token)


@njit
def _unlock(space, design, cgroup, token):
    if design.mutex_offset != 0:
        mutex_unlock(space, cgroup + design.mutex_offset, design.task, token)
    elif design.lock_offset != 0:
        spin_unlock(space, cgroup + design.lock_offset, token)


@njit
def insert(space, design, cgroup, key, token):
    """Allocate an entry, then hash_add (at the head of its chain) under the lock."""
    entry, entry_token = allocate(space, design.value_cache, token)
    if entry == 0:
        return 0
    bucket = _bucket(space, design, cgroup, key)
    node = entry + design.node_offset
    store(space, entry + design.key_offset, 8, key, entry_token, 0)
    _lock(space, design, cgroup, token)
    work(space, design.entry_work, 0)
    first, first_token = load(space, bucket, 8, token)
    store(space, node, 8, first, entry_token, first_token)
    store(space, node + 8, 8, bucket, entry_token, token)
    branch(space, _SITE_END, first != 0, first_token)
    if first != 0:
        store(space, first + 8, 8, node, first_token, entry_token)
    store(space, bucket, 8, node, token, entry_token)
    _unlock(space, design, cgroup, token)
    if design.list_offset != 0:
        # list_add, under the driver's own lock
        store(space, entry + _PRIV_CGROUP, 8, cgroup, entry_token, token)
        own = entry + design.list_offset
        head = key + _DEVICE_LIST
        first, first_token = load(space, head, 8, 0)
        store(space, own, 8, first, entry_token, first_token)
        store(space, own + 8, 8, head, entry_token, 0)
        store(space, first + 8, 8, own, first_token, entry_token)
        store(space, head, 8, own, 0, entry_token)
    return entry + design.datum_offset


@njit
def _unlink(space, node, token):
    """hlist_del: the word that points here, `pprev`, takes the next node."""
    following, following_token = load(space, node, 8, token)
    pointer, pointer_token = load(space, node + 8, 8, token)
    store(space, pointer, 8, following, pointer_token, following_token)
    if following != 0:
        store(space, following + 8, 8, pointer, following_token, pointer_token)


@njit
def _free(space, design, node, token):
    """The user's `free`: off its own list, then a plain kfree; under RCU a kfree_rcu."""
    entry = node - design.node_offset
    if design.list_offset != 0:
        list_walk.unlink(space, entry + design.list_offset, token)
    if design.mutex_offset != 0:
        release(space, design.value_cache, entry, token)
    else:
        retire(space, design.value_cache, entry, token)


@njit
def _free_all(space, design, bucket, key, token):
    """cgroup_priv_free: walk the bucket to its end, free every entry of the key.

    As posted, it unlinks all entries, before it looks at their keys. True if one was freed.
    """
    freed = False
    node, node_token = load(space, bucket, 8, token)
    while node != 0:
        following, following_token = load(space, node, 8, node_token)
        if design.as_posted != 0:
            _unlink(space, node, node_token)
        found, found_token = load(
            space, node - design.node_offset + design.key_offset, 8, node_token
        )
        branch(space, _SITE_MATCH, found == key, found_token)
        if found == key:
            if design.as_posted == 0:
                _unlink(space, node, node_token)
            _free(space, design, node, node_token)
            freed = True
        node, node_token = following, following_token
    return freed


@njit
def remove(space, design, cgroup, key, token):
    """2018: free what has the key, under the mutex. RCU: find, unlink, kfree_rcu."""
    bucket = _bucket(space, design, cgroup, key)
    _lock(space, design, cgroup, token)
    work(space, design.entry_work, 0)
    if design.mutex_offset != 0:
        freed = _free_all(space, design, bucket, key, token)
        _unlock(space, design, cgroup, token)
        return freed
    node, node_token = _find(space, design, bucket, key, token)
    if node != 0:
        _unlink(space, node, node_token)
    _unlock(space, design, cgroup, token)
    if node != 0:
        _free(space, design, node, node_token)
    return node != 0


@njit
def drop(space, design, key, token):
    """The driver goes: cgroup_priv_free for the cgroup of each entry on its list."""
    dropped = 0
    if design.list_offset == 0:
        return dropped
    head = key + _DEVICE_LIST
    own, own_token = load(space, head, 8, token)
    while own != head:
        following, following_token = load(space, own, 8, own_token)
        entry = own - design.list_offset
        cgroup, cgroup_token = load(space, entry + _PRIV_CGROUP, 8, own_token)
        remove(space, design, cgroup, key, cgroup_token)
        own, own_token = following, following_token
        dropped += 1
    return dropped


@njit
def teardown(space, design, cgroup, token):
    """The cgroup is offline: empty its buckets, then free it. A global table keeps its entries."""
    if design.table == 0:
        for index in range(1 << design.bits):
            node, node_token = load(space, cgroup + design.table_offset + 8 * index, 8, token)
            while node != 0:
                following, following_token = load(space, node, 8, node_token)
                entry = node - design.node_offset
                if design.list_offset != 0:
                    list_walk.unlink(space, entry + design.list_offset, node_token)
                release(space, design.value_cache, entry, node_token)
                node, node_token = following, following_token
    release(space, design.cgroup_cache, cgroup, token)


def _variant(name, title, mirrors, reader_side, options):
    return add_design(
        Design(
            name=name,
            title=title,
            mirrors=mirrors,
            parameters=PointerHash,
            prepare=prepare,
            register=register,
            create=create,
            insert=insert,
            lookup=lookup,
            remove=remove,
            teardown=teardown,
            drop=drop,
            drop_options={"owner_list": True},
            reader_side=reader_side,
            max_keys=1 << 20,
            options=options,
            loads_to_datum="cgroup.buckets[hash] -> entry (+1 per collision)",
        )
    )


DESIGN = _variant(
    "hash",
    "pointer hash under a mutex (2018 patch)",
    "cgroup_priv_lookup, v3 of the 2018 series; chain walk as get_kprobe",
    "mutex",
    {},
)
WITH_RCU = _variant(
    "hash-rcu",
    "pointer hash under RCU",
    "the 2018 table, read as get_kprobe reads its own",
    "rcu",
    {"mutex": False},
)
AS_POSTED = replace(
    DESIGN,
    name="hash-as-posted",
    title="pointer hash of 2018 with its fault: hash_del before the key test",
    options={"as_posted": True},
)
"""Not registered: it answers wrongly, so it is no candidate. `cgsim.stage.against_dict` shows
how often."""
