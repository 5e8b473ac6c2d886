"""The mail that cgsim answers: its lines, as `data/thread.txt` holds them."""

from __future__ import annotations

from html import escape
from typing import Any

from cgsim.data import data_path
from cgsim.errors import UserError

ARCHIVE = "https://lists.freedesktop.org/archives/intel-gfx/2018-March/158870.html"


def thread_lines(first: str, last: str) -> list[str]:
    """The lines from the first that holds `first` to the next that holds `last`, both included.

    Raises UserError if there are no such lines.
    """
    path = data_path("thread.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    begin = next((i for i, line in enumerate(lines) if first in line), None)
    if begin is None:
        raise UserError(f"{path}: no line holds {first!r}")
    end = next((i for i, line in enumerate(lines[begin:], begin) if last in line), None)
    if end is None:
        raise UserError(f"{path}: no line after {first!r} holds {last!r}")
    return lines[begin : end + 1]


def quote_html(first: str, last: str) -> Any:
    """Those lines as a block quote for display, without their marks of quotation."""
    from IPython.display import HTML

    text = "\n".join(line.removeprefix("> ") for line in thread_lines(first, last))
    return HTML(f"<blockquote><pre>{escape(text)}</pre></blockquote>")
