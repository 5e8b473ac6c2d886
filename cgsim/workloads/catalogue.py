"""The files of workloads: sets of values with unit and origin; packet mixes, kinds of clients.

The form is checked here; whether fields, units and ranges suit a kind of workload is checked where
the workload is made (`cgsim.workloads.load_workload`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cgsim.data import data_path
from cgsim.errors import UserError, unknown_name
from cgsim.strict_yaml import read_yaml

SCHEMA_VERSION = 2
MAX_STEP_US = 1e6
_SHARED = "shared"
_SUFFIXES = (".yml", ".yaml")


class Value(NamedTuple):
    """One value of a file. `origin`: a citation with its detail, or `assumption: reason`."""

    value: Any
    unit: str
    origin: str


class Entry(NamedTuple):
    """A named workload: `values` are those that differ from the entry named as its model."""

    name: str
    path: Path
    title: str
    model: str
    values: dict[str, Value]


class Mix(NamedTuple):
    """Packet sizes on the wire (bytes) and their relative frequencies."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    origin: str


class Client(NamedTuple):
    """A kind of process that submits to a GPU.

    steps : (us from, us to, 1 if it waits for what it has submitted) for each submission of a
    frame. frame_us : from one frame's start to the next one's; 0: the next one starts at once.
    prepare_us : mean CPU time before a submission. flips : page flips at the end of a frame.
    charges_per_submission : mean number of buffers that a submission allocates.
    """

    steps: tuple[tuple[float, float, int], ...]
    frame_us: float
    prepare_us: float
    flips: int
    charges_per_submission: float
    origin: str


class Shared(NamedTuple):
    """What all files of workloads may name."""

    path: Path
    sources: dict[str, str]
    mixes: dict[str, Mix]
    clients: dict[str, Client]


@cache
def shared() -> Shared:
    """The sources, packet mixes and kinds of clients that come with the package."""
    return read_shared(data_path("workloads", f"{_SHARED}.yml"))


def names() -> tuple[str, ...]:
    """The names of the workloads that come with the package, `network` and `gpu` first."""
    found = {path.stem for path in data_path("workloads").glob("*.yml")} - {_SHARED}
    first = [name for name in ("network", "gpu", "churn", "mixed") if name in found]
    return (*first, *sorted(found - set(first)))


def is_path(name: object) -> bool:
    """Whether a workload is given by a file of one's own: a suffix, or a directory part."""
    text = str(name)
    return isinstance(name, Path) or text.endswith(_SUFFIXES) or "/" in text or "\\" in text


def entry(name: str | Path) -> Entry:
    """The entry of a name, or of a file; raises `UserError` with one line."""
    if is_path(name):
        return read_entry(Path(name))
    return _entry_of(str(name))


@cache
def _entry_of(name: str) -> Entry:
    if name not in names():
        raise unknown_name("workload", name, names())
    return read_entry(data_path("workloads", f"{name}.yml"))


def read_shared(path: Path) -> Shared:
    """Read and check the shared file; raises `UserError` with file, field, value, allowed."""
    return _Reader(path, {}).shared()


def read_entry(path: Path) -> Entry:
    """Read and check a workload's file; raises `UserError` with file, field, value, allowed."""
    return _Reader(path, shared().sources).entry()


class _Reader:
    """Checks one document; knows which sources may be cited."""

    def __init__(self, path: Path, sources: dict[str, str]):
        self.path = path
        self.document = read_yaml(path, "the file of workloads")
        self.sources = sources

    def error(self, where: str, value: object, allowed: str) -> UserError:
        return UserError(f"{self.path}: {where} = {value!r} is not allowed; allowed: {allowed}")

    def mapping(
        self, where: str, node: object, *allowed: str, optional: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """A mapping with names as keys; exactly `allowed` ones, if any are given."""
        if not isinstance(node, dict) or not all(isinstance(key, str) for key in node):
            raise self.error(where, node, "a mapping with names as keys")
        if allowed:
            for key in node:
                if key not in (*allowed, *optional):
                    unknown = unknown_name(f"field of {where}", key, (*allowed, *optional))
                    raise UserError(f"{self.path}: {unknown}")
            for key in allowed:
                if key not in node:
                    raise UserError(f"{self.path}: {where}.{key} is missing")
        return node

    def text(self, where: str, node: object) -> str:
        if not isinstance(node, str) or not node.strip():
            raise self.error(where, node, "a text")
        return " ".join(node.split())

    def schema(self, top: dict[str, Any]) -> None:
        if top["schema"] != SCHEMA_VERSION:
            raise self.error("schema", top["schema"], str(SCHEMA_VERSION))

    def own_sources(self, top: dict[str, Any]) -> dict[str, str]:
        return {
            key: self.text(f"sources.{key}", text)
            for key, text in self.mapping("sources", top.get("sources", {})).items()
        }

    def shared(self) -> Shared:
        top = self.mapping("file", self.document, "schema", "sources", "mixes", "clients")
        self.schema(top)
        self.sources = self.own_sources(top)
        mixes = {name: self.mix(name, n) for name, n in self.mapping("mixes", top["mixes"]).items()}
        clients = {
            name: self.client(name, node)
            for name, node in self.mapping("clients", top["clients"]).items()
        }
        return Shared(self.path, self.sources, mixes, clients)

    def entry(self) -> Entry:
        top = self.mapping(
            "file", self.document, "schema", "model", "title", "values", optional=("sources",)
        )
        self.schema(top)
        self.sources = self.sources | self.own_sources(top)
        values = {
            field: self.value(f"values.{field}", leaf)
            for field, leaf in self.mapping("values", top["values"]).items()
        }
        model = self.text("model", top["model"])
        return Entry(self.path.stem, self.path, self.text("title", top["title"]), model, values)

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

    def client(self, name: str, node: object) -> Client:
        where = f"clients.{name}"
        leaf = dict(self.mapping(where, node))
        origin = self.origin(where, leaf)
        numbers = {
            "frame_us": (0, 1e7),
            "prepare_us": (0, 1e6),
            "flips": (0, 16),
            "charges_per_submission": (0, 100),
        }
        self.mapping(where, leaf, "steps", *numbers)
        for field, (low, high) in numbers.items():
            value = leaf[field]
            right = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not right or not low <= value <= high or (field == "flips" and value != int(value)):
                raise self.error(f"{where}.{field}", value, f"a number of {low}..{high:g}")
        steps = leaf["steps"]
        allowed = f"1..1000 of [us from, us to, wait 0 or 1], 0 <= from <= to <= {MAX_STEP_US:g}"
        if not isinstance(steps, list) or not 1 <= len(steps) <= 1000:
            raise self.error(f"{where}.steps", steps, allowed)
        for step in steps:
            right = isinstance(step, list) and len(step) == 3
            right = right and all(isinstance(n, (int, float)) for n in step)
            if not right or not 0 <= step[0] <= step[1] <= MAX_STEP_US or step[2] not in (0, 1):
                raise self.error(f"{where}.steps", step, allowed)
        plain = tuple((float(low), float(high), int(wait)) for low, high, wait in steps)
        if leaf["frame_us"] == 0 and leaf["prepare_us"] == 0 and not any(s[1] for s in plain):
            raise self.error(f"{where}.prepare_us", 0, "above 0 where nothing else takes time")
        return Client(
            plain, float(leaf["frame_us"]), float(leaf["prepare_us"]), int(leaf["flips"]),
            float(leaf["charges_per_submission"]), origin,
        )  # fmt: skip

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
        return f"{self.sources[key]} ({detail})" if detail else self.sources[key]
