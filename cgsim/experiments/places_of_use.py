"""Who uses a cgroup's private data, where, and which designs can be used there.

Two families: a user in the kernel has a task or a cgroup in hand; a BPF program runs behind the
dispatcher, which has been at the packet's cgroup before. At a place all designs pay for reaching
the cgroup, or none, and only designs that can be used there are compared.

===========  ==================  ===================================================================
user         family              what it does
===========  ==================  ===================================================================
driver       in the kernel       reads its datum for the running task; rare, may sleep
packet-hook  behind dispatcher   one update of a cgroup's datum for every packet, in softirq
counter      behind dispatcher   adds to a percpu datum for every packet, on every CPU
bpf-map      behind dispatcher   asks a BPF map for the datum of the packet's cgroup
===========  ==================  ===================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from cgsim.designs.base import Design, list_designs
from cgsim.errors import unknown_name
from cgsim.experiments.footprint import holding, own_areas, ways
from cgsim.stage.callers import COUNT_COPY, COUNT_DATUM, READ_DATUM
from cgsim.stage.population import design_of

if TYPE_CHECKING:
    from collections.abc import Iterable

IN_KERNEL, BEHIND_DISPATCHER = "in the kernel", "behind the dispatcher"
_DRIVER, _HOOK, _COUNTER, _MAP = "driver", "packet-hook", "counter", "bpf-map"


@dataclass(frozen=True)
class User:
    """A user; `workload` stands for it by default, `reach` is that of workloads it can have."""

    name: str
    family: str
    title: str
    workload: str
    reach: str
    use: int


USERS = {
    user.name: user
    for user in (
        User(_DRIVER, IN_KERNEL, "a driver: for the running task, rare, may sleep",
             "gpu", "current", READ_DATUM),
        User(_HOOK, BEHIND_DISPATCHER, "a packet hook: every packet, softirq",
             "network", "skb", COUNT_DATUM),
        User(_COUNTER, BEHIND_DISPATCHER, "a percpu statistic: every packet, every CPU",
             "network", "skb", COUNT_COPY),
        User(_MAP, BEHIND_DISPATCHER, "a BPF program that asks its map",
             "network", "skb", COUNT_DATUM),
    )
}  # fmt: skip

_MAPS = ("htab", "percpu-htab", "lru-htab", "array", "percpu-array")
_SHARED_MAPS = ("htab", "lru-htab", "array")
_STORAGES = ("cgroup-storage", "storage")
_BUFFERS = ("direct", "direct-inlined")
_OF_ATTACHED = ("direct", "cgroup-storage")
"""Designs whose limits are those of a program that is attached to a cgroup."""
_IN_CALLERS_TEXT = {"subsys", "direct", "direct-inlined", "array", "percpu-array"}
"""Designs whose lookup is a few instructions in the caller's own text: no function is called."""

_LIMITS = {
    "subsys": "at most 14, fixed at build",
    "direct": "attached programs only, at most 64",
    "direct-inlined": "attached programs only, at most 64, a copy for each cgroup",
    "cgroup-storage": "attached programs only, at most 64",
    "array": "dense cgroup numbers, 64 maps of a program",
    "percpu-array": "dense cgroup numbers, 64 maps of a program",
    "htab": "64 maps of a program",
    "percpu-htab": "64 maps of a program",
    "lru-htab": "64 maps of a program; a full one drops data in use",
    "v4": "as posted, the getter races with the last put",
}


class Fit(NamedTuple):
    """Whether a design can be used at a place; `why` not, or within which limits ("" for none)."""

    usable: bool
    why: str


def get_user(name: str) -> User:
    """The user of that name; raises UserError with the closest name otherwise."""
    if not isinstance(name, str) or name not in USERS:
        raise unknown_name("user", name, USERS)
    return USERS[name]


def fit(design: str | Design, user: str, n_keys: int = 1) -> Fit:
    """Whether a user can have `n_keys` data in each cgroup with a design, or why not."""
    chosen = design_of(design)
    place = get_user(user)
    why = _why_not(chosen, place)
    if not why and n_keys > chosen.max_keys:
        limit = _LIMITS.get(chosen.name, f"at most {chosen.max_keys} keys")
        why = f"{n_keys} keys asked for: {limit}"
    return Fit(False, why) if why else Fit(True, limits(chosen.name))


def _why_not(design: Design, user: User) -> str:
    name = design.name
    if user.family == IN_KERNEL:
        if name in _BUFFERS or name == "cgroup-storage":
            return "its data belong to programs attached to the cgroup; a driver attaches none"
        if name in _MAPS or name in _STORAGES:
            return "a BPF map: programs and user space reach it, a driver does not"
        return ""
    if design.reader_side == "mutex":
        return "its lookup takes a mutex and may sleep: not in softirq"
    if user.name == _MAP and name not in (*_MAPS, *_STORAGES):
        return "no BPF map: a program reaches it by a helper or a load (packet-hook)"
    if user.name == _HOOK and name in _MAPS:
        return "a map of the program's own, no data of the cgroup (bpf-map)"
    if user.name == _COUNTER and (name in _SHARED_MAPS or "percpu" not in ways(design)):
        return "one datum for all CPUs: their updates share a cache line"
    if user.name != _COUNTER and own_areas(design):
        return "a datum for each CPU: an update is seen on one CPU only (counter)"
    return ""


def limits(name: str) -> str:
    """What a design cannot do where it can be used; "" if nothing."""
    return _LIMITS.get(name, "")


def narrows(name: str, user: str) -> bool:
    """Whether a design's limits hold more than the place does anyway.

    Who stands behind the dispatcher is an attached program, one of at most 64 of its cgroup.
    """
    of_the_place = get_user(user).family == BEHIND_DISPATCHER and name in _OF_ATTACHED
    return bool(limits(name)) and not of_the_place


def for_user(design: str | Design, user: str) -> tuple[Design, int]:
    """The design with the data that a user has, and what the user does with a datum."""
    chosen = design_of(design)
    place = get_user(user)
    if place.use != COUNT_COPY:
        return chosen, place.use
    if chosen.name == "cgroup-storage":
        return replace(chosen, options={**chosen.options, "percpu": True}), COUNT_DATUM
    return holding(chosen, "percpu"), COUNT_DATUM if own_areas(chosen) else COUNT_COPY


def calls(design: Design) -> bool:
    """Whether a lookup is a function that is called, not a part of the caller's own text."""
    return design.name not in _IN_CALLERS_TEXT


def own_programs(design: Design) -> bool:
    """Whether each cgroup needs a program of its own, since an address stands in its text."""
    return design.name == "direct-inlined"


def user_of(reach: str) -> User:
    """The first user whose workloads reach the cgroup in that way."""
    return next(user for user in USERS.values() if user.reach == reach)


def able(
    user: str, n_keys: int, names: Iterable[str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """(designs that a user can have, in order; the others with the reason why not)."""
    chosen = [design.name for design in list_designs()] if names is None else dict.fromkeys(names)
    found = {name: fit(name, user, n_keys) for name in chosen}
    return (
        [name for name, how in found.items() if how.usable],
        {name: how.why for name, how in found.items() if not how.usable},
    )
