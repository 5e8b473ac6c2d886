"""Plain text for mail: tables, small plots, wrapped prose, all ASCII."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROSE_COLUMNS = 72
TABLE_COLUMNS = 72
MAIL_COLUMNS = 75
_FLOOR = 0.1
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def check_plain(text: str, columns: int = MAIL_COLUMNS) -> str:
    """`text` itself; raises UserError for a line that is too long, a tab or anything but ASCII."""
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > columns:
            raise UserError(f"line {number} has {len(line)} columns; allowed: {columns}: {line!r}")
        if not all(" " <= letter <= "~" for letter in line):
            raise UserError(f"line {number} is not plain ASCII: {line!r}")
    return text


def wrap(text: str, *, indent: str = "", columns: int = PROSE_COLUMNS) -> str:
    """One paragraph, wrapped; `indent` stands before every line but the first."""
    return textwrap.fill(
        " ".join(text.split()),
        columns,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(
    rows: Sequence[Sequence[Any]], headers: Sequence[str], *, columns: int = TABLE_COLUMNS
) -> str:
    """A table with a line under the headers; the first column to the left, the others to the right.

    Raises UserError if it is wider than `columns`.
    """
    cells = [[str(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_aligned(row, widths) for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return check_plain("\n".join(lines), columns)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the others to the right."""
    first, *others = zip(row, widths, strict=True)
    cells = [f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]
    return "  ".join(cells).rstrip()


def curves(
    lines: Mapping[str, Mapping[float, float]],
    *,
    ylabel: str,
    xlabel: str,
    columns: int = 60,
    rows: int = 14,
) -> str:
    """Curves over a common abscissa, logarithmic both ways: a letter per curve, a key beside it.

    lines : name -> {x: y}; what is below 0.1 is drawn there. The abscissa's values stand at equal
    distances. Where curves meet, '*' stands for them.
    """
    xs = sorted({x for line in lines.values() for x in line})
    lines = {n: {x: max(y, _FLOOR) for x, y in line.items()} for n, line in lines.items()}
    ys = [y for line in lines.values() for y in line.values()]
    low, high = math.log(min(ys)), math.log(max(ys))
    span = max(high - low, 1e-9)
    label_width = max(len(_number(math.exp(v))) for v in (low, high))
    room = columns - label_width - 2
    canvas = [[" "] * room for _ in range(rows)]
    step = (room - 1) // max(len(xs) - 1, 1)
    letters = dict(zip(lines, _LETTERS, strict=False))
    for name, line in lines.items():
        for x, y in line.items():
            row = rows - 1 - round((math.log(y) - low) / span * (rows - 1))
            column = xs.index(x) * step
            taken = canvas[row][column]
            canvas[row][column] = letters[name] if taken == " " else "*"
    keys = [f"{letters[name]} {name}" for name in lines] + ["* several"]
    out = [ylabel]
    for number, cells in enumerate(canvas):
        value = math.exp(high - span * number / (rows - 1))
        mark = _number(value) if number in (0, rows // 2, rows - 1) else ""
        key = f"   {keys[number]}" if number < len(keys) else ""
        body = "".join(cells)
        out.append(f"{mark:>{label_width}} |{body}{key}".rstrip())
    out += [" " * (label_width + 3 + room) + key for key in keys[rows:]]
    out.append(" " * (label_width + 1) + "+" + "-" * room)
    ticks = [" "] * (room + 8)
    for number, x in enumerate(xs):
        for offset, letter in enumerate(_number(x)):
            ticks[number * step + offset] = letter
    out.append(" " * (label_width + 2) + "".join(ticks).rstrip() + f"   {xlabel}")
    return check_plain("\n".join(line.rstrip() for line in out), TABLE_COLUMNS)


def rounded(value: float) -> str:
    """A number of three digits, thousands apart; never an exponent."""
    return f"{float(f'{value:.3g}'):,.0f}"


def quote(text: str) -> str:
    """Each line behind '> ', as replies do; a line that is a quote already gets one '>' more."""
    return "\n".join(
        f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in text.split("\n")
    )


def _number(value: float) -> str:
    """A short number: 0.52, 14, 1000."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
