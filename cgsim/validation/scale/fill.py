"""Loops that fill structures before the loops run, in the native reading."""

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate
from cgsim.core.space import peek, poke
from cgsim.designs.base import create, insert
from cgsim.scenarios.play import look_up

_NEVER = 1 << 62  # a watermark that no charge reaches


@njit
def fill(space, design, owners, keys):
    """Create an owner for each place of `owners`, with a datum for every key, keys[0] found first.

    owners : int64[n], overwritten with addresses. Returns how many allocations failed.
    """
    failed = 0
    for i in range(owners.size):
        owners[i] = create(space, design)
        if owners[i] == 0:
            return 1
        for k in range(keys.size - 1, -1, -1):
            if insert(space, design, owners[i], keys[k], 0) == 0:
                failed += 1
    return failed


@njit
def look_up_all(space, design, owners, key):
    """Look a key up in every owner, for what that leaves behind."""
    for i in range(owners.size):
        look_up(space, design, owners[i], key)


@njit
def add_devices(space, design, caches, owners, indices):
    """A network namespace with its hash heads per owner, and a device for each index."""
    for i in range(owners.size):
        net = allocate(space, caches[0], 0)[0]
        heads = allocate(space, caches[1], 0)[0]
        poke(space, net + design.heads_offset, 8, heads)
        owners[i] = net
        for k in range(indices.size - 1, -1, -1):
            device = allocate(space, caches[2], 0)[0]
            bucket = heads + 8 * (indices[k] & design.mask)
            poke(space, device + design.index_offset, 4, indices[k])
            poke(space, device + design.node_offset, 8, peek(space, bucket, 8))
            poke(space, bucket, 8, device + design.node_offset)


@njit
def add_counters(space, design, cache, counter, owners):
    """A page counter per owner and one root; their watermarks are never reached."""
    root = 0
    for i in range(-1, owners.size):
        address = allocate(space, cache, 0)[0] + counter
        for offset in (design.max_offset, design.watermark_offset, design.local_watermark_offset):
            poke(space, address + offset, 8, _NEVER)
        poke(space, address + design.parent_offset, 8, root)
        if i < 0:
            root = address
        else:
            owners[i] = address
