"""Place a model's objects and local variables in a state, and encode its programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import UserError
from cgsim.interface.checker import engine
from cgsim.interface.checker.compiler import Compiler
from cgsim.interface.checker.language import Kind, Static
from cgsim.interface.checker.registers import assign, live_before
from cgsim.interface.checker.rows import Register, Row, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CELL_MOST = 127


@dataclass(frozen=True)
class Actor:
    """Something that runs by itself: a name for the schedule, and what it does.

    daemon : need not come to an end (RCU's callbacks).
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    daemon: bool = False


@dataclass(frozen=True)
class Model:
    """Actors in an environment of names, compiled and placed.

    layout, first : what `engine.search` takes; first: int8 working array in the first state.
    rows : of each actor. steps : each actor's rows that are steps, by position. objects : names by
    number, from 1. notes : what `refuse` may say, and to whom. choices : most ways of one step.
    """

    actors: tuple[Actor, ...]
    layout: engine.Layout
    first: np.ndarray
    rows: list[list[Row]]
    steps: list[list[int]]
    objects: list[str]
    notes: list[tuple[str, str, str]]
    choices: int
    start_status: int = 0
    start_notes: int = 0


@dataclass
class _Cells:
    """Hands out cells of a state."""

    used: int = 0

    def take(self, count: int = 1) -> int:
        first = self.used
        self.used += count
        return first


@dataclass
class _Objects:
    """Columns of the layout that are indexed by object."""

    names: list[str] = field(default_factory=lambda: ["NULL"])
    kind: list[int] = field(default_factory=lambda: [0])
    state: list[int] = field(default_factory=lambda: [0])
    base: list[int] = field(default_factory=lambda: [0])
    mask: list[int] = field(default_factory=lambda: [-1])
    fixed: list[int] = field(default_factory=lambda: [0])


def build(
    actors: tuple[Actor, ...],
    environment: Mapping[str, Any],
    *,
    module: Static | None = None,
    pools: Mapping[str, int] | None = None,
) -> Model:
    """Compile actors and place them.

    environment : names for the protocols' functions. module : the object whose word `loaded` says
    whether text marked `module_text` may run. pools : how many objects of a kind can be allocated,
    by the kind's name, where not as the kind says.

    Raises UserError where a protocol is not in the language, or is too large for a state.
    """
    statics: list[Static] = [] if module is None else [module]
    kinds: list[Kind] = []
    words: list[str] = ["loaded", "len"]
    notes: list[tuple[str, str, str]] = []
    rows = [
        Compiler(environment, statics, kinds, words, notes, actor.name).compile(
            actor.function, list(actor.arguments)
        )
        for actor in actors
    ]
    used = {row.op for program in rows for row in program}
    everything = _with_what_they_name(statics)
    kinds += [s.kind for s in everything if s.kind not in kinds]
    kinds = list(dict.fromkeys(kinds))
    for kind in kinds:
        words += [word for word in kind.names if word not in words]
    cells = _Cells()
    position_of = [cells.take() for _ in actors]
    context_of = [cells.take() for _ in actors]
    sync_of = [
        cells.take() if any(row.op == engine.SYNC_BEGIN for row in program) else 0
        for program in rows
    ]
    waits = engine.CALL_RCU in used
    objects, first_of, pool_of = _place_objects(
        cells, everything, kinds, pools or {}, waits, _allocated(rows)
    )
    number_of = {static: 1 + i for i, static in enumerate(everything)}
    coloured = [(assign(program, live := live_before(program)), live) for program in rows]
    local_of: list[dict[Register, int]] = []
    for (shared, _), _ in coloured:
        count = 1 + max(shared.values(), default=-1)
        start = cells.take(count)
        local_of.append({register: start + n for register, n in shared.items()})
    n_words = -(-cells.used // 8)
    encoder = _Encoder(8 * n_words, number_of, kinds)
    code: list[list[int]] = []
    steps: list[list[int]] = []
    starts = []
    for program, registers, ((_, passing), _) in zip(rows, local_of, coloured, strict=True):
        starts.append(len(code))
        at = dict(registers) | {r: -1 - i for i, r in enumerate(passing)}
        code += [encoder.row(row, at, starts[-1]) for row in program]
        steps.append([n for n, row in enumerate(program) if row.op >= engine.FIRST_SHARED])
        if len(steps[-1]) >= engine.DONE:
            raise UserError(
                f"an actor has {len(steps[-1])} steps in its source; allowed: {engine.DONE - 1}"
            )
    encoded, constants = encoder.finish(code)
    for start, own in zip(starts, steps, strict=True):
        encoded[[start + row for row in own], engine.POSITION] = range(len(own))
    layout = engine.Layout(
        _table(objects, kinds, words, first_of, pool_of),
        encoded,
        _keep_masks(n_words, steps, local_of, [live for _, live in coloured]),
    )
    table = layout.table
    masks = [cell for cell in (*objects.mask, *(c for c in sync_of if c > 0)) if cell >= 0]
    waiters = [number for number, mask in enumerate(objects.mask) if mask >= 0]
    for place, values in (
        (engine.MASKS, masks),
        (engine.WAITERS, waiters),
        (engine.POSITION_OF, position_of),
        (engine.CONTEXT_OF, context_of),
        (engine.SYNC_OF, sync_of),
        (engine.DAEMON, [int(actor.daemon) for actor in actors]),
    ):
        table[place : place + len(values)] = values
    for actor, (start, own) in enumerate(zip(starts, steps, strict=True)):
        place = engine.ROW_OF + engine.MOST_STEPS * actor
        table[place : place + len(own)] = [start + row for row in own]
    table[engine.N_WORDS] = n_words
    table[engine.N_ACTORS] = len(actors)
    table[engine.N_OBJECTS] = len(objects.names)
    table[engine.N_MASKS] = len(masks)
    table[engine.N_WAITERS] = len(waiters)
    table[engine.MODULE_CELL] = objects.base[1] if module is not None else -1
    first = np.zeros(8 * n_words + len(constants) + encoder.passing_most, dtype=np.int8)
    first[8 * n_words : 8 * n_words + len(constants)] = constants
    for static, number in number_of.items():
        first[objects.state[number]] = engine.LIVE
        for word, value in static.initial.items():
            given = number_of[value] if isinstance(value, Static) else value
            if word == "slots":
                start = objects.base[number] + len(static.kind.words)
                for i, item in enumerate(value):
                    first[start + i] = number_of[item] if isinstance(item, Static) else item
            else:
                first[objects.base[number] + static.kind.names.index(word)] = given
    takes = len(waiters) if engine.TAKE in used else 1
    ways = [row.t for program in rows for row in program if row.op == engine.CHOOSE]
    model_notes = np.zeros(1, dtype=np.int64)
    status = 0
    words_view = first[: 8 * n_words].view(np.int64)
    for number, start in enumerate(starts):
        status = status or engine.settle(*layout, first, words_view, number, start, model_notes)
    return Model(
        actors, layout, first, rows, steps, objects.names, notes, max([takes, *ways, 1]),
        int(status), int(model_notes[0]),
    )  # fmt: skip


def _with_what_they_name(statics: list[Static]) -> list[Static]:
    """Statics, and those that their first words name."""
    found = list(dict.fromkeys(statics))
    for static in found:
        for given in static.initial.values():
            for value in given if isinstance(given, tuple) else (given,):
                if isinstance(value, Static) and value not in found:
                    found.append(value)
    return found


def _allocated(rows: list[list[Row]]) -> set[Kind]:
    return {row.t for program in rows for row in program if row.op == engine.ALLOC}


def _place_objects(
    cells: _Cells,
    statics: list[Static],
    kinds: list[Kind],
    pools: Mapping[str, int],
    waits: bool,
    allocated: set[Kind],
) -> tuple[_Objects, list[int], list[int]]:
    objects = _Objects()

    def add(name: str, kind: Kind, fixed: bool) -> None:
        objects.names.append(name)
        objects.kind.append(kinds.index(kind))
        objects.state.append(cells.take())
        objects.base.append(cells.take(len(kind.words) + kind.slots))
        objects.mask.append(cells.take() if waits and not kind.ghost else -1)
        objects.fixed.append(int(fixed))

    for static in statics:
        add(static.name, static.kind, True)
    first_of, pool_of = [], []
    for kind in kinds:
        count = pools.get(kind.name, kind.pool) if kind in allocated else 0
        first_of.append(len(objects.names))
        pool_of.append(count)
        for number in range(count):
            add(f"{kind.name} {number + 1}", kind, False)
    return objects, first_of, pool_of


@dataclass
class _Encoder:
    """Rows as numbers. Constants lie behind the state, what passes within a step behind those."""

    state_cells: int
    number_of: dict[Static, int]
    kinds: list[Kind]
    constants: list[int] = field(default_factory=list)
    passing_most: int = 0

    def row(self, row: Row, at: dict[Register, int], start: int) -> list[int]:
        """Operation, d, a, b, t, module, position; cells that pass are negative until `finish`."""
        self.passing_most = max([self.passing_most, *(-cell for cell in at.values())])
        t = row.t
        if isinstance(t, Kind):
            t = self.kinds.index(t)
        elif row.op == engine.XCHG:
            t = self._cell(t, at)
        elif engine.JMP <= row.op <= engine.JLE:
            t += start
        operands = [self._cell(operand, at) for operand in (row.d, row.a, row.b)]
        return [row.op, *operands, t, int(row.module), engine.DONE]

    def _cell(self, operand: Any, at: dict[Register, int]) -> int:
        if operand is None:
            return 0
        if isinstance(operand, Word):
            return operand.number
        if isinstance(operand, Register):
            return at[operand]
        value = self.number_of[operand] if isinstance(operand, Static) else operand
        if not isinstance(value, int) or not -_CELL_MOST <= value <= _CELL_MOST:
            raise UserError(f"a protocol's value {value!r} does not fit into a cell of 8 bits")
        if value not in self.constants:
            self.constants.append(value)
        return self.state_cells + self.constants.index(value)

    def finish(self, code: list[list[int]]) -> tuple[np.ndarray, list[int]]:
        """The table, with the passing cells where they lie; and the constants."""
        table = np.array(code, dtype=np.int64)
        behind = self.state_cells + len(self.constants)
        for column in (engine.D, engine.A, engine.B):
            negative = table[:, column] < 0
            table[negative, column] = behind - 1 - table[negative, column]
        exchange = (table[:, engine.OP] == engine.XCHG) & (table[:, engine.T] < 0)
        table[exchange, engine.T] = behind - 1 - table[exchange, engine.T]
        return table, self.constants


def _table(
    objects: _Objects, kinds: list[Kind], words: list[str], first_of: list[int], pool_of: list[int]
) -> np.ndarray:
    """The part of the layout's table that is about objects and kinds."""
    for what, count, most in (
        ("objects", len(objects.names), engine.MOST_OBJECTS),
        ("kinds of objects", len(kinds), engine.MOST_KINDS),
        ("names of words", len(words), engine.MOST_WORDS),
        ("words", max((len(k.words) + k.slots for k in kinds), default=0), engine.MOST_WORDS),
    ):
        if count > most:
            raise UserError(f"a protocol has {count} {what}; allowed: {most}")
    table = np.zeros(engine.LAYOUT_SIZE, dtype=np.int64)
    columns = {
        engine.STATE_OF: objects.state,
        engine.MASK_OF: objects.mask,
        engine.BASE_OF: objects.base,
        engine.KIND_OF: objects.kind,
        engine.FIXED: objects.fixed,
        engine.SLOTS_AT: [len(k.words) for k in kinds],
        engine.N_SLOTS: [k.slots for k in kinds],
        engine.LEN_AT: [k.names.index("len") if "len" in k.names else -1 for k in kinds],
        engine.PERCPU: [k.percpu for k in kinds],
        engine.FIRST_OF: first_of,
        engine.POOL_OF: pool_of,
    }
    for place, values in columns.items():
        table[place : place + len(values)] = values
    for number, kind in enumerate(kinds):
        at = engine.OFFSET_OF + engine.MOST_WORDS * number
        table[at : at + len(words)] = [
            kind.names.index(word) if word in kind.names else -1 for word in words
        ]
        points = [word.startswith("*") for word in kind.words] + [kind.slots_point] * kind.slots
        at = engine.POINTS + engine.MOST_WORDS * number
        table[at : at + len(points)] = points
    return table


def _keep_masks(
    n_words: int,
    steps: list[list[int]],
    local_of: list[dict[Register, int]],
    lives: list[list[set[Register]]],
) -> np.ndarray:
    """All ones, but for an actor's cells that nobody reads any more at a position."""
    keep = np.full((len(steps), engine.MOST_STEPS, 8 * n_words), -1, dtype=np.int8)
    for actor, (own, registers, live) in enumerate(zip(steps, local_of, lives, strict=True)):
        cells = set(registers.values())
        for position in range(engine.MOST_STEPS):
            alive: set[int] = set()
            if position < len(own):
                alive = {registers[register] for register in live[own[position]]}
            keep[actor, position, sorted(cells - alive)] = 0
    return keep.view(np.int64)
