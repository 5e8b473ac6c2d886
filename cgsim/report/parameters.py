"""Parameters of notebooks: declared in a tagged cell, checked by the cell after it.

A notebook declares its parameters as annotated literals with a trailing comment, in a cell tagged
`parameters`, and checks them in the next cell::

    seed: int = 1  # first seed
    keys: list = [1, 4, 16]  # numbers of keys a cgroup

    check(globals(), {"seed": Integer(0, 2**32 - 1), "keys": ListOf(Integer(1, 4096))})

papermill only warns of a parameter that it does not find; `check` refuses it, whoever runs the
notebook. It reads IPython's record of executed cells: papermill's injected cell runs straight
after the declaring one and does nothing but assign.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cgsim.errors import LONGEST_VALUE, UserError, shown, unknown_name
from cgsim.strict_yaml import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_YAML_TEXT_NUMBER = re.compile(r"[+-]?\d[\d_]*\.?\d*[eE][+-]?\d+")
_GIVEN_NAME = re.compile(r"(\w+\.)?[A-Za-z]\w*")
_ANNOTATED_TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list}


class ParameterError(UserError):
    """A parameter that a notebook refuses; Jupyter shows it as one line, without a traceback."""


class Kind(Protocol):
    """What a parameter may be."""

    def allows(self, value: object) -> bool:
        """Whether `value` is allowed."""

    def describe(self) -> str:
        """What is allowed, for a message."""


@dataclass(frozen=True)
class Integer:
    """A whole number in [minimum, maximum]."""

    minimum: int
    maximum: int

    def allows(self, value: object) -> bool:
        """Whether `value` is an int (not a bool) in the range."""
        return _is_int(value) and self.minimum <= value <= self.maximum  # type: ignore[operator]

    def describe(self) -> str:
        """The range in words."""
        return f"a whole number from {self.minimum} to {self.maximum}"


@dataclass(frozen=True)
class Number:
    """A finite number in [minimum, maximum]; a whole number is one too."""

    minimum: float
    maximum: float

    def allows(self, value: object) -> bool:
        """Whether `value` is a finite int or float in the range."""
        if not (_is_int(value) or isinstance(value, float)):
            return False
        return self.minimum <= value <= self.maximum  # type: ignore[operator]

    def describe(self) -> str:
        """The range in words."""
        return f"a number from {self.minimum:g} to {self.maximum:g}"


class Choice:
    """One of some names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def allows(self, value: object) -> bool:
        """Whether `value` is one of the names."""
        return isinstance(value, str) and value in self.names

    def describe(self) -> str:
        """The names."""
        return ", ".join(self.names)


class Text:
    """Any text of one line."""

    def allows(self, value: object) -> bool:
        """Whether `value` is one."""
        return isinstance(value, str) and "\n" not in value and len(value) <= 4096

    def describe(self) -> str:
        """In words."""
        return "a text of one line"


@dataclass(frozen=True)
class ListOf:
    """A list of distinct items of one kind, with at least `shortest` and at most `longest`."""

    item: Kind
    shortest: int = 1
    longest: int = 1000

    def allows(self, value: object) -> bool:
        """Whether `value` is such a list (or tuple)."""
        return (
            isinstance(value, list | tuple)
            and self.shortest <= len(value) <= self.longest
            and all(self.item.allows(item) for item in value)
            and all(value.index(item) == i for i, item in enumerate(value))
        )

    def describe(self) -> str:
        """Length and items in words."""
        return (
            f"a list of {self.shortest} to {self.longest} different items, "
            f"each {self.item.describe()}"
        )


@dataclass(frozen=True)
class Declared:
    """One line of a `parameters` cell; `type_name` and `help` are empty where it has none."""

    name: str
    default: Any
    type_name: str
    help: str


def check(namespace: Mapping[str, Any], spec: Mapping[str, Kind]) -> None:
    """Check a notebook's parameters.

    Parameters
    ----------
    namespace
        The notebook's `globals()`, or any dict of values.
    spec
        What each declared parameter may be.

    Raises
    ------
    ParameterError
        Names the parameter, its value and what is allowed: for a name that was injected but is
        not in `spec`, a name of `spec` without a value, a wrong type, a value out of range.
    """
    history = namespace.get("In")
    if isinstance(history, list):
        given: Iterable[str] = _injected_names(history, spec)
    elif "__name__" in namespace:
        given = ()
    else:
        given = namespace
    try:
        for name in given:
            if name not in spec:
                raise unknown_name("parameter", name, spec)
    except UserError as error:
        raise ParameterError(str(error)) from None
    for name, kind in spec.items():
        if name not in namespace:
            raise ParameterError(f"parameter {name!r} is missing; allowed: {kind.describe()}")
        value = namespace[name]
        if not kind.allows(value):
            raise ParameterError(_refusal(name, value, kind.describe(), kind))


