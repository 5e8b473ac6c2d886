"""The notebooks: each executed by papermill with tiny parameters; bad parameters are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from cgsim.report.html import check_figures
from cgsim.report.notebooks import find_notebooks, write_ipynb

TINY: dict[str, dict[str, Any]] = {
    "00_thread": {"designs": ["list", "hash", "direct"], "n_keys": 2},
    "01_lookup": {
        "designs": ["list", "hash", "direct"],
        "replicates": 2,
        "lookups": 20,
        "n_keys": 2,
        "n_cgroups": 20,
        "keys": [1, 2],
        "cgroups": [10, 20],
        "footprints_kib": [0, 4],
    },
    "02_designs": {"designs": ["list", "hash", "direct"], "n_keys": 2, "n_cgroups": 20},
    "03_percpu": {"replicates": 1, "cpus": [1, 2, 4], "cgroups": [1, 10]},
    "06_validation": {},
    "07_interface": {"machine": "zen5-vm", "cpus": 2},
    "09_explorer": {
        "designs": ["list", "hash", "direct"],
        "replicates": 2,
        "lookups": 20,
        "n_keys": 2,
        "n_cgroups": 20,
    },
    "10_mail": {"replicates": 2, "sections": ["elsewhere"]},
}
NAMES = sorted(TINY)


@pytest.fixture(scope="module")
def sources(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks as .ipynb files."""
    directory = tmp_path_factory.mktemp("notebooks")
    for source in (root / "notebooks").glob("*.py"):
        write_ipynb(source, directory / f"{source.stem}.ipynb")
    return directory


def execute(sources: Path, name: str, parameters: dict[str, Any]) -> Any:
    """Run one notebook; returns it with its outputs."""
    output = sources / f"{name}-out.ipynb"
    papermill.execute_notebook(
        str(sources / f"{name}.ipynb"),
        str(output),
        parameters=parameters,
        kernel_name="python3",
        cwd=str(sources),
        progress_bar=False,
    )
    return nbformat.read(output, as_version=4)


def outputs(notebook: Any) -> list[Any]:
    """All outputs of a notebook."""
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.compiled
@pytest.mark.parametrize("name", NAMES)
def test_runs(name: str, sources: Path) -> None:
    """It runs to its end, warns of nothing, and every figure has alternative text."""
    notebook = execute(sources, name, TINY[name])
    assert (
        "exception" not in notebook.metadata.papermill or not notebook.metadata.papermill.exception
    )
    check_figures(notebook, name)
    figures = [o for o in outputs(notebook) if "image/svg+xml" in o.get("data", {})]
    assert len(figures) >= (0 if name == "10_mail" else 3)
    captions = [o.metadata["image/svg+xml"]["caption"] for o in figures]
    assert all(re.search(r"\b(seeds? \d|no seed)", text) for text in captions), captions
    if name == "01_lookup":
        assert captions[0] == (
            "zen5-vm, kernel 7.3.4, packet-hook, 1 to 2 keys, 20 cgroups, seeds 1 to 2"
        )
    streams = [o.text for o in outputs(notebook) if o.output_type == "stream"]
    assert streams == []
    last = outputs(notebook)[-1].data["text/html"]
    assert "numba" in last
    assert re.search(r"<td>seeds</td><td>1", last)


@pytest.mark.parametrize("name", NAMES)
def test_declares_what_it_checks(name: str, root: Path) -> None:
    """Parameters have a type, a literal and help; title and description are there."""
    (notebook,) = find_notebooks(root / "notebooks", [name])
    assert notebook.title
    assert notebook.description.endswith(".")
    assert set(TINY[name]) <= {p.name for p in notebook.parameters}
    for parameter in notebook.parameters:
        assert parameter.help, parameter.name
        assert parameter.type_name in ("int", "str", "list"), parameter.name


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("00_thread", {"n_keys": 0}, "parameter n_keys = 0 is not allowed"),
        ("01_lookup", {"n_key": 8}, "unknown parameter 'n_key'.*n_keys"),
        (
            "01_lookup",
            {"designs": ["subsys"], "n_keys": 15},
            "can hold so many",
        ),
        ("02_designs", {"designs": ["subsys"], "n_keys": 15}, "none of the designs holds so many"),
        ("02_designs", {"removals": 0}, "parameter removals = 0 is not allowed"),
    ],
)
def test_refused(name: str, parameters: dict[str, Any], message: str, sources: Path) -> None:
    """A wrong parameter stops the notebook in its first cells, with one line that says why."""
    with pytest.raises(PapermillExecutionError) as caught:
        execute(sources, name, parameters)
    assert caught.value.ename == "ParameterError"
    assert re.search(message, caught.value.evalue)


def test_notebooks_are_thin(root: Path) -> None:
    """Sources hold no outputs, and no function or class of their own."""
    for source in (root / "notebooks").glob("*.py"):
        text = source.read_text()
        assert not re.search(r"^\s*(def|class) ", text, re.MULTILINE), source
        assert "image/png" not in text
