"""`cgsim notebooks`: the notebooks as .ipynb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_verb, needs_report_packages
from cgsim.cli.streams import complain
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "notebooks",
        run,
        "write the .ipynb files of the notebooks, for JupyterLab and papermill",
        """\
examples:
  cgsim notebooks                    beside their sources, in a checkout
  cgsim notebooks --out my-notebooks
  papermill my-notebooks/01_lookup.ipynb out.ipynb -p seed 7

A file that was edited or run, or that is newer than its source, is left alone.
""",
    )
    verb.add_argument("--out", type=Path, metavar="DIR", help="where to")


def run(options: argparse.Namespace) -> None:
    """`cgsim notebooks`."""
    with needs_report_packages():
        _write(options)


def _write(options: argparse.Namespace) -> None:
    """Write the .ipynb files."""
    from cgsim.report.notebooks import find_notebooks, refresh
    from cgsim.resources import checkout_directory, notebooks_directory

    out = options.out
    if out is None:
        if checkout_directory() is None:
            raise UserError("--out is needed: the installed notebooks' own directory is not yours")
        out = notebooks_directory()
    found = find_notebooks(notebooks_directory())
    for path in refresh(found, out, lambda line: complain(f"cgsim: warning: {line}")):
        print(path)
