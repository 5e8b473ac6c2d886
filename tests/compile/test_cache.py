"""The name of the numba cache directory changes with everything that compiled code hangs on."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cgsim
from cgsim.compile import cache

PACKAGE = Path(cgsim.__file__).parent
PYTHON_ONLY = {
    "cgsim.trace_replay.geometry",
    "cgsim.data",
    "cgsim.errors",
    "cgsim.files",
    "cgsim.interface.program",
    "cgsim.kernel",
    "cgsim.limits",
    "cgsim.strict_yaml",
    "cgsim.machines",
    "cgsim.machines.model",
    "cgsim.kernel_fields",
    "cgsim.experiments.counter_stand",
    "cgsim.experiments.footprint",
    "cgsim.experiments.places_of_use",
    "cgsim.experiments.replicates",
    "cgsim.stage.population",
    "cgsim.machines.system_spec",
}
"""Modules without constants that kernels read; what they give to kernels goes in as arguments."""


def imported_modules(source: Path) -> Iterator[str]:
    """Names of the cgsim modules that a file imports from."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cgsim"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("source", cache.compiled_sources(), ids=lambda path: path.stem)
def test_compiled_files_take_constants_from_hashed_files_only(source: Path) -> None:
    hashed = {
        "cgsim." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in cache.compiled_sources()
    }
    known = {m.removesuffix(".__init__") for m in hashed} | PYTHON_ONLY | {"cgsim"}
    modules = {
        "cgsim." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
    }
    imported = {name for name in imported_modules(source) if name in modules}
    assert imported - known == set()


def test_hash_follows_sources_settings_and_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NUMBA_BOUNDSCHECK", raising=False)
    before = cache.source_hash("1.0")
    assert cache.source_hash("1.0") == before
    assert cache.source_hash("1.1") != before
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert cache.source_hash("1.0") != before
    monkeypatch.delenv("NUMBA_BOUNDSCHECK")
    copy = tmp_path / "cgsim"
    (copy / "core").mkdir(parents=True)
    kernel = copy / "core" / "kernel.py"
    kernel.write_text("LATENCY = 4\n")
    monkeypatch.setattr(cache, "__file__", str(copy / "compile" / "cache.py"))
    first = cache.source_hash("1.0")
    kernel.write_text("LATENCY = 5\n")
    assert cache.source_hash("1.0") != first
