"""`cgsim machines`: the machine profiles, every value with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "machines",
        run,
        "list the machine profiles, or explain one: every value, unit and source",
        "examples:\n  cgsim machines\n  cgsim machines zen5-vm\n  cgsim machines my-machine.yml\n",
    )
    verb.add_argument("name", nargs="?", metavar="NAME|FILE", help="the one to explain")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim machines`."""
    from cgsim import machines

    if options.name is None:
        found = [machines.load_machine(name) for name in machines.list_machines()]
        if options.json:
            print_json({"machines": [{"name": m.name, "title": m.title} for m in found]})
            return
        width = max(len(machine.name) for machine in found)
        print("\n".join(f"{machine.name:<{width}}  {machine.title}" for machine in found))
        return
    machine = machines.load_machine(options.name)
    rows = [row._asdict() for row in machines.explain(machine)]
    if options.json:
        print_json({"name": machine.name, "title": machine.title, "values": rows})
        return
    print(f"{machine.name}: {machine.title}\n")
    width = max(len(row["field"]) for row in rows)
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']} {row['unit']}".strip()
        print(f"{row['field']:<{width}}  {value:<16}  {row['source']}")
