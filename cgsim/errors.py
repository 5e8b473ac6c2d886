"""The one exception a user's mistake raises, and how values are shown in its message."""

from __future__ import annotations

import reprlib
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_MESSAGE = 500
"""Characters of a message, at most."""

LONGEST_VALUE = 80
"""Characters of a value in a message, at most."""


class UserError(ValueError):
    """A mistake in something the user gave: a file, a parameter, an argument.

    The message is one line that names the source, the field, the value and what is allowed: at
    most `LONGEST_MESSAGE` characters, none of which moves a terminal's cursor or changes its
    colours. The command line prints it and exits with status 2; notebooks show it without a
    traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(printable(message), LONGEST_MESSAGE))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def unknown_name(kind: str, name: object, allowed: Iterable[str]) -> UserError:
    """The error for a name that is not in a list, with the closest allowed name as a hint."""
    names = sorted(allowed)
    # the search for a close name takes time by the square of the length
    close = get_close_matches(str(name), names, n=1) if _is_short(name) else []
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return UserError(f"unknown {kind} {shown(name)}{hint}; allowed: {', '.join(names)}")


def out_of_range(kind: str, name: str, value: object, allowed: str) -> UserError:
    """The error for a value outside its range."""
    return UserError(f"{kind}: {name} = {shown(value)} is not allowed; allowed: {allowed}")


def shown(value: object) -> str:
    """A value as Python writes it, cut at `LONGEST_VALUE` characters.

    Never takes long: what is deep, long or refers to itself is not written out.
    """
    try:
        return shorten(_SHORT.repr(value), LONGEST_VALUE)
    except Exception:  # a repr may raise anything: that of an int of 5000 digits a ValueError
        return f"a value of type {type(value).__name__}"


def printable(text: str) -> str:
    """`text` on one line, with what does not print (control characters, escapes) escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def shorten(text: str, longest: int) -> str:
    """`text`, its end replaced by dots if it is longer than `longest` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _escape(character: str) -> str:
    return " " if character == "\n" else character.encode("unicode_escape").decode()


def _is_short(name: object) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST_VALUE


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 2 * LONGEST_VALUE
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 20
_SHORT.maxlevel = 4
