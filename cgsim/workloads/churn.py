"""Churn: containers stop and start on a host whose packets go on.

A network workload, with containers that come and go on its first CPU: a cgroup without sockets is
destroyed with all its installed data, and a new one is created in its place, with a datum for each
key. Times between are exponential.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsim.compile.block_access import element
from cgsim.compile.intrinsics import put_real, real
from cgsim.compile.jit import njit
from cgsim.core.host_memory import address_of
from cgsim.errors import UserError
from cgsim.workloads.acts import (
    CREATE,
    DESTROY,
    FROM_CGROUP,
    IGNORE,
    REACH_MASK,
    REACHES_AN_EVENT,
    act_of,
)
from cgsim.workloads.base import COLUMNS, FIRST_STREAM, quantity, unwritten_rows
from cgsim.workloads.draws import EXPONENTIAL, bits_of, exponential, stream_key
from cgsim.workloads.network import NetworkWorkload

if TYPE_CHECKING:
    from cgsim.workloads.base import Surrounding
    from cgsim.workloads.network_feed import NetworkFeed

_STREAM = FIRST_STREAM - 2
_SUM_ROWS = 512
"""Packets' rows whose times are summed up before the sum goes to the clock."""
_AT_ONCE = 16 * _SUM_ROWS

_CGROUP, _ACT = COLUMNS.index("cgroup"), COLUMNS.index("act")
_INSTRUCTIONS, _IDLE = COLUMNS.index("instructions"), COLUMNS.index("idle_ns")
# The time at which the sum begins, the sum, and the time of the next change.
_START, _SINCE, _DUE, _CLOCK = range(4)


@dataclass(frozen=True)
class ChurnWorkload(NetworkWorkload):
    """Parameters of the churn workload: those of a network workload, and how often."""

    changes_cgroups = True
    starts_per_s: float = quantity("1/s", 0.001, 1e6)
    """Containers that stop, and others that start."""

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""
        super().check()
        if self.active_cgroups >= self._leaves().size:
            raise self.refuse(
                "active_cgroups", f"below {self._leaves().size}, so that some are idle"
            )

    def feed(self, cpu: int, surrounding: Surrounding, seed: int) -> NetworkFeed | ChurnFeed:  # type: ignore[override]
        """The generator of a CPU's rows."""
        packets = super().feed(cpu, surrounding, seed)
        if cpu > 0:
            return packets
        idle = np.setdiff1d(self._leaves(), surrounding.actors)
        if idle.size == 0:
            raise UserError(f"workload {self.name}: no container is without sockets")
        return ChurnFeed(self, packets, idle, seed)


class ChurnFeed:
    """A CPU's packets with containers' ends and starts between them, in any pieces."""

    def __init__(
        self, workload: ChurnWorkload, packets: NetworkFeed, idle: np.ndarray, seed: int
    ) -> None:
        self._packets = packets
        self._idle = idle
        self._key = int(stream_key(seed, _STREAM))
        self._mean_ns = 1e9 / workload.starts_per_s
        self._done = 0
        self._clock = np.zeros(_CLOCK)
        self._clock[_DUE] = self._gap()
        self._rows = packets.take(_AT_ONCE)
        self._next = 0  # of these rows
        self._scanned = address_of(self._rows), address_of(self._clock)
        self._ns_per_instruction = 1 / workload.instructions_per_ns
        self._change = np.zeros((len(COLUMNS), 2), np.int64)
        self._change[_ACT] = [act_of(FROM_CGROUP, IGNORE, what) for what in (DESTROY, CREATE)]
        self._left = 0  # rows of the change that are still to come

    def _gap(self) -> float:
        return self._mean_ns * exponential(EXPONENTIAL, bits_of(self._key, 2 * self._done))

    def _begin_change(self) -> None:
        """The next rows are one container's end and another one's start."""
        bits = bits_of(self._key, 2 * self._done + 1)
        self._change[_CGROUP] = self._idle[bits % self._idle.size]
        self._left = 2
        self._done += 1
        self._clock[_DUE] += self._gap()

    def _until_change(self, most: int) -> np.ndarray:
        """The next rows of packets: those at hand, before a change, and no more than `most`."""
        if self._next == _AT_ONCE:
            self._packets.fill(self._rows)
            self._next = 0
        begin, end = self._next, min(self._next + most, _AT_ONCE)
        self._next = _until_due(*self._scanned, begin, end, self._ns_per_instruction)
        if self._next < end:
            self._begin_change()
        return self._rows[:, begin : self._next]

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        out = unwritten_rows(n)
        done = 0
        while done < n:
            if self._left > 0:
                some = self._change[:, 2 - self._left :][:, : n - done]
                self._left -= some.shape[1]
            else:
                some = self._until_change(n - done)
            out[:, done : done + some.shape[1]] = some
            done += some.shape[1]
        return out


@njit
def _until_due(rows, clock, place, end, ns_per_instruction):
    """The place of the first packet at which a change is due, or the end; the clock goes there.

    rows : raw address of packets' rows, int64[columns, _AT_ONCE]. place, end : the rows looked at.
    """
    start, since, due = real(clock, _START), real(clock, _SINCE), real(clock, _DUE)
    while place < end:
        if place % _SUM_ROWS == 0:
            start += since
            since = 0.0
        if element(rows, _ACT * _AT_ONCE + place) & REACH_MASK >= REACHES_AN_EVENT:
            gap = element(rows, _INSTRUCTIONS * _AT_ONCE + place) * ns_per_instruction
            later = since + (gap + element(rows, _IDLE * _AT_ONCE + place))
            if due <= start + later:
                break
            since = later
        place += 1
    put_real(clock, _START, start)
    put_real(clock, _SINCE, since)
    return place
