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
  cgsim report --grid machine=zen5-vm,zen4-genoa n_keys=2,8    a report of each pair, in a folder

Values are YAML: -p 'keys=[1, 16]', -p share=0.5. The old report stays if anything fails.
A grid goes on past a report that fails, and then ends with status 1; index.html has a row for each.
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
    verb.add_argument(
        "--grid", nargs="+", action="extend", default=[], metavar="NAME=A,B",
        help="a report of each combination of these values; as many at a time as --workers",
    )  # fmt: skip
    add_parameters(verb)


def run(options: argparse.Namespace) -> int:
    """`cgsim report`."""
    with needs_report_packages():
        return _build(options)


def _build(options: argparse.Namespace) -> int:
    """Build the report; returns the exit status."""
    # before the imports, which take longer than one waits without a word
    complain(printable(f"report: preset {options.preset}, into {options.out}"))
    from cgsim.report.build import ReportFailure, build_report

    arguments: dict[str, Any] = {
        "out": options.out,
        "preset": options.preset,
        "parameters": given_parameters(options),
        "only": options.notebook,
        "notebooks": options.notebooks,
        "workers": options.workers,
        "mail": not options.no_mail,
    }
    failed: list[str] = []
    try:
        with clean_up_first():
            if options.grid:
                from cgsim.report.grid import build_grid
                from cgsim.report.parameters import parse_grid

                done = build_grid(parse_grid(options.grid), **arguments)
                failed = [f"{each.name}: {each.failure}" for each in done if each.failure]
            else:
                build_report(**arguments)
    except ReportFailure as failure:
        failed = [str(failure)]
        options.grid = []
    for each in failed:
        for line in f"cgsim: report failed: {each}".splitlines():
            complain(printable(line))
    if options.grid or not failed:
        print(Path(options.out).absolute() / "index.html")
    return 1 if failed else 0
