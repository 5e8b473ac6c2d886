"""What waits under kfree_rcu, beside a queue that is played object by object."""

from __future__ import annotations

import pytest

from cgsim.errors import UserError
from cgsim.experiments.waiting import DRAIN_SECONDS, PAGE_OBJECTS, waiting_memory


def played(per_second: float, grace: float) -> float:
    """The most objects that wait, of one CPU, in a minute after the first ten seconds."""
    waiting: list[tuple[float, int]] = []  # (when a batch is freed, its objects)
    collected, since, most = 0, 0.0, 0
    for number in range(int(70 * per_second)):
        clock = number / per_second
        if collected and clock - since >= DRAIN_SECONDS:
            waiting.append((since + DRAIN_SECONDS + grace, collected))
            collected = 0
        if collected == 0:
            since = clock
        collected += 1
        waiting = [(freed, objects) for freed, objects in waiting if freed > clock]
        if clock > 10:
            most = max(most, collected + sum(objects for _, objects in waiting))
        if collected == PAGE_OBJECTS:
            waiting.append((clock + grace, collected))
            collected = 0
    return most


@pytest.mark.parametrize(("per_second", "grace_ms"), [(10, 20), (100, 20), (2000, 20), (300, 500)])
def test_as_the_queue(per_second: float, grace_ms: float) -> None:
    expected = played(per_second, grace_ms / 1000)
    # a batch that begins while the last one is in its grace period counts in both
    assert waiting_memory(1, per_second, grace_ms).most_bytes == pytest.approx(expected, rel=0.1)


def test_seconds_at_low_rates_pages_at_high_ones() -> None:
    low, high = waiting_memory(64, 10, 20), waiting_memory(64, 10**6, 20)
    assert low.batch_seconds == DRAIN_SECONDS
    assert low.most_bytes == pytest.approx(64 * 10 * 5.02)
    assert high.batch_seconds < 0.001
    assert high.most_bytes == pytest.approx(64 * (PAGE_OBJECTS + 20_000))
    assert waiting_memory(64, 1000, 20, cpus=8).batch_seconds == pytest.approx(
        8 * waiting_memory(64, 1000, 20).batch_seconds
    )
    assert waiting_memory(64, 0, 20).most_bytes == 0


def test_bad_numbers() -> None:
    with pytest.raises(UserError, match="per_second = -1 is not allowed"):
        waiting_memory(64, -1, 20)
