"""What a result hangs on besides its arguments: sources, data files, a machine's file, versions.

A point's key is a hash over all of it, so a changed engine never mixes with old results. Sources
are those that the experiment's module imports, and theirs, within cgsim; of the designs and layouts
only the one that the point is about, so that one design more leaves the others' results valid.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.data import data_path
from cgsim.studies.points import EXPERIMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cgsim.studies.points import Point

KEY_SCHEMA = 1
_PACKAGE = Path(__file__).resolve().parent.parent
_REGISTRIES = ("cgsim.designs", "cgsim.percpu")
_DATA = ("kernel", "workloads*")
_FILES = (".yml", ".yaml", ".csv", ".parquet")
"""What a workload's file, or one of recorded events, ends in: its content counts, not its name."""
_VERSIONS = ("numba", "llvmlite", "numpy")


def key_of(point: Point) -> str:
    """The key of a point's result: 32 hexadecimal digits."""
    values = point.values
    subject = values.get(EXPERIMENTS[point.experiment].subject, "")
    for name, value in values.items():
        if name != "machine" and isinstance(value, str) and Path(value).suffix in _FILES:
            values[name] = _hash_of_now(Path(value))
    values["machine"] = _machine_hash(str(values["machine"]))
    others = (values.get("design"), values.get("layout"))
    content = [KEY_SCHEMA, point.experiment, values, subject, engine_hash(point.experiment, others)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def engine_hash(experiment: str, subjects: tuple[str | None, str | None]) -> str:
    """A hash of sources, data and versions for points about a design and a layout (or None)."""
    design, layout = subjects
    home = EXPERIMENTS[experiment]
    # what takes no design by name may take any
    files = set(sources_below(home.module, skip_registries=bool(home.subject)))
    if design is not None:
        from cgsim.designs import get_design

        files |= _own_sources(get_design(design).parameters.__module__)
    if layout is not None:
        from cgsim.percpu import get_layout

        files |= _own_sources(get_layout(layout).parameters.__module__)
    digest = hashlib.sha256(_platform().encode())
    for path in sorted(files):
        digest.update(_hash_of(path))
    for path in _data_files():
        digest.update(path.name.encode() + _hash_of(path))
    return digest.hexdigest()[:16]


def _platform() -> str:
    """What the engine runs on, as far as it may change a result."""
    numbers = [platform.machine(), f"{sys.version_info.major}.{sys.version_info.minor}"]
    return " ".join([*numbers, *(f"{name} {version(name)}" for name in _VERSIONS)])


@functools.cache
def _data_files() -> tuple[Path, ...]:
    """The data files that any experiment may read, but for machines."""
    places = [place for pattern in _DATA for place in data_path().glob(pattern)]
    files = [p for place in places for p in (place.rglob("*") if place.is_dir() else [place])]
    return tuple(sorted(path for path in files if path.is_file() and path.suffix != ".md"))


@functools.cache
def _hash_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _machine_hash(name_or_path: str) -> str:
    """A hash of a machine's file; of what is no such name or path, the name."""
    own = Path(name_or_path)
    path = own if own.suffix in (".yml", ".yaml") else data_path("machines", f"{name_or_path}.yml")
    return _hash_of_now(path)


def _hash_of_now(path: Path) -> str:
    """A hash of a file that may change while this process runs, as a user's own."""
    found = path.resolve().stat()
    return _hash_at(path.resolve(), found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=1024)
def _hash_at(path: Path, changed_ns: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _own_sources(module: str) -> set[Path]:
    """The sources of the module that defines a design or a layout, which may be a user's own."""
    if module.startswith("cgsim."):
        return set(sources_below(module))
    file = getattr(sys.modules[module], "__file__", None)
    return {Path(file)} if file else set()


@functools.cache
def sources_below(module: str, *, skip_registries: bool = True) -> tuple[Path, ...]:
    """The files of a module of cgsim and of all that it imports within cgsim, sorted.

    skip_registries : not what the lists of all designs and layouts import.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is None or name in found:
            continue
        found[name] = path
        if not (skip_registries and name in _REGISTRIES):
            waiting += _imported(path)
    return tuple(sorted(found.values()))


def _file_of(module: str) -> Path | None:
    """The file of a module of cgsim; None if it is none."""
    base = _PACKAGE.parent.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def _imported(path: Path) -> tuple[str, ...]:
    """The names of cgsim that a file may import as modules, but for those of type checking."""
    return tuple(_names(ast.parse(path.read_bytes()).body))


def _names(nodes: list[Any]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("cgsim"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cgsim"):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _names(list(ast.iter_child_nodes(node)))
