"""The file of workloads: named sets of values with unit and origin, and packet mixes.

The form is checked here; whether fields, units and ranges suit a kind of workload is checked where
the workload is made (`cgsim.workloads.load_workload`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from cgsim.data import data_path
from cgsim.errors import UserError, unknown_name
from cgsim.strict_yaml import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 1


class Value(NamedTuple):
    """One value of the file. `origin`: a citation with its detail, or `assumption: reason`."""

    value: Any
    unit: str
    origin: str


class Entry(NamedTuple):
    """A named workload: `values` are those that differ from the entry named as its model."""

    name: str
    title: str
    model: str
    values: dict[str, Value]


class Mix(NamedTuple):
    """Packet sizes on the wire (bytes) and their relative frequencies."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    origin: str


class Catalogue(NamedTuple):
    """The file's content."""

    path: Path
    entries: dict[str, Entry]
    mixes: dict[str, Mix]


@cache
def catalogue() -> Catalogue:
    """The file that comes with the package."""
    return read_catalogue(data_path("workloads.yml"))


def read_catalogue(path: Path) -> Catalogue:
    """Read and check a file of workloads; raises `UserError` with file, field, value, allowed."""
    document = read_yaml(path, "the file of workloads")
    return _Reader(path, document).catalogue()


class _Reader:
    """Checks one document; knows which sources are cited."""

    def __init__(self, path: Path, document: object):
        self.path = path
        self.document = document
        self.sources: dict[str, str] = {}
        self.cited: set[str] = set()

    def error(self, where: str, value: object, allowed: str) -> UserError:
        return UserError(f"{self.path}: {where} = {value!r} is not allowed; allowed: {allowed}")

    def mapping(self, where: str, node: object, *allowed: str) -> dict[str, Any]:
        """A mapping with names as keys; exactly `allowed` ones, if any are given."""
        if not isinstance(node, dict) or not all(isinstance(key, str) for key in node):
            raise self.error(where, node, "a mapping with names as keys")
        if allowed:
            for key in node:
                if key not in allowed:
                    unknown = unknown_name(f"field of {where}", key, allowed)
                    raise UserError(f"{self.path}: {unknown}")
            for key in allowed:
                if key not in node:
                    raise UserError(f"{self.path}: {where}.{key} is missing")
        return node

    def text(self, where: str, node: object) -> str:
        if not isinstance(node, str) or not node.strip():
            raise self.error(where, node, "a text")
        return " ".join(node.split())

    def catalogue(self) -> Catalogue:
        top = self.mapping("file", self.document, "schema", "sources", "mixes", "workloads")
        if top["schema"] != SCHEMA_VERSION:
            raise self.error("schema", top["schema"], str(SCHEMA_VERSION))
        self.sources = {
            key: self.text(f"sources.{key}", text)
            for key, text in self.mapping("sources", top["sources"]).items()
        }
        mixes = {name: self.mix(name, n) for name, n in self.mapping("mixes", top["mixes"]).items()}
        entries = {
            name: self.entry(name, node)
            for name, node in self.mapping("workloads", top["workloads"]).items()
        }
        unused = sorted(set(self.sources) - self.cited)
        if unused:
            raise self.error("sources", unused[0], "sources that a value cites")
        return Catalogue(self.path, entries, mixes)

    def entry(self, name: str, node: object) -> Entry:
        where = f"workloads.{name}"
        node = self.mapping(where, node, "model", "title", "values")
        values = {
            field: self.value(f"{where}.{field}", leaf)
            for field, leaf in self.mapping(f"{where}.values", node["values"]).items()
        }
        title = self.text(f"{where}.title", node["title"])
        return Entry(name, title, self.text(f"{where}.model", node["model"]), values)

    def value(self, where: str, node: object) -> Value:
        leaf = dict(self.mapping(where, node))
        origin = self.origin(where, leaf)
        self.mapping(where, leaf, "value", "unit")
        if leaf["value"] is None:
            raise self.error(f"{where}.value", None, "a value")
        return Value(leaf["value"], self.text(f"{where}.unit", leaf["unit"]), origin)

    def mix(self, name: str, node: object) -> Mix:
        where = f"mixes.{name}"
        leaf = dict(self.mapping(where, node))
        origin = self.origin(where, leaf)
        pairs = self.mapping(where, leaf, "packets")["packets"]
        allowed = "a list of [wire bytes from 64 to 65536, weight above 0]"
        if not isinstance(pairs, list) or not pairs:
            raise self.error(f"{where}.packets", pairs, allowed)
        for pair in pairs:
            right = isinstance(pair, list) and len(pair) == 2
            right = right and isinstance(pair[0], int) and 64 <= pair[0] <= 65536
            right = right and isinstance(pair[1], (int, float)) and 0 < pair[1] < 1e9
            if not right:
                raise self.error(f"{where}.packets", pair, allowed)
        sizes, weights = zip(*pairs, strict=True)
        return Mix(tuple(sizes), tuple(float(weight) for weight in weights), origin)

    def origin(self, where: str, leaf: dict[str, Any]) -> str:
        """Take `source` or `assumption` out of a leaf; the citation, or `assumption: reason`."""
        if ("source" in leaf) == ("assumption" in leaf):
            raise self.error(where, sorted(leaf), "either a source or an assumption")
        if "assumption" in leaf:
            reason = self.text(f"{where}.assumption", leaf.pop("assumption"))
            return f"assumption: {reason}"
        text = self.text(f"{where}.source", leaf.pop("source"))
        key, _, detail = (part.strip() for part in text.partition(";"))
        if key not in self.sources:
            raise self.error(
                f"{where}.source", text, f"'KEY' or 'KEY; detail', KEY of {', '.join(self.sources)}"
            )
        self.cited.add(key)
        return f"{self.sources[key]} ({detail})" if detail else self.sources[key]
