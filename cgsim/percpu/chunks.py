"""The kernel's percpu allocator: chunks of units, packed owners, rounding.

Mirrors mm/percpu.c of Linux 6.12. A chunk is one unit per possible CPU, all of one size; the same
offset in each unit is one allocation, so a CPU's copy lies a fixed stride from the next one's.
Allocations are rounded to 4 bytes (PCPU_MIN_ALLOC_SIZE) and packed: small ones of different owners
share a line, of one and the same CPU. The first chunk holds the static percpu variables and lies in
the linear map with its huge pages; later chunks are vmalloc'ed, 4 KiB pages, populated for all
possible CPUs when the first allocation touches them.

From memory: the unit of 256 KiB on x86-64 (static, reserved and dynamic areas of about 230 KiB, as
many to 2 MiB as fit), taken by later chunks too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.core.heap import PAGE_2M, PAGE_4K
from cgsim.errors import UserError

if TYPE_CHECKING:
    from cgsim.core.heap import Heap

UNIT_BYTES = 256 << 10
MIN_ALLOCATION_BYTES = 4
PAGE_BYTES = 4096
OWNER_BYTES = 8
"""Per 4 bytes of a unit, once per chunk: whom to charge (struct obj_cgroup *)."""
_BITMAP_BYTES = 2 * UNIT_BYTES // MIN_ALLOCATION_BYTES // 8
_FIRST_OFFSET = 4096


def percpu_bytes(size: int) -> int:
    """Bytes of one CPU's copy, as the allocator rounds it."""
    return -(-size // MIN_ALLOCATION_BYTES) * MIN_ALLOCATION_BYTES


def populated_bytes(size: int, count: int, possible: int) -> int:
    """Bytes that `count` allocations of `size` take: populated pages and the chunks' accounts."""
    copies = percpu_bytes(size)
    per_unit = UNIT_BYTES // copies
    chunks, rest = divmod(count, per_unit)
    pages = chunks * (UNIT_BYTES // PAGE_BYTES) + -(-rest * copies // PAGE_BYTES)
    account = OWNER_BYTES * UNIT_BYTES // MIN_ALLOCATION_BYTES + _BITMAP_BYTES
    return pages * PAGE_BYTES * possible + (chunks + (rest > 0)) * account


class PercpuAllocator:
    """Percpu allocations on a simulated heap, for `possible` CPUs."""

    def __init__(self, heap: Heap, possible: int) -> None:
        self.heap = heap
        self.possible = possible
        self._first = (0, UNIT_BYTES)
        self._later = (0, UNIT_BYTES)

    def allocate(self, size: int, *, first: bool = False) -> tuple[int, int]:
        """(address of CPU 0's copy, stride to the next CPU's), bytes; `first`: a static variable.

        Raises UserError for more than a unit.
        """
        if not 0 < size <= UNIT_BYTES // 2:
            raise UserError(
                f"percpu: size = {size!r} is not allowed; allowed: 1..{UNIT_BYTES // 2}"
            )
        base, used = self._first if first else self._later
        align = min(1 << max(size - 1, 0).bit_length(), 64) if size < 64 else 8
        used = -(-used // max(align, MIN_ALLOCATION_BYTES)) * max(align, MIN_ALLOCATION_BYTES)
        if used + size > UNIT_BYTES:
            name = "percpu first chunk" if first else "percpu chunk"
            pages = PAGE_2M if first else PAGE_4K
            base = self.heap.place(name, UNIT_BYTES * self.possible, page_size=pages)
            # the first page of a unit belongs to others
            used = _FIRST_OFFSET
        following = (base, used + percpu_bytes(size))
        if first:
            self._first = following
        else:
            self._later = following
        return base + used, UNIT_BYTES
