"""Memory that waits to be freed: kfree_rcu collects objects in batches before it asks for a grace
period.

Each CPU fills a page of pointers. A monitor drains it `DRAIN_SECONDS` after its first object came,
or at once when the page is full; then the batch waits for a grace period. So at low rates an object
waits for seconds, not for a grace period. Mirrors kfree_rcu_monitor (kernel/rcu/tree.c): 5 s was
KFREE_DRAIN_JIFFIES at the time of writing, from memory for the newest versions.
"""

from __future__ import annotations

from typing import NamedTuple

from cgsim.limits import Range

DRAIN_SECONDS = 5.0
PAGE_OBJECTS = (4096 - 40) // 8
"""KVFREE_BULK_MAX_ENTR: pointers in a page behind its header (from memory)."""

_RATES = Range(0, 1e9, whole=False)


class Waiting(NamedTuple):
    """How long a batch collects (seconds), and what waits at most and on average (bytes)."""

    batch_seconds: float
    most_bytes: float
    mean_bytes: float


def waiting_memory(bytes_each: float, per_second: float, grace_ms: float, cpus: int = 1) -> Waiting:
    """What waits while objects of so many bytes are given to kfree_rcu at a steady rate.

    per_second : of all `cpus` CPUs, which share it evenly. grace_ms : length of a grace period.
    Raises UserError for a number out of range.
    """
    for name, value in (("bytes_each", bytes_each), ("per_second", per_second)):
        _RATES.check("waiting_memory", name, value)
    Range(0, 1e6, whole=False).check("waiting_memory", "grace_ms", grace_ms)
    Range(1, 8192).check("waiting_memory", "cpus", cpus)
    if per_second == 0:
        return Waiting(DRAIN_SECONDS, 0.0, 0.0)
    batch = min(DRAIN_SECONDS, PAGE_OBJECTS * cpus / per_second)
    grace = grace_ms / 1000
    rate = bytes_each * per_second
    return Waiting(batch, rate * (batch + grace), rate * (batch / 2 + grace))
