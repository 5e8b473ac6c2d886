"""Where the answer flips: borders along one factor, found by looking closer where it changes.

Along a line (a set of values of the other factors) a design is the answer for as long as it is the
cheapest or tied with it; a border is where no design that was the answer so far still is one. Each
line begins with a few points; in the middle of each border a point is added, round by round, until
its ends are next to each other or as close as asked for. All lines go on together, so that each
round is one study for all workers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from cgsim.errors import UserError
from cgsim.limits import Range
from cgsim.studies.run import sweep
from cgsim.studies.spec import Study, read_study
from cgsim.studies.winners import LEVEL, winners

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence


def find_flips(
    study: str | os.PathLike[str] | Mapping[str, Any],
    along: str,
    *,
    low: int,
    high: int,
    start: int = 5,
    rounds: int = 8,
    closeness: float = 0.1,
    level: float = LEVEL,
    **options: Any,
) -> pd.DataFrame:
    """The borders of the winner along a factor of whole numbers, on a logarithmic scale.

    Parameters
    ----------
    study : as of `cgsim.sweep`, without `along`; its factors name the lines
    along : the factor, of whole numbers in [low, high]
    start : points of each line to begin with
    rounds : at most so many times a point is added to each open border
    closeness : a border is found when its ends are neighbours, or closer than this share
    level : as of `winners`
    options : of `cgsim.sweep` (`out`, `store`, `workers`, `scheduler`, `progress`)

    Returns
    -------
    DataFrame, one row per border: the line's factors, `below` and `above` (the last value before
    and the first after), `winner_below`, `winner_above`: who is cheapest or tied with the cheapest
    all along that side up to the next border, names joined by ", ".
    No row for a line without a border. `attrs["points"]`: the winners of all points computed.

    Raises UserError as `cgsim.sweep` does.
    """
    given = read_study(study) if not isinstance(study, Mapping) else None
    fields = dict(study) if isinstance(study, Mapping) else _mapping(given)
    lines = fields.pop("factors", {})
    if along in lines or along in fields:
        raise UserError(f"study: {along} is what borders are looked for along; leave it out")
    Range(1, high - 1).check("find_flips", "low", low)
    Range(2, 64).check("find_flips", "start", start)
    names = list(lines)
    grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*lines.values())]
    values = {number: _spread(low, high, start) for number in range(len(grid))}
    known: dict[tuple[int, int], frozenset[str]] = {}
    points = pd.DataFrame()
    for _ in range(rounds + 1):
        new = [
            (number, value)
            for number, row in values.items()
            for value in row
            if (number, value) not in known
        ]
        if not new:
            break
        asked = [{**grid[number], along: value} for number, value in new]
        frame = sweep({**fields, "points": asked}, **options)
        found = winners(frame, ["point"], level=level)
        # a point that no design can be at has no winner
        known |= dict.fromkeys(new, frozenset[str]())
        for at, tied in zip(found["point"], found["tied"], strict=True):
            known[new[at]] = frozenset(tied.split(", "))
        labelled = pd.DataFrame(asked).merge(found, left_index=True, right_on="point")
        points = pd.concat([points, labelled], ignore_index=True)
        for number, row in values.items():
            stretches = _stretches(row, [known[number, value] for value in row])
            middles = [
                _middle(one.last, other.first)
                for one, other in itertools.pairwise(stretches)
                if not _is_close(one.last, other.first, closeness)
            ]
            values[number] = sorted({*row, *middles})
    rows = []
    for number, row in values.items():
        done = [value for value in row if (number, value) in known]
        stretches = _stretches(done, [known[number, value] for value in done])
        rows += [
            grid[number]
            | {
                "below": one.last,
                "above": other.first,
                "winner_below": ", ".join(sorted(one.winners)),
                "winner_above": ", ".join(sorted(other.winners)),
            }
            for one, other in itertools.pairwise(stretches)
        ]
    columns = [*names, "below", "above", "winner_below", "winner_above"]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["points"] = points.to_dict("records")
    return table


class _Stretch(NamedTuple):
    """Points in a row at all of which the same designs are cheapest or tied with the cheapest."""

    first: int
    last: int
    winners: frozenset[str]


def _stretches(values: Sequence[int], tied: Sequence[frozenset[str]]) -> list[_Stretch]:
    """As few stretches as cover all points, each as long as can be, from the first on."""
    found: list[_Stretch] = []
    for value, names in zip(values, tied, strict=True):
        if found and (found[-1].winners & names or found[-1].winners == names):
            found[-1] = _Stretch(found[-1].first, value, found[-1].winners & names)
        else:
            found.append(_Stretch(value, value, names))
    return found


def _mapping(study: Study | None) -> dict[str, Any]:
    """A study as the mapping that it was read from."""
    assert study is not None
    fields: dict[str, Any] = {
        "name": study.name,
        f"{study.subject}s": list(study.subjects),
        **{name: list(values) for name, values in study.axes.items() if values},
        "factors": dict(study.factors),
        **study.constants,
        "replicates": study.replicates,
        "seed": study.seed,
    }
    return fields


def _spread(low: int, high: int, count: int) -> list[int]:
    """About `count` whole numbers from low to high, evenly on a logarithmic scale."""
    steps = [low * (high / low) ** (i / (count - 1)) for i in range(count)]
    return sorted({low, high, *(round(value) for value in steps)})


def _middle(a: int, b: int) -> int:
    """The whole number in the logarithmic middle, other than both."""
    return min(max(round(math.sqrt(a * b)), a + 1), b - 1)


def _is_close(a: int, b: int, closeness: float) -> bool:
    return b - a <= 1 or b <= a * (1 + closeness)


def border_sentence(table: pd.DataFrame, along: str, names: Sequence[str] = ()) -> str:
    """The borders in words."""
    if table.empty:
        return f"Nothing flips along {along}."
    parts = []
    for row in table.to_dict("records"):
        line = ", ".join(f"{name} {row[name]}" for name in names)
        where = f" ({line})" if line else ""
        parts.append(
            f"{row['winner_below']} up to {row['below']}, "
            f"{row['winner_above']} from {row['above']} {along} on{where}"
        )
    return "; ".join(parts) + "."


def drop_sentence(table: pd.DataFrame, along: str, column: str, names: Sequence[str] = ()) -> str:
    """Where designs that are cheapest, or tied with the cheapest, at a line's begin drop out.

    table : as of `find_flips`, along `column`; `along` is its word.
    """
    lines: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for point in sorted(table.attrs["points"], key=lambda each: each[column]):
        lines.setdefault(tuple(point[name] for name in names), []).append(point)
    said = []
    for key, points in lines.items():
        tied = [set(point["tied"].split(", ")) for point in points]
        begin = points[0]["tied"].split(", ")
        out = {n: next((i for i, t in enumerate(tied) if n not in t), None) for n in begin}
        gone = [f"{n} from {points[i][column]} {along} on" for n, i in out.items() if i is not None]
        kept = [name for name, i in out.items() if i is None]
        where = ", ".join(f"{name} {value}" for name, value in zip(names, key, strict=True))
        said.append(
            f"{where or 'Everywhere'}: with the fewest {along} ({points[0][column]}) nothing is "
            f"cheaper than {', '.join(begin)}. "
            + (f"Something is cheaper than {'; '.join(gone)}. " if gone else "")
            + (f"Nothing is cheaper than {', '.join(kept)} anywhere." if kept else "")
        )
    return " ".join(text.strip() for text in said)
