"""`cgsim machines`: the machine profiles, every value with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json
from cgsim.errors import UserError, shown

if TYPE_CHECKING:
    import argparse

    from cgsim.machines import Machine


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "machines",
        run,
        "list the machine profiles, or explain one: every value, unit and source",
        """\
examples:
  cgsim machines
  cgsim machines zen5-vm
  cgsim machines my-machine.yml
  cgsim machines --from-host --out host.yml

--from-host measures nothing (see cgsim calibrate): topology and caches are what the system states,
the rest is the nearest profile's, and says so.
""",
    )
    verb.add_argument("name", nargs="?", metavar="NAME|FILE", help="the one to explain")
    verb.add_argument("--from-host", action="store_true", help="this machine, as its system has it")
    verb.add_argument("--nearest", metavar="NAME", help="whose values complete it")
    verb.add_argument("--out", metavar="FILE", help="write it as a profile")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim machines`."""
    from cgsim import machines

    if options.from_host:
        _explain(_host(options), options.json)
        return
    for name in ("nearest", "out"):
        if getattr(options, name) is not None:
            raise UserError(f"machines: --{name} goes with --from-host")
    if options.name is None:
        found = [machines.load_machine(name) for name in machines.list_machines()]
        if options.json:
            print_json({"machines": [{"name": m.name, "title": m.title} for m in found]})
            return
        width = max(len(machine.name) for machine in found)
        print("\n".join(f"{machine.name:<{width}}  {machine.title}" for machine in found))
        return
    _explain(machines.load_machine(options.name), options.json)


def _host(options: argparse.Namespace) -> Machine:
    """This machine; written to --out."""
    from cgsim.files import write_atomically
    from cgsim.machines import host

    if options.name is not None:
        raise UserError(f"machines: --from-host takes no name, but {shown(options.name)} was given")
    document = host.host_document(host.read_host(), options.nearest)
    machine = host.host_machine(document)
    if options.out is not None:
        comment = "Written by `cgsim machines --from-host`: nothing was measured."
        write_atomically(options.out, host.profile_text(document, [comment]))
    return machine


def _explain(machine: Machine, as_json: bool) -> None:
    """Print a machine value by value."""
    from cgsim import machines

    rows = [row._asdict() for row in machines.explain(machine)]
    if as_json:
        print_json({"name": machine.name, "title": machine.title, "values": rows})
        return
    print(f"{machine.name}: {machine.title}\n")
    width = max(len(row["field"]) for row in rows)
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']} {row['unit']}".strip()
        print(f"{row['field']:<{width}}  {value:<16}  {row['source']}")
