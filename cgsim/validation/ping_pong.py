"""A line that two CPUs compare and swap by turns: perfbook's CAS, and core-to-core latency.

The profiles' transfer and invalidation times were derived from such figures (see the comments of
their `coherence`), so a remote row only shows that playing gives back what went in. What a CPU pays
for a line that it owns is not fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.block_fields import TICKS
from cgsim.core.heap import Heap
from cgsim.core.space import Timed, compare_exchange, load, now, pause, peek, work
from cgsim.core.system import System
from cgsim.errors import UserError, unknown_name
from cgsim.machines.model import Distance
from cgsim.machines.system_spec import system_spec

if TYPE_CHECKING:
    from cgsim.machines.model import Machine

BLIND, READS, LOCK = range(3)
"""A swap of the value guessed; of the value read before; a lock taken and given back."""

_PLACES = {
    "same-CPU": None,
    "on-core": Distance.SAME_CORE,
    "off-core": Distance.SAME_CLUSTER,
    "off-socket": Distance.OTHER_SOCKET,
    "cross-interconnect": Distance.FAR_SOCKET,
}
CAS_CASES = {
    "same-CPU CAS": ("same-CPU", READS),
    "same-CPU lock+unlock": ("same-CPU", LOCK),
    **{
        f"{place} {name}": (place, kind)
        for place in list(_PLACES)[1:]
        for name, kind in (("blind CAS", BLIND), ("CAS", READS))
    },
}
PAIR_CASES = {
    "same CCX": Distance.SAME_CLUSTER,
    "across CCX": Distance.SAME_SOCKET,
    "median": None,
}
_ROUNDS = 200
_LOOP_INSTRUCTIONS = 4


@njit
def alternate(space, blocks, line, kind, rounds):
    """`rounds` turns of each CPU, which begins when the one before is done; ticks of all turns.

    blocks : int64[n], raw addresses of the CPUs' blocks. kind : `BLIND`, `READS`, `LOCK`.
    """
    begin = 0
    clock = 0
    for turn in range(2 * rounds * blocks.size):
        mine = Timed(space.mem, space.heap, blocks[turn % blocks.size])
        if blocks.size > 1:
            pause(mine, max(clock - now(mine), 0), 0)
        work(mine, _LOOP_INSTRUCTIONS, 1)
        value, token = peek(mine, line, 8), 0
        if kind == READS:
            value, token = load(mine, line, 8, 0)
        _, token = compare_exchange(mine, line, 8, value, value + 1, token)
        if kind == LOCK:
            compare_exchange(mine, line, 8, value + 1, value, token)
        clock = now(mine)
        if turn == rounds * blocks.size:
            begin = clock
    return clock - begin


def predict_cas(machine: Machine, case: str, x: int, seed: int = 1) -> float:
    """ns of one operation of `CAS_CASES`.

    Raises UserError for an unknown case, or a distance that the machine does not have.
    """
    if case not in CAS_CASES:
        raise unknown_name("case", case, CAS_CASES)
    place, kind = CAS_CASES[case]
    distance = _PLACES[place]
    return _play(machine, None if distance is None else _other(machine, case, distance), kind)


def predict_pair(machine: Machine, case: str, x: int, seed: int = 1) -> float:
    """ns one way between two CPUs of `PAIR_CASES`; "median": over the other cores of the socket.

    Raises UserError for an unknown case, or a distance that the machine does not have.
    """
    if case not in PAIR_CASES:
        raise unknown_name("case", case, PAIR_CASES)
    distance = PAIR_CASES[case]
    if distance is None:
        socket = [
            machine.distance(0, cpu)
            for cpu in range(machine.n_cpus)
            if machine.socket_of(cpu) == 0 and machine.core_of(cpu) != 0
        ]
        distance = sorted(socket)[len(socket) // 2]
    return _play(machine, _other(machine, case, distance), BLIND)


def _other(machine: Machine, case: str, distance: Distance) -> int:
    """The first CPU so far from CPU 0."""
    for cpu in range(1, machine.n_cpus):
        if machine.distance(0, cpu) == distance:
            return cpu
    raise UserError(f"machine {machine.name}: case = {case!r} is not allowed: no CPUs so far apart")


def _play(machine: Machine, other: int | None, kind: int) -> float:
    heap = Heap(16 << 20, seed=1, cpus=2)
    line = heap.place("line", 64)
    system = System(system_spec(machine, 1 if other is None else other + 1), heap)
    chosen = [0] if other is None else [0, other]
    blocks = system.cpu_row()[chosen]
    space = Timed(heap.mem, heap.block, int(blocks[0]))
    ticks = alternate(space, np.ascontiguousarray(blocks), line, kind, _ROUNDS)
    turns = _ROUNDS * len(chosen) - 1
    return machine.ns(float(ticks) / TICKS / turns)
