"""The command line: one module per verb, its parser beside it.

Exit status: 0 done, 1 a report failed, 2 a mistake in what was given (one line on standard
error, no traceback), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import cgsim
from cgsim.cli.parsing import Parser
from cgsim.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
What a lookup of per-cgroup private data costs, simulated access for access.

A design (list, hash, idr, ...) is the kernel's own data structure in a simulated memory; a machine
is a described processor; a workload decides who looks up what, and what runs in between.
"""
_EPILOG = """\
start here:
  cgsim designs                      what can be simulated
  cgsim machines                     on which machines
  cgsim simulate --design idr        one answer, as a table
  cgsim report                       all notebooks, into reports/index.html

Each verb has its own help with examples: cgsim simulate --help
"""

VERBS = (
    "simulate",
    "attribute",
    "upkeep",
    "misuse",
    "explore",
    "warm",
    "report",
    "mail",
    "notebooks",
    "designs",
    "machines",
    "trace",
    "replay",
    "validate",
)
"""In the order of the help; each is a module here with `add(verbs)` and `run(options)`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except UserError as error:
        print(f"cgsim: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has left; point the descriptor elsewhere so that Python's own
        # flush at exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("cgsim: interrupted", file=sys.stderr)
        return 130


def _parser() -> Parser:
    """The parser of all verbs."""
    parser = Parser(prog="cgsim", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"cgsim {cgsim.__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    for name in VERBS:
        import_module(f"cgsim.cli.{name}").add(verbs)
    return parser
