"""A digest of every kind of result: does a change of the sources leave all of them the same?

`python -m benchmarks.same_results FILE` plays some thousand small cases and writes a line for each:
its name and 16 hexadecimal digits of the SHA-256 of its exact values.
`python -m benchmarks.same_results --compare BEFORE AFTER` names the cases that differ, and exits
with 1 if there are any.

The file also runs by its path, on any tree of the package that comes first in PYTHONPATH. So it
takes what is public from `cgsim` itself, and looks for the few other functions in all modules.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import pkgutil
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import cgsim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Case = tuple[str, Callable[[], Any]]

MACHINES = ("zen5-vm", "zen3-milan", "sapphire-rapids", "xeon-8176-8s", "neoverse-n1")
KERNELS = ("6.12.117", "7.3.4")
WORKLOADS = (
    "network",
    "k8s-node",
    "dns",
    "video-cache",
    "laptop",
    "gpu",
    "composited-ui",
    "cloud-gaming",
    "transcode",
    "gpu-server",
)
MODES = ("throughput", "dependent", "isolated")
NUMBERS = (0, 1, 3, 6, 17)
"""For scenarios that take one; what is out of a scenario's range is a case of its own."""

HIERARCHIES = {
    "default": "L1:32KiB/8,L2:512KiB/8,L3:16MiB/16",
    "tiny": "L1:4KiB/2,L2:32KiB/4,L3:256KiB/16",
    "one": "L1:48KiB/12",
    "odd-sets": "L1:3072B/3,L2:40KiB/5@2,L3:1344KiB/21",
    "four": "L1:32KiB/8,L2:256KiB/4,L3:2MiB/16@4,L4:8MiB/16",
}
TLB = "L1:64/4,L2:1024/8"

ERROR = "!"
"""What begins in the place of a digest where a case failed; it is the same as nothing."""


@cache
def somewhere(name: str, *likely: str) -> Callable[..., Any]:
    """A function of the package that is defined in one of the likely modules, or in any other.

    Raises LookupError if there is none.
    """
    every = (m.name for m in pkgutil.walk_packages(cgsim.__path__, "cgsim."))
    every = (module for module in every if not module.endswith("__main__"))
    for module in (*likely, *every):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            continue
        if getattr(found, "__name__", "") == name:
            return found
    raise LookupError(f"no module of {cgsim.__file__} defines {name}")


def design_names() -> list[str]:
    """The designs' names, in their own order."""
    return [getattr(design, "name", design) for design in cgsim.list_designs()]


def simulations() -> Iterator[Case]:
    """Every design on five machines with every workload; the surroundings vary on one machine."""
    for design, machine, workload in product(design_names(), MACHINES, WORKLOADS):
        yield (
            f"simulate/{design}/{machine}/{workload}",
            lambda d=design, m=machine, w=workload: cgsim.simulate(
                d, m, w, lookups=100, replicates=1
            ),
        )
    variants: dict[str, dict[str, Any]] = {
        "6.12": {"kernel": KERNELS[0]},
        "fresh": {"aged": False},
        "next-line": {"prefetch_next_line": True},
        "threads": {"replicates": 3, "threads": 2, "seed": 7},
        "many-keys": {"n_keys": 13, "n_cgroups": 500},
    }
    for design, (name, options) in product(design_names(), variants.items()):
        yield (
            f"simulate/{design}/{MACHINES[0]}/network/{name}",
            lambda d=design, o=options: cgsim.simulate(
                d, MACHINES[0], "network", **({"lookups": 100, "replicates": 1} | o)
            ),
        )


def lookups_alone() -> Iterator[Case]:
    """Every design on five machines in each mode by itself."""
    for design, machine, mode in product(design_names(), MACHINES, MODES):
        footprint = 1 << 16 if mode == "isolated" else 0
        yield (
            f"lookup_cost/{design}/{machine}/{mode}",
            lambda d=design, m=machine, k=mode, f=footprint: cgsim.lookup_cost(
                d, m, n_cgroups=150, modes=(k,), footprint_bytes=f, lookups=120, replicates=1
            ),
        )


def attributions() -> Iterator[Case]:
    """Every design's accesses by field."""
    for design, machine, workload in product(design_names(), MACHINES[::3], ("network", "gpu")):
        yield (
            f"attribute/{design}/{machine}/{workload}",
            lambda d=design, m=machine, w=workload: cgsim.attribute(d, m, w, lookups=100),
        )


