"""The command line: one module per verb, its parser beside it.

Exit status: 0 done, also where the reader of the output has left; 1 a report failed, or something
could not be read, written or held in memory; 2 a mistake in what was given; 130 interrupted, 143
terminated. What is wrong is one line on standard error, without a traceback.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import cgsim
from cgsim.cli.parsing import Parser
from cgsim.cli.signals import INTERRUPTED, Stopped
from cgsim.cli.streams import complain, plain_output
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
  cgsim workloads                    in which workloads
  cgsim simulate --design idr        one answer, as a table
  cgsim report                       all notebooks, into reports/index.html

Each verb has its own help with examples: cgsim simulate --help

exit status: 0 done, or the reader of the output has left; 1 a report failed, or something could not
be read, written or held in memory; 2 a mistake in what was given; 130 interrupted, 143 terminated
"""

VERBS = (
    "simulate",
    "recommend",
    "attribute",
    "contention",
    "upkeep",
    "misuse",
    "explore",
    "sweep",
    "compare",
    "store",
    "warm",
    "report",
    "mail",
    "notebooks",
    "designs",
    "counters",
    "machines",
    "workloads",
    "trace",
    "replay",
    "calibrate",
    "measure",
    "validate",
)
"""In the order of the help; each is a module here with `add(verbs)` and `run(options)`."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    try:
        with plain_output():
            return _run_verb(arguments)
    except UserError as error:
        complain(f"cgsim: error: {error}")
        return 2
    except BrokenPipeError:
        # the reader (head, less) has seen enough
        return 0
    except KeyboardInterrupt:
        complain("cgsim: interrupted")
        return INTERRUPTED
    except Stopped as stopped:
        complain("cgsim: interrupted")
        return stopped.status
    except OSError as error:
        complain(f"cgsim: error: {UserError(_reason(error))}")
        return 1
    except (MemoryError, RecursionError) as error:
        reason = str(error) or "for what was given"
        complain(f"cgsim: error: not enough memory: {UserError(reason)}")
        return 1


def _run_verb(arguments: Sequence[str] | None) -> int:
    """The exit status of a verb; argparse leaves by itself, with status 0 or 2."""
    options = make_parser().parse_args(arguments)
    return int(options.run(options) or 0)


def _reason(error: OSError) -> str:
    """What the system said, and of which file."""
    text = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {text}" if error.filename else text


def make_parser() -> Parser:
    """The parser of all verbs."""
    parser = Parser(prog="cgsim", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"cgsim {cgsim.__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    for name in VERBS:
        import_module(f"cgsim.cli.{name}").add(verbs)
    return parser
