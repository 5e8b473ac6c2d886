"""The generator of the network workload: one CPU's packets, in order, as many as are asked for.

Packets arrive whether the CPU is ready or not (an open loop): Poisson, in bursts, or at line rate.
An idle CPU polls `interrupt_window_us` after the first arrival, a busy one as soon as it is done,
and takes what has arrived, `batch_max_packets` at most; so batches grow with the load. What has
waited for as long as the ring holds is lost. Flows are drawn by a Zipf law, in trains of packets of
one size. GRO merges segments of equal size and flow within a poll, and the hook runs once per
merged packet.

What other code does before a packet's lookups, in lines of the ring (cold) and of its working set
(hot):

- for each packet received: `packet_lines` cold ones, descriptor and headers, never the payload;
- for each delivery: `stack_lines` hot ones, and `socket_lines`, which are hot while deliveries go
  to one socket and cold when the socket changes;
- after each poll the application that got it: `application_lines` hot ones once, then
  `application_cold_lines` cold ones for each delivery with payload, and the payload's own lines
  times `payload_touched_share` by the copy to the user.

Draws belong to the arrival's number (its time, its flow) or to the flow and the number of its train
(size, length): neither depends on the design, nor on what the packets cost.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cgsim.compile.block_access import add, add_element, element, get, put, put_element
from cgsim.compile.intrinsics import put_real, real
from cgsim.compile.jit import njit
from cgsim.core.host_memory import address_of
from cgsim.core.rng import mix64
from cgsim.workloads.base import LINE_BYTES
from cgsim.workloads.draws import (
    ACTOR_SHIFT,
    Exponential,
    Guide,
    bits_of,
    exponential,
    invert,
    normal,
    stream_key,
    unit_of,
)

POISSON, ON_OFF, LINE_RATE = range(3)
WIRE_OVERHEAD_BYTES = 20
"""Preamble and gap between two frames."""

_MOST_DELIVERIES = 256  # of one poll: no more than packets, 64 at most
_POSITIVE = 0x7FFFFFFFFFFFFFFF

# Rows of the output, in the order of `COLUMNS`.
_CGROUP, _KEY, _ACTOR, _ACT, _HOT, _COLD, _INSTRUCTIONS, _IDLE = range(8)

# Fields of a delivery.
_D_ACTOR, _D_HOT, _D_COLD, _D_INSTRUCTIONS, _D_IDLE = range(5)
_DELIVERY_FIELDS = 5

# The state that is kept from one row to the next.
(
    _S_DELIVERY,  # the one whose rows are being made
    _S_DELIVERIES,  # of the last poll
    _S_KEY,  # the rest of its row: program, levels up, cgroup there
    _S_LEVEL,
    _S_CGROUP,
    _S_FLOW,  # the train that arrives
    _S_PAYLOAD,
    _S_WIRE,
    _S_LEFT,
    _S_TRAIN,
    _S_PACKET,
    _S_BURST,
    _S_LAST_ACTOR,
    _S_REQUESTS,  # of the last poll, and their payload in lines
    _S_PAYLOAD_LINES,
    _S_HOT,  # gathered since the last delivery
    _S_COLD,
    _S_INSTRUCTIONS,
    _S_IDLE,
    _S_WORK,  # instructions of this poll
    _S_LOST,  # times that the ring was full
    _STATE,
) = range(22)
_F_NOW, _F_ARRIVAL, _F_BURST_LEFT, _F_STATE = range(4)


class Parameters(NamedTuple):
    """What the kernel needs of a `NetworkWorkload`.

    first_act : of a packet's first row. gap_ns : mean time between packets. pause_ns : mean pause
    between bursts. full_ring_ns : that a packet waits at most. The others are the workload's.
    """

    first_act: int
    arrivals: int
    gap_ns: float
    pause_ns: float
    full_ring_ns: float
    n_keys: int
    inherited_programs: int
    charge_levels: int
    burst_us: float
    burst_sigma: float
    burst_factor: float
    line_gbit_s: float
    rx_queues: int
    interrupt_window_us: float
    batch_max_packets: int
    train_packets: float
    gro_max_bytes: int
    gro_open_flows: int
    packet_lines: int
    stack_lines: int
    socket_lines: int
    application_lines: int
    application_cold_lines: int
    payload_touched_share: float
    driver_instructions: int
    stack_instructions: int
    program_instructions: int
    application_instructions: int
    instructions_per_ns: float


class Tables(NamedTuple):
    """Distributions and maps: what is drawn, and what belongs to what; raw addresses of int64.

    acts : int64[n_keys, 2], of a program's row in its own cgroup and in an ancestor.
    trains_of_flow : int64[n_flows], overwritten: how many trains each has sent.
    """

    flows: Guide
    flow_actor: int
    actor_cgroup: int
    parents: int
    sizes: Guide
    payload: int
    wire: int
    acts: int
    trains_of_flow: int
    exponential: Exponential


class _Keys(NamedTuple):
    """Keys of the random streams."""

    arrival: int
    flow: int
    train: int
    burst: int


class NetworkFeed:
    """The rows of one CPU: `take` gives the next ones, whatever the size of the pieces."""

    def __init__(
        self,
        parameters: Parameters,
        tables: Tables,
        arrays: list[np.ndarray],
        seed: int,
        first_stream: int,
        columns: int,
    ) -> None:
        self._parameters = parameters
        self._tables = tables
        self._arrays = arrays  # which the tables point into
        self._columns = columns
        self._keys = _Keys(*(int(stream_key(seed, first_stream + i)) for i in range(4)))
        self._state = np.zeros(_STATE, np.int64)
        self._state[_S_LAST_ACTOR] = -1
        self._clock = np.zeros(_F_STATE)
        self._deliveries = np.zeros((_MOST_DELIVERIES, _DELIVERY_FIELDS), np.int64)
        # Packets that GRO holds, oldest first: flow, segment's payload, payload so far.
        self._held = np.zeros((parameters.gro_open_flows, 3), np.int64)

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        out = np.empty((self._columns, n), np.int64)
        _fill(
            self._parameters, self._tables, self._keys, address_of(self._state),
            address_of(self._clock), address_of(self._held), address_of(self._deliveries), out,
        )  # fmt: skip
        return out

    @property
    def times_ring_full(self) -> int:
        """How often packets were lost since the ring was full."""
        return int(self._state[_S_LOST])


@njit(forceinline=True)
def _new_train(p, t, k, s):
    """The next train: whose, of which size, how long."""
    flow = invert(t.flows, unit_of(bits_of(k.flow, get(s, _S_TRAIN))))
    add(s, _S_TRAIN, 1)
    bits = bits_of(k.train, flow << ACTOR_SHIFT | element(t.trains_of_flow, flow))
    add_element(t.trains_of_flow, flow, 1)
    size = invert(t.sizes, unit_of(bits))
    payload = element(t.payload, size)
    put(s, _S_FLOW, flow)
    put(s, _S_PAYLOAD, payload)
    put(s, _S_WIRE, element(t.wire, size))
    put(s, _S_LEFT, 1)
    if payload > 0 and p.train_packets > 1.0:
        # the whole part of an exponential variate is geometric
        length = exponential(t.exponential, mix64(bits) & _POSITIVE)
        put(s, _S_LEFT, 1 + int(length / -math.log1p(-1.0 / p.train_packets)))


@njit(forceinline=True)
def _next_arrival(p, t, k, s, f):
    """Set the time of the next packet's arrival, and what it is."""
    if get(s, _S_LEFT) == 0:
        _new_train(p, t, k, s)
    add(s, _S_LEFT, -1)
    if p.arrivals == LINE_RATE:
        bits_on_wire = 8.0 * (get(s, _S_WIRE) + WIRE_OVERHEAD_BYTES)
        put_real(f, _F_ARRIVAL, real(f, _F_ARRIVAL) + bits_on_wire / p.line_gbit_s * p.rx_queues)
        return
    gap = p.gap_ns * exponential(t.exponential, bits_of(k.arrival, get(s, _S_PACKET)))
    add(s, _S_PACKET, 1)
    if p.arrivals == ON_OFF:
        gap /= p.burst_factor
        while gap > real(f, _F_BURST_LEFT):
            gap -= real(f, _F_BURST_LEFT)
            bits = bits_of(k.burst, get(s, _S_BURST))
            add(s, _S_BURST, 1)
            pause_ns = p.pause_ns * exponential(t.exponential, mix64(bits) & _POSITIVE)
            skipped_ns = real(f, _F_BURST_LEFT) + pause_ns
            put_real(f, _F_ARRIVAL, real(f, _F_ARRIVAL) + skipped_ns)
            put_real(f, _F_BURST_LEFT, 1e3 * p.burst_us * math.exp(p.burst_sigma * normal(bits)))
        put_real(f, _F_BURST_LEFT, real(f, _F_BURST_LEFT) - gap)
    put_real(f, _F_ARRIVAL, real(f, _F_ARRIVAL) + gap)


