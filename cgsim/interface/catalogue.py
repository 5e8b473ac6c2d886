"""Users' mistakes against every interface: prevented, caught, or not noticed, each found by search.

A mistake is some actors, made with each interface in terms of its verbs. Where an interface has no
way to make it, the nearest right use is played, and the reason stands in the cell; where a verifier
sees it, the actor is refused when it is loaded. The verdict is read off the search:

==============================  ====================================================================
prevented                       no schedule of any length goes wrong, nothing needs to be said
caught at load                  the build or the verifier refuses it before anything runs
caught                          the interface returns an error that names it, or any kernel reports
                                it: an oops, a refcount's warning, an RCU stall, a hung task
caught only with debug options  a kernel built with PROVE_LOCKING or DEBUG_ATOMIC_SLEEP reports it,
                                others do not
silent corruption               some schedule violates a property, and nobody says so
==============================  ====================================================================

"Any kernel" is one as distributions build it: Debian's 6.12 (package linux-config-6.12) has
DETECT_HUNG_TASK and RCU's stall detector, and neither of those two options. What may find a
corruption when it happens (KASAN, kmemleak), and RCU's and percpu's own checks (PROVE_RCU,
DEBUG_PREEMPT), are not played: such a mistake counts as silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cgsim.errors import unknown_name
from cgsim.interface.checker.language import (
    BALANCE,
    DEADLOCK,
    NULL,
    PROPERTIES,
    REFERENCE,
    SLEEP,
)
from cgsim.interface.checker.search import Exploration, Refusal, Step, Violation, explore_model
from cgsim.interface.interfaces import Interface, get_interface, model_of
from cgsim.interface.protocols import wrong
from cgsim.interface.protocols.common import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

PREVENTED, AT_LOAD, CAUGHT, DEBUG, SILENT = VERDICTS = (
    "prevented",
    "caught at load",
    "caught",
    "caught only with debug options",
    "silent corruption",
)
COLUMNS = (
    "cgroup-priv-as-posted",
    "cgroup-priv",
    "cgroup-priv-kref-as-posted",
    "cgroup-priv-kref",
    "registered-type",
    "cgroup-buf",
    "map-storage",
)
"""The interfaces of the matrix."""

_STALL = "rcu: INFO: rcu_preempt detected stalls"
_LOUD = {
    PROPERTIES[SLEEP]: (
        DEBUG, "DEBUG_ATOMIC_SLEEP: BUG: sleeping function called from invalid context"
    ),
    PROPERTIES[BALANCE]: (DEBUG, "PROVE_LOCKING: WARNING: bad unlock balance detected!"),
    PROPERTIES[DEADLOCK]: (CAUGHT, "INFO: task blocked (hung task)"),
    PROPERTIES[NULL]: (CAUGHT, "oops"),
    PROPERTIES[REFERENCE]: (CAUGHT, "refcount_t: addition on 0 or underflow"),
}  # fmt: skip
"""What a kernel's own checks say, and which kernel's. might_sleep() is the check of what may sleep;
only a sleep that does happen is seen by every kernel."""

_V3, _V4, _TYPE, _BUFFER, _MAP = "priv_v3", "priv_v4", "registered", "buffer", "map_storage"
_RIGHT = ("owner",)
_ROLES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "twice": (wrong.twice, ("one",)),
    "keeps-pointer": (wrong.keeps_pointer, ("task",)),
    "next-device": (wrong.next_device, ("task", "one")),
    "forgets-finish": (wrong.forgets_finish, ("task",)),
    "finishes-twice": (wrong.finishes_twice, ("task",)),
    "too-small": (wrong.too_small, ("task",)),
    "reads": (wrong.reads, ("task",)),
    "unregistered": (wrong.unregistered, ("low directory",)),
    "without-section": (wrong.without_section, ("task",)),
    "removes-nothing": (wrong.removes_nothing, ("one",)),
    "removes-twice": (wrong.removes_twice, ("one",)),
    "error-as-key": (wrong.error_as_key, ("task", "one")),
    "error-as-id": (wrong.error_as_id, ("task",)),
    "sleeps-in-use": (wrong.sleeps_in_use, ("task",)),
    "reuses-after-remove": (wrong.reuses_after_remove, ("task", "one")),
    "verifier": (wrong.refused_by_the_verifier, ()),
}


def _bpf(text: str) -> dict[str, str]:
    return {_BUFFER: text, _MAP: text}


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    roles : who makes it, and who runs beside. flags : names for the protocols' functions. own :
    by protocol, roles or flags of its own. impossible : by protocol, why it cannot be made.
    at_load : by protocol, what the verifier says.
    """

    name: str
    what: str
    roles: tuple[str, ...]
    flags: dict[str, Any] = field(default_factory=dict)
    own: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = field(default_factory=dict)
    impossible: dict[str, str] = field(default_factory=dict)
    at_load: dict[str, str] = field(default_factory=dict)


