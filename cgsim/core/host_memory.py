"""Large zeroed buffers whose pages the host provides when they are touched."""

import mmap

import numpy as np

HOST_HUGE_PAGE_BYTES = 1 << 21


def reserve(size_bytes, *, huge=True):
    """A zeroed int64 array of `size_bytes` (rounded up to a page) that costs only what is touched.

    MAP_NORESERVE lets a simulated memory be far larger than the host's. Large buffers ask for huge
    pages, unless they are to be touched sparsely: a simulator that walks randomly through them
    spends most of its time in the host's TLB otherwise.
    """
    rounded = -(-int(size_bytes) // mmap.PAGESIZE) * mmap.PAGESIZE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    huge = huge and rounded >= HOST_HUGE_PAGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE")
    buffer = mmap.mmap(-1, rounded + (HOST_HUGE_PAGE_BYTES if huge else 0), flags=flags)
    if huge:
        buffer.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(buffer, dtype=np.int64)
    start = -address_of(array) % HOST_HUGE_PAGE_BYTES // 8 if huge else 0
    return array[start : start + rounded // 8]


def address_of(array):
    """The raw address of an array's first byte."""
    return int(array.ctypes.data)