@njit(forceinline=True)
def _deliver(p, t, s, deliveries, flow):
    """A packet goes up the stack and to the hook."""
    actor = element(t.flow_actor, flow)
    hot = get(s, _S_HOT) + p.stack_lines
    cold = get(s, _S_COLD)
    if actor == get(s, _S_LAST_ACTOR):
        hot += p.socket_lines
    else:
        cold += p.socket_lines
    put(s, _S_LAST_ACTOR, actor)
    d = get(s, _S_DELIVERIES)
    put(s, _S_DELIVERIES, d + 1)
    base = _DELIVERY_FIELDS * d
    put_element(deliveries, base + _D_ACTOR, actor)
    put_element(deliveries, base + _D_HOT, hot)
    put_element(deliveries, base + _D_COLD, cold)
    instructions = get(s, _S_INSTRUCTIONS) + p.stack_instructions
    put_element(deliveries, base + _D_INSTRUCTIONS, instructions)
    put_element(deliveries, base + _D_IDLE, get(s, _S_IDLE))
    add(s, _S_WORK, p.stack_instructions + p.n_keys * p.program_instructions)
    put(s, _S_HOT, 0)
    put(s, _S_COLD, 0)
    put(s, _S_INSTRUCTIONS, 0)
    put(s, _S_IDLE, 0)


