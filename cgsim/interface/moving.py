"""What is written while a buffer is copied to a larger place.

Attach copies word by word, then publishes the new buffer. A program that runs on another CPU in the
middle still writes to the old one: if the copy has passed that word, the write is lost. Here one
packet runs after each word that is copied, as on a busy host.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.heap import Heap, allocate
from cgsim.core.space import load, store
from cgsim.interface.attach import Attachments, run_packet
from cgsim.interface.program import COUNTER, MY_DATA_BYTES
from cgsim.kernel import load_kernel

_HEAP_BYTES = 1 << 26
_LARGER_BYTES = 8192


class Moved(NamedTuple):
    """Of the packets that ran while a buffer was copied, and of all programs' counts for them."""

    packets: int
    counts: int
    lost: int


@njit
def _copy(space, shape, field, cache, old_bytes, sock, programs, code):
    """Replace a buffer, one packet of `sock` after each word; returns how many packets."""
    new, _ = allocate(space, cache, 0)
    packets = 0
    if new != 0:
        old, _ = load(space, field, 8, 0)
        for offset in range(0, old_bytes, 8):
            word, _ = load(space, old + offset, 8, 0)
            store(space, new + offset, 8, word, 0, 0)
            run_packet(space, shape, sock, programs, code)
            packets += 1
        store(space, field, 8, new, 0, 0)
    return packets


def written_while_copied(n_programs: int = 4, kernel: str = "7.3.4") -> Moved:
    """Copy the buffer of a cgroup whose programs count packets, and count what is lost.

    n_programs : 1..64, with 16 bytes of the buffer each.
    """
    heap = Heap(_HEAP_BYTES, seed=1)
    larger = heap.add_cache("cgroup_buffer", _LARGER_BYTES)
    stand = Attachments(heap, load_kernel(kernel), [-1])
    numbers = stand.attach_all(COUNTER, [0] * n_programs)
    stand.force("pointer")
    field = stand.cgroups[0] + stand.shape.buffer_offset
    arguments: tuple[Any, ...] = (stand.sockets[0], stand.table, stand.code)
    packets = _copy(stand.space, stand.shape, field, larger, n_programs * MY_DATA_BYTES, *arguments)
    counted = sum(heap.read(stand.part(number, 0)) for number in numbers)
    return Moved(packets, packets * n_programs, packets * n_programs - counted)
