"""`cgsim misuse`: what each design answers to its users' mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json, records

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "misuse",
        run,
        "make the users' mistakes with each design, and say what came of them",
        """\
examples:
  cgsim misuse
  cgsim misuse --design hash-as-posted --design table
  cgsim misuse --misuse 'install twice' --json
""",
    )
    verb.add_argument("--design", action="append", default=[], metavar="NAME", help="repeat; all")
    verb.add_argument("--misuse", action="append", default=[], metavar="NAME", help="repeat; all")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim misuse`."""
    from cgsim.interface import misuse

    frame = misuse(options.design, options.misuse)
    if options.json:
        print_json({"rows": records(frame)})
        return
    for name, rows in frame.groupby("misuse", sort=False):
        print(f"{name}:")
        for (harm, text), same in rows.groupby(["harm", "what_happened"], sort=False):
            print(f"  {harm}: {text}\n    {', '.join(same['design'])}")
