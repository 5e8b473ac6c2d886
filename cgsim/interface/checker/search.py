"""Search a model's states, and say what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsim.interface.checker import engine
from cgsim.interface.checker.language import PROPERTIES
from cgsim.limits import Range

if TYPE_CHECKING:
    from cgsim.interface.checker.layout import Model
    from cgsim.interface.checker.rows import Row

MOST_STATES = 20_000_000
DEFAULT_STATES = 2_000_000


@dataclass(frozen=True)
class Step:
    """One step of a schedule: who, which statement, and where that stands (function:line)."""

    actor: str
    does: str
    where: str


@dataclass(frozen=True)
class Violation:
    """A property that some schedule violates, and the shortest such schedule."""

    property: str
    scenario: str
    schedule: tuple[Step, ...]


@dataclass(frozen=True)
class Refusal:
    """Something that the interface said to an actor, and the shortest schedule to it."""

    actor: str
    at_load: bool
    text: str
    schedule: tuple[Step, ...]


@dataclass(frozen=True)
class Exploration:
    """What a search found.

    states : distinct ones visited. complete : whether those are all. bound : what ended it, "" if
    nothing did. depth : steps to the farthest state. transitions : steps tried that could be taken.
    ended : the shortest schedule in which all actors end well, () if there is none.
    """

    scenario: str
    states: int
    complete: bool
    bound: str
    depth: int
    transitions: int
    seconds: float
    bytes: int
    violations: tuple[Violation, ...]
    refusals: tuple[Refusal, ...]
    ended: tuple[Step, ...]


def explore_model(model: Model, *, scenario: str = "", states: int = DEFAULT_STATES) -> Exploration:
    """Visit every state that a model can reach, nearest first.

    Parameters
    ----------
    model : of `layout.build`
    states : the most that are visited; a search that ends there is not complete, and says so

    A path ends at its first violation, so what lies behind one is not searched: an interface that
    violates nothing was searched in full, one that violates something as far as the first time.
    """
    states = int(Range(1, MOST_STATES).check("explore", "states", states))
    if model.start_status > 0:
        broken = Violation(PROPERTIES[model.start_status], scenario, ())
        return Exploration(scenario, 1, False, "", 0, 0, 0.0, 0, (broken,), (), ())
    begin = time.perf_counter()
    n = int(model.layout.table[engine.N_WORDS])
    visited = np.empty((states, n), dtype=np.int64)
    parents = np.empty(states, dtype=np.int32)
    moves = np.empty(states, dtype=np.int16)
    slots = np.full(1 << max(10, (2 * states - 1).bit_length()), -1, dtype=np.int32)
    found = np.full((engine.N_PROPERTIES, 2), -1, dtype=np.int64)
    noted = np.full((64, 2), -1, dtype=np.int64)
    ended = np.full(1, -1, dtype=np.int64)
    cells = model.first.copy()
    words = cells[: 8 * n].view(np.int64)
    count, complete, depth, transitions = engine.search(
        *model.layout, cells, words, model.choices, visited, slots, parents, moves, found, noted,
        ended,
    )  # fmt: skip

    def schedule(state: int, move: int) -> tuple[Step, ...]:
        path = [move] if move >= 0 else []
        while state > 0:
            path.append(int(moves[state]))
            state = int(parents[state])
        return _steps(model, path[::-1])

    violations = tuple(
        Violation(PROPERTIES[number], scenario, schedule(int(state), int(move)))
        for number, (state, move) in enumerate(found)
        if state >= 0
    )
    refusals = [
        Refusal(who, name == "refuse_at_load", text, schedule(int(noted[i, 0]), int(noted[i, 1])))
        for i, (name, text, who) in enumerate(model.notes)
        if noted[i, 0] >= 0
    ]
    refusals += [
        Refusal(who, name == "refuse_at_load", text, ())
        for i, (name, text, who) in enumerate(model.notes)
        if model.start_notes >> i & 1 and noted[i, 0] < 0
    ]
    bound = ""
    if not complete:
        bound = (
            f"the bound of {states} states"
            if count == states
            else "a pool of objects that can be allocated"
        )
    taken = count * (8 * n + 6) + slots.nbytes
    return Exploration(
        scenario, int(count), bool(complete), bound, int(depth), int(transitions),
        time.perf_counter() - begin, int(taken), violations, tuple(refusals),
        schedule(int(ended[0]), -1) if ended[0] >= 0 else (),
    )  # fmt: skip


def _steps(model: Model, path: list[int]) -> tuple[Step, ...]:
    """Play moves again to name the statements."""
    table = model.layout.table
    cells = model.first.copy()
    words = cells[: 8 * int(table[engine.N_WORDS])].view(np.int64)
    notes = np.zeros(1, dtype=np.int64)
    named = []
    for move in path:
        actor, choice = divmod(move, 64)
        position = int(cells[table[engine.POSITION_OF + actor]])
        row = model.rows[actor][model.steps[actor][position]]
        text = _with_outcome(model, cells, actor, choice, row)
        named.append(Step(model.actors[actor].name, text, row.where))
        engine.advance(*model.layout, cells, words, actor, choice, notes)
    return tuple(named)


_OUTCOMES = {
    engine.INC_NOT_ZERO: lambda count: "succeeds" if count else "fails",
    engine.DEC_AND_TEST: lambda count: "is true" if count == 1 else "is false",
}
"""By operation: what becomes of it, by the count before."""


def _with_outcome(model: Model, cells: np.ndarray, actor: int, choice: int, row: Row) -> str:
    """A step's text, and what a count or a choice came to."""
    if row.op == engine.CHOOSE:
        return row.text.replace(f"choose({row.t})", str(choice))
    table, code = model.layout.table, model.layout.code
    position = int(cells[table[engine.POSITION_OF + actor]])
    encoded = code[table[engine.ROW_OF + engine.MOST_STEPS * actor + position]]
    owner = int(cells[encoded[engine.A]])
    if row.op not in _OUTCOMES or cells[table[engine.STATE_OF + owner]] != engine.LIVE:
        return row.text
    offset = table[
        engine.OFFSET_OF + engine.MOST_WORDS * table[engine.KIND_OF + owner] + row.b.number
    ]
    return f"{row.text} {_OUTCOMES[row.op](int(cells[table[engine.BASE_OF + owner] + offset]))}"
