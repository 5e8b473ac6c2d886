"""What the notebooks import from the package is there: a move is noticed before a report."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

NOTEBOOKS = sorted(Path(__file__).parents[2].joinpath("notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_resolve(path: Path) -> None:
    """Each module, and each name in it."""
    wanted = [
        (str(node.module), alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cgsim")
        for alias in node.names
    ]
    assert [
        f"{module}.{name}"
        for module, name in wanted
        if find_spec(module) is None or not _holds(module, name)
    ] == []


def _holds(module: str, name: str) -> bool:
    """Whether a module has such a name, or such a module below it."""
    return hasattr(import_module(module), name) or find_spec(f"{module}.{name}") is not None
