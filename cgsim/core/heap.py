"""The simulated slab allocator.

Each cache hands out objects of one size from slabs of 2^order pages, as SLUB does: sizes rounded up
to a kmalloc class or to the alignment, a freelist threaded through the free objects themselves, at
their middle, in random order inside a slab (CONFIG_SLAB_FREELIST_RANDOM, the distributions'
default). The allocator's own reads and writes go through the space's primitives, so allocating has
a cost in the timed reading.

Every page knows its cache, NUMA node, page size and slab: the page map turns any address into
(cache, object, offset) at once, for attribution and for traces.

Sources: mm/slub.c (calculate_order, freelist_ptr at the object's middle since 5.7),
mm/slab_common.c (kmalloc classes) of Linux 6.12.
"""

from dataclasses import dataclass

import numpy as np

from cgsim.compile.block_access import add, get, put
from cgsim.compile.jit import njit
from cgsim.core.host_memory import address_of, reserve
from cgsim.core.rng import random_below, shuffled_range
from cgsim.core.space import load, peek, poke, store, work
from cgsim.core.translation import PAGE_1G, PAGE_2M, PAGE_4K

__all__ = ["PAGE_1G", "PAGE_2M", "PAGE_4K", "Cache", "Heap", "allocate", "release", "retire"]

PAGE_SHIFT = 12
PAGE_BYTES = 1 << PAGE_SHIFT
KMALLOC_CLASSES = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)

NODE_SHIFT, CACHE_SHIFT, SLAB_SHIFT = 8, 16, 32
CACHE_MASK = 0xFFFF

FIRST_PAGE = 512  # 2 MiB kept free: no object near NULL
_CPU_SLABS = 64 * 1024  # in there: the caches' percpu freelist heads

# The heap block: a header, then one record per cache.
(PAGES_USED, PAGES_LIMIT, PAGE_MAP, SEED, SLABS, PENDING_BYTES, HEADER) = range(7)
(
    STRIDE,
    PAGES_PER_SLAB,
    OBJECTS_PER_SLAB,
    PAGE_ENTRY,  # the page map's low bits for pages of this cache
    CPU_SLAB,  # simulated address of the cache's freelist head
    LIVE,
    CACHE_SLABS,
    PENDING,  # simulated address of the first object that waits for a grace period
    CACHE_FIELDS,
) = range(9)
MAX_CACHES = 128


@dataclass(frozen=True)
class Cache:
    """One slab cache: `struct` names the objects, `object_bytes` is their C size."""

    name: str
    struct: str
    object_bytes: int
    stride_bytes: int
    slab_bytes: int
    objects_per_slab: int


def kmalloc_bytes(size):
    """The kmalloc class that serves a request; above 8 KiB, whole pages of a power of two."""
    for bytes_ in KMALLOC_CLASSES:
        if size <= bytes_:
            return bytes_
    return 1 << max(int(size) - 1, 1).bit_length()


