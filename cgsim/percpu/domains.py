"""One atomic word per cluster (the cores of one L3) or per NUMA node, each on a line of its own."""

from typing import NamedTuple

from cgsim.compile.block_access import get
from cgsim.compile.jit import njit
from cgsim.core.space import atomic_add, work
from cgsim.percpu.base import Layout, Shape, add_layout, no_error
from cgsim.percpu.copies import peek_copies, read_copies, reset_copies
from cgsim.percpu.counter_memory import LINE_BYTES


class PerCluster(NamedTuple):
    """Domain d's word stands at `base` + 64 * d; `domain_of`: raw row, CPU -> domain."""

    base: int
    slots: int
    domain_of: int


class PerNode(NamedTuple):
    """As `PerCluster`."""

    base: int
    slots: int
    domain_of: int


def prepare_cluster(memory):
    table, count = memory.domains("cluster")
    return PerCluster(memory.words("counters", LINE_BYTES * count), count, table)


def prepare_node(memory):
    table, count = memory.domains("node")
    return PerNode(memory.words("counters", LINE_BYTES * count), count, table)


@njit
def step(space, layout, cpu, scratch, phase, amount, token):
    """The CPU knows its domain's word from a percpu pointer: three instructions."""
    work(space, 3, 0)
    atomic_add(space, layout.base + LINE_BYTES * get(layout.domain_of, cpu), 8, amount, token)
    return 0


@njit
def read(space, layout):
    return read_copies(space, layout.base, LINE_BYTES, layout.slots)


@njit
def peek_sum(space, layout):
    return peek_copies(space, layout.base, LINE_BYTES, layout.slots)


@njit
def reset(space, layout):
    reset_copies(space, layout.base, LINE_BYTES, layout.slots)


CLUSTER = add_layout(
    Layout(
        "per-cluster", "one atomic word per cluster", "atomic64_inc of the L3's word", PerCluster,
        prepare_cluster, step, read, peek_sum, reset,
        lambda machine, possible: Shape(slab=(LINE_BYTES,) * machine.n_clusters), no_error,
    )
)  # fmt: skip
NODE = add_layout(
    Layout(
        "per-node", "one atomic word per NUMA node", "kmalloc_node, atomic64_inc", PerNode,
        prepare_node, step, read, peek_sum, reset,
        lambda machine, possible: Shape(slab=(LINE_BYTES,) * machine.n_numa_nodes), no_error,
    )
)  # fmt: skip
