"""The generator of the GPU workload: one CPU's ioctls in order of time.

A client works in frames: it prepares and submits one batch after the other, waits where the step
says so for what it has submitted since the last wait (the batches of a frame depend on each other,
so their times add up), flips its page if it has a screen, and sleeps until its next frame.

Before an ioctl's lookups, in lines of the ring (cold) and of the working set (hot):

- the driver: `driver_lines` hot, `driver_cold_lines` cold, `driver_instructions`;
- the client's preparation, `prepare_us` on average, or as much of it as fits since the last ioctl;
- for `background_share` of the rest, other processes; else the CPU is idle.

Preparation and other processes touch `user_lines_per_us` new lines of the ring; a lookup's cold
lines are the whole ring at most. Draws belong to the client and the number of its submission.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.compile.block_access import add, element, get, put, put_element
from cgsim.compile.intrinsics import put_real, real
from cgsim.compile.jit import njit
from cgsim.core.host_memory import address_of
from cgsim.workloads.draws import ACTOR_SHIFT, Exponential, bits_of, exponential, unit_of

_CGROUP, _KEY, _ACTOR, _ACT, _HOT, _COLD, _INSTRUCTIONS, _IDLE = range(8)
_COLUMNS = 8

# The state that is kept from one row to the next.
(
    _S_SPILLED,  # rows of an event that did not fit into the last piece, and of them taken
    _S_TAKEN,
    _S_SWEEP,  # the cgroup whose datum goes or comes next in a sweep; -1: none
    _S_DEVICE,  # the one that is unplugged, or was last
    _S_UNPLUGGED,
    _S_UNPLUGS,
    _STATE,
) = range(7)


class Parameters(NamedTuple):
    """What the kernel needs of a `GpuWorkload`.

    unplugger : whether this CPU unplugs.
    submit .. install : acts. most_rows : of one event. The others are the workload's.
    """

    ring_lines: int
    unplugger: int
    submit: int
    charge: int
    charge_up: int
    remove: int
    install: int
    most_rows: int
    n_cgroups: int
    n_keys: int
    charge_levels: int
    unplugs_per_s: float
    background_share: float
    user_lines_per_us: float
    driver_lines: int
    driver_cold_lines: int
    driver_instructions: int
    instructions_per_ns: float


class Kinds(NamedTuple):
    """Kinds of clients: raw addresses of arrays by kind, and of all their steps, float64[n, 3]."""

    steps: int
    first_step: int
    n_steps: int
    frame_us: int
    prepare_us: int
    flips: int
    charges: int
    exponential: Exponential


class Places(NamedTuple):
    """Raw addresses of int64[n]: the cgroup of each task, and the parent of each cgroup."""

    tasks: int
    parents: int


class Keys(NamedTuple):
    """Keys of the random streams."""

    phase: int
    prepare: int
    duration: int
    charge: int
    unplug: int


class _Clients(NamedTuple):
    """The `n` clients of this CPU: raw addresses of arrays by place among them.

    number : among all clients. times : of the next submission (us). prepared : what that one took.
    frames : start of the frame. pending : GPU time not waited for yet. done : submissions so far.
    heap : places in order of `times`. clock : float64[2], time of the last event and of the next
    unplug.
    """

    number: int
    kind: int
    times: int
    prepared: int
    frames: int
    pending: int
    done: int
    heap: int
    clock: int
    n: int


class _Rows(NamedTuple):
    """int64[columns, stride] at a raw address."""

    base: int
    stride: int


class GpuFeed:
    """The rows of one CPU: `take` gives the next ones, whatever the size of the pieces."""

    def __init__(
        self,
        parameters: Parameters,
        kinds: Kinds,
        places: Places,
        arrays: list[np.ndarray],
        clients: np.ndarray,
        kind_of: np.ndarray,
        keys: Keys,
    ) -> None:
        n = clients.size
        arrays_of_clients = {
            "number": clients.astype(np.int64),
            "kind": kind_of.astype(np.int64),
            "times": np.zeros(n),
            "prepared": np.zeros(n),
            "frames": np.zeros(n),
            "pending": np.zeros(n),
            "done": np.zeros(n, np.int64),
            "heap": np.arange(n, dtype=np.int64),
            "clock": np.zeros(2),
        }
        self._arrays = [*arrays, *arrays_of_clients.values()]  # which addresses point into
        addresses = {name: address_of(array) for name, array in arrays_of_clients.items()}
        self._clients = _Clients(**addresses, n=n)
        self._kinds, self._places, self._keys = kinds, places, keys
        self._parameters = parameters
        self._spill = np.zeros((_COLUMNS, parameters.most_rows), np.int64)
        self._state = np.zeros(_STATE, np.int64)
        self._state[_S_SWEEP] = -1
        _begin(parameters, kinds, keys, self._clients)

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        out = np.empty((_COLUMNS, n), np.int64)
        spill = _Rows(address_of(self._spill), self._spill.shape[1])
        _fill(
            self._parameters, self._kinds, self._places, self._keys, self._clients,
            address_of(self._state), spill, _Rows(address_of(out), n),
        )  # fmt: skip
        return out


@njit(forceinline=True)
def _prepare_us(kinds, keys, clients, c):
    """CPU time of a client before its next submission: half to one and a half times the mean."""
    index = element(clients.number, c) << ACTOR_SHIFT | element(clients.done, c)
    unit = unit_of(bits_of(keys.prepare, index))
    return real(kinds.prepare_us, element(clients.kind, c)) * (0.5 + unit)


@njit(forceinline=True)
def _earlier(clients, a, b):
    one, two = real(clients.times, a), real(clients.times, b)
    if one == two:  # first: no other branch of a comparison that goes either way
        return element(clients.number, a) < element(clients.number, b)
    return one < two


@njit(forceinline=True)
def _sift_down(clients, here):
    """Restore the heap of clients by time of submission, then number, below a place too early."""
    held = element(clients.heap, here)
    while 2 * here + 1 < clients.n:
        child = 2 * here + 1
        if child + 1 < clients.n:
            second = element(clients.heap, child + 1)
            child += _earlier(clients, second, element(clients.heap, child))
        first = element(clients.heap, child)
        if not _earlier(clients, first, held):
            break
        put_element(clients.heap, here, first)
        here = child
    put_element(clients.heap, here, held)


@njit
def _begin(p, kinds, keys, clients):
    """Clients begin at a random point of their frame."""
    n = clients.n
    for c in range(n):
        phase = unit_of(bits_of(keys.phase, element(clients.number, c)))
        put_real(clients.frames, c, phase * real(kinds.frame_us, element(clients.kind, c)))
        put_real(clients.prepared, c, _prepare_us(kinds, keys, clients, c))
        put_real(clients.times, c, real(clients.frames, c) + real(clients.prepared, c))
    for place in range(n // 2 - 1, -1, -1):
        _sift_down(clients, place)
    if p.unplugs_per_s > 0.0:
        mean_us = 1e6 / p.unplugs_per_s
        first = exponential(kinds.exponential, bits_of(keys.unplug, 0))
        put_real(clients.clock, 1, mean_us * first)


@njit(forceinline=True)
def _row(rows, i, cgroup, key, actor, act):
    put_element(rows.base, _CGROUP * rows.stride + i, cgroup)
    put_element(rows.base, _KEY * rows.stride + i, key)
    put_element(rows.base, _ACTOR * rows.stride + i, actor)
    put_element(rows.base, _ACT * rows.stride + i, act)
    put_element(rows.base, _HOT * rows.stride + i, 0)
    put_element(rows.base, _COLD * rows.stride + i, 0)
    put_element(rows.base, _INSTRUCTIONS * rows.stride + i, 0)
    put_element(rows.base, _IDLE * rows.stride + i, 0)


@njit(forceinline=True)
def _driver(p, rows, i):
    """An ioctl without preparation: the driver's own lines and code."""
    put_element(rows.base, _HOT * rows.stride + i, p.driver_lines)
    put_element(rows.base, _COLD * rows.stride + i, min(p.driver_cold_lines, p.ring_lines))
    put_element(rows.base, _INSTRUCTIONS * rows.stride + i, p.driver_instructions)


