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

from cgsim.compile.block_access import add, element, get, put, put_element
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

_MOST_DELIVERIES = 256  # that are made ahead of their rows; a poll has at most 64
_AHEAD = 256  # trains, and times between packets, that are drawn at once
_POSITIVE = 0x7FFFFFFFFFFFFFFF

# Rows of the output, in the order of `COLUMNS`.
_CGROUP, _KEY, _ACTOR, _ACT, _HOT, _COLD, _INSTRUCTIONS, _IDLE = range(8)

# Fields of a delivery: flow, packets taken since the one before, and of a poll's first one the time
# that the CPU was idle, and what the poll before was for: packets with payload, its lines.
_D_FLOW, _D_PACKETS, _D_IDLE, _D_REQUESTS, _D_LINES = range(5)
_DELIVERY_FIELDS = 5

# Fields of a train: the last of its packets by number, flow, a packet's payload and wire bytes.
_T_LAST, _T_FLOW, _T_PAYLOAD, _T_WIRE = range(4)
_TRAIN_FIELDS = 4

# The state that is kept from one row to the next.
(
    _S_DELIVERY,  # the one whose rows are being made
    _S_DELIVERIES,  # that are made
    _S_KEY,  # its program whose rows are being made, how many are, the last one's cgroup
    _S_LEVEL,
    _S_CGROUP,
    _S_PLACE,  # of the train that arrives among those drawn
    _S_TRAIN,  # trains drawn
    _S_PACKET,  # whose time of arrival comes next
    _S_BURST,
    _S_LAST_ACTOR,
    _S_REQUESTS,  # of the last poll, and their payload in lines
    _S_LINES,
    _S_LOST,  # times that the ring was full
    _STATE,
) = range(14)
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


class _Memory(NamedTuple):
    """What is kept from one piece to the next: raw addresses.

    state, clock : int64[_STATE], float64[_F_STATE]. trains : int64[_AHEAD, 4]. gaps :
    float64[_AHEAD], in means. held : int64[n, 3], packets that GRO holds, oldest first: flow,
    segment's payload, payload so far. deliveries : int64[_MOST_DELIVERIES, 5].
    """

    state: int
    clock: int
    trains: int
    gaps: int
    held: int
    deliveries: int


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
        self._columns = columns
        self._keys = _Keys(*(int(stream_key(seed, first_stream + i)) for i in range(4)))
        self._state = np.zeros(_STATE, np.int64)
        self._state[_S_LAST_ACTOR] = -1
        kept = [
            self._state,
            np.zeros(_F_STATE),
            np.zeros((_AHEAD, _TRAIN_FIELDS), np.int64),
            np.zeros(_AHEAD),
            np.zeros((parameters.gro_open_flows, 3), np.int64),
            np.zeros((_MOST_DELIVERIES, _DELIVERY_FIELDS), np.int64),
        ]
        self._memory = _Memory(*(address_of(array) for array in kept))
        self._arrays = [*arrays, *kept]  # which addresses point into

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        out = np.empty((self._columns, n), np.int64)
        self.fill(out)
        return out

    def fill(self, out: np.ndarray) -> None:
        """Write the next rows over `out`, int64[len(COLUMNS), n]."""
        _fill(
            self._parameters, self._tables, self._keys, self._memory, address_of(out), out.shape[1]
        )

    @property
    def times_ring_full(self) -> int:
        """How often packets were lost since the ring was full."""
        return int(self._state[_S_LOST])


@njit(forceinline=True)
def _draw_trains(p, t, k, m):
    """The next trains: whose, of which size, how long.

    Whose comes first, for all of them: a count that is read while the one before it is still to be
    written somewhere makes the CPU guess, and begin again.
    """
    s = m.state
    drawn = get(s, _S_TRAIN)
    put(s, _S_TRAIN, drawn + _AHEAD)
    trains = range(0, _TRAIN_FIELDS * _AHEAD, _TRAIN_FIELDS)
    for i in range(_AHEAD):
        flow = invert(t.flows, unit_of(bits_of(k.flow, drawn + i)))
        put_element(m.trains, _TRAIN_FIELDS * i + _T_FLOW, flow)
    for base in trains:
        flow = element(m.trains, base + _T_FLOW)
        count = element(t.trains_of_flow, flow)
        put_element(t.trains_of_flow, flow, count + 1)
        put_element(m.trains, base + _T_PAYLOAD, flow << ACTOR_SHIFT | count)
    last = get(s, _S_PACKET) - 1
    # the whole part of an exponential variate is geometric
    rate = -math.log1p(-1.0 / p.train_packets) if p.train_packets > 1.0 else math.inf
    for base in trains:
        bits = bits_of(k.train, element(m.trains, base + _T_PAYLOAD))
        size = invert(t.sizes, unit_of(bits))
        payload = element(t.payload, size)
        length = exponential(t.exponential, mix64(bits) & _POSITIVE)
        last += 1 + int(length / rate) * (payload > 0)
        put_element(m.trains, base + _T_LAST, last)
        put_element(m.trains, base + _T_PAYLOAD, payload)
        put_element(m.trains, base + _T_WIRE, element(t.wire, size))