def declared_parameters(notebook: Any) -> list[Declared]:
    """The parameters that a notebook (an nbformat node) declares; [] without a tagged cell.

    Raises UserError for a line of that cell that is not `name: type = literal  # help`.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", ()):
            return _parse_declarations(cell.source)
    return []


def check_declared(declared: Sequence[Declared], given: Mapping[str, Any]) -> None:
    """Check given values against declared names and types, before anything runs.

    Ranges are the notebook's own business: its `check` refuses them in its first second.
    Raises UserError.
    """
    by_name = {parameter.name: parameter for parameter in declared}
    for name, value in given.items():
        if name not in by_name:
            raise unknown_name("parameter", name, by_name)
        type_name = by_name[name].type_name.partition("[")[0]
        wanted = _ANNOTATED_TYPES.get(type_name)
        if wanted is None or (isinstance(value, wanted) and _is_int(value) == (wanted is int)):
            continue
        if wanted is float and _is_int(value):
            continue
        raise UserError(_refusal(name, value, f"a value of type {type_name}", wanted))


def check_cell(cells: Sequence[Any]) -> str:
    """The source of the cell that checks the declared parameters; "" where there is none."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    for cell, after in itertools.pairwise(code):
        if "parameters" in cell.metadata.get("tags", ()):
            return str(after.source) if "check(" in after.source else ""
    return ""


def check_values(source: str, declared: Sequence[Declared], given: Mapping[str, Any]) -> None:
    """Run a notebook's checking cell with given values, before anything else of it runs.

    Raises the UserError that the cell raises. What else may go wrong there, the notebook will say.
    """
    values = {
        parameter.name: given.get(parameter.name, parameter.default) for parameter in declared
    }
    try:
        exec(compile(source, "<parameters>", "exec"), {"__name__": "parameters", **values})
    except UserError:
        raise
    except Exception:  # of code that is not ours
        return


def parse_grid(assignments: Iterable[str]) -> dict[str, list[Any]]:
    """The values of `NAME=A,B` arguments: several for each name, each read as YAML.

    Raises UserError for a text that is not of that form, a name or a value given twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in assignments:
        name, equals, values = text.partition("=")
        if not equals or not values or not _GIVEN_NAME.fullmatch(name):
            raise UserError(f"--grid {shown(text)}: write NAME=A,B, for example n_keys=2,8")
        if name in grid:
            raise UserError(f"--grid {name}: is given twice; write all values in one list")
        grid[name] = parse_yaml(f"[{values}]", f"--grid {name}")
        for number, value in enumerate(grid[name]):
            if value in grid[name][:number]:
                raise UserError(f"--grid {name}: {shown(value)} is there twice")
    return grid


def parse_given(assignments: Iterable[str]) -> dict[str, Any]:
    """The values of `NAME=VALUE` arguments, VALUE read as YAML; a later one wins.

    A name may have a dotted prefix: `01_lookup.seed=7` is for one notebook.
    Raises UserError for a text that is not of that form.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not _GIVEN_NAME.fullmatch(name):
            raise UserError(f"parameter {shown(text)}: write NAME=VALUE, for example seed=7")
        values[name] = parse_yaml(value, f"parameter {name}")
    return values


def _injected_names(history: Sequence[str], spec: Mapping[str, Kind]) -> list[str]:
    """The names assigned by the declaring cell and by those that assign straight after it.

    `history` is IPython's `In`. A cell typed or rerun later is of no concern, so that the check
    can be run again in JupyterLab, where the notebook has variables of its own by then.
    """
    assigned = [_assigned_names(source) for source in history]
    wanted = set(spec)
    starts = [i for i, names in enumerate(assigned) if names and wanted <= set(names)]
    if not starts:
        return []
    found: list[str] = []
    for names in assigned[starts[-1] :]:
        if not names:
            break
        found += names
    return found


def _assigned_names(source: str) -> list[str]:
    """The names that a cell assigns if it does nothing else; [] otherwise."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return []
    names = []
    for statement in statements:
        target: ast.expr
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target = statement.target
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        else:
            return []
        if not isinstance(target, ast.Name):
            return []
        names.append(target.id)
    return names


def _parse_declarations(source: str) -> list[Declared]:
    """The declarations of a `parameters` cell."""
    lines = source.splitlines()
    declared = []
    for statement in ast.parse(source).body:
        text = lines[statement.lineno - 1]
        if not (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.value is not None
        ):
            raise UserError(f"parameters cell: {text!r} is not `name: type = literal  # help`")
        try:
            default = ast.literal_eval(statement.value)
        except ValueError:
            raise UserError(f"parameters cell: the value in {text!r} is not a literal") from None
        last = lines[(statement.end_lineno or statement.lineno) - 1]
        comment = last[statement.end_col_offset :].strip().removeprefix("#").strip()
        type_name = ast.unparse(statement.annotation)
        declared.append(Declared(statement.target.id, default, type_name, comment))
    return declared


def _refusal(name: str, value: object, allowed: str, kind: object) -> str:
    """The message for a value that is not allowed."""
    message = f"parameter {name} = {shown(value)} is not allowed; allowed: {allowed}"
    if isinstance(value, float) and (isinstance(kind, Integer) or kind is int):
        return message + (f" (write {int(value)})" if value.is_integer() else "")
    if not isinstance(value, str) or len(value) > LONGEST_VALUE or not _is_numeric(kind):
        return message
    if _YAML_TEXT_NUMBER.fullmatch(value):
        number = float(value)
        if not math.isfinite(number):
            return message
        whole = isinstance(kind, Integer) or kind is int
        plain = str(int(number)) if whole and number == int(number) else repr(number)
        message += f" (YAML reads {value} as text: write {plain})"
    return message


def _is_numeric(kind: object) -> bool:
    """Whether a kind, or a type, is one of numbers."""
    return isinstance(kind, Integer | Number) or kind in (int, float)


def _is_int(value: object) -> bool:
    """Whether `value` is a whole number; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool)
