"""Parameters: declared, given, checked, and refused in one line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from IPython.core.interactiveshell import InteractiveShell
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from cgsim.errors import UserError
from cgsim.report.notebooks import write_ipynb
from cgsim.report.parameters import (
    Choice,
    Integer,
    ListOf,
    Number,
    ParameterError,
    check,
    check_declared,
    declared_parameters,
    parse_given,
)

SPEC = {
    "preset": Choice("quick", "full"),
    "seed": Integer(0, 10),
    "share": Number(0.0, 1.0),
    "keys": ListOf(Integer(1, 64), longest=3),
}
GOOD: dict[str, Any] = {
    "preset": "quick",
    "seed": 1,
    "share": 0.5,
    "keys": [1, 2],
}


def test_good_values_pass() -> None:
    """Values at the ends of their ranges pass; a whole number is a number."""
    check(GOOD, SPEC)
    check({**GOOD, "seed": 10, "share": 1, "keys": (64,)}, SPEC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preset", "Quick"),
        ("preset", 1),
        ("seed", -1),
        ("seed", 11),
        ("seed", 1.0),
        ("seed", True),
        ("seed", "1"),
        ("seed", None),
        ("share", 1.01),
        ("share", math.nan),
        ("share", math.inf),
        ("share", "0.5"),
        ("share", False),
        ("keys", []),
        ("keys", [1, 1]),
        ("keys", [1, 2, 3, 4]),
        ("keys", [1, 65]),
        ("keys", 1),
        ("keys", "12"),
    ],
)
def test_bad_values_are_refused(name: str, value: object) -> None:
    """The message names the parameter, the value and what is allowed."""
    with pytest.raises(ParameterError) as caught:
        check({**GOOD, name: value}, SPEC)
    message = str(caught.value)
    assert f"{name} = {value!r} is not allowed; allowed: " in message
    assert SPEC[name].describe() in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [("seed", "1e1", "write 10)"), ("share", "5e-1", "write 0.5)"), ("seed", "1.5e0", "1.5)")],
)
def test_yaml_number_trap(name: str, text: str, hint: str) -> None:
    """papermill's YAML reads 1e3 as text; the message says how to write it. Ours reads a number."""
    with pytest.raises(ParameterError, match="YAML reads") as caught:
        check({**GOOD, name: text}, SPEC)
    assert hint in str(caught.value)
    assert parse_given([f"x={text}"]) == {"x": float(text)}


def test_unknown_and_missing() -> None:
    """An unknown name gets a suggestion; a missing one is named."""
    with pytest.raises(ParameterError, match=r"unknown parameter 'sed' \(did you mean 'seed'"):
        check({**GOOD, "sed": 1}, SPEC)
    with pytest.raises(ParameterError, match="'seed' is missing"):
        check({k: v for k, v in GOOD.items() if k != "seed"}, SPEC)


class Session:
    """An IPython session, with a record of cells as a notebook's kernel has."""

    def __init__(self) -> None:
        # Without the user's history file.
        self.shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
        self.run("from cgsim.report.parameters import Integer, check")

    def run(self, source: str) -> BaseException | None:
        """Execute a cell; returns its exception."""
        return self.shell.run_cell(source, store_history=True).error_in_exec


@pytest.fixture
def session() -> Session:
    """A new session."""
    return Session()


CHECK = "check(globals(), {'seed': Integer(0, 10)})"


def test_injected_unknown_is_refused(session: Session) -> None:
    """A name in a cell of assignments after the declaring one is an injected parameter."""
    session.run("seed: int = 1  # first")
    session.run("# Parameters\nseed = 2\ncgroups = 10\nx = float('nan')\n")
    error = session.run(CHECK)
    assert isinstance(error, ParameterError)
    assert "unknown parameter 'cgroups'" in str(error)


def test_check_can_run_again(session: Session) -> None:
    """Variables of later cells are no parameters when the first cells are run again."""
    session.run("seed: int = 1  # first")
    assert session.run(CHECK) is None
    session.run("total = 5\nother = [1]")
    assert session.run(CHECK) is None
    session.run("seed: int = 3  # first")
    assert session.run(CHECK) is None
    session.run("seed: int = 30  # first")
    assert isinstance(session.run(CHECK), ParameterError)