_NO_INSTALL = "there is no install: the core allocates for every cgroup, and gives the id"
_DISPATCHER = "the dispatcher begins and ends the section, no program can"
_NO_CALLBACK = "there is no callback of a module"

MISTAKES = (
    Mistake(
        "install twice", "a key is installed that is there already", ("twice",),
        impossible={_TYPE: _NO_INSTALL},
    ),
    Mistake(
        "keep the pointer", "a datum is used after its use was ended, while another removes it",
        ("installer", "keeps-pointer", "remover"),
        at_load=_bpf("verifier: a pointer to the data does not outlive the program's run"),
    ),
    Mistake(
        "look up after remove", "a removed key is looked up again", ("reuses-after-remove",),
    ),
    Mistake(
        "key of a dead device", "a device goes without its data; the next one gets its key",
        ("next-device",), own={_V3: (("next-device",), {"NEXT_KEY": KEY})},
    ),
    Mistake(
        "forgotten put", "a lookup's use is never ended",
        ("installer", "forgets-finish", "remover"),
        impossible=_bpf(_DISPATCHER),
    ),
    Mistake(
        "put twice", "a lookup's use is ended twice",
        ("installer", "finishes-twice", "reader", "remover"), impossible=_bpf(_DISPATCHER),
    ),
    Mistake(
        "free that sleeps", "the free callback may sleep", ("installer", "remover"),
        {"on_grace": wrong.sleepy_grace}, impossible=_bpf(_NO_CALLBACK),
    ),
    Mistake(
        "wrong size", "a datum is made smaller than its user believes", ("installer", "too-small"),
        at_load=_bpf("verifier: the access lies outside of the size that was asked for"),
    ),
    Mistake(
        "percpu as regular", "a percpu pointer is followed as it is", ("installer", "reads"),
        {"value_of": wrong.cookie},
        impossible=_bpf("the program gets the address of its CPU's copy, never the cookie"),
    ),
    Mistake(
        "percpu and migrate", "percpu data are used in a task that may migrate",
        ("installer", "reads"), {"value_of": wrong.copy_of_this_cpu},
        own={_TYPE: (("installer", "reads"), {"PERCPU": True})},
    ),
    Mistake(
        "install on a dying cgroup", "an ioctl installs while the cgroup is removed",
        ("ioctl", "destroyer"), impossible={_TYPE: _NO_INSTALL},
    ),
    Mistake(
        "unload without unregister", "the module goes, its data and callbacks stay",
        ("unregistered", "low-destroyer"),
        impossible=_bpf("programs and maps hold references to all that they run"),
    ),
    Mistake(
        "unload with callbacks in flight", "the module goes before the last grace period has ended",
        ("driver", "reader"), {"SEED": "no barrier"},
        impossible={_TYPE: "unregister waits for them", **_bpf(_NO_CALLBACK)},
    ),
    Mistake(
        "lookup outside a section", "the protection that a reader needs is not taken",
        ("installer", "without-section", "remover"),
        impossible={_BUFFER: _DISPATCHER},
        at_load={_MAP: "verifier: the helper needs an RCU read section"},
    ),
    Mistake(
        "lookup in softirq", "an interrupt looks up", ("installer", "softirq-reader"),
    ),
    Mistake(
        "remove for nothing", "a key is removed that was never installed", ("removes-nothing",),
    ),
    Mistake(
        "removed twice", "a datum is removed, and again; another removes it meanwhile",
        ("removes-twice", "remover"),
    ),
    Mistake(
        "error taken for a key", "the key could not be had, and is used", ("error-as-key",),
        own={_TYPE: (("error-as-id",), {})},
        impossible={_V3: "a key is an address that the user has: no call for one can fail"},
        at_load=_bpf("load: a negative file descriptor (-EBADF)"),
    ),
    Mistake(
        "filled in after install", "a datum is installed before it is initialised",
        ("installer", "reader"), {"LATE": True},
        impossible={
            _TYPE: "`init` runs before the core publishes the datum",
            **_bpf("memory is zero, and that is its first value"),
        },
    ),
    Mistake(
        "sleep while using it", "the user of a datum sleeps", ("installer", "sleeps-in-use"),
        at_load=_bpf("verifier: the helper may sleep, the program may not"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What became of one mistake with one interface.

    schedule : to the violation or the refusal; else the shortest in which all end well.
    """

    mistake: str
    interface: str
    verdict: str
    what: str
    schedule: tuple[Step, ...]
    found: Exploration


def _worst(found: Exploration) -> Violation:
    silent = [v for v in found.violations if v.property not in _LOUD]
    return min(silent or found.violations, key=lambda v: len(v.schedule))


def make(mistake: Mistake, interface: Interface) -> Cell:
    """Make one mistake with one interface, in every interleaving."""
    protocol = interface.protocol.__name__.rpartition(".")[2]
    roles, flags = mistake.own.get(protocol, (mistake.roles, {}))
    flags = {**mistake.flags, **flags}
    if protocol in mistake.impossible:
        roles, flags = _RIGHT, {}
    elif protocol in mistake.at_load:
        roles, flags = ("verifier",), {"WHY": mistake.at_load[protocol]}
    if "without-section" in roles:
        own = vars(interface.protocol)
        flags["lookup"] = own.get("lookup_without_begin", own["lookup"])
        flags["drop"] = own.get("drop", wrong.drop)
    model = model_of(interface, roles, _ROLES, **flags)
    found = explore_model(model, scenario=mistake.name)
    culprits = {role for role in roles if role in _ROLES} or {"ioctl"}
    verdict, what = _verdict(found, culprits)
    if protocol in mistake.impossible and verdict == PREVENTED:
        what = mistake.impossible[protocol]
    return Cell(mistake.name, interface.name, verdict, what, _schedule(found, culprits), found)


def _told(found: Exploration, culprits: set[str]) -> list[Refusal]:
    """What the interface said to those who made the mistake, and to nobody else."""
    return [refusal for refusal in found.refusals if refusal.actor in culprits]


def _schedule(found: Exploration, culprits: set[str]) -> tuple[Step, ...]:
    if found.violations:
        return _worst(found).schedule
    told = _told(found, culprits)
    return told[0].schedule if told else found.ended


def _verdict(found: Exploration, culprits: set[str]) -> tuple[str, str]:
    if found.violations:
        worst = _worst(found)
        if worst.property not in _LOUD:
            return SILENT, f"violated: {worst.property}"
        verdict, said = _LOUD[worst.property]
        if worst.property == PROPERTIES[DEADLOCK] and _in_section(worst.schedule):
            said = _STALL
        return verdict, f"{said} (violated: {worst.property})"
    for refusal in _told(found, culprits):
        return (AT_LOAD if refusal.at_load else CAUGHT), refusal.text
    return PREVENTED, f"nothing goes wrong in {found.states} states"


def _in_section(schedule: Sequence[Step]) -> bool:
    """Whether somebody never left a read section: grace periods do not end."""
    does = [step.does for step in schedule]
    return does.count("rcu_read_lock()") > does.count("rcu_read_unlock()")


def catalogue(mistakes: Sequence[str] = (), interfaces: Sequence[str] = COLUMNS) -> list[Cell]:
    """Make mistakes with interfaces.

    Parameters
    ----------
    mistakes : names of `MISTAKES`; none: all
    interfaces : names

    Raises UserError for an unknown name.
    """
    known = {mistake.name: mistake for mistake in MISTAKES}
    for name in mistakes:
        if name not in known:
            raise unknown_name("mistake", name, known)
    chosen = [known[name] for name in mistakes or known]
    return [make(mistake, get_interface(name)) for mistake in chosen for name in interfaces]
