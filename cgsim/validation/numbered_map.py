"""A BPF hash map whose keys are small numbers, as the kernel's benchmarks of it use one."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return, redirect
from cgsim.core.space import compute, join, load, peek, poke, store, work
from cgsim.designs.base import lookup
from cgsim.designs.hash_map import BUCKET_BYTES, HashMap, bucket_of, find_element
from cgsim.designs.jhash import jhash_u64
from cgsim.designs.local_storage import LocalStorage
from cgsim.scenarios.play import add_operation

# array_of_map_gen_lookup: the index is bound-checked and scaled, the slot is tested
_OUTER_WORK, _OUTER_BRANCHES = 8, 2


class NumberedMap(NamedTuple):
    """A lookup of a number that the caller has put on its stack.

    table : the map's address. outer : of the array of maps that holds it, 0: none. retpoline :
    ticks of the indirect call into a map that the verifier did not know, 0: a direct call.
    """

    map: HashMap
    table: int
    outer: int
    retpoline: int


class OuterStorage(NamedTuple):
    """A get from the local storage map that an array of maps has at the index `key`."""

    storage: LocalStorage
    outer: int


@njit
def inner_map(space, outer, index):
    """An array of maps, as the verifier inlines its lookup: (map's address, token)."""
    work(space, _OUTER_WORK, _OUTER_BRANCHES)
    return load(space, outer + 8 * index, 8, 0)


@njit
def outer_call(space, parameters, owner, key, token, key_token):
    """Get the datum of `owner` in the map number `key`; returns (its address or 0, token)."""
    table, table_token = inner_map(space, parameters.outer, key)
    return lookup(space, parameters.storage, owner, table, token, table_token)


@njit
def numbered_call(space, parameters, owner, key, token, key_token):
    """Look the number `owner` up; returns (value's address or 0, token)."""
    design = parameters.map
    table_token = 0
    if parameters.outer != 0:
        _, table_token = inner_map(space, parameters.outer, 0)
    if parameters.retpoline != 0:
        redirect(space, parameters.retpoline)
    store(space, design.key_buffer, 8, owner, 0, token)
    bucket, hashed, where = bucket_of(
        space, design, parameters.table, owner, join(space, token, table_token)
    )
    element, element_token = find_element(space, design, bucket, hashed, owner, where)
    for _ in range(design.hit_calls):
        call_and_return(space)
    work(space, design.hit_work, design.hit_branches)
    return element + design.datum_offset, compute(space, element_token, 1, 0, 0)


@njit
def fill_numbered(space, design, table, elements, stride, count):
    """Put the numbers below `count` into a map; elements lie at `elements`, `stride` apart."""
    buckets = peek(space, table + design.buckets_offset, 8)
    mask = peek(space, table + design.n_buckets_offset, 4) - 1
    seed = peek(space, table + design.hashrnd_offset, 4)
    for number in range(count):
        element = elements + stride * number
        hashed = jhash_u64(number, seed)
        bucket = buckets + BUCKET_BYTES * (hashed & mask)
        poke(space, element + design.hash_offset, 4, hashed)
        poke(space, element + design.key_offset, 8, number)
        poke(space, element, 8, peek(space, bucket, 8))
        poke(space, bucket, 8, element)


add_operation(NumberedMap, numbered_call)
add_operation(OuterStorage, outer_call)
