"""Messages: one line, short, nothing that a terminal obeys."""

from __future__ import annotations

from typing import Any

import pytest

from cgsim.errors import LONGEST_MESSAGE, UserError, out_of_range, shown, unknown_name


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def nested() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


HOSTILE: list[Any] = [
    "x" * 10**6, 10**5000, nested(), [[0] * 10**5] * 10, Rude(), "\x1b[31m", {"a": "\n"}
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_is_shown_briefly(value: object) -> None:
    assert len(shown(value)) <= 80
    for error in (out_of_range("a", "b", value, "c"), unknown_name("name", value, ["ab"])):
        assert len(str(error)) <= LONGEST_MESSAGE
        assert str(error).isprintable()


def test_a_message_is_one_short_line() -> None:
    message = str(UserError("a\nb\x1b]0;title\x07\u202e" + "y" * 1000))
    assert message.startswith("a b\\x1b]0;title\\x07\\u202e")
    assert len(message) == LONGEST_MESSAGE