def test_shown_without_traceback(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """Jupyter shows one line."""
    session.run("seed: int = 11")
    session.run(CHECK)
    shown = capsys.readouterr().out.strip()
    assert shown.startswith("ParameterError: parameter seed = 11 is not allowed")
    assert len(shown.splitlines()) == 1


def test_script_without_history() -> None:
    """Run as a plain script, a module's other names are of no concern."""
    check({"__name__": "__main__", "other": 3, **GOOD}, SPEC)


NOTEBOOK = """\
# %% [markdown]
# # Title

# %% tags=["parameters"]
seed: int = 1  # first seed
share: float = 0.5

# %%
from cgsim.report.parameters import Integer, Number, check

check(globals(), {"seed": Integer(0, 10), "share": Number(0, 1)})

# %%
reached = True
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """An .ipynb with two parameters."""
    source = tmp_path / "n.py"
    source.write_text(NOTEBOOK)
    return write_ipynb(source, tmp_path / "n.ipynb")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sede": 3}, "unknown parameter 'sede' (did you mean 'seed'?)"),
        ({"share": "1e-1"}, "YAML reads 1e-1 as text: write 0.1"),
    ],
)
def test_plain_papermill_is_refused(
    notebook: Path, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """papermill alone, which only warns, ends with the notebook's own refusal."""
    out = tmp_path / "out.ipynb"
    with pytest.raises(PapermillExecutionError) as caught:
        papermill.execute_notebook(str(notebook), str(out), given, progress_bar=False)
    assert caught.value.ename == "ParameterError"
    assert message in caught.value.evalue
    assert len(caught.value.traceback) == 1
    assert nbformat.read(out, as_version=4).cells[-1].execution_count is None


def test_plain_papermill_passes(notebook: Path, tmp_path: Path) -> None:
    """Good parameters reach the end."""
    out = str(tmp_path / "out.ipynb")
    done = papermill.execute_notebook(str(notebook), out, {"seed": 7}, progress_bar=False)
    assert done.cells[-1].execution_count is not None
    assert papermill.inspect_notebook(str(notebook))["seed"]["help"] == "first seed"


def test_declared(notebook: Path) -> None:
    """Names, defaults, types and help come from the tagged cell."""
    declared = declared_parameters(nbformat.read(notebook, as_version=4))
    assert [(d.name, d.default, d.type_name, d.help) for d in declared] == [
        ("seed", 1, "int", "first seed"),
        ("share", 0.5, "float", ""),
    ]


@pytest.mark.parametrize("line", ["seed = 1", "seed: int = 1 + n", "print(1)", "seed: int"])
def test_malformed_declaration(line: str) -> None:
    """A declaring cell holds annotated literals, nothing else."""
    cell = nbformat.v4.new_code_cell(line, metadata={"tags": ["parameters"]})
    with pytest.raises(UserError, match="parameters cell"):
        declared_parameters(nbformat.v4.new_notebook(cells=[cell]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 1}, "did you mean 'seed'"),
        ({"seed": 1.5}, "a value of type int"),
        ({"seed": True}, "a value of type int"),
        ({"seed": "1e3"}, "write 1000"),
        ({"share": "x"}, "a value of type float"),
    ],
)
def test_check_before_running(notebook: Path, given: dict[str, Any], message: str) -> None:
    """Names and types are refused from the declarations alone."""
    declared = declared_parameters(nbformat.read(notebook, as_version=4))
    check_declared(declared, {"seed": 3, "share": 1})
    with pytest.raises(UserError, match=message):
        check_declared(declared, given)


@pytest.mark.parametrize("text", ["seed", "=1", "a b=1", "1=2", "seed=[1", "a.b.c=1"])
def test_malformed_assignment(text: str) -> None:
    """NAME=VALUE, VALUE in YAML."""
    with pytest.raises(UserError, match="parameter"):
        parse_given([text])


def test_assignments() -> None:
    """Values are YAML; a later one wins; one notebook can be addressed."""
    given = parse_given(["a=1", "b=[1, 2]", "c=text", "a=2.5", "01_x.seed=3", "d=true"])
    assert given == {"a": 2.5, "b": [1, 2], "c": "text", "01_x.seed": 3, "d": True}
