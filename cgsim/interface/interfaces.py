"""The interfaces by name, and what is played with each: who runs beside whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError, unknown_name
from cgsim.interface.checker.layout import Actor, Model, build
from cgsim.interface.protocols import (
    buffer,
    common,
    map_storage,
    priv_v3,
    priv_v4,
    registered,
)
from cgsim.interface.protocols.common import KEY, OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAMES = (*common.VERBS, "value_of", "set_value", "count_of", "bump")
MOST_ACTORS = 6
"""Besides RCU: a state has a bit for each in a byte."""


@dataclass(frozen=True)
class Interface:
    """A candidate: its protocol, how it was built, and what to play with it.

    flags : POSTED, SEED, PERCPU. roles : besides `ROLES`, or in their place. scenarios : name ->
    roles; a role's name may stand twice.
    """

    name: str
    title: str
    protocol: ModuleType
    flags: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, Any] = field(default_factory=dict)
    scenarios: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def as_posted(self) -> bool:
        """Whether it is what was posted, faults included."""
        return self.name.endswith("-as-posted")

    def environment(self, **flags: Any) -> dict[str, Any]:
        """The names that its protocol's functions are compiled in."""
        verbs = {n: getattr(self.protocol, n) for n in _NAMES if hasattr(self.protocol, n)}
        return {**verbs, **self.flags, **flags}


_TASK, _DIRECTORY = "task", "directory"
ROLES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "reader": (common.reader, (_TASK, KEY)),
    "softirq-reader": (common.softirq_reader, (_TASK, KEY)),
    "installer": (common.installer, ("one", KEY)),
    "other-installer": (common.installer, ("one", OTHER)),
    "ioctl": (common.ioctl, (_DIRECTORY, KEY)),
    "owner": (common.owner, (_TASK, "one", KEY)),
    "other-owner": (common.owner, (_TASK, "one", OTHER)),
    "neighbour": (common.neighbour, ("two", OTHER)),
    "remover": (common.remover, ("one", KEY)),
    "setter": (common.setter, (_TASK, KEY)),
    "mover": (common.mover, (_TASK, "two")),
    "destroyer": (common.destroyer, (_TASK, _DIRECTORY, "top")),
    "driver": (common.driver, (_DIRECTORY, KEY)),
    "low-reader": (common.reader, ("low task", KEY)),
    "low-driver": (common.driver, ("low directory", KEY)),
    "low-destroyer": (common.destroyer, ("low task", "low directory", "top")),
    "counter": (common.counter, (_TASK, KEY)),
    "teller": (common.teller, (_TASK, KEY)),
}
"""Name -> (what it runs, arguments). A text is an object of the interface's protocol, or a task or
directory: of cgroup `one`, the root's child, or, where it is low, of `two`, that one's child."""

_COMMON = {
    "two owners": ("owner", "other-owner"),
    "two cgroups": ("owner", "neighbour"),
    "installed twice": ("installer", "installer", "reader"),
    "set while read": ("installer", "setter", "reader"),
    "removed in use": ("installer", "remover", "reader"),
    "read in softirq": ("installer", "softirq-reader"),
    "task moves": ("installer", "mover", "reader", "reader"),
    "cgroup removed": ("ioctl", "reader", "destroyer"),
    "driver unloaded": ("driver", "reader"),
    "driver unloaded, data below": ("low-driver", "low-destroyer"),
}
_COUNTED = {"counted while another attaches": ("installer", "other-installer", "counter", "teller")}
_V4_ROLES = {
    "refused-ioctl": (priv_v4.setparam, (0,)),
    "first-key": (priv_v4.first_key, ("one",)),
}
_V4 = {
    "ioctl refused": ("refused-ioctl",),
    "first key": ("first-key",),
}
_TWICE = {"installed twice": ("installer", "other-installer", "reader")}
_POSTED = {"POSTED": True}

INTERFACES = {
    interface.name: interface
    for interface in (
        Interface(
            "cgroup-priv-as-posted", "cgroup_priv of v3, as posted", priv_v3, _POSTED, {}, _COMMON
        ),
        Interface("cgroup-priv", "cgroup_priv of v3, mended", priv_v3, {}, {}, _COMMON),
        Interface(
            "cgroup-priv-kref-as-posted", "key and kref of v4, as posted", priv_v4, _POSTED,
            _V4_ROLES, {**_COMMON, **_V4},
        ),
        Interface(
            "cgroup-priv-kref", "key and kref of v4, mended", priv_v4, {}, _V4_ROLES,
            {**_COMMON, **_V4},
        ),
        Interface(
            "registered-type", "a registered type, allocated by the core", registered, {}, {},
            {**_COMMON, **_TWICE, **_COUNTED},
        ),
        Interface(
            "registered-percpu", "a registered percpu type", registered, {"PERCPU": True}, {},
            {**_COMMON, **_TWICE, **_COUNTED},
        ),
        Interface(
            "cgroup-buf-as-posted", "bpf_get_cgroup_buf, one buffer that programs divide", buffer,
            _POSTED, {}, {**_COMMON, **_COUNTED},
        ),
        Interface(
            "cgroup-buf", "bpf_get_cgroup_buf, memory of its own for each attachment", buffer, {},
            {}, {**_COMMON, **_COUNTED},
        ),
        Interface(
            "map-storage", "BPF map storage", map_storage, {}, {}, {**_COMMON, **_COUNTED}
        ),
    )
}  # fmt: skip
"""All candidates. Those whose name ends in -as-posted have the faults that were posted."""


def get_interface(name: str) -> Interface:
    """An interface by name. Raises UserError for an unknown one."""
    if name not in INTERFACES:
        raise unknown_name("interface", name, INTERFACES)
    return INTERFACES[name]


def model_of(
    interface: Interface,
    roles: Sequence[str],
    more: Mapping[str, tuple[Any, tuple[Any, ...]]] | None = None,
    **flags: Any,
) -> Model:
    """Compile some actors of an interface, and RCU's callbacks beside them.

    `more` : roles besides the interface's own. `flags` : names for the protocol's functions.

    Raises UserError for an unknown role or too many actors.
    """
    if not 1 <= len(roles) <= MOST_ACTORS:
        raise UserError(
            f"interface {interface.name}: {len(roles)} actors; allowed: 1..{MOST_ACTORS}"
        )
    protocol = interface.protocol
    known = {**ROLES, **interface.roles, **(more or {})}
    objects = {
        _TASK: common.task_in(protocol.one),
        _DIRECTORY: common.task_in(protocol.one, "directory"),
        "low task": common.task_in(protocol.two, "low task"),
        "low directory": common.task_in(protocol.two, "low directory"),
        "one": protocol.one,
        "two": protocol.two,
        "top": protocol.top,
    }
    actors = []
    for number, role in enumerate(roles):
        if role not in known:
            raise unknown_name("actor", role, known)
        function, arguments = known[role]
        again = roles[:number].count(role)
        name = f"{role} {again + 1}" if again else role
        actors.append(Actor(name, function, tuple(objects.get(a, a) for a in arguments)))
    actors.append(Actor("RCU", common.callbacks, daemon=True))
    environment = interface.environment(**flags)
    return build(tuple(actors), environment, module=common.module)
