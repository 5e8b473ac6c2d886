"""YAML as its version 1.2 has it, read strictly: the one reader of what users and files hold.

Numbers are what YAML 1.2's core schema calls numbers: `1e1` is one, `010` is ten, `1:10` and `on`
are text. A key given twice, a key that is not text, a tag that asks for another type, a second
document are refused. The parser's events are read one by one, without recursion, so that no
nesting, alias or size can exhaust the stack or the memory.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any, NamedTuple

import yaml

from cgsim.errors import UserError, shorten, shown

LARGEST_FILE_BYTES = 1 << 20
DEEPEST = 20
"""Mappings and lists within one another, at most."""
MOST_VALUES = 100_000
"""Values of a document, at most; what an alias stands for counts each time."""
MOST_DIGITS = 400
"""Characters of a number, at most."""

# libyaml's parser, where PyYAML was built with it, is far quicker.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CORE = "tag:yaml.org,2002:"
_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(?:(inf|Inf|INF)|(nan|NaN|NAN))")
_TYPES = {"null": (type(None),), "bool": (bool,), "int": (int,), "float": (int, float)}


class _Counted(NamedTuple):
    """What an anchor names: a value, how many values it holds and how deep they lie."""

    value: Any
    values: int
    depth: int


class _Open:
    """A list or mapping that is being read."""

    def __init__(self, container: list[Any] | dict[str, Any], anchor: str | None) -> None:
        self.container = container
        self.anchor = anchor
        self.values = 1
        self.depth = 1
        self.key: str | None = None


class _Refusal(Exception):
    """What is wrong with a document, and where."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem)
        self.problem = problem
        self.problem_mark = mark


def parse_yaml(text: str, source: str) -> Any:
    """The value of a document; null if it is empty.

    Raises `UserError` with one line that begins with `source` and the place in the text.
    """
    try:
        return _Reading().document(text)
    except (yaml.YAMLError, _Refusal) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(f"{where}: not valid YAML: {problem}") from None


def read_yaml(path: str | os.PathLike[str], what: str) -> Any:
    """The value of a YAML file.

    Raises `UserError` with one line if it is no regular file, larger than `LARGEST_FILE_BYTES`,
    cannot be read, or is not valid; `what` says there what the file was to be.
    """
    return parse_yaml(read_text(path, what), os.fspath(path))


def read_text(path: str | os.PathLike[str], what: str) -> str:
    """The UTF-8 text of a regular file of at most `LARGEST_FILE_BYTES`; else `UserError`."""
    try:
        # without waiting, or the opening of a pipe would last until someone writes to it
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise UserError(f"{shorten(str(path), 200)}: {what} must be a regular file")
            data = stream.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{shorten(str(path), 200)}: cannot read {what}: {reason}") from None
    if len(data) > LARGEST_FILE_BYTES:
        raise UserError(f"{path}: {what} is larger than {LARGEST_FILE_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: cannot read {what}: not UTF-8 text") from None


class _Reading:
    """The state of reading one document."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.anchors: dict[str, _Counted] = {}
        self.total = 0
        self.result: Any = None

    def document(self, text: str) -> Any:
        documents = 0
        for event in yaml.parse(text, Loader=_Parser):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refusal("a second document", event.start_mark)
            elif isinstance(event, yaml.ScalarEvent):
                self.add(_Counted(_scalar(event), 1, 0), event, event.anchor)
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self.begin(event)
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                done = self.open.pop()
                self.add(_Counted(done.container, done.values, done.depth), event, done.anchor)
        return self.result

    def begin(self, event: Any) -> None:
        """A list or a mapping opens."""
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _CORE + ("map" if is_mapping else "seq")):
            raise _Refusal(f"tag {shown(event.tag)} is not allowed", event.start_mark)
        if len(self.open) >= DEEPEST:
            raise _Refusal(f"nested deeper than {DEEPEST}", event.start_mark)
        if self.open and isinstance(self.open[-1].container, dict) and self.open[-1].key is None:
            raise _Refusal("a key that is not text", event.start_mark)
        self.open.append(_Open({} if is_mapping else [], event.anchor))

    def alias(self, event: Any) -> None:
        """The value of an anchor once more."""
        known = self.anchors.get(event.anchor)
        if known is None:
            problem = f"alias {shown(event.anchor)} names no finished value before it"
            raise _Refusal(problem, event.start_mark)
        if len(self.open) + known.depth > DEEPEST:
            raise _Refusal(f"nested deeper than {DEEPEST}", event.start_mark)
        self.add(known, event, None)

    def add(self, item: _Counted, event: Any, anchor: str | None) -> None:
        """A finished value goes where it belongs."""
        if anchor is not None:
            self.anchors[anchor] = item
        if not self.open:
            self.result = item.value
            return
        top = self.open[-1]
        top.values += item.values
        top.depth = max(top.depth, item.depth + 1)
        if top.values > MOST_VALUES:
            raise _Refusal(f"more than {MOST_VALUES} values", event.start_mark)
        if isinstance(top.container, list):
            top.container.append(item.value)
        elif top.key is None:
            if not isinstance(item.value, str):
                raise _Refusal(f"key {shown(item.value)} is not text", event.start_mark)
            if item.value in top.container:
                raise _Refusal(f"key {shown(item.value)} is given twice", event.start_mark)
            top.key = item.value
        else:
            top.container[top.key] = item.value
            top.key = None


def _scalar(event: Any) -> Any:
    """The value of a scalar, by its tag or else by its text."""
    tag, text = event.tag, event.value
    if tag == "!" or (tag is None and event.implicit[1] and not event.implicit[0]):
        return text
    if tag is None:
        return _plain(text, event.start_mark)
    if tag == _CORE + "str":
        return text
    kind = tag.removeprefix(_CORE)
    if kind not in _TYPES or not tag.startswith(_CORE):
        raise _Refusal(f"tag {shown(tag)} is not allowed", event.start_mark)
    value = _plain(text, event.start_mark)
    if type(value) not in _TYPES[kind]:
        raise _Refusal(f"{shown(text)} is no {kind}", event.start_mark)
    return float(value) if kind == "float" else value


def _plain(text: str, mark: Any) -> Any:
    """What text without quotes stands for in YAML 1.2's core schema."""
    if not text or text[0] not in "0123456789+-.~nNtTfF":
        return text or None
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if special := _SPECIAL.fullmatch(text):
        sign, infinite, _ = special.groups()
        return float(f"{sign}inf") if infinite else float("nan")
    whole, based = _WHOLE.fullmatch(text), _BASED.fullmatch(text)
    if not (whole or based or _DECIMAL.fullmatch(text)):
        return text
    if len(text) > MOST_DIGITS:
        raise _Refusal(f"a number of {len(text)} digits", mark)
    if whole:
        return int(text)
    return int(text, 0) if based else float(text)
