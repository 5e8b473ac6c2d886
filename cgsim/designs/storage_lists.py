"""The locks of local storage, and the list that each map has of its elements.

An element is in one of its map's buckets, by its own address; each bucket has a lock. Locks are
taken with interrupts off, and 7.3's resilient spinlock notes what a CPU holds in a percpu table.
Mirrors kernel/bpf/bpf_local_storage.c; `design` is the parameters of `cgsim.designs.local_storage`.
"""

from cgsim.compile.jit import njit
from cgsim.core.space import add_in_place, compare_exchange, compute, join, load, store, work
from cgsim.designs.pointer_hash import hash_64

MAP_NODE = 0  # of bpf_local_storage_elem
BUCKET_BYTES, _BUCKET_LOCK = 16, 8  # hlist_head, raw_spinlock


@njit
def lock(space, design, word, token):
    """Take a lock of a storage or of a bucket: 7.3's resilient spinlock notes it on the CPU."""
    add_in_place(space, design.preempt, design.preempt_bytes, 1, 0)
    if design.held != 0:
        count, count_token = add_in_place(space, design.held, 4, 1, 0)
        store(space, design.held + 8 * count, 8, word, count_token, token)
    compare_exchange(space, word, 4, 0, 1, token)


@njit
def unlock(space, design, word, token):
    """Release a lock of a storage or of a bucket."""
    if design.held != 0:
        _, offset_token = load(space, design.cpu_offset, 8, 0)
        store(space, word, 1, 0, token, 0)
        count, count_token = load(space, design.held, 4, offset_token)
        where = join(space, offset_token, count_token)
        store(space, design.held + 8 * count, 8, 0, where, 0)
        add_in_place(space, design.held, 4, -1, 0)
    else:
        store(space, word, 1, 0, token, 0)
    add_in_place(space, design.preempt, design.preempt_bytes, -1, 0)


@njit
def unhash(space, node, token):
    """hlist_del_init_rcu."""
    following, following_token = load(space, node, 8, token)
    pointer, pointer_token = load(space, node + 8, 8, token)
    store(space, pointer, 8, following, pointer_token, following_token)
    if following != 0:
        store(space, following + 8, 8, pointer, following_token, pointer_token)


@njit
def _bucket(space, design, smap, element):
    """The bucket of a map for an element, by the element's address; and its token."""
    buckets, token = load(space, smap + design.buckets_offset, 8, 0)
    work(space, 4, 0)
    number = hash_64(element, design.bucket_bits)
    return buckets + BUCKET_BYTES * number, compute(space, token, 1, 1, 0)


@njit
def link_map(space, design, smap, element, token):
    """bpf_selem_link_map: add an element to its bucket under the bucket's lock."""
    bucket, bucket_token = _bucket(space, design, smap, element)
    node = element + MAP_NODE
    lock(space, design, bucket + _BUCKET_LOCK, bucket_token)
    first, first_token = load(space, bucket, 8, bucket_token)
    store(space, node, 8, first, token, first_token)
    store(space, node + 8, 8, bucket, token, bucket_token)
    if first != 0:
        store(space, first + 8, 8, node, first_token, token)
    store(space, bucket, 8, node, bucket_token, token)
    unlock(space, design, bucket + _BUCKET_LOCK, bucket_token)


@njit
def unlink_map(space, design, smap, element, token):
    """bpf_selem_unlink_map: take an element off its bucket's list under the bucket's lock."""
    bucket, bucket_token = _bucket(space, design, smap, element)
    lock(space, design, bucket + _BUCKET_LOCK, bucket_token)
    unhash(space, element + MAP_NODE, token)
    unlock(space, design, bucket + _BUCKET_LOCK, bucket_token)
