"""The record of a run: what was computed, from which inputs, by which versions, on what."""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError, out_of_range
from cgsim.provenance import (
    git_state,
    host,
    package_hash,
    package_versions,
    short_commit,
    usable_cores,
    version,
)
from cgsim.resources import data_directory
from cgsim.strict_yaml import parse_yaml

if TYPE_CHECKING:
    pass

__all__ = [
    "git_state",
    "host",
    "inputs",
    "is_reproducible",
    "now",
    "package_hash",
    "package_versions",
    "seeds",
    "short_commit",
    "usable_cores",
    "version",
]

SCHEMA = 1


def inputs(directory: Path | None = None) -> list[dict[str, Any]]:
    """Every input file: path below data/, bytes, sha256, and the sources that it names.

    The sources of a file are what stands under its keys `source` and `sources` (YAML, JSON) or in
    its column `source` (CSV); else the README.md beside it is named. Raises UserError for a file
    that cannot be parsed.
    """
    directory = directory or data_directory()
    found = []
    for path in sorted(directory.rglob("*")):
        parts = path.relative_to(directory).parts
        if path.is_file() and not any(part.startswith(".") for part in parts):
            data = path.read_bytes()
            found.append(
                {
                    "path": path.relative_to(directory).as_posix(),
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "sources": _sources(path, data),
                }
            )
    return found


def seeds(parameters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The seeds among the parameters of each notebook: those whose names begin with `seed`."""
    return {
        notebook: {name: value for name, value in values.items() if name.startswith("seed")}
        for notebook, values in parameters.items()
    }


def is_reproducible() -> bool:
    """Whether SOURCE_DATE_EPOCH asks for pages that are the same byte for byte each time."""
    return bool(os.environ.get("SOURCE_DATE_EPOCH"))


def now() -> datetime.datetime:
    """The time of a run, UTC: the present, or what SOURCE_DATE_EPOCH says (s since 1970)."""
    if not is_reproducible():
        return datetime.datetime.now(datetime.UTC)
    text = os.environ["SOURCE_DATE_EPOCH"]
    try:
        return datetime.datetime.fromtimestamp(int(text), datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise out_of_range("environment", "SOURCE_DATE_EPOCH", text, "seconds since 1970") from None


def _sources(path: Path, data: bytes) -> list[str]:
    """The sources that a data file names, each once, in their order."""
    found: list[str] = []
    try:
        if path.suffix == ".json":
            found = _collect(json.loads(data))
        elif path.suffix in (".yml", ".yaml"):
            found = _collect(parse_yaml(data.decode(), str(path)))
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(f"{path}: {error}") from None
    if path.suffix == ".csv":
        found = [
            row["source"] for row in csv.DictReader(io.StringIO(data.decode())) if "source" in row
        ]
    found = list(dict.fromkeys(found))
    readme = path.parent / "README.md"
    if not found and path != readme and readme.is_file():
        found = [f"see {readme.parent.name}/README.md"]
    return found


def _collect(node: Any) -> list[str]:
    """Every text under a key `source` or `sources`, however deep.

    A mapping under `sources` names them all, by keys that the values' own `source` refers to.
    """
    if isinstance(node, dict) and isinstance(node.get("sources"), dict):
        return [str(text) for text in node["sources"].values()]
    if isinstance(node, list):
        return [text for item in node for text in _collect(item)]
    if not isinstance(node, dict):
        return []
    found = []
    for key, value in node.items():
        if key in ("source", "sources"):
            found += [str(item) for item in (value if isinstance(value, list) else [value])]
        else:
            found += _collect(value)
    return found
