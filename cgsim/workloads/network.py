"""The network workload: the programs of a hook in the receive path, on CPUs that serve RX queues.

Packets belong to flows, flows to sockets, sockets to cgroups; receive-side scaling deals sockets to
queues, so that a cgroup has sockets on several. Every packet that reaches the hook runs all
`n_keys` programs of its cgroup's effective array, in order; the first `inherited_programs` of them
are attached to the root, and use its datum. Each program has a key, whose datum it looks up in the
packet's cgroup and, if it charges up the hierarchy, in `charge_levels` ancestors too.

How packets arrive, are taken in polls and merged: `cgsim.workloads.network_feed`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.core.host_memory import address_of
from cgsim.errors import unknown_name
from cgsim.limits import Range
from cgsim.workloads import network_feed as feed
from cgsim.workloads.acts import FROM_SKB, STAY, UP, USES, act_of
from cgsim.workloads.base import (
    COLUMNS,
    FIRST_STREAM,
    LINE_BYTES,
    MAX_CPUS,
    STREAMS_PER_CPU,
    Surrounding,
    Workload,
    count,
    leaves_of,
    parents_of,
    place_actors,
    quantity,
    structured,
)
from cgsim.workloads.catalogue import shared
from cgsim.workloads.draws import EXPONENTIAL, guide
from cgsim.workloads.popularity import zipf_pmf

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_FLOWS = 1 << 22
ARRIVALS = ("poisson", "on-off", "line-rate")
RING_BUFFER_BYTES = 2048


@dataclass(frozen=True)
class NetworkWorkload(Workload):
    """Parameters of the network workload; `data/workloads/` says where each value is from."""

    reach = "skb"
    rcu_held = True
    n_cgroups: int = count("cgroups", 1, 1_000_000)
    """On the host, each with a datum per key."""
    children_per_cgroup: int = count("cgroups", 1, 1_000_000)
    """The tree's width: its depth is what n_cgroups make of it. Sockets are in its leaves."""
    active_cgroups: int = count("cgroups", 1, 1_000_000)
    """Leaves with sockets."""
    n_sockets: int = count("sockets", 1, 1_000_000)
    """On the host, spread evenly over the queues."""
    rx_queues: int = count("queues", 1, 1024)
    cpus: int = count("CPUs", 1, MAX_CPUS)
    """Of the CPUs that each serve a queue, how many are played, at once."""
    flows_per_socket: int = count("flows", 1, 1_000_000)
    zipf_s: float = quantity("exponent", 0, 3)
    """Popularity of flows; 0 is uniform."""
    n_keys: int = count("keys", 1, 65_536)
    """Programs of the hook, each with its own key: all of them run, in order."""
    inherited_programs: int = count("programs", 0, 65_536)
    """Of these, attached to the root, whose datum they use; they run first."""
    charge_levels: int = count("levels", 0, 64)
    """Ancestors in which a program uses its datum too, from the parent up."""
    program_uses: tuple[str, ...] = structured("names")
    """What the programs do with their data, in turn; names of `cgsim.workloads.acts.USES`."""
    packets_per_s_per_queue: float = quantity("packets/s", 1, 1e8)
    arrivals: str = structured("name")
    """poisson; on-off: bursts of Poisson arrivals; line-rate: back to back on the wire."""
    burst_us: float = quantity("us", 0.1, 1e6)
    """Median length of a burst, lognormal, for on-off."""
    burst_sigma: float = quantity("of the logarithm", 0, 4)
    burst_factor: float = quantity("times the mean rate", 1, 1000)
    """Rate within a burst; pauses are exponential, and as long as keeps the mean rate."""
    line_gbit_s: float = quantity("Gbit/s", 0.001, 1000)
    """Of the wire that all queues share, for line-rate."""
    interrupt_window_us: float = quantity("us", 0, 1000)
    """From the first packet's arrival to the poll, where the CPU was idle."""
    batch_max_packets: int = count("packets", 1, 64)
    packet_mix: str = structured("name")
    """Wire sizes and their weights, a name of `mixes` in the shared file."""
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
    """Of a program, besides its lookup."""
    application_instructions: int = count("instructions", 0, 100_000_000)
    """For each delivery with payload."""
    instructions_per_ns: float = quantity("instructions/ns", 0.01, 100)
    receive_ring_bytes: int = count("bytes", LINE_BYTES, 1 << 34)
    """Buffers and descriptors that packets arrive in."""

    @classmethod
    def follow(cls, values: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
        """No more cgroups with sockets than leaves, nor inherited programs than keys."""
        sizes = [values["n_cgroups"], values["children_per_cgroup"], values["n_keys"]]
        if not all(Range(1, 1 << 21).holds(size) for size in sizes):
            return values  # refused by its name, later
        leaves = leaves_of(sizes[0], sizes[1]).size
        most = {"active_cgroups": leaves, "inherited_programs": sizes[2]}
        return values | {
            name: min(values[name], high) for name, high in most.items() if name not in given
        }

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""
        leaves = self._leaves().size
        if self.active_cgroups > leaves:
            raise self.refuse("active_cgroups", f"at most {leaves}, the leaves of the tree")
        if self.inherited_programs > self.n_keys:
            raise self.refuse("inherited_programs", f"at most n_keys = {self.n_keys}")
        if self.cpus > self.rx_queues:
            raise self.refuse("cpus", f"at most rx_queues = {self.rx_queues}")
        if self.n_flows > MAX_FLOWS:
            most = MAX_FLOWS // self.sockets_per_queue
            sockets = self.sockets_per_queue
            raise self.refuse("flows_per_socket", f"at most {most} with {sockets} sockets a queue")
        self.choice("arrivals", ARRIVALS)
        uses = self.program_uses
        if isinstance(uses, str) or not isinstance(uses, (list, tuple)) or not uses:
            raise self.refuse("program_uses", f"a list of names of {', '.join(USES)}")
        for use in uses:
            if use not in USES:
                raise unknown_name("program_uses", use, USES)
        object.__setattr__(self, "program_uses", tuple(uses))
        mixes = shared().mixes
        if not isinstance(self.packet_mix, str) or self.packet_mix not in mixes:
            raise unknown_name("packet_mix", self.packet_mix, mixes)

    def _leaves(self) -> np.ndarray:
        return leaves_of(self.n_cgroups, self.children_per_cgroup)

    @property
    def sockets_per_queue(self) -> int:
        """Sockets whose packets arrive on one queue."""
        return math.ceil(self.n_sockets / self.rx_queues)

    @property
    def n_flows(self) -> int:
        """Flows whose packets arrive on one queue."""
        return self.sockets_per_queue * self.flows_per_socket

    @property
    def hot_bytes(self) -> int:
        """Bytes of the working set of stack and application."""
        return LINE_BYTES * (self.stack_lines + self.socket_lines + self.application_lines)

    @property
    def ring_bytes(self) -> int:
        """Receive ring and the sockets: what is streamed through."""
        lines = self.receive_ring_bytes // LINE_BYTES + self.sockets_per_queue * self.socket_lines
        return LINE_BYTES * lines

    @property
    def mean_wire_bytes(self) -> float:
        """Mean size of a packet on the wire, its frame check sequence included."""
        mix = shared().mixes[self.packet_mix]
        return float(np.average(mix.sizes, weights=mix.weights))

    def surrounding(self, seed: int) -> Surrounding:
        """What the engine builds around the lookups."""
        sockets = self.sockets_per_queue * self.cpus
        return Surrounding(
            actors=place_actors(sockets, self.active_cgroups, self._leaves(), seed),
            hot_bytes=self.hot_bytes,
            ring_bytes=self.ring_bytes,
            parents=parents_of(self.n_cgroups, self.children_per_cgroup),
        )

    def feed(self, cpu: int, surrounding: Surrounding, seed: int) -> feed.NetworkFeed:
        """The generator of a CPU's rows."""
        mix = shared().mixes[self.packet_mix]
        payload = np.maximum(np.array(mix.sizes, np.int64) - self.header_bytes, 0)
        # A packet without payload comes alone: fewer trains of the others keep the mix.
        trains = np.array(mix.weights) / np.where(payload > 0, self.train_packets, 1.0)
        uses = [USES.index(use) for use in self.program_uses]
        acts = np.array(
            [
                [act_of(reach, uses[key % len(uses)]) for reach in (STAY, UP)]
                for key in range(self.n_keys)
            ],
            dtype=np.int64,
        )
        sockets = self.sockets_per_queue * cpu + flow_sockets(self)
        flows, flow_arrays = guide(zipf_pmf(self.n_flows, self.zipf_s))
        sizes, size_arrays = guide(trains)
        wire = np.array(mix.sizes, np.int64)
        trains_of_flow = np.zeros(self.n_flows, np.int64)
        arrays = [sockets, surrounding.actors, surrounding.parents, payload, wire, acts]
        arrays += [trains_of_flow, *flow_arrays, *size_arrays]
        tables = feed.Tables(
            flows=flows,
            flow_actor=address_of(sockets),
            actor_cgroup=address_of(surrounding.actors),
            parents=address_of(surrounding.parents),
            sizes=sizes,
            payload=address_of(payload),
            wire=address_of(wire),
            acts=address_of(acts),
            trains_of_flow=address_of(trains_of_flow),
            exponential=EXPONENTIAL,
        )
        same = {name: getattr(self, name) for name in feed.Parameters._fields[5:]}
        # the lognormal's mean is above its median
        mean_burst = self.burst_us * math.exp(self.burst_sigma**2 / 2)
        parameters = feed.Parameters(
            first_act=act_of(FROM_SKB, uses[0]),
            arrivals=ARRIVALS.index(self.arrivals),
            gap_ns=self._gap_ns(),
            pause_ns=1e3 * mean_burst * (self.burst_factor - 1),
            full_ring_ns=self.receive_ring_bytes / RING_BUFFER_BYTES * self._gap_ns(),
            **same,
        )
        first_stream = FIRST_STREAM + STREAMS_PER_CPU * cpu
        return feed.NetworkFeed(parameters, tables, arrays, seed, first_stream, len(COLUMNS))

    def _gap_ns(self) -> float:
        """Mean time between two packets of a queue."""
        if self.arrivals == "line-rate":
            wire = self.mean_wire_bytes + feed.WIRE_OVERHEAD_BYTES
            return 8 * wire / self.line_gbit_s * self.rx_queues
        return 1e9 / self.packets_per_s_per_queue


def flow_sockets(workload: NetworkWorkload) -> np.ndarray:
    """The socket of each flow of a queue, the most popular flow first, int64[n_flows].

    Flow f + sockets_per_queue belongs to the same socket as f; a flow's socket depends on its rank,
    so that it stays the same where the popularity law or the number of flows changes. Which cgroup
    a socket is in is random.
    """
    return np.arange(workload.n_flows, dtype=np.int64) % workload.sockets_per_queue
