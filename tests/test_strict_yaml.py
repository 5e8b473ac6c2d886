"""YAML read strictly: YAML 1.2's numbers, and nothing that exhausts or runs anything."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import UserError
from cgsim.strict_yaml import LARGEST_FILE_BYTES, parse_yaml, read_yaml

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e1", 10.0), ("1E-1", 0.1), ("10.0", 10.0), (".5", 0.5), ("010", 10), ("+7", 7),
        ("0x1F", 31), ("0o17", 15), ("1:10", "1:10"), ("on", "on"), ("yes", "yes"), ("y", "y"),
        ("1_000", "1_000"), ("0b11", "0b11"), ("1MiB", "1MiB"), ("2024-01-01", "2024-01-01"),
        ("", None), ("~", None), ("null", None), ("True", True), ("false", False), ("'1'", "1"),
        ("-.inf", float("-inf")), ("!!str 1", "1"), ("!!float 1", 1.0), ("! 1", "1"),
        ("[1, [a]]", [1, ["a"]]), ("{a: 1, b: {c: []}}", {"a": 1, "b": {"c": []}}),
        ("[&a [1], *a]", [[1], [1]]), ("<<: {a: 1}", {"<<": {"a": 1}}), ("|\n a\n b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = parse_yaml(text, "-p x")
    assert read == value
    assert type(read) is type(value)


def bomb(depth: int, width: int) -> str:
    """Lists of aliases to the list before."""
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    return "\n".join(["a0: &a0 [x]", *lines])


HOSTILE = {
    "nested": "[" * 100_000,
    "nested blocks": "- " * 1000 + "x",
    "bomb": bomb(15, 9),
    "deep by aliases": bomb(25, 1),
    "own alias": "&a [*a]",
    "digits": "9" * 5000,
    "fraction digits": "0." + "9" * 5000,
    "int of text": "!!int x",
    "unknown tag": "!mine x",
    "python tag": "!!python/object/apply:os.system [id]",
    "binary": "!!binary aGk=",
    "set": "!!set {a, b}",
    "two documents": "--- 1\n--- 2",
    "key twice": "{a: 1, a: 2}",
    "key of number": "1: 2",
    "key of list": "? [a]\n: b",
    "control": "a: \x1b[31m",
    "open quote": "'a",
    "no alias": "*a",
    "values": "[" + "1," * 200_000 + "]",
    "tab": "a:\n\t- b",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_in_one_line(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(UserError) as caught:
        parse_yaml(HOSTILE[name], "mine.yml")
    message = str(caught.value)
    assert message.startswith("mine.yml:")
    assert message.isprintable()
    assert len(message) <= 500
    assert time.perf_counter() - start < 5


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(UserError):
        parse_yaml(text, "x")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab 1e:-"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab1"), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_reads_as_json(value: Any) -> None:
    import json

    assert parse_yaml(json.dumps(value), "x") == value


def test_files_that_are_no_files(tmp_path: Path) -> None:
    """Neither a pipe without a writer nor an endless device is waited for."""
    fifo = tmp_path / "fifo.yml"
    os.mkfifo(fifo)
    large = tmp_path / "large.yml"
    large.write_bytes(b"#" * (LARGEST_FILE_BYTES + 1))
    for path, reason in (
        (fifo, "must be a regular file"),
        ("/dev/zero", "must be a regular file"),
        (tmp_path, "Is a directory"),
        (large, "larger than 1 MiB"),
        (tmp_path / "none", "No such file"),
        ("a\0b", "null byte"),
        ("x" * 5000, "too long"),
    ):
        with pytest.raises(UserError, match=reason) as caught:
            read_yaml(path, "the profile")
        assert len(str(caught.value)) <= 500
