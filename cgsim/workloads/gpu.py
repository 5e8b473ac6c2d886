"""The GPU workload: lookups in a driver's ioctls, by clients of several kinds.

Clients are processes in cgroups, each with a context on a device; devices are the keys. At a
submission (execbuf) and at a page flip the driver reads the datum of the client's cgroup and
device, a priority; it does not change it. A submission that allocates charges its memory to the
datum, and up the hierarchy. Clients are dealt to the CPUs that are played. Now and then a device is
unplugged: its datum is removed from every cgroup while the clients go on, and installed again.

The order of events: `cgsim.workloads.gpu_feed`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgsim.core.host_memory import address_of
from cgsim.errors import unknown_name
from cgsim.workloads import gpu_feed as feed
from cgsim.workloads.acts import (
    CHARGE,
    FROM_CGROUP,
    FROM_CURRENT,
    IGNORE,
    INSTALL,
    POLICY,
    REMOVE,
    STAY,
    UP,
    act_of,
)
from cgsim.workloads.base import (
    FIRST_STREAM,
    LINE_BYTES,
    MAX_CPUS,
    Surrounding,
    Workload,
    count,
    leaves_of,
    parents_of,
    place_actors,
    quantity,
    structured,
)
from cgsim.workloads.catalogue import Client, shared
from cgsim.workloads.draws import EXPONENTIAL, stream_key

MAX_CLIENTS = 100_000


@dataclass(frozen=True)
class GpuWorkload(Workload):
    """Parameters of the GPU workload; `data/workloads/` says where each value is from."""

    reach = "current"
    rcu_held = False
    n_cgroups: int = count("cgroups", 1, 1_000_000)
    """On the host, each with a datum per key."""
    children_per_cgroup: int = count("cgroups", 1, 1_000_000)
    """The tree's width. Clients are in its leaves, each in one of its own as far as they reach."""
    clients: tuple[tuple[str, int], ...] = structured("kind, processes")
    """Kinds of clients of the shared file, and how many of each."""
    cpus: int = count("CPUs", 1, MAX_CPUS)
    """That the clients run on, in turn."""
    n_keys: int = count("devices", 1, 65_536)
    """Clients are dealt to them in turn."""
    charge_levels: int = count("levels", 0, 64)
    """Ancestors that an allocation is charged to, besides the client's cgroup."""
    unplugs_per_s: float = quantity("1/s", 0, 1000)
    """How often a device is unplugged, and plugged in again when the next one is due."""
    background_share: float = quantity("share", 0, 1)
    user_lines_per_us: float = quantity("lines/us", 0, 1000)
    driver_lines: int = count("lines", 0, 100_000)
    driver_cold_lines: int = count("lines", 0, 1_000_000)
    driver_instructions: int = count("instructions", 0, 100_000_000)
    instructions_per_ns: float = quantity("instructions/ns", 0.01, 100)
    user_ring_bytes: int = count("bytes", LINE_BYTES, 1 << 34)

    def check(self) -> None:
        """Raise `UserError` if fields do not fit each other."""
        allowed = f"a list of [kind, processes], 1..{MAX_CLIENTS} processes in all"
        clients = self.clients
        if not isinstance(clients, (list, tuple)) or not clients:
            raise self.refuse("clients", allowed)
        for pair in clients:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise self.refuse("clients", allowed)
            if pair[0] not in shared().clients:
                raise unknown_name("kind of client", pair[0], shared().clients)
            if not isinstance(pair[1], (int, np.integer)) or isinstance(pair[1], bool):
                raise self.refuse("clients", allowed)
            if pair[1] < 1:
                raise self.refuse("clients", allowed)
        object.__setattr__(self, "clients", tuple((str(k), int(n)) for k, n in clients))
        if self.n_clients > MAX_CLIENTS:
            raise self.refuse("clients", allowed)
        if self.cpus > self.n_clients:
            raise self.refuse("cpus", f"at most {self.n_clients}, the number of clients")

    @property
    def changes_cgroups(self) -> bool:  # type: ignore[override]
        """Whether data come and go."""
        return self.unplugs_per_s > 0

    @property
    def n_clients(self) -> int:
        """Processes that submit."""
        return sum(n for _, n in self.clients)

    @property
    def hot_bytes(self) -> int:
        """Bytes of the driver's working set."""
        return LINE_BYTES * max(self.driver_lines, 1)

    @property
    def ring_bytes(self) -> int:
        """What drivers, clients and other processes stream through."""
        return self.user_ring_bytes // LINE_BYTES * LINE_BYTES

    def surrounding(self, seed: int) -> Surrounding:
        """What the engine builds around the lookups."""
        leaves = leaves_of(self.n_cgroups, self.children_per_cgroup)
        return Surrounding(
            actors=place_actors(self.n_clients, min(self.n_clients, leaves.size), leaves, seed),
            hot_bytes=self.hot_bytes,
            ring_bytes=self.ring_bytes,
            parents=parents_of(self.n_cgroups, self.children_per_cgroup),
        )

    def feed(self, cpu: int, surrounding: Surrounding, seed: int) -> feed.GpuFeed:
        """The generator of a CPU's rows."""
        kinds = [shared().clients[kind] for kind, _ in self.clients]
        kind_of = np.repeat(np.arange(len(kinds)), [n for _, n in self.clients])
        # one kind after the other, so that devices and CPUs get some of each
        clients = np.arange(self.n_clients)[cpu :: self.cpus]
        most_charges = max(int(kind.charges_per_submission) for kind in kinds) + 1
        parameters = feed.Parameters(
            ring_lines=self.ring_bytes // LINE_BYTES,
            unplugger=int(cpu == 0),
            submit=act_of(FROM_CURRENT, POLICY),
            charge=act_of(STAY, CHARGE),
            charge_up=act_of(UP, CHARGE),
            remove=act_of(FROM_CGROUP, IGNORE, REMOVE),
            install=act_of(FROM_CGROUP, IGNORE, INSTALL),
            most_rows=1 + most_charges * (1 + self.charge_levels) + max(k.flips for k in kinds),
            **{name: getattr(self, name) for name in feed.Parameters._fields[8:]},
        )
        table, arrays = _kinds(kinds)
        places = feed.Places(address_of(surrounding.actors), address_of(surrounding.parents))
        return feed.GpuFeed(
            parameters,
            table,
            places,
            [*arrays, surrounding.actors, surrounding.parents],
            clients,
            kind_of[clients],
            feed.Keys(*(int(stream_key(seed, FIRST_STREAM + i)) for i in range(5))),
        )


def _kinds(kinds: list[Client]) -> tuple[feed.Kinds, list[np.ndarray]]:
    """The table of kinds, and the arrays it points into."""
    lengths = np.array([len(kind.steps) for kind in kinds], dtype=np.int64)
    arrays = {
        "steps": np.array([step for kind in kinds for step in kind.steps], dtype=np.float64),
        "first_step": np.cumsum(lengths) - lengths,
        "n_steps": lengths,
        "frame_us": np.array([kind.frame_us for kind in kinds]),
        "prepare_us": np.array([kind.prepare_us for kind in kinds]),
        "flips": np.array([kind.flips for kind in kinds], dtype=np.int64),
        "charges": np.array([kind.charges_per_submission for kind in kinds]),
    }
    addresses = {name: address_of(array) for name, array in arrays.items()}
    return feed.Kinds(**addresses, exponential=EXPONENTIAL), list(arrays.values())
