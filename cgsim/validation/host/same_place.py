"""How quickly lines come that lie at the same place of their 4 KiB pages.

They share a set of L1, and what is interleaved below it: on a Zen 5 guest one comes from L2 every
6 cycles, where any others come every 1.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.validation.host.core import measure_parallelism
from cgsim.validation.host.memory import PAGE_BYTES, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.validation.host.timing import Figure


def measure_same_place(sizes: Sequence[int], most_bytes: int, repeats: int) -> dict[str, Figure]:
    """ns for such a line, by where it comes from ("same place L2", ..., "same place memory").

    sizes : bytes of the caches, nearest first. most_bytes : of memory that it may take; what does
    not fit is left out.
    """
    if not sizes:
        return {}
    # half of the lines of one place that a level holds
    lines = {f"L{i + 1}": size // PAGE_BYTES // 2 for i, size in enumerate(sizes) if i > 0}
    # a hash that spreads such lines over a sixteenth of the sets still holds half as many
    lines["memory"] = 8 * sizes[-1] // PAGE_BYTES
    counts = {name: 1 << (n.bit_length() - 1) for name, n in lines.items() if n > 0}
    counts = {name: n for name, n in counts.items() if n * PAGE_BYTES <= most_bytes}
    if not counts:
        return {}
    region = Region(max(counts.values()) * PAGE_BYTES, huge=True)
    return {
        f"same place {name}": measure_parallelism(region, n, repeats, PAGE_BYTES)
        for name, n in counts.items()
    }
