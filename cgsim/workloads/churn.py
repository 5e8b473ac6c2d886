"""Churn: containers stop and start on a host whose packets go on.

A network workload, with containers that come and go on its first CPU: a cgroup without sockets is
destroyed with all its installed data, and a new one is created in its place, with a datum for each
key. Times between are exponential.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.compile.block_access import element, get, put, put_element
from cgsim.compile.intrinsics import put_real, real
from cgsim.compile.jit import inlined, njit
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
from cgsim.workloads.base import COLUMNS, FIRST_STREAM, quantity
from cgsim.workloads.draws import EXPONENTIAL, Exponential, bits_of, exponential, stream_key
from cgsim.workloads.network import NetworkWorkload

if TYPE_CHECKING:
    from cgsim.workloads.base import Surrounding
    from cgsim.workloads.network_feed import NetworkFeed

_STREAM = FIRST_STREAM - 2
_SUM_ROWS = 512
"""Packets' rows whose times are summed up before the sum goes to the clock."""
_AT_ONCE = 32 * _SUM_ROWS

_CGROUP, _ACT = COLUMNS.index("cgroup"), COLUMNS.index("act")
_INSTRUCTIONS, _IDLE = COLUMNS.index("instructions"), COLUMNS.index("idle_ns")
# The packets' next row, the next change's number, and whether its container has ended.
_NEXT, _CHANGE, _ENDED, _STATE = range(4)
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


class _Churn(NamedTuple):
    """What the kernel needs of a `ChurnWorkload`.

    key : of the random stream. idle : raw address of int64[n_idle], cgroups without sockets.
    destroy, create : acts.
    """

    key: int
    mean_ns: float
    ns_per_instruction: float
    idle: int
    n_idle: int
    destroy: int
    create: int
    exponential: Exponential


class ChurnFeed:
    """A CPU's packets with containers' ends and starts between them, in any pieces."""

    def __init__(
        self, workload: ChurnWorkload, packets: NetworkFeed, idle: np.ndarray, seed: int
    ) -> None:
        self._packets = packets
        self._idle = idle.astype(np.int64)  # which an address points into
        self._churn = _Churn(
            key=int(stream_key(seed, _STREAM)),
            mean_ns=1e9 / workload.starts_per_s,
            ns_per_instruction=1 / workload.instructions_per_ns,
            idle=address_of(self._idle),
            n_idle=idle.size,
            destroy=act_of(FROM_CGROUP, IGNORE, DESTROY),
            create=act_of(FROM_CGROUP, IGNORE, CREATE),
            exponential=EXPONENTIAL,
        )
        self._state = np.zeros(_STATE, np.int64)
        self._clock = np.zeros(_CLOCK)
        self._clock[_DUE] = _gap(self._churn, 0)
        self._rows = packets.take(_AT_ONCE)
        self._addresses = [address_of(array) for array in (self._rows, self._state, self._clock)]

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        out = np.empty((len(COLUMNS), n), np.int64)
        done = 0
        while True:
            done = _insert(self._churn, *self._addresses, address_of(out), done, n)
            if done == n:
                return out
            self._packets.fill(self._rows)
            self._state[_NEXT] = 0


@njit
def _gap(churn, change):
    """The time between a change and the one before, in ns."""
    return churn.mean_ns * exponential(churn.exponential, bits_of(churn.key, 2 * change))


@inlined
def _write_change(churn, change, act, out, done, n):
    for column in range(len(COLUMNS)):
        put_element(out, column * n + done, 0)
    idle = bits_of(churn.key, 2 * change + 1) % churn.n_idle
    put_element(out, _CGROUP * n + done, element(churn.idle, idle))
    put_element(out, _ACT * n + done, act)


@njit
def _insert(churn, rows, state, clock, out, done, n):
    """Fill out, int64[columns, n], from row `done` on, with packets and changes in order of time;
    stops where no packets are at hand. Returns how many rows are done.

    rows : packets' rows, int64[columns, _AT_ONCE].
    """
    place, change, ended = get(state, _NEXT), get(state, _CHANGE), get(state, _ENDED)
    start, since, due = real(clock, _START), real(clock, _SINCE), real(clock, _DUE)
    while done < n:
        if ended != 0:
            _write_change(churn, change, churn.create, out, done, n)
            ended = 0
            change += 1
            due += _gap(churn, change)
            done += 1
            continue
        if place == _AT_ONCE:
            break
        if place % _SUM_ROWS == 0:
            start += since
            since = 0.0
        if element(rows, _ACT * _AT_ONCE + place) & REACH_MASK >= REACHES_AN_EVENT:
            gap = element(rows, _INSTRUCTIONS * _AT_ONCE + place) * churn.ns_per_instruction
            later = since + (gap + element(rows, _IDLE * _AT_ONCE + place))
            if due <= start + later:
                _write_change(churn, change, churn.destroy, out, done, n)
                ended = 1
                done += 1
                continue
            since = later
        for column in range(len(COLUMNS)):
            put_element(out, column * n + done, element(rows, column * _AT_ONCE + place))
        place += 1
        done += 1
    put(state, _NEXT, place)
    put(state, _CHANGE, change)
    put(state, _ENDED, ended)
    put_real(clock, _START, start)
    put_real(clock, _SINCE, since)
    put_real(clock, _DUE, due)
    return done
