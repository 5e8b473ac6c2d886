"""The network workload: lookups of a hook in the receive path, on the CPU of one RX queue.

Packets belong to flows, flows to sockets, sockets to cgroups. Flows are drawn by a Zipf law, in
trains of packets of one size. NAPI polls take batches of min(largest, 1 + Poisson(rate * window))
packets. GRO merges segments of equal size and flow within a batch, and the hook runs once per
merged packet.

What other code does before a lookup, in lines of the ring (cold) and of its working set (hot):

- for each packet received: `packet_lines` cold ones, descriptor and headers, never the payload;
- for each delivery: `stack_lines` hot ones, and `socket_lines`, which are hot while deliveries go
  to one socket and cold when the socket changes;
- after each batch the application that got it: `application_lines` hot ones once, then
  `application_cold_lines` cold ones for each delivery with payload, and the payload's own lines
  times `payload_touched_share` by the copy to the user.

What the application does stands before the first lookup of the next batch, and so does the time in
which the CPU idles: what the last batch's work left of the time until this poll.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.rng import random_below, random_permutation, random_unit
from cgsim.errors import unknown_name
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
from cgsim.workloads.catalogue import catalogue
from cgsim.workloads.popularity import AliasTable, alias_table, batch_pmf, draw, zipf_pmf

# Random streams, counted from `FIRST_STREAM`. The kernel adds that at run time: a constant would be
# part of an argument's type, and each stream would compile `draw` again.
_FLOWS, _FLOW, _SIZE, _LENGTH, _BATCH, _ARRIVAL, _HOOK = range(7)

# Rows of the output, in the order of `COLUMNS`.
_CGROUP, _KEY, _ACTOR, _HOT, _COLD, _INSTRUCTIONS, _IDLE = range(len(COLUMNS))

# What has gathered since the last lookup, then lookups and deliveries so far and the last socket.
_G_HOT, _G_COLD, _G_INSTRUCTIONS, _G_IDLE, _G_LOOKUPS, _G_DELIVERIES, _G_LAST, _G_BATCH_WORK = (
    range(8)
)
_GATHERED = 8

MAX_FLOWS = 1 << 22


@dataclass(frozen=True)
class NetworkWorkload(Workload):
    """Parameters of the network workload; `data/workloads.yml` says where each value is from."""

    reach = "skb"
    rcu_held = True
    n_cgroups: int = count("cgroups", 1, 1_000_000)
    """On the host, each with a datum per key."""
    active_cgroups: int = count("cgroups", 1, 1_000_000)
    """Of these, with sockets."""
    n_sockets: int = count("sockets", 1, 1_000_000)
    """On the host, spread evenly over the queues."""
    rx_queues: int = count("queues", 1, 1024)
    flows_per_socket: int = count("flows", 1, 1_000_000)
    zipf_s: float = quantity("exponent", 0, 3)
    """Popularity of flows; 0 is uniform."""
    n_keys: int = count("keys", 1, 65_536)
    programs_per_hook: int = count("lookups", 1, 64)
    """Lookups for each packet, of consecutive keys; with more keys than these, the packet's hook is
    one of several, drawn uniformly."""
    packets_per_s_per_queue: float = quantity("packets/s", 1, 1e8)
    interrupt_window_us: float = quantity("us", 0, 1000)
    """From the first packet's arrival to the poll."""
    batch_max_packets: int = count("packets", 1, 64)
    packet_mix: str = structured("name")
    """Wire sizes and their weights, a name of `mixes` in the file."""
    header_bytes: int = count("bytes", 0, 256)
    train_packets: float = quantity("packets", 1, 1000)
    """Mean number of consecutive packets of a flow with payload (geometric)."""
    gro_max_bytes: int = count("bytes", 0, 1 << 20)
    """Payload of a merged packet; 0: GRO is off."""
    gro_open_flows: int = count("flows", 1, 64)
    packet_lines: int = count("lines", 0, 1000)
    stack_lines: int = count("lines", 0, 10_000)
    socket_lines: int = count("lines", 0, 1000)
    application_lines: int = count("lines", 0, 100_000)
    application_cold_lines: int = count("lines", 0, 100_000)
    payload_touched_share: float = quantity("share", 0, 1)
    driver_instructions: int = count("instructions", 0, 1_000_000)
    """For each packet received, GRO included."""
    stack_instructions: int = count("instructions", 0, 1_000_000)
    """For each delivery, up to the hook."""
    program_instructions: int = count("instructions", 0, 1_000_000)
    """Of a program, after its lookup."""
    application_instructions: int = count("instructions", 0, 100_000_000)
    """For each delivery with payload."""
    instructions_per_ns: float = quantity("instructions/ns", 0.01, 100)
    receive_ring_bytes: int = count("bytes", LINE_BYTES, 1 << 34)
    """Buffers and descriptors that packets arrive in."""

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""
        if self.active_cgroups > self.n_cgroups:
            raise self.refuse("active_cgroups", f"at most n_cgroups = {self.n_cgroups}")
        if self.programs_per_hook > self.n_keys:
            raise self.refuse("programs_per_hook", f"at most n_keys = {self.n_keys}")
        if self.n_flows > MAX_FLOWS:
            most = MAX_FLOWS // self.n_actors
            raise self.refuse("flows_per_socket", f"at most {most} with {self.n_actors} sockets")
        mixes = catalogue().mixes
        if not isinstance(self.packet_mix, str) or self.packet_mix not in mixes:
            raise unknown_name("packet_mix", self.packet_mix, mixes)

    @property
    def n_actors(self) -> int:
        """Sockets whose packets arrive on this queue."""
        return math.ceil(self.n_sockets / self.rx_queues)

    @property
    def n_flows(self) -> int:
        """Flows whose packets arrive on this queue."""
        return self.n_actors * self.flows_per_socket

    @property
    def hot_bytes(self) -> int:
        """Bytes of the working set of stack and application."""
        return LINE_BYTES * (self.stack_lines + self.socket_lines + self.application_lines)

    @property
    def ring_bytes(self) -> int:
        """Receive ring and the sockets: what is streamed through."""
        lines = self.receive_ring_bytes // LINE_BYTES + self.n_actors * self.socket_lines
        return LINE_BYTES * lines

    @property
    def expected_batch_packets(self) -> float:
        """Mean number of packets of a poll."""
        return float(self._batch_pmf() @ np.arange(1, self.batch_max_packets + 1))

    def _batch_pmf(self) -> np.ndarray:
        more = self.packets_per_s_per_queue * self.interrupt_window_us * 1e-6
        return batch_pmf(more, self.batch_max_packets)

    def generate(self, n_lookups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a stream, int64[7, n_lookups], and the cgroup of each socket."""
        actor_cgroup = place_actors(self.n_actors, self.active_cgroups, self.n_cgroups, seed)
        out = np.empty((len(COLUMNS), n_lookups), np.int64)
        _fill(self._parameters(), self._tables(actor_cgroup, seed), out, seed)
        return out, actor_cgroup

    def _parameters(self) -> "_Parameters":
        same = {name: getattr(self, name) for name in _Parameters._fields[1:]}
        return _Parameters(first_stream=FIRST_STREAM, **same)

    def _tables(self, actor_cgroup: np.ndarray, seed: int) -> "_Tables":
        mix = catalogue().mixes[self.packet_mix]
        payload = np.maximum(np.array(mix.sizes, np.int64) - self.header_bytes, 0)
        # A packet without payload comes alone: fewer trains of the others keep the mix.
        trains = np.array(mix.weights) / np.where(payload > 0, self.train_packets, 1.0)
        return _Tables(
            flows=alias_table(zipf_pmf(self.n_flows, self.zipf_s)),
            flow_actor=flow_actors(self, seed),
            actor_cgroup=actor_cgroup,
            sizes=alias_table(trains),
            payload=payload,
            batches=alias_table(self._batch_pmf()),
        )


def flow_actors(workload: NetworkWorkload, seed: int) -> np.ndarray:
    """The socket of each flow, flows in descending order of popularity, int64[n_flows]."""
    return random_permutation(workload.n_flows, seed, FIRST_STREAM + _FLOWS) % workload.n_actors


class _Parameters(NamedTuple):
    """What the kernel needs of a `NetworkWorkload`, under the same names."""

    first_stream: int
    n_keys: int
    programs_per_hook: int
    packets_per_s_per_queue: float
    interrupt_window_us: float
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


class _Tables(NamedTuple):
    """Distributions and maps: what is drawn, and what belongs to what."""

    flows: AliasTable
    flow_actor: np.ndarray
    actor_cgroup: np.ndarray
    sizes: AliasTable
    payload: np.ndarray
    batches: AliasTable


@njit
def _work(gathered, instructions):
    """Other code executes `instructions`."""
    gathered[_G_INSTRUCTIONS] += instructions
    gathered[_G_BATCH_WORK] += instructions


@njit
def _deliver(p, t, out, gathered, seed, flow):
    """A packet goes up the stack and through the hook: `programs_per_hook` lookups."""
    actor = t.flow_actor[flow]
    gathered[_G_HOT] += p.stack_lines
    if actor == gathered[_G_LAST]:
        gathered[_G_HOT] += p.socket_lines
    else:
        gathered[_G_COLD] += p.socket_lines
    gathered[_G_LAST] = actor
    _work(gathered, p.stack_instructions)

    hooks = (p.n_keys + p.programs_per_hook - 1) // p.programs_per_hook
    hook = random_below(seed, p.first_stream + _HOOK, gathered[_G_DELIVERIES], hooks)
    gathered[_G_DELIVERIES] += 1
    for j in range(p.programs_per_hook):
        i = gathered[_G_LOOKUPS]
        if i < out.shape[1]:
            out[_CGROUP, i] = t.actor_cgroup[actor]
            out[_KEY, i] = (hook * p.programs_per_hook + j) % p.n_keys
            out[_ACTOR, i] = actor
            out[_HOT, i] = gathered[_G_HOT]
            out[_COLD, i] = gathered[_G_COLD]
            out[_INSTRUCTIONS, i] = gathered[_G_INSTRUCTIONS]
            out[_IDLE, i] = gathered[_G_IDLE]
        gathered[_G_LOOKUPS] += 1
        gathered[_G_HOT] = 0
        gathered[_G_COLD] = 0
        gathered[_G_INSTRUCTIONS] = 0
        gathered[_G_IDLE] = 0
        _work(gathered, p.program_instructions)


@njit
def _train_length(p, seed, train):
    """Packets of a train: geometric with mean `train_packets`."""
    if p.train_packets <= 1.0:
        return 1
    u = random_unit(seed, p.first_stream + _LENGTH, train)
    return 1 + int(math.log1p(-u) / math.log1p(-1.0 / p.train_packets))


@njit
def _fill(p, t, out, seed):
    """Play packets until all lookups are made. out : int64[7, n], overwritten."""
    gathered = np.zeros(_GATHERED, np.int64)
    gathered[_G_LAST] = -1
    # Packets that GRO holds, oldest first: flow, segment's payload, payload so far.
    held = np.zeros((p.gro_open_flows, 3), np.int64)
    zero = int(gathered[_G_LOOKUPS])  # a constant would be a type of its own
    n_held = zero
    train = zero - 1
    left = zero
    flow = zero
    payload = zero
    batch = zero
    requests = 0
    payload_lines = 0
    behind_ns = 0.0
    while gathered[_G_LOOKUPS] < out.shape[1]:
        if requests > 0:
            gathered[_G_HOT] += p.application_lines
            gathered[_G_COLD] += requests * p.application_cold_lines
            gathered[_G_COLD] += int(payload_lines * p.payload_touched_share + 0.5)
            _work(gathered, requests * p.application_instructions)
        requests = 0
        payload_lines = 0

        # The first packet of a batch arrives, then the window passes. Work that took longer than
        # that is made up for by less idling later, so that the rate is kept.
        u = random_unit(seed, p.first_stream + _ARRIVAL, batch)
        passed_ns = 1e3 * p.interrupt_window_us - 1e9 / p.packets_per_s_per_queue * math.log1p(-u)
        spare_ns = passed_ns - gathered[_G_BATCH_WORK] / p.instructions_per_ns - behind_ns
        gathered[_G_IDLE] += int(max(spare_ns, 0.0))
        behind_ns = max(-spare_ns, 0.0)
        gathered[_G_BATCH_WORK] = 0

        for _ in range(1 + draw(t.batches, seed, p.first_stream + _BATCH, batch)):
            if left == 0:
                train += 1
                flow = draw(t.flows, seed, p.first_stream + _FLOW, train)
                payload = t.payload[draw(t.sizes, seed, p.first_stream + _SIZE, train)]
                left = 1 if payload == 0 else _train_length(p, seed, train)
            left -= 1
            gathered[_G_COLD] += p.packet_lines
            _work(gathered, p.driver_instructions)
            payload_lines += (payload + LINE_BYTES - 1) // LINE_BYTES

            slot = 0
            while slot < n_held and held[slot, 0] != flow:
                slot += 1
            if slot < n_held and (
                payload != held[slot, 1] or held[slot, 2] + payload > p.gro_max_bytes
            ):
                # What is held of the flow goes up first.
                _deliver(p, t, out, gathered, seed, flow)
                n_held = _drop(held, n_held, slot)
                slot = n_held
            if payload == 0 or payload > p.gro_max_bytes:
                requests += 1 if payload > 0 else 0
                _deliver(p, t, out, gathered, seed, flow)
            elif slot < n_held:
                held[slot, 2] += payload
            else:
                requests += 1
                if n_held == p.gro_open_flows:
                    _deliver(p, t, out, gathered, seed, held[0, 0])
                    n_held = _drop(held, n_held, zero)
                held[n_held, 0] = flow
                held[n_held, 1] = payload
                held[n_held, 2] = payload
                n_held += 1
        for slot in range(n_held):
            _deliver(p, t, out, gathered, seed, held[slot, 0])
        n_held = zero
        batch += 1


@njit
def _drop(held, n_held, slot):
    """Take one held packet out; returns how many are left."""
    for i in range(slot, n_held - 1):
        for part in range(held.shape[1]):
            held[i, part] = held[i + 1, part]
    return n_held - 1
