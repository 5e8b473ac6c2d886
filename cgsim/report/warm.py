"""Compiles what is going to be called, once and on all cores, so that all processes find it kept.

A piece is a tiny point of what the notebooks or the command line run. The first pieces compile what
all share, in this process; the others follow in processes of their own. A stamp in the store says
that all of it is there.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import as_completed
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.compile.cache import COMPILING_SAID, open_store
from cgsim.designs import get_design, list_designs
from cgsim.experiments.anatomy import anatomy
from cgsim.experiments.attribution import attribute
from cgsim.experiments.contention import contention
from cgsim.experiments.counters import lifetime_cost, update_cost
from cgsim.experiments.footprint import ways
from cgsim.experiments.in_workload import simulate
from cgsim.experiments.lookups import MODES, lookup_cost
from cgsim.experiments.upkeep import upkeep
from cgsim.interface import explore, misuse, packet_cost
from cgsim.kernel import kernel_versions
from cgsim.machines import list_machines
from cgsim.percpu import list_layouts
from cgsim.processes import worker_pool
from cgsim.scenarios.trace import list_scenarios, trace
from cgsim.trace_replay.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cgsim.report.progress import Progress


class Piece(NamedTuple):
    """A function of this module and what it is called with; `first`: others need what it compiles.

    group : what is said to be done when the last piece of it is.
    """

    group: str
    run: Callable[..., None]
    name: str
    first: bool = False


def for_notebooks() -> list[Piece]:
    """What the notebooks and the mail call: one piece per type of the designs and of the layouts.

    Designs that share a type share the compiled code.
    """
    first, *others = _one_of_each_type()
    return [
        Piece("designs", _design, first, first=True),
        *(Piece("designs", _workload, name) for name in ("gpu", "network")),
        Piece("designs", _packets, "packets"),
        Piece("explorer", _explorer, "explorer"),
        *(Piece("designs", _design, name) for name in others),
        *(Piece("layouts", _layout, layout.name) for layout in list_layouts()),
    ]


def _one_of_each_type() -> list[str]:
    """Names of designs, the first of each type of parameters."""
    types = {design.parameters: design.name for design in reversed(list_designs())}
    return list(reversed(types.values()))


def for_command_line() -> list[Piece]:
    """All that `for_notebooks` names, and what the verbs trace, contention and replay call."""
    kinds = dict.fromkeys(row["name"].partition("/")[0] for row in list_scenarios())
    return [
        *for_notebooks(),
        *(Piece("scenarios", _scenarios, kind) for kind in kinds),
        *(Piece("contention", _contention, name) for name in _one_of_each_type()),
        Piece("replay", _replay, "replay"),
    ]


def warm(pieces: Sequence[Piece], workers: int, progress: Progress) -> None:
    """Compile pieces, telling `progress`. Does nothing where all of them are compiled already."""
    store = open_store()
    stamp = "all-of-" + "-".join(dict.fromkeys(piece.group for piece in pieces))
    if store.read(stamp) is not None:
        return
    os.environ[COMPILING_SAID] = "1"  # the progress says it
    start = time.perf_counter()
    left = [piece.group for piece in pieces]

    def done(piece: Piece) -> None:
        left.remove(piece.group)
        progress.step(piece.name)
        if piece.group not in left:
            progress.finished(f"compiled {piece.group}", time.perf_counter() - start)

    progress.start(len(pieces))
    try:
        for piece in (piece for piece in pieces if piece.first):
            piece.run(piece.name)
            done(piece)
        rest = [piece for piece in pieces if not piece.first]
        with worker_pool(min(workers, len(rest))) as pool:
            tasks = {pool.submit(piece.run, piece.name): piece for piece in rest}
            for task in as_completed(tasks):
                task.result()
                done(tasks[task])
    finally:
        progress.close()
    store.write(stamp, b"")


def _machine() -> str:
    return "zen5-vm" if "zen5-vm" in list_machines() else list_machines()[0]


def _design(name: str) -> None:
    """All that the notebooks call on a design."""
    design, machine = get_design(name), _machine()
    lookup_cost(
        design,
        machine,
        n_cgroups=4,
        n_keys=2,
        modes=MODES,
        footprint_bytes=64,
        lookups=10,
        replicates=1,
    )
    anatomy(design, n_keys=2)
    upkeep(design, machine, n_cgroups=4, n_keys=2, data=ways(design)[0], samples=1, replicates=1)
    misuse([design])


def _workload(name: str) -> None:
    simulate("direct", _machine(), name, lookups=10, replicates=1)
    attribute("direct", _machine(), name, lookups=10)


def _explorer(_: str) -> None:
    """The search of interleavings."""
    explore(["cgroup-buf"], actors=["reader"])


def _packets(_: str) -> None:
    packet_cost(_machine(), n_cgroups=2, packets=10, replicates=1)


def _layout(name: str) -> None:
    update_cost(name, _machine(), 2, updates=16, replicates=1)
    lifetime_cost(name, _machine(), 2, replicates=1)


def _scenarios(kind: str) -> None:
    """The scenarios of one kind, each of the newest kernel that has it."""
    newest = {version.rpartition(".")[0]: version for version in kernel_versions()}
    for row in list_scenarios():
        if row["name"].partition("/")[0] == kind:
            *_, series = row["kernels"].split(", ")
            trace(row["name"].replace("=N", f"={row['n'].partition('..')[0]}"), newest[series])


def _contention(name: str) -> None:
    contention(_machine(), [name], cpus=[1], replicates=1, lookups_per_cpu=10)


def _replay(_: str) -> None:
    addresses = np.arange(64, dtype=np.uint64) * 64
    caches = "L1:32KiB/8,L2:1MiB/8,L3:16MiB/16"
    replay(addresses, caches=caches)
    replay(addresses, caches=caches, ops=np.tile(np.array([0, 1], np.uint8), 32))