@njit(forceinline=True)
def _drop(held, n_held, slot):
    """Take one held packet out; returns how many are left."""
    for i in range(slot, n_held - 1):
        for part in range(3):
            put_element(held, 3 * i + part, element(held, 3 * i + 3 + part))
    return n_held - 1


@njit(forceinline=True)
def _application(p, s):
    """What the last poll's packets were for."""
    requests = get(s, _S_REQUESTS)
    if requests > 0:
        add(s, _S_HOT, p.application_lines)
        add(s, _S_COLD, requests * p.application_cold_lines)
        add(s, _S_COLD, int(get(s, _S_PAYLOAD_LINES) * p.payload_touched_share + 0.5))
        add(s, _S_INSTRUCTIONS, requests * p.application_instructions)
        add(s, _S_WORK, requests * p.application_instructions)
    put(s, _S_REQUESTS, 0)
    put(s, _S_PAYLOAD_LINES, 0)


@njit(forceinline=True)
def _poll(p, t, k, s, f, held, deliveries):
    """Wait for packets, take them, merge them; fills `deliveries`."""
    if get(s, _S_PACKET) == 0 and get(s, _S_TRAIN) == 0:
        _next_arrival(p, t, k, s, f)
    _application(p, s)
    put_real(f, _F_NOW, real(f, _F_NOW) + get(s, _S_WORK) / p.instructions_per_ns)
    put(s, _S_WORK, 0)
    late = real(f, _F_NOW) - real(f, _F_ARRIVAL)
    if late > p.full_ring_ns:
        put_real(f, _F_ARRIVAL, real(f, _F_ARRIVAL) + late - p.full_ring_ns)
        add(s, _S_LOST, 1)
    elif late < 0.0:
        poll = real(f, _F_ARRIVAL) + 1e3 * p.interrupt_window_us
        # whole nanoseconds, so that the clock goes as the rows say
        idle = int(poll - real(f, _F_NOW))
        add(s, _S_IDLE, idle)
        put_real(f, _F_NOW, max(real(f, _F_NOW) + idle, real(f, _F_ARRIVAL)))
    put(s, _S_DELIVERY, 0)
    put(s, _S_DELIVERIES, 0)
    n_held = 0
    taken = 0
    while taken < p.batch_max_packets and real(f, _F_ARRIVAL) <= real(f, _F_NOW):
        taken += 1
        flow = get(s, _S_FLOW)
        payload = get(s, _S_PAYLOAD)
        _next_arrival(p, t, k, s, f)
        add(s, _S_COLD, p.packet_lines)
        add(s, _S_INSTRUCTIONS, p.driver_instructions)
        add(s, _S_WORK, p.driver_instructions)
        add(s, _S_PAYLOAD_LINES, (payload + LINE_BYTES - 1) >> 6)
        slot = 0
        while slot < n_held and element(held, 3 * slot) != flow:
            slot += 1
        merges = 0 < payload <= p.gro_max_bytes
        if slot < n_held:
            so_far = element(held, 3 * slot + 2)
            same = merges and payload == element(held, 3 * slot + 1)
            if same and so_far + payload <= p.gro_max_bytes:
                put_element(held, 3 * slot + 2, so_far + payload)
                continue
            # what is held of the flow goes up first
            _deliver(p, t, s, deliveries, flow)
            n_held = _drop(held, n_held, slot)
        add(s, _S_REQUESTS, 1 if payload > 0 else 0)
        if not merges:
            _deliver(p, t, s, deliveries, flow)
            continue
        if n_held == p.gro_open_flows:
            _deliver(p, t, s, deliveries, element(held, 0))
            n_held = _drop(held, n_held, 0)
        put_element(held, 3 * n_held, flow)
        put_element(held, 3 * n_held + 1, payload)
        put_element(held, 3 * n_held + 2, payload)
        n_held += 1
    for slot in range(n_held):
        _deliver(p, t, s, deliveries, element(held, 3 * slot))


