"""The mixed workload: packets and GPU clients on one machine, because they share its caches.

Each CPU serves a queue of a network workload and runs clients of a GPU workload. One of the two
looks data up, and is measured; the other's code, lines and ways to its cgroups stay, without
lookups, so that they are the same for all designs. Packets and ioctls come in the order of their
times; where the CPU is still busy with one, the next one begins later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from cgsim.compile.block_access import element, get, put, put_element
from cgsim.compile.intrinsics import put_real, real
from cgsim.compile.jit import inlined, njit
from cgsim.core.host_memory import address_of
from cgsim.errors import UserError
from cgsim.workloads.acts import LOOKUP, OPERATION_SHIFT, PASS, REACH_MASK, REACHES_AN_EVENT
from cgsim.workloads.base import (
    COLUMNS,
    MAX_CPUS,
    Second,
    Surrounding,
    Workload,
    count,
    structured,
)
from cgsim.workloads.gpu import GpuWorkload
from cgsim.workloads.network import NetworkWorkload

PACKETS, CLIENTS = "packets", "clients"
_SIDES = (PACKETS, CLIENTS)
_AT_ONCE = (1 << 14, 1 << 10)  # rows of packets, which are many more, and of clients
_TRIAL_ROWS = 1 << 16

_ACTOR, _ACT = COLUMNS.index("actor"), COLUMNS.index("act")
_INSTRUCTIONS, _IDLE = COLUMNS.index("instructions"), COLUMNS.index("idle_ns")
_OPEN, _NEXT = 0, 1  # the side whose event goes on, and each side's next row
_CLOCK, _TIME = 0, 1  # when the CPU is free, and each side's time


@dataclass(frozen=True)
class MixedWorkload(Workload):
    """Parameters of the mixed workload."""

    network: str = structured("name")
    """A network workload."""
    gpu: str = structured("name")
    """A GPU workload; its tree of cgroups is as wide as the network's."""
    looks_up: str = structured("name")
    """packets or clients: whose lookups are measured. The others look nothing up."""
    n_cgroups: int = count("cgroups", 1, 1_000_000)
    n_keys: int = count("keys", 1, 65_536)
    """Programs of the hook, or devices, of those who look up."""
    cpus: int = count("CPUs", 1, MAX_CPUS)

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""
        self.choice("looks_up", _SIDES)
        packets, clients = self.sides
        if packets.instructions_per_ns != clients.instructions_per_ns:
            raise self.refuse("gpu", f"one of {packets.instructions_per_ns:g} instructions/ns")
        if clients.changes_cgroups:
            raise self.refuse("gpu", "one whose unplugs_per_s is 0")

    @cached_property
    def sides(self) -> tuple[NetworkWorkload, GpuWorkload]:
        """The two workloads, on the cgroups and CPUs of this one."""
        from cgsim.workloads import load_workload

        sizes: dict[str, Any] = {"n_cgroups": self.n_cgroups, "cpus": self.cpus}
        keys = [{"n_keys": self.n_keys} if self.looks_up == side else {} for side in _SIDES]
        packets = load_workload(self.network, **sizes, **keys[0])
        if type(packets) is not NetworkWorkload:
            raise self.refuse("network", "a network workload")
        width = packets.children_per_cgroup
        clients = load_workload(self.gpu, **sizes, **keys[1], children_per_cgroup=width)
        if not isinstance(clients, GpuWorkload):
            raise self.refuse("gpu", "a GPU workload")
        return packets, clients

    @property
    def _looks(self) -> NetworkWorkload | GpuWorkload:
        return self.sides[_SIDES.index(self.looks_up)]

    @property
    def reach(self) -> str:  # type: ignore[override]
        """How those who look up reach the cgroup."""
        return self._looks.reach

    @property
    def rcu_held(self) -> bool:  # type: ignore[override]
        """Whether those who look up are within rcu_read_lock."""
        return self._looks.rcu_held

    @property
    def instructions_per_ns(self) -> float:
        """Of both."""
        return self.sides[0].instructions_per_ns

    def rows_for(self, lookups: int) -> int:
        """Rows with about so many lookups among them."""
        from cgsim.workloads import Feeds

        acts = Feeds(self, 1).take(_TRIAL_ROWS).column("act")
        share = np.count_nonzero(acts >> OPERATION_SHIFT == LOOKUP) / acts.size
        if share == 0:
            raise UserError(f"workload {self.name}: no {self.looks_up} in {_TRIAL_ROWS} rows")
        return round(lookups / share)

    def surrounding(self, seed: int) -> Surrounding:
        """What the engine builds around the lookups: the packets' part, then the clients'."""
        packets, clients = self.sides
        one, two = _seeds(seed)
        network, gpu = packets.surrounding(one), clients.surrounding(two)
        return Surrounding(
            actors=np.concatenate([network.actors, gpu.actors]),
            hot_bytes=network.hot_bytes + gpu.hot_bytes,
            ring_bytes=network.ring_bytes + gpu.ring_bytes,
            parents=network.parents,
            second=Second(
                network.actors.size, network.hot_bytes, network.ring_bytes, packets.n_keys
            ),
        )

    def feed(self, cpu: int, surrounding: Surrounding, seed: int) -> MixedFeed:
        """The generator of a CPU's rows."""
        assert surrounding.second is not None
        first = surrounding.second.first_actor
        packets, clients = self.sides
        one, two = _seeds(seed)
        feeds = [
            packets.feed(cpu, surrounding._replace(actors=surrounding.actors[:first]), one),
            clients.feed(cpu, surrounding._replace(actors=surrounding.actors[first:]), two),
        ]
        passing = [0 if side == self.looks_up else PASS << OPERATION_SHIFT for side in _SIDES]
        return MixedFeed(feeds, passing, first, self.instructions_per_ns)


