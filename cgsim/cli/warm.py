"""`cgsim warm`: compile once what everything else runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_verb
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "warm",
        run,
        "compile once what the notebooks and the other verbs run",
        """\
examples:
  cgsim warm                         on all cores, a few minutes; at once if it was done before
  cgsim warm --workers 1

The code is kept in ~/.cache/cgsim, or in $NUMBA_CACHE_DIR, for these sources. Nothing needs it:
what was not compiled before is when it is first called.
""",
    )
    verb.add_argument("--workers", type=int, metavar="N", help="processes (one a core)")


def run(options: argparse.Namespace) -> None:
    """`cgsim warm`."""
    from cgsim.report.manifest import usable_cores
    from cgsim.report.progress import progress_for
    from cgsim.report.warm import for_command_line, warm

    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers: {options.workers} is not allowed; allowed: 1 or more")
    warm(for_command_line(), options.workers or usable_cores(), progress_for(unit="pieces"))
