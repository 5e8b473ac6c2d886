"""The counter layouts, one file each.

A new layout is one file of the shape of the others and one import here; see CONTRIBUTING.md. They
are listed in the order of these imports, so no layout's file imports another one's.
"""

from cgsim.percpu import (
    batched,
    charged,
    domains,
    limit,
    refcount,
    rstat,
    shared,
    stats,
    threads,
    word_per_cpu,
)
from cgsim.percpu.base import Layout, add_layout, get_layout, list_layouts
from cgsim.percpu.counter_memory import CounterMemory

__all__ = [
    "CounterMemory",
    "Layout",
    "add_layout",
    "batched",
    "charged",
    "domains",
    "get_layout",
    "limit",
    "list_layouts",
    "refcount",
    "rstat",
    "shared",
    "stats",
    "threads",
    "word_per_cpu",
]
