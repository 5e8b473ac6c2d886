"""`cgsim report`: the notebooks as pages, the mail and the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_parameters, add_verb, given_parameters, needs_report_packages
from cgsim.cli.signals import clean_up_first
from cgsim.cli.streams import complain
from cgsim.errors import printable

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "report",
        run,
        "run the notebooks, write HTML pages, mail.txt and manifest.json",
        """\
examples:
  cgsim report                                   quick preset, into reports/
  cgsim report --preset full --out reports-full
  cgsim report --notebook 01_lookup -p seed=7    one notebook, one parameter
  cgsim report -p 01_lookup.seed=7               that parameter in that notebook alone

Values are YAML: -p 'keys=[1, 16]', -p share=0.5. The old report stays if anything fails.
""",
    )
    verb.add_argument("--preset", default="quick", metavar="quick|full", help="how much (quick)")
    verb.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR", help="(reports)")
    verb.add_argument(
        "--notebook", action="append", default=[], metavar="NAME", help="only this one; repeat"
    )
    verb.add_argument("--workers", type=int, metavar="N", help="notebooks at a time (one a core)")
    verb.add_argument("--notebooks", type=Path, metavar="DIR", help="sources of your own (*.py)")
    verb.add_argument("--no-mail", action="store_true", help="do not write mail.txt")
    add_parameters(verb)


def run(options: argparse.Namespace) -> int:
    """`cgsim report`."""
    with needs_report_packages():
        return _build(options)


def _build(options: argparse.Namespace) -> int:
    """Build the report; returns the exit status."""
    from cgsim.report.build import ReportFailure, build_report

    try:
        with clean_up_first():
            report = build_report(
                options.out,
                options.preset,
                parameters=given_parameters(options),
                only=options.notebook,
                notebooks=options.notebooks,
                workers=options.workers,
                mail=not options.no_mail,
            )
    except ReportFailure as failure:
        for line in f"cgsim: report failed: {failure}".splitlines():
            complain(printable(line))
        return 1
    print(report.directory / "index.html")
    return 0
