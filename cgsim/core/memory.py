"""Large zeroed buffers whose pages the host provides when they are touched."""

import mmap

import numpy as np


def reserve(size_bytes):
    """A zeroed int64 array of `size_bytes` (rounded up to a page) that costs only what is touched.

    MAP_NORESERVE lets a simulated memory be far larger than the host's.
    """
    rounded = -(-int(size_bytes) // mmap.PAGESIZE) * mmap.PAGESIZE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    return np.frombuffer(mmap.mmap(-1, rounded, flags=flags), dtype=np.int64)


def address_of(array):
    """The raw address of an array's first byte."""
    return int(array.ctypes.data)
