"""Direct: Alexei Starovoitov's zero lookup. The cgroup points to one buffer that programs divide.

The verifier knows the size a program asks for, attach allocates the cgroup's buffer, and each
program has a fixed offset in it. At worst a program loads the buffer's address from the cgroup;
at best (`inlined`) a program attached to one cgroup has the address in its text and loads
nothing.

There is no absent datum: a program that runs for a cgroup has been attached to it, so nothing is
checked at run time. Asking for a key that was never installed returns an address all the same.
"""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release
from cgsim.core.space import load, peek, poke, store, work
from cgsim.designs.base import Design, add_design
from cgsim.designs.ids import new_id
from cgsim.designs.objects import cgroup_cache, field_offset

_BUFFER_KEYS = 64  # BPF_CGROUP_MAX_PROGS: programs attached to one cgroup and type


class Direct(NamedTuple):
    """Parameters of the direct design: caches and offsets in bytes."""

    cgroup_cache: int
    value_cache: int  # the buffer
    ids: int
    pointer_offset: int
    value_bytes: int
    datum_offset: int
    keys: int
    inlined: int


def prepare(heap, kernel, *, inlined=False, value_bytes=16, keys=_BUFFER_KEYS):
    """`keys`: programs the buffer has room for; `inlined`: the address stands in the program."""
    pointer = field_offset(kernel)
    cgroups = cgroup_cache(heap, kernel, 8)
    stride = -(-value_bytes // 8) * 8
    buffers = heap.add_cache("cgroup_buffer", stride * keys)
    ids = heap.place("global:ids", 64)
    return Direct(cgroups, buffers, ids, pointer, stride, 0, keys, int(inlined))


@njit
def register(space, design):
    """The key is the program's place in the buffer, known when it is attached."""
    return new_id(space, design.ids)


@njit
def create(space, design):
    """A cgroup without a buffer."""
    return allocate(space, design.cgroup_cache, 0)[0]


@njit
def lookup(space, design, cgroup, key, token, key_token):
    """The address of the program's part of the buffer."""
    if design.inlined != 0:
        work(space, 1, 0)
        return peek(space, cgroup + design.pointer_offset, 8) + design.value_bytes * key, 0
    buffer, buffer_token = load(space, cgroup + design.pointer_offset, 8, token)
    work(space, 1, 0)
    return buffer + design.value_bytes * key, buffer_token


@njit
def insert(space, design, cgroup, key, token):
    """Attach: the first program of a cgroup has its buffer allocated."""
    if key >= design.keys:
        return 0
    pointer = cgroup + design.pointer_offset
    buffer, buffer_token = load(space, pointer, 8, token)
    if buffer == 0:
        buffer, buffer_token = allocate(space, design.value_cache, token)
        if buffer == 0:
            return 0
        store(space, pointer, 8, buffer, token, buffer_token)
    return buffer + design.value_bytes * key


@njit
def remove(space, design, cgroup, key, token):
    """Detach: the buffer stays as long as the cgroup; the program's part is cleared."""
    buffer, buffer_token = load(space, cgroup + design.pointer_offset, 8, token)
    if buffer == 0:
        return False
    for offset in range(0, design.value_bytes, 8):
        store(space, buffer + design.value_bytes * key + offset, 8, 0, buffer_token, 0)
    return True


@njit
def teardown(space, design, cgroup, token):
    """Free the buffer and the cgroup."""
    buffer, buffer_token = load(space, cgroup + design.pointer_offset, 8, token)
    if buffer != 0:
        release(space, design.value_cache, buffer, buffer_token)
        poke(space, cgroup + design.pointer_offset, 8, 0)
    release(space, design.cgroup_cache, cgroup, token)


def _variant(name, title, mirrors, chain, options):
    return add_design(
        Design(
            name=name,
            title=title,
            mirrors=mirrors,
            parameters=Direct,
            prepare=prepare,
            register=register,
            create=create,
            insert=insert,
            lookup=lookup,
            remove=remove,
            teardown=teardown,
            reader_side="none",
            checks_presence=False,
            max_keys=_BUFFER_KEYS,
            options=options,
            loads_to_datum=chain,
            sized_by_keys=True,
            needs_cgroup=not options.get("inlined", False),
        )
    )


DESIGN = _variant(
    "direct",
    "no lookup: buffer pointer in the cgroup",
    "bpf_get_cgroup_buf as proposed in the thread, worst case",
    "cgroup.buffer -> datum",
    {},
)
INLINED = _variant(
    "direct-inlined",
    "no lookup: address inlined at attach",
    "bpf_get_cgroup_buf as proposed in the thread, best case",
    "datum (its address is an immediate)",
    {"inlined": True},
)