@njit(forceinline=True)
def _draw_gaps(t, k, m):
    """The next times between packets, in means."""
    packet = get(m.state, _S_PACKET)
    for i in range(_AHEAD):
        put_real(m.gaps, i, exponential(t.exponential, bits_of(k.arrival, packet + i)))


@njit(forceinline=True)
def _next_arrival(p, t, k, m, arrival):
    """The time of the next packet's arrival, after that of the one before; sets what it is."""
    s, f = m.state, m.clock
    packet = get(s, _S_PACKET)
    place = get(s, _S_PLACE)
    place += packet > element(m.trains, _TRAIN_FIELDS * place + _T_LAST)
    if place == _AHEAD or packet == 0:
        _draw_trains(p, t, k, m)
        place = 0
    put(s, _S_PLACE, place)
    if p.arrivals == LINE_RATE:
        put(s, _S_PACKET, packet + 1)
        wire = element(m.trains, _TRAIN_FIELDS * place + _T_WIRE)
        bits_on_wire = 8.0 * (wire + WIRE_OVERHEAD_BYTES)
        return arrival + bits_on_wire / p.line_gbit_s * p.rx_queues
    if packet & (_AHEAD - 1) == 0:
        _draw_gaps(t, k, m)
    put(s, _S_PACKET, packet + 1)
    gap = p.gap_ns * real(m.gaps, packet & (_AHEAD - 1))
    if p.arrivals == ON_OFF:
        gap /= p.burst_factor
        while gap > real(f, _F_BURST_LEFT):
            gap -= real(f, _F_BURST_LEFT)
            bits = bits_of(k.burst, get(s, _S_BURST))
            add(s, _S_BURST, 1)
            pause_ns = p.pause_ns * exponential(t.exponential, mix64(bits) & _POSITIVE)
            arrival += real(f, _F_BURST_LEFT) + pause_ns
            put_real(f, _F_BURST_LEFT, 1e3 * p.burst_us * math.exp(p.burst_sigma * normal(bits)))
        put_real(f, _F_BURST_LEFT, real(f, _F_BURST_LEFT) - gap)
    return arrival + gap


@njit(forceinline=True)
def _deliver(m, d, flow, packets):
    """Delivery `d`: a packet goes up the stack and to the hook. Returns the next one's number."""
    base = _DELIVERY_FIELDS * d
    put_element(m.deliveries, base + _D_FLOW, flow)
    put_element(m.deliveries, base + _D_PACKETS, packets)
    put_element(m.deliveries, base + _D_IDLE, 0)
    put_element(m.deliveries, base + _D_REQUESTS, 0)
    put_element(m.deliveries, base + _D_LINES, 0)
    return d + 1


@njit(forceinline=True)
def _drop(held, n_held, slot):
    """Take one held packet out; returns how many are left."""
    for i in range(slot, n_held - 1):
        for part in range(3):
            put_element(held, 3 * i + part, element(held, 3 * i + 3 + part))
    return n_held - 1


@njit(forceinline=True)
def _poll(p, t, k, m, first):
    """Wait for packets, take them, merge them; returns the number behind the last delivery.

    first : number of the first delivery.
    """
    s, f, held = m.state, m.clock, m.held
    now = real(f, _F_NOW)
    arrival = real(f, _F_ARRIVAL)
    if get(s, _S_PACKET) == 0:
        arrival = _next_arrival(p, t, k, m, arrival)
    late = now - arrival
    idle = 0
    if late > p.full_ring_ns:
        arrival = arrival + late - p.full_ring_ns
        add(s, _S_LOST, 1)
    elif late < 0.0:
        poll = arrival + 1e3 * p.interrupt_window_us
        # whole nanoseconds, so that the clock goes as the rows say
        idle = int(poll - now)
        now = max(now + idle, arrival)
    d = first
    n_held = 0
    taken = 0
    packets = 0
    requests = 0
    lines = 0
    while taken < p.batch_max_packets and arrival <= now:
        taken += 1
        packets += 1
        train = _TRAIN_FIELDS * get(s, _S_PLACE)
        flow = element(m.trains, train + _T_FLOW)
        payload = element(m.trains, train + _T_PAYLOAD)
        arrival = _next_arrival(p, t, k, m, arrival)
        lines += (payload + LINE_BYTES - 1) >> 6
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
            d = _deliver(m, d, flow, packets)
            packets = 0
            n_held = _drop(held, n_held, slot)
        requests += payload > 0
        if not merges:
            d = _deliver(m, d, flow, packets)
            packets = 0
            continue
        if n_held == p.gro_open_flows:
            d = _deliver(m, d, element(held, 0), packets)
            packets = 0
            n_held = _drop(held, n_held, 0)
        put_element(held, 3 * n_held, flow)
        put_element(held, 3 * n_held + 1, payload)
        put_element(held, 3 * n_held + 2, payload)
        n_held += 1
    for slot in range(n_held):
        d = _deliver(m, d, element(held, 3 * slot), packets)
        packets = 0
    delivery = _DELIVERY_FIELDS * first
    put_element(m.deliveries, delivery + _D_IDLE, idle)
    put_element(m.deliveries, delivery + _D_REQUESTS, get(s, _S_REQUESTS))
    put_element(m.deliveries, delivery + _D_LINES, get(s, _S_LINES))
    put(s, _S_REQUESTS, requests)
    put(s, _S_LINES, lines)
    work = taken * p.driver_instructions + requests * p.application_instructions
    work += (d - first) * (p.stack_instructions + p.n_keys * p.program_instructions)
    put_real(f, _F_NOW, now + work / p.instructions_per_ns)
    put_real(f, _F_ARRIVAL, arrival)
    return d


