"""What a scenario of `cgsim trace` is: a structure built by a design's own functions, and one call.

A scenario names the recorded rows that it corresponds to, but nothing of a row enters what it does:
the accesses come out of the structure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cgsim.errors import UserError, out_of_range, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.core.heap import Heap
    from cgsim.core.space import Native
    from cgsim.kernel import Kernel

OWNER, KEY, NEITHER = range(3)
"""Which argument the native loop chains: the object the call starts from, or the key."""


class Call(NamedTuple):
    """A structure that stands, and the call to play on it.

    parameters : a design's, or an operation's (`cgsim.scenarios.play`). owner, key : its
    arguments, int64. first : which of them is the compiled function's first argument. reset :
    simulated address of what `words_to_reset` placed, 0 for nothing.
    """

    parameters: Any
    owner: int
    key: int
    first: int
    reset: int = 0


def words_to_reset(heap: Heap, addresses: list[int]) -> int:
    """Place a note of words that a call changes and a loop of calls has to find again each time.

    addresses : simulated addresses of 8-byte words, which hold what is to be found.
    """
    note = heap.place("global:reset", 8 + 16 * len(addresses))
    heap.write(note, len(addresses))
    for i, address in enumerate(addresses):
        heap.write(note + 8 + 16 * i, address)
        heap.write(note + 16 + 16 * i, heap.read(address))
    return note


@dataclass(frozen=True)
class Scenario:
    """One name of `cgsim trace`.

    `pattern`: the name, with `=N` where it takes a number. `functions`, `rows`: regular expressions
    of the recorded function and scenario, in which {n} stands for the number.
    """

    pattern: str
    explanation: str
    mirrors: str
    build: Callable[[Heap, Native, Kernel, int], Call]
    functions: str
    rows: str
    smallest: int = 1
    largest: int = 100_000
    kernels: tuple[str, ...] = ("6.12", "7.3")

    @property
    def stem(self) -> str:
        """The name without its number."""
        return self.pattern.removesuffix("=N")

    @property
    def takes_number(self) -> bool:
        """True if the name ends in `=N`."""
        return self.pattern.endswith("=N")

    def name(self, number: int) -> str:
        """The full name for a number."""
        return f"{self.stem}={number}" if self.takes_number else self.pattern


_SCENARIOS: dict[str, Scenario] = {}


def add_scenario(**values: Any) -> Scenario:
    """Register a scenario; the arguments are the fields of `Scenario`."""
    scenario = Scenario(**values)
    if scenario.stem in _SCENARIOS:
        raise UserError(f"scenario {scenario.pattern!r} exists already")
    _SCENARIOS[scenario.stem] = scenario
    return scenario


def all_scenarios() -> list[Scenario]:
    """All scenarios, in order of registration."""
    return list(_SCENARIOS.values())


def find_scenario(name: str) -> tuple[Scenario, int]:
    """The scenario of a full name and its number (0 if it takes none).

    Raises UserError for an unknown name, or a number that is missing, superfluous or out of range.
    """
    stem, equals, text = name.partition("=")
    scenario = _SCENARIOS.get(stem)
    if scenario is None:
        raise unknown_name("scenario", name, [s.pattern for s in _SCENARIOS.values()])
    allowed = f"a whole number in {scenario.smallest}..{scenario.largest}"
    if not scenario.takes_number:
        if equals:
            raise UserError(f"scenario {name!r} takes no number; allowed: {scenario.pattern!r}")
        return scenario, 0
    if not equals:
        raise UserError(
            f"scenario {name!r} lacks its number; allowed: {scenario.pattern}, {allowed}"
        )
    if re.fullmatch(r"[0-9]{1,12}", text) is None:
        raise out_of_range(f"scenario {scenario.pattern}", "N", text, allowed)
    number = int(text)
    if not scenario.smallest <= number <= scenario.largest:
        raise out_of_range(f"scenario {scenario.pattern}", "N", number, allowed)
    return scenario, number


def row_matches(scenario: Scenario, number: int, row: dict[str, Any]) -> bool:
    """True if a recorded row is what the scenario with this number mirrors."""
    pattern = scenario.rows.replace("{n}", str(number))
    return (
        re.fullmatch(scenario.functions, row["function"]) is not None
        and re.search(pattern, row["scenario"]) is not None
    )


def numbers_in(scenario: Scenario, row: dict[str, Any]) -> int | None:
    """The number with which the scenario mirrors a recorded row; None if it does not."""
    if re.fullmatch(scenario.functions, row["function"]) is None:
        return None
    if not scenario.takes_number:
        return 0 if re.search(scenario.rows, row["scenario"]) else None
    found = re.search(scenario.rows.replace("{n}", r"(?P<n>\d+)"), row["scenario"])
    if found is None:
        return None
    return int(found["n"]) if "n" in found.groupdict() else scenario.smallest
