"""The GPU workload: lookups in the submission ioctl of a driver, on one CPU.

Clients are processes in cgroups, each with a device, which is the key. A client works in frames: it
prepares and submits one batch after the other, waits where the step says so for what it has
submitted since the last wait (the batches of a frame depend on each other, so their times add up),
and sleeps until its next frame. All clients run on this CPU; their submissions are merged in order
of time.

Before a lookup runs, in lines of the ring (cold) and of the working set (hot):

- the driver: `driver_lines` hot, `driver_cold_lines` cold, `driver_instructions`;
- the client's preparation, `prepare_us` on average, or as much of it as fits since the last lookup;
- for `background_share` of the rest, other processes; else the CPU is idle.

Preparation and other processes touch `user_lines_per_us` new lines of the ring; a lookup's cold
lines are the whole ring at most.
"""

from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.rng import random_unit
from cgsim.workloads.base import (
    COLUMNS,
    FIRST_STREAM,
    LINE_BYTES,
    Workload,
    count,
    place_actors,
    quantity,
    structured,
)

# Random streams, counted from `FIRST_STREAM`, which is added at run time: see `network`.
_PHASE, _PREPARE, _DURATION = range(3)

_CGROUP, _KEY, _ACTOR, _HOT, _COLD, _INSTRUCTIONS, _IDLE = range(len(COLUMNS))

MAX_STEP_US = 1e6

# A client's own counter of draws; 2**40 submissions of each do not overlap.
_DRAWS_PER_CLIENT = 1 << 40


