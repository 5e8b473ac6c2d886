"""The one exception a user's mistake raises."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in something the user gave: a file, a parameter, an argument.

    The message is one line that names the source, the field, the value and what is allowed.
    The command line prints it and exits with status 2; notebooks show it without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def unknown_name(kind: str, name: object, allowed: Iterable[str]) -> UserError:
    """The error for a name that is not in a list, with the closest allowed name as a hint."""
    names = sorted(allowed)
    close = get_close_matches(str(name), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return UserError(f"unknown {kind} {name!r}{hint}; allowed: {', '.join(names)}")


def out_of_range(kind: str, name: str, value: object, allowed: str) -> UserError:
    """The error for a value outside its range."""
    return UserError(f"{kind}: {name} = {value!r} is not allowed; allowed: {allowed}")
