"""Recorded events: who looked up whose datum when on a real machine, played as they were recorded.

A file has a row for each event, in Parquet or CSV:

========  ==========================================================================================
time_ns   when, from any start; does not go back on one CPU
cpu       on which CPU; CPUs are renumbered in order of their numbers
cgroup    whose: an id, or a path
key       under what: an id, or a name
event     packet: a hook began, and its first program ran. program: its next program. ioctl: a
          driver's call by the running task. charge: an allocation within the last ioctl. ancestor:
          the last one went on to the parent. install, remove: of the datum
========  ==========================================================================================

A file holds packets or ioctls, not both: they reach the cgroup in different ways. What other code
did in between is not recorded: `hot_lines`, `cold_lines` and `cold_lines_per_us` say it. Where more
rows are asked for than there are, the file is played again from its start.

To record packets, as root, while programs are attached (a probe of the hook; the key is the hook)::

    bpftrace -e 'kprobe:__cgroup_bpf_run_filter_skb { $sk = (struct sock *)arg0;
      printf("%llu,%d,%llu,%d,packet\\n", nsecs, cpu, $sk->sk_cgrp_data.cgroup->kn->id, arg2); }' \
      | sed '1s/.*/time_ns,cpu,cgroup,key,event/' > events.csv

(the first line, which sed replaces, says that a probe is attached). Written from the function's
source; it was not run where this was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cgsim.data import data_path
from cgsim.errors import UserError, unknown_name
from cgsim.workloads.acts import (
    CHARGE,
    COUNT,
    FROM_CGROUP,
    FROM_CURRENT,
    FROM_SKB,
    IGNORE,
    INSTALL,
    POLICY,
    REMOVE,
    STAY,
    UP,
    act_of,
)
from cgsim.workloads.base import (
    COLUMNS,
    LINE_BYTES,
    Surrounding,
    Workload,
    count,
    quantity,
    structured,
)

if TYPE_CHECKING:
    import pandas as pd

EVENT_COLUMNS = ("time_ns", "cpu", "cgroup", "key", "event")
ACTS = {
    "packet": act_of(FROM_SKB, COUNT),
    "program": act_of(STAY, COUNT),
    "ioctl": act_of(FROM_CURRENT, POLICY),
    "charge": act_of(STAY, CHARGE),
    "ancestor": act_of(UP, CHARGE),
    "install": act_of(FROM_CGROUP, IGNORE, INSTALL),
    "remove": act_of(FROM_CGROUP, IGNORE, REMOVE),
}
SUFFIXES = (".csv", ".parquet")
_FOLLOW = ("program", "charge", "ancestor")
_MAX_EVENTS = 50_000_000
_MAX_CPUS = 64
_LARGEST_NS = 1 << 53


class Events(NamedTuple):
    """A checked file: int64[n] each, sorted by CPU and, within it, as recorded.

    starts : int64[cpus + 1], where each CPU's rows begin. parents : int64[cgroups], -1 for none.
    """

    time_ns: np.ndarray
    cgroup: np.ndarray
    key: np.ndarray
    act: np.ndarray
    starts: np.ndarray
    parents: np.ndarray
    n_keys: int
    reach: str
    changes: bool


def is_recording(name: object) -> bool:
    """Whether a workload is given as a file of events."""
    return str(name).endswith(SUFFIXES)


def read_events(path: str | Path) -> Events:
    """Read and check a file of events; raises `UserError` with file, row, field and value."""
    place = Path(path)
    try:
        return _read(str(place), place.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror}") from None


@lru_cache(maxsize=4)
def _read(path: str, stamp: int) -> Events:
    import pandas as pd

    try:
        frame = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    return check_events(frame, path)


def check_events(frame: pd.DataFrame, path: str) -> Events:
    """The events of a frame; `path` is for messages, in which the first event is row 1."""
    import pandas as pd

    for name in EVENT_COLUMNS:
        if name not in frame:
            raise UserError(f"{path}: column {name} is missing; has {', '.join(map(str, frame))}")
    if not 0 < len(frame) <= _MAX_EVENTS:
        raise UserError(f"{path}: {len(frame)} events are not allowed; allowed: 1..{_MAX_EVENTS}")
    for name, high in (("time_ns", _LARGEST_NS), ("cpu", 1 << 20)):
        numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)
        good = (numbers >= 0) & (numbers <= high) & (numbers == np.floor(numbers))
        _refuse(frame, path, name, good, f"a whole number of 0..{high}")
    for name in ("cgroup", "key"):
        _refuse(frame, path, name, frame[name].notna().to_numpy(), "an id or a name")
    known = frame["event"].isin(list(ACTS)).to_numpy()
    _refuse(frame, path, "event", known, ", ".join(ACTS))
    events = frame["event"].to_numpy(dtype=str)
    kinds = {"skb": events == "packet", "current": events == "ioctl"}
    if kinds["skb"].any() and kinds["current"].any():
        second = int(np.flatnonzero(kinds["current" if kinds["skb"][0] else "skb"])[0])
        raise UserError(
            f"{path}: row {second + 1}: event = {str(events[second])!r} is not allowed; allowed: "
            "packets or ioctls, not both in one file"
        )
    cpus, cpu = np.unique(frame["cpu"].to_numpy(dtype=np.int64), return_inverse=True)
    if cpus.size > _MAX_CPUS:
        raise UserError(f"{path}: {cpus.size} CPUs are not allowed; allowed: 1..{_MAX_CPUS}")
    order = np.argsort(cpu, kind="stable")
    time_ns = frame["time_ns"].to_numpy(dtype=np.int64)[order]
    same = np.append(False, cpu[order][1:] == cpu[order][:-1])
    back = np.append(False, np.diff(time_ns) < 0) & same
    good = np.ones(len(frame), dtype=bool)
    good[order] = ~back
    _refuse(frame, path, "time_ns", good, "at least that of the CPU's row before")
    follows = np.isin(events, _FOLLOW)[order]
    good[order] = ~(follows & ~same)
    _refuse(frame, path, "event", good, "packet, ioctl, install or remove as a CPU's first")
    cgroup = pd.factorize(frame["cgroup"])[0].astype(np.int64)[order]
    key, keys = pd.factorize(frame["key"], sort=True)
    parents = np.full(int(cgroup.max()) + 1, -1, dtype=np.int64)
    for i in np.flatnonzero(events[order] == "ancestor"):
        child, parent = cgroup[i - 1], cgroup[i]
        if child == parent or parents[child] not in (-1, parent):
            row = int(order[i])
            value = frame["cgroup"].iloc[row]
            raise UserError(
                f"{path}: row {row + 1}: cgroup = {value!r} is not allowed; allowed: the "
                "one parent of the row before"
            )
        parents[child] = parent
    acts = np.array([ACTS[str(event)] for event in events], dtype=np.int64)[order]
    starts = np.searchsorted(cpu[order], np.arange(cpus.size + 1)).astype(np.int64)
    changes = bool(np.isin(events, ("install", "remove")).any())
    return Events(
        time_ns, cgroup, key.astype(np.int64)[order], acts, starts, parents, len(keys),
        "current" if kinds["current"].any() else "skb", changes,
    )  # fmt: skip


def _refuse(frame: pd.DataFrame, path: str, name: str, good: np.ndarray, allowed: str) -> None:
    """Raise `UserError` for the first row whose value is not good."""
    if good.all():
        return
    row = int(np.flatnonzero(~good)[0])
    value = frame[name].iloc[row]
    shown = value.item() if isinstance(value, np.generic) else value
    raise UserError(f"{path}: row {row + 1}: {name} = {shown!r} is not allowed; allowed: {allowed}")


@dataclass(frozen=True)
class RecordedWorkload(Workload):
    """Parameters of a recording; `data/workloads/recorded.yml` says where each value is from."""

    events_file: str = structured("path")
    """CSV or Parquet; a name without a directory is looked for in data/workloads/ too."""
    hot_lines: int = count("lines", 0, 100_000)
    """Of other code, the same ones before each event."""
    cold_lines: int = count("lines", 0, 1_000_000)
    """New ones before each event."""
    cold_lines_per_us: float = quantity("lines/us", 0, 1000)
    """New ones for the time since the event before."""
    ring_bytes: int = count("bytes", LINE_BYTES, 1 << 34)
    """That the new lines come from."""
    instructions_per_ns: float = quantity("instructions/ns", 0.01, 100)

    def check(self) -> None:
        """Raise `UserError` for a file that cannot be played."""
        if not isinstance(self.events_file, (str, Path)) or not is_recording(self.events_file):
            raise self.refuse("events_file", f"a name that ends in {' or '.join(SUFFIXES)}")
        self.events  # noqa: B018, reads and checks the file

    @property
    def events(self) -> Events:
        """The file's events."""
        place = Path(self.events_file)
        if place.parent == Path() and not place.exists():
            shipped = data_path("workloads", place.name)
            if shipped.exists():
                place = shipped
        return read_events(place)

    @property
    def n_cgroups(self) -> int:
        """Cgroups that occur."""
        return int(self.events.parents.size)

    @property
    def n_keys(self) -> int:
        """Keys that occur."""
        return self.events.n_keys

    @property
    def cpus(self) -> int:
        """CPUs that occur."""
        return int(self.events.starts.size) - 1

    @property
    def reach(self) -> str:  # type: ignore[override]
        """How the file's events reach the cgroup."""
        return self.events.reach

    @property
    def rcu_held(self) -> bool:  # type: ignore[override]
        """A packet's hook holds it."""
        return self.events.reach == "skb"

    @property
    def changes_cgroups(self) -> bool:  # type: ignore[override]
        """Whether data come and go."""
        return self.events.changes

    def surrounding(self, seed: int) -> Surrounding:
        """What the engine builds around the lookups: a socket or task for each cgroup."""
        return Surrounding(
            actors=np.arange(self.n_cgroups, dtype=np.int64),
            hot_bytes=LINE_BYTES * max(self.hot_lines, 1),
            ring_bytes=self.ring_bytes // LINE_BYTES * LINE_BYTES,
            parents=self.events.parents,
        )

    def feed(self, cpu: int, surrounding: Surrounding, seed: int) -> RecordedFeed:
        """A CPU's rows."""
        return RecordedFeed(self, cpu)


