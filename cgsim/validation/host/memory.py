"""Memory for measurements: on pages of a stated size, with chains of pointers through it."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

import numpy as np

from cgsim.core.host_memory import HOST_HUGE_PAGE_BYTES, address_of

LINE_BYTES = 64
PAGE_BYTES = 4096


class Region:
    """Zeroed memory of `size_bytes`, aligned to 2 MiB; `huge` asks for pages of that size."""

    def __init__(self, size_bytes: int, *, huge: bool) -> None:
        buffer = mmap.mmap(-1, size_bytes + HOST_HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE)
        advice = "MADV_HUGEPAGE" if huge else "MADV_NOHUGEPAGE"
        if hasattr(mmap, advice):
            with contextlib.suppress(OSError):  # a kernel without huge pages
                buffer.madvise(getattr(mmap, advice))
        whole = np.frombuffer(buffer, dtype=np.int64)
        start = -address_of(whole) % HOST_HUGE_PAGE_BYTES // 8
        self.words = whole[start : start + size_bytes // 8]
        self.words[:: PAGE_BYTES // 8] = 0  # touch every page
        self.address = address_of(self.words)

    def chain(self, offsets: np.ndarray, *, relative: bool = False) -> int:
        """One cycle of pointers through the given offsets, in random order; returns its start.

        offsets : int64[n], bytes. relative : store indices of words rather than addresses.
        """
        order = np.random.default_rng(1).permutation(offsets)
        named = order // 8 if relative else self.address + order
        self.words[order // 8] = np.roll(named, -1)
        return int(named[0])

    def lines(self, size_bytes: int) -> int:
        """A chain through every line of the first `size_bytes`; returns its start."""
        return self.chain(np.arange(0, size_bytes, LINE_BYTES, dtype=np.int64))

    def pages(self, count: int) -> int:
        """A chain through one line of each of the first `count` 4 KiB pages, spread over sets."""
        pages = np.arange(count, dtype=np.int64)
        return self.chain(pages * PAGE_BYTES + pages % (PAGE_BYTES // LINE_BYTES) * LINE_BYTES)


def huge_bytes() -> int:
    """How much of this process lies on huge pages."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
            if line.startswith("AnonHugePages:"):
                return int(line.split()[1]) * 1024
    return 0