def upkeeps() -> Iterator[Case]:
    """Every design's installs and removes, with regular and with percpu data."""
    for design, machine, data in product(design_names(), MACHINES[::2], ("regular", "percpu")):
        yield (
            f"upkeep/{design}/{machine}/{data}",
            lambda d=design, m=machine, x=data: cgsim.upkeep(
                d, m, n_cgroups=60, n_keys=3, data=x, footprint_bytes=4096, samples=6, replicates=1
            ),
        )


def memories() -> Iterator[Case]:
    """What every design's data take."""
    for design, cpus in product(design_names(), (4, 96)):
        yield (
            f"memory_cost/{design}/cpus={cpus}",
            lambda d=design, n=cpus: somewhere(
                "memory_cost", "cgsim.experiments.footprint", "cgsim.memory"
            )([d], possible_cpus=n, n_keys=6),
        )


def traces() -> Iterator[Case]:
    """Every scenario of both kernels; its cycles with one number."""
    scenarios = somewhere("list_scenarios", "cgsim.scenarios.trace", "cgsim.trace")()
    for scenario, kernel in product((row["name"] for row in scenarios), KERNELS):
        stem, takes_number, _ = scenario.partition("=N")
        for number in NUMBERS if takes_number else (None,):
            name = stem if number is None else f"{stem}={number}"
            yield (
                f"trace/{kernel}/{name}",
                lambda n=name, k=kernel, c=number in (None, 3): cgsim.trace(n, k, cycles=c),
            )


def counters() -> Iterator[Case]:
    """Every layout: updates, reads and a life on some CPUs of three machines."""
    home = "cgsim.experiments.counters", "cgsim.contention"
    layouts = somewhere("list_layouts", "cgsim.percpu")()
    names = [getattr(layout, "name", layout) for layout in layouts]
    plays: dict[str, tuple[str, dict[str, Any]]] = {
        "update": ("update_cost", {"updates": 1600}),
        "update-many": (
            "update_cost",
            {"updates": 1600, "cgroups": 20, "zipf": 1.0, "design": "idr", "seed": 3},
        ),
        "update-mixed": (
            "update_cost",
            {"updates": 1600, "reads": 64, "moves": 32, "interrupts": 64, "amounts": (1, 5, -2)},
        ),
        "read": ("read_cost", {"rounds": 4}),
        "life": ("lifetime_cost", {"slots": 48}),
    }
    for layout, machine, cpus in product(names, (*MACHINES[1::2], MACHINES[4]), (1, 4, 40)):
        for play, (function, options) in plays.items():
            yield (
                f"counters/{layout}/{machine}/cpus={cpus}/{play}",
                lambda d=layout, m=machine, n=cpus, f=function, o=options: somewhere(f, *home)(
                    d, m, n, **o
                ),
            )


def _random(count: int, stream: int) -> np.ndarray:
    """uint64[count]: splitmix64, so that the trace hangs on no library's generator."""
    x = np.arange(count, dtype=np.uint64) + np.uint64(stream << 32)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def made_trace(cpus: int, *, writes: bool, crossing: bool = False) -> pd.DataFrame:
    """A trace: half of it in 64 KiB, the rest over 64 MiB, a third of these in strides.

    One of 100,000 accesses is long enough to be split over host threads.
    """
    count = 100_000
    choice, place, who = _random(count, 1) % np.uint64(6), _random(count, 2), _random(count, 3)
    far = np.where(choice < 5, place % np.uint64(1 << 26), np.arange(count, dtype=np.uint64) * 72)
    address = np.where(choice < 3, place % np.uint64(1 << 16), far) + np.uint64(1 << 30)
    table = pd.DataFrame({"address": address, "op": "R"})
    if writes:
        table["op"] = np.where(who % np.uint64(5) == 0, "W", "R")
    if cpus > 1:
        table["cpu"] = ((who >> np.uint64(8)) % np.uint64(cpus)).astype(np.uint16)
    if crossing:
        table["size"] = np.array([1, 4, 8, 32])[(who >> np.uint64(20)) % np.uint64(4)]
    return table


