"""The layers, as pyproject.toml states them, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import api
from importlinter.application import use_cases

import cgsim

HEAVY = ("numba", "numpy", "pandas", "matplotlib", "yaml", "papermill", "nbconvert", "jinja2")


def test_import_contracts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core knows no frames, files or plots; presentation knows no numba; layers go one way."""
    monkeypatch.chdir(root)
    contracts = api.read_configuration()["contracts_options"]
    assert len(contracts) == 3
    assert use_cases.lint_imports(cache_dir=None) is use_cases.SUCCESS


def test_contract_catches_a_breach(tmp_path: Path) -> None:
    """The contract on the core is broken by one import of pandas."""
    package = tmp_path / "cgsim"
    (package / "core").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "core" / "__init__.py").write_text("import pandas\n")
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = cgsim\ninclude_external_packages = True\n"
        "[importlinter:contract:core]\nname = core\ntype = forbidden\n"
        "source_modules =\n    cgsim.core\nforbidden_modules =\n    pandas\n"
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cgsim.core -> pandas" in done.stdout


def test_import_loads_nothing_heavy() -> None:
    """`import cgsim` and the command line's help load no numerical or notebook package."""
    code = (
        "import sys, cgsim, cgsim.cli\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted(set(cgsim.__all__) - {"UserError", "__version__", "plot"}))
def test_public_names_are_functions(name: str) -> None:
    """Each public name is a function, also after its module has been imported by itself."""
    function = getattr(cgsim, name)
    assert callable(function)
    assert function.__module__.startswith("cgsim.")
    __import__(function.__module__)
    assert getattr(cgsim, name) is function
    assert name in dir(cgsim)


def test_unknown_attribute() -> None:
    """A name that is not public is no attribute."""
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = cgsim.simulat


def test_name_shared_by_module_and_function() -> None:
    """Importing the module first does not put it in the function's place."""
    code = (
        "import importlib, types, cgsim\n"
        "m = importlib.import_module('cgsim.machines'); assert cgsim.machines is m\n"
        "cgsim.simulate = types.ModuleType('cgsim.simulate')\n"
        "assert 'simulate' not in vars(cgsim)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
