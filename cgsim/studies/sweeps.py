"""The sweeps that the notebooks and the mail show: grids of points, each a summary frame.

Their points come through the store (`cgsim.studies.kept`), and a report leaves the frames beside
its pages (`cgsim.studies.leave`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from cgsim.designs import get_design, list_designs
from cgsim.experiments.places_of_use import USERS, able, fit, user_of
from cgsim.experiments.summary import summarise
from cgsim.studies.kept import lifetime_cost, lookup_cost, simulate, update_cost
from cgsim.studies.leave import leave
from cgsim.workloads import load_workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DESIGNS = (
    "list", "hash", "hash-rcu", "idr", "table", "subsys", "cgroup-storage", "direct",
    "direct-inlined",
)  # fmt: skip
"""Shown by default: those of the thread, and what became of them."""

BACK_TO_BACK = ("dependent", "throughput")
N_KEYS, N_CGROUPS = 8, 1000
"""The point that the sweeps go through: few keys, and as many cgroups as a busy host has."""

FOOTPRINT_BYTES = 1 << 18
"""Walked through before an isolated lookup: more than an L1 and less than a private L2 holds, and
measured (`cgsim.experiments.model_error`). What the size of a level itself would show is chance."""


@dataclass(frozen=True)
class Setting:
    """What all points of a run share.

    lookups : measured per point and replicate. workload_lookups : the same, per workload: caches
    need some thousand packets to be warm, and a GPU's submissions are long. threads : of the host,
    over replicates; they change no number. user : who looks up (`cgsim.experiments.places_of_use`);
    None: for each design the first who can use it. In a workload that is not this user's, the first
    who has such workloads.
    """

    machine: str
    kernel: str = "7.3.4"
    seed: int = 1
    replicates: int = 3
    lookups: int = 600
    workload_lookups: tuple[tuple[str, int], ...] = (("network", 2000), ("gpu", 150))
    threads: int = 1
    designs: tuple[str, ...] = DESIGNS
    user: str | None = "packet-hook"

    def on(self, machine: str) -> Setting:
        """The same setting on another machine."""
        return replace(self, machine=machine)

    def able(self, n_keys: int, user: str | None = None) -> list[str]:
        """The designs with which the user (None: the setting's) can have `n_keys` keys."""
        who = user or self.user
        if who is not None:
            return able(who, n_keys, self.designs)[0]
        return [n for n in self.designs if any(fit(n, name, n_keys).usable for name in USERS)]


@dataclass(frozen=True)
class Size:
    """How much a preset computes."""

    lookups: int
    workload_lookups: tuple[tuple[str, int], ...]
    replicates: int
    keys: tuple[int, ...]
    cgroups: tuple[int, ...]
    footprints: tuple[int, ...]


_KIB = 1024
SIZES = {
    "quick": Size(
        lookups=600,
        workload_lookups=(("network", 1000), ("gpu", 80)),
        replicates=3,
        keys=(1, 4, 8, 16, 64),
        cgroups=(10, 100, 1000, 4000),
        footprints=(0, 16 * _KIB, 128 * _KIB, 512 * _KIB, 4096 * _KIB),
    ),
    "full": Size(
        lookups=10_000,
        workload_lookups=(("network", 20_000), ("gpu", 1000)),
        replicates=10,
        keys=(1, 2, 4, 8, 16, 32, 64, 256, 1024),
        cgroups=(10, 100, 1000, 10_000, 100_000),
        footprints=(0, 16 * _KIB, 128 * _KIB, 512 * _KIB, 4096 * _KIB, 16384 * _KIB),
    ),
}
"""Of the presets."""

_MOST_DATA = 2_000_000
_LINES_PER_POINT = 500_000


def setting_of(preset: str, machine: str, **values: Any) -> Setting:
    """The setting of a preset on a machine; `values` replace its fields."""
    size = SIZES[preset]
    fields = {
        "lookups": size.lookups,
        "workload_lookups": size.workload_lookups,
        "replicates": size.replicates,
    }
    return Setting(machine, **{**fields, **values})


def design_names() -> list[str]:
    """The names of all designs."""
    return [design.name for design in list_designs()]


def over_keys(setting: Setting, keys: Sequence[int], n_cgroups: int = N_CGROUPS) -> pd.DataFrame:
    """Lookups back to back, against the number of keys; fewer cgroups where they would not fit."""
    return _collect(
        setting,
        "by_keys",
        (
            _alone(setting, name, n_cgroups=min(n_cgroups, _MOST_DATA // n), n_keys=n)
            for n in keys
            for name in setting.able(n)
        ),
    )


def over_cgroups(setting: Setting, cgroups: Sequence[int], n_keys: int = N_KEYS) -> pd.DataFrame:
    """Lookups back to back, against the number of cgroups."""
    return _collect(
        setting,
        "by_cgroups",
        (
            _alone(setting, name, n_cgroups=n, n_keys=n_keys)
            for n in cgroups
            for name in setting.able(n_keys)
        ),
    )


def over_footprint(
    setting: Setting,
    footprints: Sequence[int],
    n_keys: int = N_KEYS,
    n_cgroups: int = N_CGROUPS,
) -> pd.DataFrame:
    """Isolated lookups, against the memory (bytes) that other code walks through before each."""
    return _collect(
        setting,
        "by_footprint",
        (
            _alone(
                _fewer(setting, footprint),
                name,
                modes=("isolated",),
                footprint_bytes=footprint,
                n_cgroups=n_cgroups,
                n_keys=n_keys,
            )
            for footprint in footprints
            for name in setting.able(n_keys)
        ),
    )


def in_workloads(
    setting: Setting, workloads: Iterable[str] = ("network", "gpu"), **parameters: Any
) -> pd.DataFrame:
    """Lookups within workloads, each with its own numbers but for those in `parameters`.

    `place_ns` is what the place of use costs without a lookup, with the same seeds.
    """
    frames = []
    for workload in workloads:
        loaded = load_workload(workload, **parameters)
        user = user_in(loaded.reach, setting.user)
        names = setting.able(loaded.n_keys, user)
        if not names:
            continue
        played = [
            simulate(
                name,
                setting.machine,
                workload,
                user=user,
                lookups=dict(setting.workload_lookups).get(workload, setting.lookups),
                replicates=setting.replicates,
                seed=setting.seed,
                kernel=setting.kernel,
                threads=setting.threads,
                without_lookup=without,
                **parameters,
            )
            for name, without in [*((name, False) for name in names), (names[0], True)]
        ]
        place = played.pop()["ns"].to_numpy()
        frames += [frame.assign(place_ns=place) for frame in played]
    return _collect(setting, "in_workloads", frames)


def sweep_updates(
    layouts: Sequence[str], machine: str, cpus: Sequence[int], **options: Any
) -> pd.DataFrame:
    """`update_cost` of every layout at every number of CPUs, one frame."""
    frames = [update_cost(layout, machine, n, **options) for layout in layouts for n in cpus]
    return leave(pd.concat(frames, ignore_index=True), "updates", machine=machine, **options)


def sweep_lifetimes(
    layouts: Sequence[str], machine: str, cpus: Sequence[int], **options: Any
) -> pd.DataFrame:
    """`lifetime_cost` of every layout with as many copies as CPUs, one frame."""
    frames = [
        lifetime_cost(layout, machine, n, slots=n, **options) for layout in layouts for n in cpus
    ]
    return leave(pd.concat(frames, ignore_index=True), "lifetimes", machine=machine, **options)


def user_in(reach: str, wanted: str | None) -> str:
    """The wanted user if it reaches cgroups in that way, else the first who does."""
    return wanted if wanted and USERS[wanted].reach == reach else user_of(reach).name


def _fewer(setting: Setting, footprint_bytes: int) -> Setting:
    """Fewer lookups where each is preceded by a long walk."""
    lines = max(footprint_bytes // 64, 1)
    most = _LINES_PER_POINT // (2 * lines * setting.replicates)
    return replace(setting, lookups=max(10, min(setting.lookups, most)))


def _alone(
    setting: Setting, name: str, *, modes: Sequence[str] = BACK_TO_BACK, **sizes: Any
) -> pd.DataFrame:
    return lookup_cost(
        name,
        setting.machine,
        modes=modes,
        lookups=setting.lookups,
        replicates=setting.replicates,
        seed=setting.seed,
        kernel=setting.kernel,
        threads=setting.threads,
        user=setting.user,
        **sizes,
    )


def _collect(setting: Setting, name: str, frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The summary of all points; a dependent cost only where the address depends on the cgroup.

    Where a design finds the datum without the cgroup pointer nothing waits for it: its dependent
    rows are left out rather than shown as if they were cheap.
    """
    frame = summarise(pd.concat(frames, ignore_index=True))
    free = {name for name in frame["design"].unique() if not get_design(name).needs_cgroup}
    kept = frame[~((frame["mode"] == "dependent") & frame["design"].isin(free))]
    return leave(kept.reset_index(drop=True), name, **asdict(setting))
