"""environment.yml, pyproject.toml, the lock file and what is imported agree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Names on conda-forge that differ from PyPI's.
CONDA_NAMES = {
    "build": "python-build",
    "jupyter-client": "jupyter_client",
    "matplotlib": "matplotlib-base",
}
# Import names that differ from the package's.
IMPORT_NAMES = {
    "IPython": "ipykernel",
    "cachesim": "pycachesim",
    "importlinter": "import-linter",
    "yaml": "pyyaml",
}
# What a declared package brings with it as a part of its own interface.
BROUGHT_ALONG = {"llvmlite": "numba", "packaging": "pytest", "traitlets": "ipykernel"}


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, object]:
    """The `project` table of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def requirements(project: dict) -> dict[str, Requirement]:
    """All requirements of pyproject.toml, extras included, by canonical name."""
    texts = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    found: dict[str, Requirement] = {}
    for text in texts:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert found.setdefault(name, requirement).specifier == requirement.specifier
    return found


def test_environment_equals_project(
    root: Path, project: dict, requirements: dict[str, Requirement]
) -> None:
    """The same names with the same ranges, after the map of names."""
    environment = yaml.safe_load((root / "environment.yml").read_text())
    listed = environment["dependencies"]
    pip = listed.pop()["pip"]
    assert pip[-1] == "--no-deps --editable ."
    found = {}
    for text in [*listed, *pip[:-1]]:
        requirement = Requirement(text)
        assert requirement.name not in found, "listed twice"
        found[requirement.name] = requirement.specifier
    assert str(found.pop("python")) == project["requires-python"]
    found.pop("pip")
    expected = {CONDA_NAMES.get(name, name): r.specifier for name, r in requirements.items()}
    assert found == expected


def test_environment_is_sorted(root: Path) -> None:
    """Sorted, so that a line is found and a merge is easy."""
    listed = yaml.safe_load((root / "environment.yml").read_text())["dependencies"][1:-1]
    names = [Requirement(text).name for text in listed]
    assert names == sorted(names)


def test_lock_satisfies_project(root: Path, requirements: dict[str, Requirement]) -> None:
    """The lock pins each requirement within its range, with hashes, and names no package host."""
    text = (root / "requirements" / "lock.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\$", text, flags=re.MULTILINE))
    assert len(pins) == len(re.findall(r"==", text)) > 100
    for name, requirement in requirements.items():
        assert requirement.specifier.contains(pins[name]), name
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"https?://|--index|--extra-index|--find-links|--trusted-host", text)


def test_version_is_one(project: dict) -> None:
    """The package and its metadata say the same version."""
    import cgsim

    assert cgsim.__version__ == project["version"]


def imported(path: Path) -> set[str]:
    """The top-level names that a Python file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def packages_imported(root: Path, *directories: str) -> set[str]:
    """The packages, by their names on PyPI, that the files below some directories import."""
    own = {"cgsim", "benchmarks", "tests", "conftest", "__future__", *sys.stdlib_module_names}
    names: set[str] = set()
    for directory in directories:
        for path in (root / directory).rglob("*.py"):
            names |= imported(path) - own - {path.stem for path in (root / directory).rglob("*.py")}
    named = {IMPORT_NAMES.get(name, name) for name in names}
    return {canonicalize_name(BROUGHT_ALONG.get(name, name)) for name in named}


def test_package_declares_what_it_imports(root: Path, project: dict) -> None:
    """What cgsim and its notebooks import is a dependency, or one of an extra for users."""
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["report"], *extras["studies"]]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    assert packages_imported(root, "cgsim", "notebooks") <= declared


def test_everything_imported_is_declared(root: Path, requirements: dict[str, Requirement]) -> None:
    """What tests and benchmarks import is declared too."""
    assert packages_imported(root, "cgsim", "notebooks", "tests", "benchmarks") <= set(requirements)


def test_no_dependency_is_idle(root: Path, project: dict) -> None:
    """Each dependency of the package itself is imported by it."""
    declared = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    # pandas reads and writes Parquet through it.
    assert declared - packages_imported(root, "cgsim") - {"pyarrow"} == set()