def replays() -> Iterator[Case]:
    """Traces on several hierarchies, for each policy, number of CPUs and of host threads."""

    def play(cpus: int, options: dict[str, Any], writes: bool, crossing: bool = False) -> Any:
        trace = made_trace(cpus, writes=writes, crossing=crossing)
        return cgsim.replay(trace, cpus=cpus, **options)

    for (name, caches), cpus, threads in product(HIERARCHIES.items(), (1, 2, 8), (1, 2)):
        head = f"replay/{name}/cpus={cpus}/threads={threads}"
        base = {"caches": caches, "threads": threads}
        yield f"{head}/reads", lambda c=cpus, o=base: play(c, o, writes=False)
        for policy in ("nine", "inclusive", "victim"):
            options = base | {"last_level": policy}
            yield f"{head}/{policy}", lambda c=cpus, o=options: play(c, o, writes=True)
        options = base | {"false_sharing": True, "tlb": TLB, "write_backs": "silent"}
        yield (
            f"{head}/false-sharing",
            lambda c=cpus, o=options: play(c, o, writes=True, crossing=True),
        )

    def play_file(machine: str, suffix: str) -> Any:
        cpus = 2 if machine == MACHINES[0] else 8  # it has no more
        trace = made_trace(cpus, writes=True, crossing=True)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"trace{suffix}"
            if suffix == ".npy":
                np.save(path, trace["address"].to_numpy())
            elif suffix == ".csv":
                trace.to_csv(path, index=False)
            else:
                trace.to_parquet(path, index=False)
            return cgsim.replay_file(path, machine=machine)

    for machine, suffix in product(MACHINES, (".npy", ".csv", ".parquet")):
        yield (
            f"replay_file/{machine}/{suffix[1:]}",
            lambda m=machine, s=suffix: play_file(m, s),
        )


KINDS = (
    simulations,
    lookups_alone,
    attributions,
    upkeeps,
    memories,
    traces,
    counters,
    replays,
)


def exact(value: Any) -> Any:
    """A result in Python's own numbers and texts, which `repr` shows exactly.

    Of a replay the time that it took on this host is left out.
    """
    if isinstance(value, pd.DataFrame):
        return [(str(name), [exact(x) for x in value[name].tolist()]) for name in value.columns]
    if hasattr(value, "frame"):
        facts = [getattr(value, name) for name in ("cpus", "write_backs", "private_levels")]
        return facts, exact(value.frame())
    if isinstance(value, dict):
        return sorted((str(key), exact(x)) for key, x in value.items())
    if isinstance(value, (list, tuple)):
        return [exact(x) for x in value]
    return value.item() if isinstance(value, np.generic) else value


def digest(play: Callable[[], Any]) -> str:
    """16 hexadecimal digits of what a case gives; a refusal counts by its class alone."""
    try:
        shown = repr(exact(play()))
    except cgsim.UserError as error:
        shown = type(error).__name__
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return ERROR + type(error).__name__
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def write(out: Path) -> int:
    """Play all cases and write their digests; returns the exit status: 1 if a case failed."""
    lines = []
    for kind in KINDS:
        begin, before = time.process_time(), len(lines)
        try:
            lines += [f"{name} {digest(play)}" for name, play in kind()]
        except LookupError as error:
            lines.append(f"{kind.__name__} {ERROR}{error}".replace("\n", " "))
        seconds = time.process_time() - begin
        print(
            f"{kind.__name__:15}{len(lines) - before:6} cases {seconds:7.1f} s of CPU", flush=True
        )
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    refused = f" {hashlib.sha256(b'UserError').hexdigest()[:16]}"
    failed = sum(f" {ERROR}" in line for line in lines)
    print(
        f"{out}: {len(lines)} cases of {cgsim.__file__};"
        f" refused {sum(line.endswith(refused) for line in lines)}, failed {failed}"
    )
    return 1 if failed else 0


def read(path: Path) -> dict[str, str]:
    """The digests of a file by the cases' names."""
    rows = (line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value for name, value in rows}


def compare(before: Path, after: Path) -> int:
    """Say which cases differ; returns the exit status: 1 if any does, or is gone.

    Cases that only the second file has are counted, but are no difference.
    """
    old, new = read(before), read(after)
    failed = {name for name in old if old[name].startswith(ERROR)}
    different = [name for name in old if name in failed or old[name] != new.get(name)]
    for name in different:
        print(f"{name}: {old[name]} before, {new.get(name, 'gone')} after")
    kinds = Counter(name.split("/")[0] for name in different)
    print(
        f"{len(old) - len(different)} of {len(old)} cases equal, {len(different)} differ,"
        f" {len(new.keys() - old.keys())} new; by kind: {dict(kinds)}"
    )
    return 1 if different else 0


def main() -> int:
    """Write digests or compare them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, nargs="?", help="where the digests go")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    arguments = parser.parse_args()
    if (arguments.file is None) == (arguments.compare is None):
        parser.error("give a FILE to write, or --compare with two files")
    if arguments.compare is not None:
        return compare(*arguments.compare)
    return write(arguments.file)


if __name__ == "__main__":
    sys.exit(main())