def _seeds(seed: int) -> tuple[int, int]:
    """Of packets and of clients: their generators use the same numbers of random streams."""
    return seed, seed ^ 1 << 40


class _Side(NamedTuple):
    """A side's rows that are at hand, int64[columns, n] at a raw address, and what is added."""

    rows: int
    n: int
    act: int
    actor: int


class MixedFeed:
    """A CPU's packets and ioctls in the order of their times: `take` gives the next rows.

    feeds : of packets and of clients. acts : what is added to their acts. first_client : the number
    of the first client among the actors.
    """

    def __init__(
        self, feeds: list[Any], acts: list[int], first_client: int, instructions_per_ns: float
    ) -> None:
        self._feeds, self._acts, self._actors = feeds, acts, (0, first_client)
        self._per_ns = instructions_per_ns
        self._rows = [feed.take(rows) for feed, rows in zip(feeds, _AT_ONCE, strict=True)]
        self._state = np.array([-1, 0, 0], dtype=np.int64)
        self._clocks = np.zeros(3)

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        out = np.empty((len(COLUMNS), n), np.int64)
        done = 0
        while True:
            sides = [
                _Side(address_of(rows), rows.shape[1], self._acts[side], self._actors[side])
                for side, rows in enumerate(self._rows)
            ]
            done = _merge(
                *sides, address_of(self._state), address_of(self._clocks), self._per_ns,
                address_of(out), done, n,
            )  # fmt: skip
            if done == n:
                return out
            for side in range(2):
                if self._state[_NEXT + side] == self._rows[side].shape[1]:
                    self._rows[side] = self._feeds[side].take(_AT_ONCE[side])
                    self._state[_NEXT + side] = 0


@inlined
def _begins(side, place):
    return element(side.rows, _ACT * side.n + place) & REACH_MASK >= REACHES_AN_EVENT


@inlined
def _busy_ns(side, place, per_ns):
    return element(side.rows, _INSTRUCTIONS * side.n + place) / per_ns


@inlined
def _copy(side, place, out, done, n):
    for column in range(len(COLUMNS)):
        value = element(side.rows, column * side.n + place)
        if column == _ACT:
            value += side.act
        if column == _ACTOR:
            value += side.actor
        put_element(out, column * n + done, value)


@inlined
def _copy_rest(side, place, out, done, n):
    """Copy what is at hand of an event that has begun; returns the place behind it."""
    while place < side.n and done < n and not _begins(side, place):
        _copy(side, place, out, done, n)
        place += 1
        done += 1
    return place


@njit
def _merge(packets, clients, state, clocks, per_ns, out, done, n):
    """Fill out, int64[columns, n], from row `done` on; stops where a side has no more at hand."""
    opened = get(state, _OPEN)
    place_0, place_1 = get(state, _NEXT), get(state, _NEXT + 1)
    clock = real(clocks, _CLOCK)
    time_0, time_1 = real(clocks, _TIME), real(clocks, _TIME + 1)
    while True:
        if opened == 0:
            begin = place_0
            place_0 = _copy_rest(packets, begin, out, done, n)
            done += place_0 - begin
        elif opened == 1:
            begin = place_1
            place_1 = _copy_rest(clients, begin, out, done, n)
            done += place_1 - begin
        if done == n or (opened == 0 and place_0 == packets.n):
            break
        if opened == 1 and place_1 == clients.n:
            break
        opened = -1
        if place_0 == packets.n or place_1 == clients.n:
            break
        busy_0, busy_1 = _busy_ns(packets, place_0, per_ns), _busy_ns(clients, place_1, per_ns)
        due_0 = time_0 + busy_0 + element(packets.rows, _IDLE * packets.n + place_0)
        due_1 = time_1 + busy_1 + element(clients.rows, _IDLE * clients.n + place_1)
        if due_0 <= due_1:
            opened, busy, due, time_0 = 0, busy_0, due_0, due_0
            _copy(packets, place_0, out, done, n)
            place_0 += 1
        else:
            opened, busy, due, time_1 = 1, busy_1, due_1, due_1
            _copy(clients, place_1, out, done, n)
            place_1 += 1
        idle = max(int(due - busy - clock), 0)
        put_element(out, _IDLE * n + done, idle)
        clock = clock + idle + busy
        done += 1
    put(state, _OPEN, opened)
    put(state, _NEXT, place_0)
    put(state, _NEXT + 1, place_1)
    put_real(clocks, _CLOCK, clock)
    put_real(clocks, _TIME, time_0)
    put_real(clocks, _TIME + 1, time_1)
    return done