@njit(forceinline=True)
def _charge(p, places, rows, i, cgroup, key, actor):
    """An allocation is charged to the cgroup and up the hierarchy; returns the next row."""
    _row(rows, i, cgroup, key, actor, p.charge)
    i += 1
    for _ in range(p.charge_levels):
        cgroup = element(places.parents, cgroup)
        if cgroup < 0:
            break
        _row(rows, i, cgroup, key, actor, p.charge_up)
        i += 1
    return i


@njit(forceinline=True)
def _submit(p, kinds, places, keys, clients, rows, i):
    """The next ioctl: its rows from `i` on; returns the row behind them."""
    c = element(clients.heap, 0)
    number = element(clients.number, c)
    kind = element(clients.kind, c)
    actor = number
    cgroup = element(places.tasks, number)
    key = number % p.n_keys
    gap_us = real(clients.times, c) - real(clients.clock, 0)
    put_real(clients.clock, 0, real(clients.times, c))
    busy_us = min(real(clients.prepared, c), gap_us)
    busy_us += p.background_share * (gap_us - busy_us)
    instructions = max(int(1e3 * busy_us * p.instructions_per_ns), p.driver_instructions)
    cold = min(p.driver_cold_lines + int(busy_us * p.user_lines_per_us), p.ring_lines)
    idle = max(int(1e3 * gap_us - instructions / p.instructions_per_ns), 0)
    _row(rows, i, cgroup, key, actor, p.submit)
    put_element(rows.base, _HOT * rows.stride + i, p.driver_lines)
    put_element(rows.base, _COLD * rows.stride + i, cold)
    put_element(rows.base, _INSTRUCTIONS * rows.stride + i, instructions)
    put_element(rows.base, _IDLE * rows.stride + i, idle)
    i += 1

    done = element(clients.done, c)
    index = number << ACTOR_SHIFT | done
    if real(kinds.charges, kind) > 0.0:
        charges = int(real(kinds.charges, kind) + unit_of(bits_of(keys.charge, index)))
        for _ in range(charges):
            i = _charge(p, places, rows, i, cgroup, key, actor)
    n_steps = element(kinds.n_steps, kind)
    step = done % n_steps
    where = 3 * (element(kinds.first_step, kind) + step)
    unit = unit_of(bits_of(keys.duration, index))
    shortest = real(kinds.steps, where)
    on_gpu = shortest + unit * (real(kinds.steps, where + 1) - shortest)
    pending = real(clients.pending, c) + on_gpu
    start = real(clients.times, c)
    if real(kinds.steps, where + 2) != 0.0:
        start += pending
        pending = 0.0
    if step == n_steps - 1:
        for _ in range(element(kinds.flips, kind)):
            _row(rows, i, cgroup, key, actor, p.submit)
            _driver(p, rows, i)
            i += 1
        # A client that is late starts at once, and counts from there.
        start = max(real(clients.frames, c) + real(kinds.frame_us, kind), start)
        put_real(clients.frames, c, start)
        pending = 0.0
    put_real(clients.pending, c, pending)
    put_element(clients.done, c, done + 1)
    prepared = _prepare_us(kinds, keys, clients, c)
    put_real(clients.prepared, c, prepared)
    put_real(clients.times, c, start + prepared)
    _sift_down(clients, 0)
    return i


