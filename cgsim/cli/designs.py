"""`cgsim designs`: what can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "designs",
        run,
        "list the lookup designs and what each mirrors",
        "example:\n  cgsim designs --json\n",
    )
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim designs`."""
    rows = [
        {
            "name": design.name,
            "title": design.title,
            "mirrors": design.mirrors,
            "reader_side": design.reader_side,
            "loads_to_datum": design.loads_to_datum,
        }
        for design in cgsim.list_designs()
    ]
    if options.json:
        print_json({"designs": rows})
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['title']}")
        for label, text in (("mirrors", row["mirrors"]), ("loads", row["loads_to_datum"])):
            if text:
                print(f"{'':<{width}}  {label}: {text}")
