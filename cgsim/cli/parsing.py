"""What the verbs' parsers share."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import re
import sys
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cgsim.errors import (
    LONGEST_MESSAGE,
    LONGEST_VALUE,
    UserError,
    printable,
    shorten,
    shown,
    unknown_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OWN_OPTIONS = {"design", "machine", "workload", "user"}
"""Parameters that are options by themselves, where a verb has them."""


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and suggests the closest name for a mistyped one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with status 2."""
        text = shorten(printable(message), LONGEST_MESSAGE - 80)
        self.exit(2, f"cgsim: error: {text} (see {self.prog} --help)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value outside the choices, with a hint."""
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        close = get_close_matches(str(value)[:LONGEST_VALUE], names, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise argparse.ArgumentError(
            action, f"unknown {shown(value)}{hint}; allowed: {', '.join(names)}"
        )


def add_verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, epilog: str
) -> argparse.ArgumentParser:
    """Add one verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog
    )
    parser.set_defaults(run=run)
    return parser


@contextmanager
def needs_report_packages() -> Iterator[None]:
    """Say in one line which package is not installed, and how to install all that reports need."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "cgsim").partition(".")[0] == "cgsim":
            raise
        raise UserError(f"{error.name} is not installed: pip install 'cgsim[report]'") from None


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="for programs: JSON, no table")


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add -p."""
    parser.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter, VALUE in YAML; repeat",
    )


def given_parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The values of -p."""
    from cgsim.report.parameters import parse_given

    return parse_given(options.parameter)


def checked_parameters(
    options: argparse.Namespace, function: Callable[..., Any] | None = None
) -> dict[str, Any]:
    """The values of -p, none of which has an option of its own; `function` takes them all."""
    given = given_parameters(options)
    for name in sorted(OWN_OPTIONS & given.keys()):
        raise UserError(f"parameter {name}: give it as --{name}")
    if function is not None:
        allowed = set(inspect.signature(function).parameters) - OWN_OPTIONS
        for name in given:
            if name not in allowed:
                raise unknown_name("parameter", name, allowed)
    return given


def given_options(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the named options that were given, as keyword arguments."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def chosen_designs(names: Sequence[str], user: str | None, n_keys: int) -> list[str]:
    """The designs named; for "all" those that can be used, the others named on standard error.

    user : who looks up; None: anybody. One that is named although the user cannot have it is kept,
    with a note.
    """
    from cgsim.experiments.places_of_use import USERS, able

    wanted = None if "all" in names else names
    chosen, left = able(user or next(iter(USERS)), n_keys, wanted)
    if user is None:
        for name in USERS:
            found, reasons = able(name, n_keys, wanted)
            chosen += [design for design in found if design not in chosen]
            left = {design: why for design, why in left.items() if design in reasons}
    for design, why in left.items():
        what = "left out" if wanted is None else "cannot be used there, simulated all the same"
        print(f"cgsim: {design} {what}: {why}", file=sys.stderr)
    return chosen if wanted is None else list(dict.fromkeys(names))


def named_designs(names: Sequence[str]) -> list[str]:
    """The names of designs, where a file (`./mine.py`) stands for those that it adds.

    Raises UserError for a file that cannot be read or run, and for one that adds no design.
    """
    found: list[str] = []
    for name in names:
        found += _designs_of(Path(name)) if name.endswith(".py") else [name]
    return found


def _designs_of(path: Path) -> list[str]:
    from cgsim.designs import list_designs

    if not path.is_file():
        raise UserError(f"{path}: no such file; allowed: a design's name or a file that adds one")
    # compiled code is kept by the module's name: it must be one that can be imported
    name = re.sub(r"\W", "_", path.stem)
    if name in sys.modules:
        raise UserError(f"{path}: a module {name} is loaded already; give the file another name")
    spec = importlib.util.spec_from_file_location(name, path)
    before = {design.name for design in list_designs()}
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:  # whatever the file does
        raise UserError(f"{path}: {type(error).__name__}: {error}") from None
    added = [design.name for design in list_designs() if design.name not in before]
    if not added:
        raise UserError(f"{path}: adds no design; allowed: a file that calls add_design")
    return added
