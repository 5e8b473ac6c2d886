"""Htab: BPF hash maps keyed by the cgroup's id, one map per key; plain, percpu and LRU.

Mirrors `htab_map_lookup_elem`, `htab_percpu_map_lookup_elem` and `htab_lru_map_lookup_elem`
(kernel/bpf/hashtab.c), and `__htab_map_lookup_elem`, the direct call that the verifier makes of the
first (`inlined`). The program has read the id from the cgroup's kernfs node and put it into its
stack. The hash is jhash2 of the id's two words; the last element of a chain ends in an odd pointer
that tells the bucket. Nothing removes a cgroup's elements when it goes: teardown is a delete in
every map, as user space has to.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.heap import PAGE_2M, PAGE_4K, allocate, release, retire
from cgsim.core.locks import spin_lock, spin_unlock
from cgsim.core.space import branch, compute, join, load, peek, poke, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import new_id
from cgsim.designs.jhash import jhash_u64
from cgsim.designs.objects import cgroup_cache

_MAX_MAPS = 64
_KEY_BYTES = 8
BUCKET_BYTES, _BUCKET_LOCK = 16, 8
_HASH_ALU = 20  # jhash2 of two words and the bucket's address, from the recorded latency
_VMALLOC_BYTES = 8 * 4096  # bpf_map_area_alloc takes what is larger from vmalloc
_REF = 35  # htab_elem.lru_node.ref
_SITE_END, _SITE_HASH = 0x500, 0x501
# Instructions besides accesses and the two branches of an element met, and branches, from the
# recorded counts: a hit in the first element by kind; a miss; each element passed; calls of both.
_HIT = {
    ("htab", "7.3"): (110, 9, 2),
    ("inlined", "7.3"): (97, 8, 1),
    ("percpu-htab", "7.3"): (111, 9, 2),
    ("lru-htab", "7.3"): (112, 10, 2),
    ("htab", "6.12"): (109, 9, 3),
    ("inlined", "6.12"): (102, 8, 2),
    ("percpu-htab", "6.12"): (108, 9, 3),
    ("lru-htab", "6.12"): (112, 10, 3),
}
_MISS = {"7.3": (93, 5, 1), "6.12": (92, 5, 2)}
_STEP_WORK = 1


class HashMap(NamedTuple):
    """Parameters of the hash map designs: caches, addresses and offsets in bytes, counts."""

    cgroup_cache: int
    value_cache: int
    map_cache: int
    bucket_cache: int
    buckets: int
    maps: int  # simulated address of a count and the maps' addresses
    ids: int
    key_buffer: int
    node_cache: int  # kernfs nodes, which hold the cgroups' ids
    kn_offset: int  # from the cgroup to its node
    id_offset: int  # in there
    reads_id: int  # the program's reading of the id is part of a lookup
    key_size_offset: int
    hashrnd_offset: int
    n_buckets_offset: int
    buckets_offset: int
    hash_offset: int
    key_offset: int
    datum_offset: int
    checks_size: int  # the value's place is computed from the key size
    percpu: int
    area_cache: int  # percpu areas
    cpu_offset: int
    lru: int
    hit_work: int
    hit_branches: int
    hit_calls: int
    miss_work: int
    miss_branches: int
    miss_calls: int


def prepare(heap, kernel, *, kind="htab", reads_id=False, entries=128, value_bytes=16):
    """`kind`: 'htab', 'inlined', 'percpu-htab' or 'lru-htab'; `entries`: cgroups a map holds.

    reads_id : a lookup is what a program does, that is, it reads the cgroup's id first; False: the
    mirrored function alone, the id in the caller's key buffer.
    """
    percpu = kind == "percpu-htab"
    key = kernel.offset("htab_elem", "key")
    datum = key + _KEY_BYTES
    element = datum + (8 if percpu else -(-value_bytes // 8) * 8)
    buckets = 1 << max(entries - 1, 1).bit_length()
    table = BUCKET_BYTES * buckets
    return HashMap(
        cgroup_cache(heap, kernel, 0),
        heap.add_cache("htab_elem", element),
        heap.add_cache("bpf_htab", kernel.size("bpf_htab")),
        heap.add_cache("bucket", table, page_size=PAGE_4K if table > _VMALLOC_BYTES else PAGE_2M),
        buckets,
        heap.place("global:map_idr", 8 * (_MAX_MAPS + 1)),
        heap.place("global:ids", 64),
        heap.place("keybuf", 64),
        heap.add_cache("kernfs_node", kernel.size("kernfs_node")),
        kernel.offset("cgroup", "kn"),
        kernel.offset("kernfs_node", "id"),
        int(reads_id),
        kernel.offset("bpf_map", "key_size"),
        kernel.offset("bpf_htab", "hashrnd"),
        kernel.offset("bpf_htab", "n_buckets"),
        kernel.offset("bpf_htab", "buckets"),
        kernel.offset("htab_elem", "hash"),
        key,
        datum,
        int(kind != "inlined"),
        int(percpu),
        heap.add_cache("percpu:htab_value", value_bytes) if percpu else -1,
        heap.place("percpu:this_cpu_off", 64) if percpu else 0,
        int(kind == "lru-htab"),
        *_HIT[kind, kernel.series],
        *_MISS[kernel.series],
    )


@njit
def register(space, design):
    """The key is the address of a new map with its buckets."""
    count = peek(space, design.maps, 8)
    if count >= _MAX_MAPS:
        return 0
    table, token = allocate(space, design.map_cache, 0)
    if table == 0:
        return 0
    buckets, buckets_token = allocate(space, design.bucket_cache, token)
    if buckets == 0:
        return 0
    store(space, table + design.buckets_offset, 8, buckets, token, buckets_token)
    store(space, table + design.key_size_offset, 4, _KEY_BYTES, token, 0)
    store(space, table + design.n_buckets_offset, 4, design.buckets, token, 0)
    store(space, table + design.hashrnd_offset, 4, 0x5BD1E995, token, 0)
    for i in range(design.buckets):
        poke(space, buckets + BUCKET_BYTES * i, 8, i << 1 | 1)
    poke(space, design.maps + 8 * (count + 1), 8, table)
    poke(space, design.maps, 8, count + 1)
    return table


@njit
def create(space, design):
    """A cgroup with a kernfs node, which has an id that never comes again."""
    cgroup, token = allocate(space, design.cgroup_cache, 0)
    node, node_token = allocate(space, design.node_cache, 0)
    if cgroup == 0 or node == 0:
        return 0
    store(space, cgroup + design.kn_offset, 8, node, token, node_token)
    store(space, node + design.id_offset, 8, new_id(space, design.ids) + 1, node_token, 0)
    return cgroup


@njit
def _identity(space, design, cgroup):
    """The id, without a cost: user space has it."""
    return peek(space, peek(space, cgroup + design.kn_offset, 8) + design.id_offset, 8)


@njit
def bucket_of(space, design, table, identity, token):
    """(bucket's address, hash, token): from the map's header and the key on the stack."""
    _, size_token = load(space, table + design.key_size_offset, 4, token)
    seed, seed_token = load(space, table + design.hashrnd_offset, 4, token)
    _, high_token = load(space, design.key_buffer + 4, 4, 0)
    _, low_token = load(space, design.key_buffer, 4, 0)
    count, count_token = load(space, table + design.n_buckets_offset, 4, token)
    buckets, buckets_token = load(space, table + design.buckets_offset, 8, token)
    hashed = jhash_u64(identity, seed)
    words = join(space, join(space, size_token, seed_token), join(space, high_token, low_token))
    all_tokens = join(space, words, join(space, count_token, buckets_token))
    where = compute(space, all_tokens, _HASH_ALU, 0, 0)
    return buckets + BUCKET_BYTES * (hashed & (count - 1)), hashed, where


@njit
def find_element(space, design, bucket, hashed, identity, token):
    """Walk a chain; returns (element or 0, token of its address)."""
    element, element_token = load(space, bucket, 8, token)
    while element & 1 == 0:
        branch(space, _SITE_END, False, element_token)
        found, found_token = load(space, element + design.hash_offset, 4, element_token)
        branch(space, _SITE_HASH, found == hashed, found_token)
        if found == hashed:
            load(space, design.key_buffer, 8, 0)
            key, _ = load(space, element + design.key_offset, 8, element_token)
            if key == identity:
                return element, element_token
        element, element_token = load(space, element, 8, element_token)
        work(space, _STEP_WORK, 0)
    branch(space, _SITE_END, True, element_token)
    return 0, 0


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The datum of the cgroup in the map `key`."""
    if design.reads_id != 0:
        node, node_token = load(space, cgroup + design.kn_offset, 8, token)
        identity, id_token = load(space, node + design.id_offset, 8, node_token)
        store(space, design.key_buffer, 8, identity, 0, id_token)
    else:
        identity = _identity(space, design, cgroup)
        poke(space, design.key_buffer, 8, identity)
    bucket, hashed, where = bucket_of(space, design, key, identity, key_token)
    element, element_token = find_element(space, design, bucket, hashed, identity, where)
    if element == 0:
        for _ in range(design.miss_calls):
            call_and_return(space)
        work(space, design.miss_work, design.miss_branches)
        return 0, 0
    for _ in range(design.hit_calls):
        call_and_return(space)
    work(space, design.hit_work, design.hit_branches)
    if design.lru != 0:
        used, _ = load(space, element + _REF, 1, element_token)
        if used == 0:
            store(space, element + _REF, 1, 1, element_token, 0)
    size_token = 0
    if design.checks_size != 0:
        _, size_token = load(space, key + design.key_size_offset, 4, key_token)
    if design.percpu != 0:
        both = join(space, element_token, size_token)
        area, area_token = load(space, element + design.datum_offset, 8, both)
        offset, _ = load(space, design.cpu_offset, 8, 0)
        return area + offset, compute(space, area_token, 1, 0, 0)
    return element + design.datum_offset, compute(space, element_token, 1, 0, 0)


@njit
def insert(space, design, cgroup, key, token):
    """Update: hash, take an element, link it at the chain's head under the bucket's lock.

    An element that has the key already is taken out after the new one is in (BPF_ANY).
    """
    identity = _identity(space, design, cgroup)
    poke(space, design.key_buffer, 8, identity)
    element, element_token = allocate(space, design.value_cache, token)
    if element == 0:
        return 0
    datum = element + design.datum_offset
    if design.percpu != 0:
        area, area_token = allocate(space, design.area_cache, token)
        if area == 0:
            return 0
        store(space, datum, 8, area, element_token, area_token)
        datum = area
    bucket, hashed, where = bucket_of(space, design, key, identity, token)
    work(space, 120, 15)
    store(space, element + design.hash_offset, 4, hashed, element_token, where)
    store(space, element + design.key_offset, 8, identity, element_token, 0)
    spin_lock(space, bucket + _BUCKET_LOCK, where)
    old, old_token = find_element(space, design, bucket, hashed, identity, where)
    first, first_token = load(space, bucket, 8, where)
    store(space, element, 8, first, element_token, first_token)
    store(space, element + 8, 8, bucket, element_token, where)
    if first & 1 == 0:
        store(space, first + 8, 8, element, first_token, element_token)
    store(space, bucket, 8, element, where, element_token)
    if old != 0:
        _unlink(space, old, old_token)
    spin_unlock(space, bucket + _BUCKET_LOCK, where)
    if old != 0:
        _free(space, design, old, old_token)
    return datum


@njit
def _unlink(space, element, token):
    """hlist_nulls_del_rcu: the word that points here takes the next element."""
    following, following_token = load(space, element, 8, token)
    pointer, pointer_token = load(space, element + 8, 8, token)
    store(space, pointer, 8, following, pointer_token, following_token)
    if following & 1 == 0:
        store(space, following + 8, 8, pointer, following_token, pointer_token)


@njit
def _free(space, design, element, token):
    """Free an element, and its percpu area, after a grace period."""
    if design.percpu != 0:
        area, area_token = load(space, element + design.datum_offset, 8, token)
        retire(space, design.area_cache, area, area_token)
    retire(space, design.value_cache, element, token)


@njit
def remove(space, design, cgroup, key, token):
    """Delete: find and unlink under the bucket's lock, free after a grace period."""
    identity = _identity(space, design, cgroup)
    poke(space, design.key_buffer, 8, identity)
    bucket, hashed, where = bucket_of(space, design, key, identity, token)
    work(space, 100, 12)
    spin_lock(space, bucket + _BUCKET_LOCK, where)
    element, element_token = find_element(space, design, bucket, hashed, identity, where)
    if element != 0:
        _unlink(space, element, element_token)
    spin_unlock(space, bucket + _BUCKET_LOCK, where)
    if element == 0:
        return False
    _free(space, design, element, element_token)
    return True


@njit
def teardown(space, design, cgroup, token):
    """Delete the cgroup's element in every map, then free the cgroup."""
    for i in range(peek(space, design.maps, 8)):
        remove(space, design, cgroup, peek(space, design.maps + 8 * (i + 1), 8), token)
    release(space, design.node_cache, peek(space, cgroup + design.kn_offset, 8), token)
    release(space, design.cgroup_cache, cgroup, token)


def _variant(name, title, mirrors, chain):
    return add_design(
        Design(
            name=name,
            title=title,
            mirrors=mirrors,
            parameters=HashMap,
            prepare=prepare,
            register=register,
            create=create,
            insert=insert,
            lookup=lookup,
            remove=remove,
            teardown=teardown,
            reader_side="rcu",
            max_keys=_MAX_MAPS,
            sized_by_cgroups=True,
            options={"kind": "inlined" if name == "htab" else name, "reads_id": True},
            loads_to_datum=chain,
        )
    )


_CHAIN = (
    "cgroup.kn -> id, map.buckets -> bucket[hash(cgroup id)] -> element (+1 per collision) -> datum"
)
DESIGN = _variant(
    "htab", "BPF hash map keyed by cgroup id", "__htab_map_lookup_elem, as inlined", _CHAIN
)
PERCPU = _variant(
    "percpu-htab", "BPF percpu hash map", "htab_percpu_map_lookup_elem", _CHAIN + " (this CPU's)"
)
LRU = _variant("lru-htab", "BPF LRU hash map", "htab_lru_map_lookup_elem", _CHAIN)