@njit(forceinline=True)
def _due(p, kinds, keys, clients, state):
    """Begin a sweep over all cgroups where a device goes, or comes back."""
    if get(state, _S_UNPLUGGED) == 0:
        bits = bits_of(keys.unplug, 2 * get(state, _S_UNPLUGS) + 1)
        put(state, _S_DEVICE, bits % p.n_keys)
    put(state, _S_UNPLUGGED, 1 - get(state, _S_UNPLUGGED))
    add(state, _S_UNPLUGS, 1)
    put(state, _S_SWEEP, 0)
    mean_us = 1e6 / p.unplugs_per_s
    bits = bits_of(keys.unplug, 2 * get(state, _S_UNPLUGS))
    # half the time it is away
    away_us = 0.5 * mean_us * exponential(kinds.exponential, bits)
    put_real(clients.clock, 1, real(clients.clock, 1) + away_us)


@njit
def _fill(p, kinds, places, keys, clients, state, spill, out):
    """Make the next rows. out : int64[8, n], overwritten; all state is carried on."""
    n = out.stride
    i = 0
    while i < n:
        if get(state, _S_TAKEN) < get(state, _S_SPILLED):
            for column in range(_COLUMNS):
                value = element(spill.base, column * spill.stride + get(state, _S_TAKEN))
                put_element(out.base, column * out.stride + i, value)
            add(state, _S_TAKEN, 1)
            i += 1
        elif get(state, _S_SWEEP) >= 0:
            cgroup = get(state, _S_SWEEP)
            act = p.remove if get(state, _S_UNPLUGGED) != 0 else p.install
            _row(out, i, cgroup, get(state, _S_DEVICE), 0, act)
            put(state, _S_SWEEP, cgroup + 1 if cgroup + 1 < p.n_cgroups else -1)
            i += 1
        elif (
            p.unplugger != 0
            and p.unplugs_per_s > 0.0
            and real(clients.times, element(clients.heap, 0)) >= real(clients.clock, 1)
        ):
            _due(p, kinds, keys, clients, state)
        elif i + p.most_rows <= n:
            i = _submit(p, kinds, places, keys, clients, out, i)
        else:
            put(state, _S_SPILLED, _submit(p, kinds, places, keys, clients, spill, 0))
            put(state, _S_TAKEN, 0)