@njit(forceinline=True)
def _row(out, n, i, cgroup, key, actor, act, hot, cold, instructions, idle):
    put_element(out, _CGROUP * n + i, cgroup)
    put_element(out, _KEY * n + i, key)
    put_element(out, _ACTOR * n + i, actor)
    put_element(out, _ACT * n + i, act)
    put_element(out, _HOT * n + i, hot)
    put_element(out, _COLD * n + i, cold)
    put_element(out, _INSTRUCTIONS * n + i, instructions)
    put_element(out, _IDLE * n + i, idle)


@njit(forceinline=True)
def _first_row(p, s, out, n, i, cgroup, actor, delivery):
    """The first program's row: the poll, the stack and what the poll before was for come before."""
    packets = element(delivery, _D_PACKETS)
    requests = element(delivery, _D_REQUESTS)
    same = actor == get(s, _S_LAST_ACTOR)
    put(s, _S_LAST_ACTOR, actor)
    # products, where a branch would be foreseen half of the time
    hot = p.stack_lines + same * p.socket_lines + (requests > 0) * p.application_lines
    cold = packets * p.packet_lines + (not same) * p.socket_lines
    cold += requests * p.application_cold_lines
    cold += int(element(delivery, _D_LINES) * p.payload_touched_share + 0.5)
    instructions = packets * p.driver_instructions + p.stack_instructions
    instructions += requests * p.application_instructions
    idle = element(delivery, _D_IDLE)
    _row(out, n, i, cgroup, 0, actor, p.first_act, hot, cold, instructions, idle)


@njit
def _fill(p, t, k, m, out, n):
    """Make the next rows. out : address of int64[8, n], overwritten; all state is carried on."""
    s = m.state
    key = get(s, _S_KEY)
    level = get(s, _S_LEVEL)
    cgroup = get(s, _S_CGROUP)
    d = get(s, _S_DELIVERY)
    i = 0
    while i < n:
        if d == get(s, _S_DELIVERIES):
            made = 0
            while made <= _MOST_DELIVERIES - p.batch_max_packets:
                made = _poll(p, t, k, m, made)
            put(s, _S_DELIVERIES, made)
            d = 0
        delivery = m.deliveries + 8 * _DELIVERY_FIELDS * d
        actor = element(t.flow_actor, element(delivery, _D_FLOW))
        own = element(t.actor_cgroup, actor)
        if key == 0 and level == 0:
            cgroup = own if p.inherited_programs == 0 else 0
            _first_row(p, s, out, n, i, cgroup, actor, delivery)
            level = 1
            i += 1
        while key < p.n_keys and i < n:
            if level == 0:
                cgroup = 0 if key < p.inherited_programs else own
                act = element(t.acts, 2 * key)
                _row(out, n, i, cgroup, key, actor, act, 0, 0, p.program_instructions, 0)
                level = 1
                i += 1
            while level <= p.charge_levels and i < n and element(t.parents, cgroup) >= 0:
                cgroup = element(t.parents, cgroup)
                _row(out, n, i, cgroup, key, actor, element(t.acts, 2 * key + 1), 0, 0, 0, 0)
                level += 1
                i += 1
            if level > p.charge_levels or element(t.parents, cgroup) < 0:
                level = 0
                key += 1
        if key == p.n_keys:
            key = 0
            d += 1
    put(s, _S_KEY, key)
    put(s, _S_LEVEL, level)
    put(s, _S_CGROUP, cgroup)
    put(s, _S_DELIVERY, d)