class RecordedFeed:
    """The rows of one CPU, again and again: `take` gives the next ones."""

    def __init__(self, workload: RecordedWorkload, cpu: int) -> None:
        events = workload.events
        part = slice(events.starts[cpu], events.starts[cpu + 1])
        time_ns, cgroup = events.time_ns[part], events.cgroup[part]
        gaps = np.diff(time_ns, prepend=time_ns[:1])
        act = events.act[part]
        begins = act & 15 >= FROM_CGROUP
        ring_lines = workload.ring_bytes // LINE_BYTES
        cold = workload.cold_lines + (gaps * (1e-3 * workload.cold_lines_per_us)).astype(np.int64)
        columns = {
            "cgroup": cgroup,
            "key": events.key[part],
            "actor": cgroup,
            "act": act,
            "hot_lines": np.where(begins, workload.hot_lines, 0),
            "cold_lines": np.where(begins, np.minimum(cold, ring_lines), 0),
            "instructions": np.zeros(cgroup.size, np.int64),
            "idle_ns": np.where(begins, gaps, 0),
        }
        self._rows = np.stack([columns[name] for name in COLUMNS]).astype(np.int64)
        self._next = 0

    def take(self, n: int) -> np.ndarray:
        """The next `n` rows, int64[len(COLUMNS), n]."""
        out = np.empty((len(COLUMNS), n), np.int64)
        done = 0
        while done < n:
            some = self._rows[:, self._next : self._next + n - done]
            out[:, done : done + some.shape[1]] = some
            done += some.shape[1]
            self._next = (self._next + some.shape[1]) % self._rows.shape[1]
        return out


def event_names(act: np.ndarray) -> np.ndarray:
    """The events' names of a stream's acts."""
    names = np.empty(act.size, dtype=object)
    for value in np.unique(act):
        reach, use, operation = value & 15, value >> 4 & 15, value >> 8
        if operation:
            name = {INSTALL: "install", REMOVE: "remove"}.get(int(operation), "")
        elif reach == STAY:
            name = "charge" if use == CHARGE else "program"
        else:
            name = {UP: "ancestor", FROM_SKB: "packet", FROM_CURRENT: "ioctl"}.get(int(reach), "")
        if not name:
            raise unknown_name("event", f"act {value}", ACTS)
        names[act == value] = name
    return names
