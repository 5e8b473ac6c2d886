"""Churn: containers stop and start on a host whose packets go on.

A network workload, with containers that come and go on its first CPU: a cgroup without sockets is
destroyed with all its installed data, and a new one is created in its place, with a datum for each
key. Times between are exponential.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
from cgsim.workloads.base import COLUMNS, FIRST_STREAM, quantity
from cgsim.workloads.draws import EXPONENTIAL, bits_of, exponential, stream_key
from cgsim.workloads.network import NetworkWorkload

if TYPE_CHECKING:
    from cgsim.workloads.base import Surrounding
    from cgsim.workloads.network_feed import NetworkFeed

_STREAM = FIRST_STREAM - 2
_AT_ONCE = 512


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
        self._ns_per_instruction = 1 / workload.instructions_per_ns
        self._clock = 0.0
        self._done = 0
        self._due = self._gap()
        self._rest = np.empty((len(COLUMNS), 0), np.int64)

    def _gap(self) -> float:
        return self._mean_ns * exponential(EXPONENTIAL, bits_of(self._key, 2 * self._done))

    def _changes(self) -> np.ndarray:
        """The rows of one container's end and another one's start."""
        bits = bits_of(self._key, 2 * self._done + 1)
        rows = np.zeros((len(COLUMNS), 2), np.int64)
        rows[COLUMNS.index("cgroup")] = self._idle[bits % self._idle.size]
        rows[COLUMNS.index("act")] = [
            act_of(FROM_CGROUP, IGNORE, operation) for operation in (DESTROY, CREATE)
        ]
        self._done += 1
        return rows

    def _more(self) -> np.ndarray:
        rows = self._packets.take(_AT_ONCE)
        begins = rows[COLUMNS.index("act")] & REACH_MASK >= REACHES_AN_EVENT
        gaps = rows[COLUMNS.index("instructions")] * self._ns_per_instruction
        times = self._clock + np.cumsum(
            np.where(begins, gaps + rows[COLUMNS.index("idle_ns")], 0.0)
        )
        self._clock = float(times[-1])
        where, inserted = [], []
        while self._due <= self._clock:
            place = np.flatnonzero(begins & (times >= self._due))
            if place.size == 0:
                break  # within the packet whose rows follow
            where += [place[0]] * 2
            inserted.append(self._changes())
            self._due += self._gap()
        if not inserted:
            return rows
        return np.insert(rows, where, np.concatenate(inserted, axis=1), axis=1)

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        parts, have = [self._rest], self._rest.shape[1]
        while have < n:
            parts.append(self._more())
            have += parts[-1].shape[1]
        rows = np.concatenate(parts, axis=1)
        self._rest = rows[:, n:]
        return np.ascontiguousarray(rows[:, :n])
