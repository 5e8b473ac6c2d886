"""What a packet's programs pay for their buffers: worst case, pointer, inlined, and as shipped.

All rows run the same program for the same packets; they differ in how it finds its buffer.

==============  =================================================================================
no buffer       a program that asks for none: what the packet pays anyway (skb, socket, cgroup,
                the array of effective programs, one call each)
worst           bpf_get_cgroup_buf follows skb->sk->cgroup->buffer again
pointer         the buffer's pointer is loaded from the cgroup that the dispatcher has
inlined         the address is an immediate: each cgroup needs a program of its own
cgroup-storage  the kernel's bpf_get_local_storage: running context, item, storage, buffer
==============  =================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.compile.jit import njit
from cgsim.core.block_fields import C_ACCESSES, C_INSTRUCTIONS, TICKS
from cgsim.core.heap import Heap
from cgsim.core.rng import random_bits, random_integers
from cgsim.core.space import Timed, now, pause, touch_lines
from cgsim.core.system import System
from cgsim.errors import unknown_name
from cgsim.interface.attach import MAX_PROGRAMS, PATHS, Attachments, run_packet
from cgsim.interface.program import COUNTER, Program
from cgsim.kernel import load_kernel
from cgsim.limits import Range, check_common
from cgsim.machines import Machine, load_machine
from cgsim.machines.system_spec import system_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = ("no buffer", *PATHS)
_HEAP_BYTES = 1 << 31
_NO_BUFFER = Program("no buffer", ())
_STREAM = 5


@njit
def _run_packets(space, shape, sockets, order, programs, code, ring, lines, seed, ticks):
    """Packets of sockets[order]; int64[n] `ticks` is overwritten with each one's time."""
    total = 0
    for i in range(order.size):
        touch_lines(space, ring, lines, 0)
        pause(space, 0, random_bits(seed, _STREAM, i))
        begin = now(space)
        total += run_packet(space, shape, sockets[order[i]], programs, code)
        ticks[i] = now(space) - begin
    return total


def packet_cost(
    machine: str | Machine,
    *,
    ways: Sequence[str] = WAYS,
    program: Program = COUNTER,
    n_cgroups: int = 1000,
    n_programs: int = 1,
    footprint_bytes: int = 0,
    packets: int = 2000,
    replicates: int = 3,
    seed: int = 1,
    kernel: str = "7.3.4",
) -> pd.DataFrame:
    """Cost of one packet's programs, for packets of random cgroups.

    Parameters
    ----------
    machine : name, path of a profile, or a `Machine`
    ways : of `WAYS`
    program : run `n_programs` times per packet, each with a part of the buffer of its own
    n_cgroups : leaves below one parent; the programs are attached to the parent, "inlined" to every
        leaf
    footprint_bytes : memory that other code walks through before each packet
    packets : measured per replicate, after as many that only warm
    replicates : with seeds seed, seed + 1, ...

    Returns
    -------
    DataFrame, one row per way and replicate: way, machine, kernel, n_cgroups, n_programs,
    footprint_bytes, replicate, seed, ns, cycles, p99_ns, instructions, accesses (per packet),
    buffer_bytes (of one cgroup, as slab rounds them) and programs (structs bpf_prog in memory).

    Raises UserError for a bad argument or a program that the verifier refuses.
    """
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    for way in ways:
        if way not in WAYS:
            raise unknown_name("way", way, WAYS)
    Range(1, 20_000).check("packet_cost", "n_cgroups", n_cgroups)
    Range(1, MAX_PROGRAMS).check("packet_cost", "n_programs", n_programs)
    check_common(
        "packet_cost", footprint_bytes=footprint_bytes, packets=packets, replicates=replicates,
        seed=seed,
    )  # fmt: skip
    rows = []
    for way in ways:
        for replicate in range(replicates):
            own_seed = seed + replicate
            run = _Run(
                model, kernel, way, program, n_cgroups, n_programs, footprint_bytes, own_seed
            )
            rows.append(
                {
                    "way": way,
                    "machine": model.name,
                    "kernel": kernel,
                    "n_cgroups": n_cgroups,
                    "n_programs": n_programs,
                    "footprint_bytes": footprint_bytes,
                    "replicate": replicate,
                    "seed": own_seed,
                }
                | run.measure(packets)
            )
    return pd.DataFrame(rows)


class _Run:
    """One way of one replicate: the hierarchy with its programs, and a machine."""

    def __init__(
        self,
        machine: Machine,
        kernel: str,
        way: str,
        program: Program,
        n_cgroups: int,
        n_programs: int,
        footprint_bytes: int,
        seed: int,
    ) -> None:
        self.machine, self.seed = machine, seed
        self.heap = Heap(_HEAP_BYTES, seed=seed, cpus=machine.n_cpus)
        self.lines = footprint_bytes // 64
        self.ring = self.heap.place("other code", max(footprint_bytes, 64))
        self.stand = Attachments(self.heap, load_kernel(kernel), [-1] + [0] * n_cgroups)
        chosen = _NO_BUFFER if way == "no buffer" else program
        targets = range(1, n_cgroups + 1) if way == "inlined" else [0]
        self.stand.attach_all(chosen, [target for target in targets for _ in range(n_programs)])
        if way != "no buffer":
            self.stand.force(way)
        self.system = System(system_spec(machine), self.heap)

    def measure(self, packets: int) -> dict[str, Any]:
        """The columns of a row."""
        stand = self.stand
        sockets = np.array(stand.sockets[1:], dtype=np.int64)
        space = Timed(self.heap.mem, self.heap.block, self.system.cpu())
        ticks = np.zeros(packets, dtype=np.int64)
        text = (stand.table, stand.code)
        # each cgroup once, so that no first touch is measured; then a warm round, then the measured
        everyone = np.arange(sockets.size)
        unused = np.zeros(sockets.size, dtype=np.int64)
        _run_packets(space, stand.shape, sockets, everyone, *text, self.ring, 0, 0, unused)
        for stream in (1, 2):
            order = random_integers(packets, self.seed, stream, sockets.size)
            before = self._counted()
            rest = (self.ring, self.lines, self.seed, ticks)
            _run_packets(space, stand.shape, sockets, order, *text, *rest)
        counted = (self._counted() - before) / packets
        cycles = ticks / TICKS
        return {
            "ns": self.machine.ns(float(cycles.mean())),
            "cycles": float(cycles.mean()),
            "p99_ns": self.machine.ns(float(np.quantile(cycles, 0.99))),
            "instructions": float(counted[0]),
            "accesses": float(counted[1]),
            "buffer_bytes": stand.buffer_bytes(1),
            "programs": len(stand.programs),
        }

    def _counted(self) -> np.ndarray:
        return np.array([self.system.field(f) for f in (C_INSTRUCTIONS, C_ACCESSES)], dtype=float)