def slab_order(stride, cpus):
    """SLUB's calculate_order: the order of a cache's slabs on a machine of `cpus` CPUs.

    Smallest order up to 3 that holds min_objects = 4 * (fls(cpus) + 1) and wastes at most 1/16,
    then 1/8, 1/4, 1/2 of the slab; larger objects take the order that holds one.
    """
    max_order = 3
    largest = (PAGE_BYTES << max_order) // stride
    wanted = min(4 * (int(cpus).bit_length() + 1), max(largest, 1))
    lowest = max(int(wanted * stride - 1) // PAGE_BYTES, 0).bit_length()
    for fraction in (16, 8, 4, 2):
        for order in range(lowest, max_order + 1):
            slab = PAGE_BYTES << order
            if slab >= stride and slab % stride <= slab // fraction:
                return order
    return max(int(stride - 1) // PAGE_BYTES, 0).bit_length()


class Heap:
    """A simulated memory with its slab caches. Add the caches first, then allocate.

    Parameters
    ----------
    memory_bytes : int
        Size of the simulated memory (bytes); the host pays only for what is touched.
    seed : int
        Decides the order of each slab's freelist.
    cpus : int
        CPUs of the machine: SLUB sizes its slabs by them.
    """

    def __init__(self, memory_bytes, *, seed, cpus=64):
        self.memory_bytes = int(memory_bytes)
        self.cpus = cpus
        self.caches = []
        pages = self.memory_bytes >> PAGE_SHIFT
        self._memory = reserve(self.memory_bytes)
        self._page_map = reserve(pages * 8)
        self._block = np.zeros(HEADER + MAX_CACHES * CACHE_FIELDS, dtype=np.int64)
        self._block[PAGES_USED] = FIRST_PAGE
        self.page_table = self._reserve_page_table(pages)
        self._block[PAGE_MAP] = address_of(self._page_map)
        self._block[SEED] = seed
        # kmem_cache_cpu of each cache: a line of its own, hot on the CPU that allocates
        cpu_slabs = self.add_cache("percpu:kmem_cache_cpu", 64)
        first = _CPU_SLABS >> PAGE_SHIFT
        for page in range(first, first + -(-64 * MAX_CACHES >> PAGE_SHIFT)):
            self._page_map[page] = PAGE_2M | cpu_slabs << CACHE_SHIFT | first << SLAB_SHIFT

    def _reserve_page_table(self, pages):
        """Keep the last pages for the entries of 8 bytes that map all pages; their address.

        Nothing is stored there: page walks look for these lines in the caches.
        """
        table = pages - -(-8 * pages // PAGE_BYTES)
        self._block[PAGES_LIMIT] = table
        return table << PAGE_SHIFT

    @property
    def mem(self):
        """Raw address of the simulated memory."""
        return address_of(self._memory)

    @property
    def block(self):
        """Raw address of the heap block."""
        return address_of(self._block)

    @property
    def page_map(self):
        """The page map: int64[pages]."""
        return self._page_map

    def add_cache(
        self,
        struct,
        object_bytes,
        *,
        stride_bytes=None,
        slab_bytes=None,
        node=0,
        page_size=PAGE_2M,
        name=None,
    ):
        """Add a cache for objects of `struct`; returns its number, which `allocate` takes.

        `stride_bytes` defaults to the kmalloc class; `slab_bytes` to SLUB's choice.
        """
        if len(self.caches) == MAX_CACHES:
            raise ValueError(f"at most {MAX_CACHES} caches")
        stride = kmalloc_bytes(object_bytes) if stride_bytes is None else stride_bytes
        slab = (PAGE_BYTES << slab_order(stride, self.cpus)) if slab_bytes is None else slab_bytes
        number = len(self.caches)
        per_slab = slab // stride
        self.caches.append(
            Cache(name or f"kmalloc-{stride}", struct, object_bytes, stride, slab, per_slab)
        )
        entry = page_size | node << NODE_SHIFT | number << CACHE_SHIFT
        at = HEADER + number * CACHE_FIELDS
        self._block[at + STRIDE] = stride
        self._block[at + PAGES_PER_SLAB] = slab >> PAGE_SHIFT
        self._block[at + OBJECTS_PER_SLAB] = per_slab
        self._block[at + PAGE_ENTRY] = entry
        self._block[at + CPU_SLAB] = _CPU_SLABS + 64 * number
        return number

    def place(self, struct, object_bytes, *, name=None, node=0, page_size=PAGE_2M):
        """One object outside any slab (a static or percpu one); returns its simulated address.

        It has pages of its own; `resolve` and the statistics know it as a cache of one object.
        """
        pages = -(-object_bytes // PAGE_BYTES)
        number = self.add_cache(
            struct,
            object_bytes,
            stride_bytes=pages * PAGE_BYTES,
            slab_bytes=pages * PAGE_BYTES,
            node=node,
            page_size=page_size,
            name=name or struct,
        )
        record = HEADER + number * CACHE_FIELDS
        address = take_pages(self.block, pages, int(self._block[record + PAGE_ENTRY]))
        if address == 0:
            raise MemoryError("the simulated memory is exhausted")
        self._block[record + CACHE_SLABS] += 1
        self._block[record + LIVE] += 1
        return address

    def write(self, address, value):
        """Write an int64 into the simulated memory, for set-up."""
        self._memory[address >> 3] = value

    def words(self, address, count):
        """int64[count], a view of the simulated memory from an address on, for set-up."""
        return self._memory[address >> 3 : (address >> 3) + count]

    def read(self, address):
        """The int64 at a simulated address."""
        return int(self._memory[address >> 3])

    def live(self, cache):
        """Objects allocated and not yet freed."""
        return int(self._block[HEADER + cache * CACHE_FIELDS + LIVE])

    def slabs(self, cache):
        """Slabs that the cache has taken."""
        return int(self._block[HEADER + cache * CACHE_FIELDS + CACHE_SLABS])

    @property
    def pending_bytes(self):
        """Bytes that wait for an RCU grace period."""
        return int(self._block[PENDING_BYTES])

    def retired(self, cache):
        """Addresses of a cache's objects that wait for a grace period, the youngest first."""
        address = int(self._block[HEADER + cache * CACHE_FIELDS + PENDING])
        stride = self.caches[cache].stride_bytes
        found = []
        while address != 0:
            found.append(address)
            address = self.read(address + stride - 8)
        return found

    def resolve(self, address):
        """(cache number, object number in its slab, slab's address, offset) of an address.

        Raises KeyError for an address in no slab.
        """
        entry = int(self._page_map[address >> PAGE_SHIFT])
        if entry == 0:
            raise KeyError(f"address {address:#x} lies in no object")
        cache = entry >> CACHE_SHIFT & CACHE_MASK
        slab = (entry >> SLAB_SHIFT) << PAGE_SHIFT
        number, offset = divmod(address - slab, self.caches[cache].stride_bytes)
        return cache, number, slab, offset


@njit(forceinline=True)
def _cache(space, cache):
    return space.heap + 8 * (HEADER + cache * CACHE_FIELDS)


@njit
def take_pages(heap, pages, entry):
    """Take `pages` aligned pages from the page allocator; returns their address, 0 if none is left.

    `entry`: the page map's low bits for them.
    """
    first = -(-get(heap, PAGES_USED) // pages) * pages
    if first + pages > get(heap, PAGES_LIMIT):
        return 0
    put(heap, PAGES_USED, first + pages)
    page_map = get(heap, PAGE_MAP)
    for page in range(first, first + pages):
        put(page_map, page, entry | first << SLAB_SHIFT)
    return first << PAGE_SHIFT


@njit
def _link_slab(mem, heap, record, slab):
    """Thread a new slab's objects on a freelist in random order; returns its first object."""
    stride = get(record, STRIDE)
    objects = get(record, OBJECTS_PER_SLAB)
    middle = stride // 2 & ~7
    stream = get(heap, SLABS)
    add(heap, SLABS, 1)
    add(record, CACHE_SLABS, 1)
    order = np.empty(objects, dtype=np.int64)
    shuffled_range(order, get(heap, SEED), stream)
    following = 0
    for i in range(objects - 1, -1, -1):
        address = slab + order[i] * stride
        put(mem + address + middle, 0, following)
        following = address
    return following


@njit
def _new_slab(mem, heap, record):
    slab = take_pages(heap, get(record, PAGES_PER_SLAB), get(record, PAGE_ENTRY))
    if slab == 0:
        return 0
    return _link_slab(mem, heap, record, slab)


@njit
def prefill(space, cache, objects, seed):
    """Age a cache: make room for `objects` more and shuffle the whole freelist over all slabs.

    What a long uptime does to a busy cache: consecutive allocations lie in unrelated slabs.
    Returns False if the memory is exhausted.
    """
    record = _cache(space, cache)
    head = get(record, CPU_SLAB)
    middle = get(record, STRIDE) // 2 & ~7
    per_slab = get(record, OBJECTS_PER_SLAB)
    slabs = -(-objects // per_slab)
    order = np.empty(slabs * per_slab, dtype=np.int64)
    for i in range(slabs):
        slab = take_pages(space.heap, get(record, PAGES_PER_SLAB), get(record, PAGE_ENTRY))
        if slab == 0:
            return False
        add(record, CACHE_SLABS, 1)
        for j in range(per_slab):
            order[i * per_slab + j] = slab + j * get(record, STRIDE)
    following = peek(space, head, 8)
    for i in range(order.size - 1, -1, -1):
        j = random_below(seed, cache, i, i + 1)
        order[i], order[j] = order[j], order[i]
        put(space.mem + order[i] + middle, 0, following)
        following = order[i]
    poke(space, head, 8, following)
    return True


@njit
def allocate(space, cache, token):
    """kzalloc: one zeroed object; returns (address, token), address 0 if memory is exhausted."""
    record = _cache(space, cache)
    head = get(record, CPU_SLAB)
    stride = get(record, STRIDE)
    # fast path of slab_alloc_node: read the CPU's freelist, its next pointer, swap it in
    work(space, 20, 4)
    address, address_token = load(space, head, 8, token)
    if address == 0:
        work(space, 200, 30)
        address = _new_slab(space.mem, space.heap, record)
        address_token = token
        if address == 0:
            return 0, token
    following, following_token = load(space, address + (stride // 2 & ~7), 8, address_token)
    store(space, head, 8, following, token, following_token)
    add(record, LIVE, 1)
    for offset in range(0, stride, 64):
        store(space, address + offset, 8, 0, address_token, 0)
    for offset in range(0, stride, 8):
        poke(space, address + offset, 8, 0)
    return address, address_token


@njit
def release(space, cache, address, token):
    """kfree: back on the CPU's freelist."""
    record = _cache(space, cache)
    head = get(record, CPU_SLAB)
    work(space, 15, 3)
    following, following_token = load(space, head, 8, token)
    middle = get(record, STRIDE) // 2 & ~7
    store(space, address + middle, 8, following, token, following_token)
    store(space, head, 8, address, token, token)
    add(record, LIVE, -1)


@njit
def retire(space, cache, address, token):
    """kfree_rcu: the object waits for a grace period, linked through its last word."""
    record = _cache(space, cache)
    stride = get(record, STRIDE)
    work(space, 25, 4)
    store(space, address + stride - 8, 8, get(record, PENDING), token, token)
    put(record, PENDING, address)
    add(space.heap, PENDING_BYTES, stride)


@njit
def grace_period(space, cache):
    """All readers have left: free what was retired from a cache; returns the number of objects."""
    record = _cache(space, cache)
    stride = get(record, STRIDE)
    freed = 0
    address = get(record, PENDING)
    while address != 0:
        following = peek(space, address + stride - 8, 8)
        release(space, cache, address, 0)
        address = following
        freed += 1
    put(record, PENDING, 0)
    add(space.heap, PENDING_BYTES, -stride * freed)
    return freed
