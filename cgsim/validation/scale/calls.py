"""What the measured loops call where that is not a design's lookup alone.

A caller's own stores are part of what was measured: the key of a map on the stack, the array item
of the program that runs.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.space import branch, compute, load, peek, store, work
from cgsim.designs.array_map import ArrayMap, look_up
from cgsim.designs.base import lookup
from cgsim.designs.cgroup_storage import CgroupStorage
from cgsim.designs.hash_map import HashMap
from cgsim.scenarios.play import add_operation

_SITE_END, _SITE_MATCH = 0x700, 0x701
# dev_get_by_index_rcu: 14 instructions for the first device and 8 for each further one, 3 of them
# branches, as recorded; besides the accesses and the two branches below
_ENTRY_WORK, _STEP_WORK, _STEP_BRANCHES = 9, 4, 1


class EmptyCall(NamedTuple):
    """A function that returns its first argument."""

    instructions: int


@njit
def empty_call(space, parameters, owner, key, token, key_token):
    """The argument."""
    work(space, parameters.instructions, 0)
    return owner, token


class MapCall(NamedTuple):
    """A lookup in a hash map by an id that the caller has put on its stack."""

    map: HashMap
    table: int


@njit
def map_call(space, parameters, owner, key, token, key_token):
    """Store the id of the cgroup `owner`, then look it up."""
    design = parameters.map
    identity = peek(space, owner + design.id_offset, 8)
    store(space, design.key_buffer, 8, identity, 0, token)
    return lookup(space, design, owner, parameters.table, 0, 0)


class ArrayCall(NamedTuple):
    """A lookup in an array map by an index that the caller has put on its stack."""

    map: ArrayMap
    array: int


@njit
def array_call(space, parameters, owner, key, token, key_token):
    """Store the index `owner`, then look it up."""
    store(space, parameters.map.key_buffer, 4, owner, 0, token)
    return look_up(space, parameters.map, parameters.array, owner, 0)


class StorageCall(NamedTuple):
    """A program's cgroup storage; the caller says which array item runs."""

    storage: CgroupStorage


@njit
def storage_call(space, parameters, owner, key, token, key_token):
    """Store the address of the cgroup's item into the run context, then get the storage."""
    design = parameters.storage
    array = peek(space, owner + design.effective_offset, 8)
    item = array + design.items_offset + design.item_bytes * key
    store(space, design.run_context, 8, item, 0, token)
    return lookup(space, design, owner, key, 0, 0)


class DeviceHash(NamedTuple):
    """dev_get_by_index_rcu: offsets in bytes, of net, the hash heads and net_device."""

    heads_offset: int
    node_offset: int
    index_offset: int
    mask: int


@njit
def device_by_index(space, parameters, owner, key, token, key_token):
    """The device `key` of the network namespace `owner`: two lines of each device met."""
    work(space, _ENTRY_WORK, 1)
    heads, heads_token = load(space, owner + parameters.heads_offset, 8, token)
    bucket = heads + 8 * (key & parameters.mask)
    node, node_token = load(space, bucket, 8, compute(space, heads_token, 0, 0, 1))
    while node != 0:
        branch(space, _SITE_END, False, node_token)
        device = node - parameters.node_offset
        index, index_token = load(space, device + parameters.index_offset, 4, node_token)
        branch(space, _SITE_MATCH, index == key, index_token)
        if index == key:
            return device, compute(space, node_token, 1, 0, 0)
        node, node_token = load(space, node, 8, node_token)
        work(space, _STEP_WORK, _STEP_BRANCHES)
    branch(space, _SITE_END, True, node_token)
    return 0, 0


add_operation(EmptyCall, empty_call)
add_operation(MapCall, map_call)
add_operation(ArrayCall, array_call)
add_operation(StorageCall, storage_call)
add_operation(DeviceHash, device_by_index)
