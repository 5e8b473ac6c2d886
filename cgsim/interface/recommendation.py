"""Which interface to argue for: the one with the fewest mistakes that nobody notices.

Of those with as few, the one with the fewest that only a kernel with debug options notices.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from cgsim.errors import unknown_name
from cgsim.interface.catalogue import (
    AT_LOAD,
    CAUGHT,
    DEBUG,
    MISTAKES,
    PREVENTED,
    SILENT,
    VERDICTS,
    catalogue,
)
from cgsim.interface.exploring import explore
from cgsim.interface.interfaces import INTERFACES

if TYPE_CHECKING:
    from cgsim.interface.catalogue import Cell

DRIVER = "driver"
USERS = (DRIVER, "packet-hook", "counter", "bpf-map")
_IN_KERNEL = ("registered-type", "cgroup-priv", "cgroup-priv-kref")
_BPF = ("cgroup-buf", "map-storage")
"""The fewest loads first."""
_POSTED = tuple(name for name, each in INTERFACES.items() if each.as_posted)
GIVES_UP = {
    "registered-type": "memory in every cgroup, used or not; unregister has to wait",
    "cgroup-priv": "safety against a second device under a reused address; the driver tracks its"
    " own data",
    "cgroup-priv-kref": "two locked instructions for each lookup, on a line that all CPUs write",
    "cgroup-buf": "use from a driver: only programs that the verifier has seen; memory for every"
    " cgroup that a program is attached to",
    "map-storage": "a lookup at each access, and creation that can fail where a packet is handled",
}


@dataclass(frozen=True)
class Recommendation:
    """An interface for a user, how it was chosen, and what it gives up.

    verdicts : interface -> verdict -> mistakes with it, of the interfaces that the user can have.
    """

    user: str
    interface: str
    verdicts: dict[str, dict[str, int]]
    unnoticed: tuple[str, ...]
    posted: dict[str, tuple[str, ...]]
    states: int

    def lines(self) -> list[str]:
        """Five to eight lines of plain text, at most 72 characters each."""
        chosen = self.verdicts[self.interface]
        text = [
            f"For a {self.user}: {self.interface}. Of {sum(chosen.values())} mistakes of its users"
            f" it prevents {chosen[PREVENTED]} and catches {chosen[AT_LOAD] + chosen[CAUGHT]}, with"
            f" debug options {chosen[DEBUG]} more; {chosen[SILENT]} pass unnoticed"
            f"{_in_brackets(self.unnoticed)}." + _elsewhere(self.verdicts, self.interface),
            f"It gives up {GIVES_UP[self.interface]}.",
            "Properties that fail as posted: "
            + ", ".join(
                f"{name.removesuffix('-as-posted')} {len(broken)}"
                for name, broken in self.posted.items()
            )
            + f"; mended, none in {self.states} states (cgsim explore).",
        ]
        return textwrap.wrap(" ".join(text), 72, break_on_hyphens=False)


def _in_brackets(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _elsewhere(verdicts: dict[str, dict[str, int]], chosen: str) -> str:
    others = [
        f"{name} {counts[SILENT]} and {counts[DEBUG]}"
        for name, counts in verdicts.items()
        if name != chosen
    ]
    said = " Unnoticed elsewhere, and caught only with debug options: "
    return f"{said}{', '.join(others)}." if others else ""


@cache
def recommendation(user: str = DRIVER) -> Recommendation:
    """The interface with the fewest mistakes that nobody notices, for a user of `USERS`.

    Ties go to the one with the fewest that only a debug kernel notices, then to the one whose
    lookup takes the fewest loads. Takes some seconds: it searches. Raises UserError for an unknown
    user.
    """
    if user not in USERS:
        raise unknown_name("user", user, USERS)
    candidates = {DRIVER: _IN_KERNEL, "bpf-map": _BPF[1:]}.get(user, _BPF)
    cells = catalogue(interfaces=candidates)
    verdicts = {name: _counted(cells, name) for name in candidates}
    best = min(candidates, key=lambda name: (verdicts[name][SILENT], verdicts[name][DEBUG]))
    unnoticed = tuple(c.mistake for c in cells if c.interface == best and c.verdict == SILENT)
    posted = {found.name: tuple(found.shortest) for found in explore(_POSTED)}
    mended = explore(candidates)
    return Recommendation(
        user, best, verdicts, unnoticed, posted, sum(found.states for found in mended)
    )


def _counted(cells: list[Cell], interface: str) -> dict[str, int]:
    own = [cell.verdict for cell in cells if cell.interface == interface]
    assert len(own) == len(MISTAKES)
    return {verdict: own.count(verdict) for verdict in VERDICTS}