@dataclass(frozen=True)
class GpuWorkload(Workload):
    """Parameters of the GPU workload; `data/workloads.yml` says where each value is from."""

    reach = "current"
    rcu_held = False
    n_cgroups: int = count("cgroups", 1, 1_000_000)
    """On the host, each with a datum per key."""
    n_clients: int = count("processes", 1, 100_000)
    """Each in a cgroup of its own, as far as there are enough."""
    n_keys: int = count("devices", 1, 65_536)
    """Clients are dealt to them in turn."""
    steps: tuple[tuple[float, float, int], ...] = structured("us, us, 0 or 1")
    """Submissions of a frame: GPU time from, to (uniform), and whether the client waits for it."""
    frame_us: float = quantity("us", 0, 1e7)
    """From one frame's start to the next one's; 0 or too short: the next one starts at once."""
    prepare_us: float = quantity("us", 0, 1e6)
    """Mean CPU time of the client before a submission, driver included; uniform from half to one
    and a half times this."""
    background_share: float = quantity("share", 0, 1)
    user_lines_per_us: float = quantity("lines/us", 0, 1000)
    driver_lines: int = count("lines", 0, 100_000)
    driver_cold_lines: int = count("lines", 0, 1_000_000)
    driver_instructions: int = count("instructions", 0, 100_000_000)
    instructions_per_ns: float = quantity("instructions/ns", 0.01, 100)
    user_ring_bytes: int = count("bytes", LINE_BYTES, 1 << 34)

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""
        allowed = "a list of 1..1000 steps [from, to, wait], "
        allowed += f"0 <= from <= to <= {MAX_STEP_US:g} us, wait 0 or 1"
        steps = self.steps
        if not isinstance(steps, (list, tuple)) or not 1 <= len(steps) <= 1000:
            raise self.refuse("steps", allowed)
        for step in steps:
            if not isinstance(step, (list, tuple)) or len(step) != 3:
                raise self.refuse("steps", allowed)
            if not all(isinstance(number, Real) for number in step):
                raise self.refuse("steps", allowed)
            if not 0 <= step[0] <= step[1] <= MAX_STEP_US or step[2] not in (0, 1):
                raise self.refuse("steps", allowed)
        plain = tuple((float(low), float(high), int(wait)) for low, high, wait in steps)
        object.__setattr__(self, "steps", plain)
        if self.prepare_us == 0 and self.frame_us == 0 and self.mean_frame_us == 0:
            raise self.refuse("prepare_us", "above 0 where neither frames nor steps take time")

    @property
    def mean_frame_us(self) -> float:
        """Mean time a client takes for a frame when it does not wait for the next one's start."""
        waited = max((i for i, step in enumerate(self.steps) if step[2]), default=-1)
        on_gpu = sum((low + high) / 2 for low, high, _ in self.steps[: waited + 1])
        return on_gpu + len(self.steps) * self.prepare_us

    @property
    def n_actors(self) -> int:
        """Processes that submit."""
        return self.n_clients

    @property
    def hot_bytes(self) -> int:
        """Bytes of the driver's working set."""
        return LINE_BYTES * max(self.driver_lines, 1)

    @property
    def ring_bytes(self) -> int:
        """What drivers, clients and other processes stream through."""
        return self.user_ring_bytes // LINE_BYTES * LINE_BYTES

    def generate(self, n_lookups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a stream, int64[7, n_lookups], and the cgroup of each process."""
        occupied = min(self.n_clients, self.n_cgroups)
        actor_cgroup = place_actors(self.n_clients, occupied, self.n_cgroups, seed)
        parameters = _Parameters(
            first_stream=FIRST_STREAM,
            ring_lines=self.ring_bytes // LINE_BYTES,
            **{name: getattr(self, name) for name in _Parameters._fields[2:]},
        )
        out = np.empty((len(COLUMNS), n_lookups), np.int64)
        _fill(parameters, np.array(self.steps, np.float64), actor_cgroup, out, seed)
        return out, actor_cgroup


class _Parameters(NamedTuple):
    """What the kernel needs of a `GpuWorkload`, under the same names, and the ring's lines."""

    first_stream: int
    ring_lines: int
    n_keys: int
    frame_us: float
    prepare_us: float
    background_share: float
    user_lines_per_us: float
    driver_lines: int
    driver_cold_lines: int
    driver_instructions: int
    instructions_per_ns: float


@njit
def _prepare_us(p, seed, client, done):
    """CPU time of a client before its submission number `done`."""
    index = client * _DRAWS_PER_CLIENT + done
    return p.prepare_us * (0.5 + random_unit(seed, p.first_stream + _PREPARE, index))


@njit
def _sift_down(heap, times, here):
    """Restore the heap of clients by time of submission, then number, below a place too early."""
    while 2 * here + 1 < heap.size:
        child = 2 * here + 1
        if child + 1 < heap.size and _earlier(times, heap[child + 1], heap[child]):
            child += 1
        if not _earlier(times, heap[child], heap[here]):
            return
        heap[here], heap[child] = heap[child], heap[here]
        here = child


@njit
def _earlier(times, a, b):
    return times[a] < times[b] or (times[a] == times[b] and a < b)


@njit
def _fill(p, steps, actor_cgroup, out, seed):
    """Play submissions in order of time. steps : float64[k, 3]; out : int64[7, n], overwritten."""
    n_clients = actor_cgroup.size
    times = np.empty(n_clients)  # of the next submission (us)
    prepared = np.empty(n_clients)  # what that one took (us)
    frames = np.empty(n_clients)  # start of the frame (us)
    pending = np.zeros(n_clients)  # GPU time not waited for yet (us)
    done = np.zeros(n_clients, np.int64)
    for c in range(n_clients):
        frames[c] = random_unit(seed, p.first_stream + _PHASE, c) * p.frame_us
        prepared[c] = _prepare_us(p, seed, c, 0)
        times[c] = frames[c] + prepared[c]
    heap = np.arange(n_clients)
    for place in range(n_clients // 2 - 1, -1, -1):
        _sift_down(heap, times, place)

    before = 0.0
    for i in range(out.shape[1]):
        c = heap[0]
        gap_us = times[c] - before
        before = times[c]
        busy_us = min(prepared[c], gap_us)
        busy_us += p.background_share * (gap_us - busy_us)
        instructions = max(int(1e3 * busy_us * p.instructions_per_ns), p.driver_instructions)
        out[_CGROUP, i] = actor_cgroup[c]
        out[_KEY, i] = c % p.n_keys
        out[_ACTOR, i] = c
        out[_HOT, i] = p.driver_lines
        cold = p.driver_cold_lines + int(busy_us * p.user_lines_per_us)
        out[_COLD, i] = min(cold, p.ring_lines)
        out[_INSTRUCTIONS, i] = instructions
        out[_IDLE, i] = max(int(1e3 * gap_us - instructions / p.instructions_per_ns), 0)

        step = done[c] % steps.shape[0]
        u = random_unit(seed, p.first_stream + _DURATION, c * _DRAWS_PER_CLIENT + done[c])
        pending[c] += steps[step, 0] + u * (steps[step, 1] - steps[step, 0])
        start = times[c]
        if steps[step, 2] != 0.0:
            start += pending[c]
            pending[c] = 0.0
        if step == steps.shape[0] - 1:
            # A client that is late starts at once, and counts from there.
            frames[c] = max(frames[c] + p.frame_us, start)
            start = frames[c]
            pending[c] = 0.0
        done[c] += 1
        prepared[c] = _prepare_us(p, seed, c, done[c])
        times[c] = start + prepared[c]
        _sift_down(heap, times, 0)