@njit
def _fill(p, t, k, s, f, held, deliveries, out):
    """Make the next rows. out : int64[8, n], overwritten; all state is carried on."""
    n = out.shape[1]
    key = get(s, _S_KEY)
    level = get(s, _S_LEVEL)
    cgroup = get(s, _S_CGROUP)
    i = 0
    while i < n:
        while get(s, _S_DELIVERY) == get(s, _S_DELIVERIES):
            _poll(p, t, k, s, f, held, deliveries)
        d = get(s, _S_DELIVERY)
        actor = element(deliveries, _DELIVERY_FIELDS * d + _D_ACTOR)
        own = element(t.actor_cgroup, actor)
        while key < p.n_keys and i < n:
            act = element(t.acts, 2 * key + 1)
            if level == 0:
                cgroup = 0 if key < p.inherited_programs else own
                act = element(t.acts, 2 * key)
            out[_CGROUP, i] = cgroup
            out[_KEY, i] = key
            out[_ACTOR, i] = actor
            out[_ACT, i] = act
            out[_HOT, i] = 0
            out[_COLD, i] = 0
            out[_INSTRUCTIONS, i] = 0 if level > 0 else p.program_instructions
            out[_IDLE, i] = 0
            if key == 0 and level == 0:
                out[_ACT, i] = p.first_act
                out[_HOT, i] = element(deliveries, _DELIVERY_FIELDS * d + _D_HOT)
                out[_COLD, i] = element(deliveries, _DELIVERY_FIELDS * d + _D_COLD)
                out[_INSTRUCTIONS, i] = element(deliveries, _DELIVERY_FIELDS * d + _D_INSTRUCTIONS)
                out[_IDLE, i] = element(deliveries, _DELIVERY_FIELDS * d + _D_IDLE)
            i += 1
            if level < p.charge_levels and element(t.parents, cgroup) >= 0:
                level += 1
                cgroup = element(t.parents, cgroup)
            else:
                level = 0
                key += 1
        if key == p.n_keys:
            key = 0
            put(s, _S_DELIVERY, d + 1)
    put(s, _S_KEY, key)
    put(s, _S_LEVEL, level)
    put(s, _S_CGROUP, cgroup)
