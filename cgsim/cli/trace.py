"""`cgsim trace`: the accesses of one kernel function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb, given_options
from cgsim.cli.printing import print_json
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "trace",
        run,
        "the accesses of one kernel function, with the dependences between them",
        """\
examples:
  cgsim trace --list
  cgsim trace idr/depth=2
  cgsim trace list/position=16 --kernel 6.12.117 --machine zen5-vm --json
""",
    )
    verb.add_argument("scenario", nargs="?", metavar="SCENARIO", help="see --list")
    verb.add_argument("--list", action="store_true", help="explain the scenarios")
    verb.add_argument("--kernel", metavar="VERSION", help="a recorded kernel version")
    verb.add_argument("--machine", metavar="NAME|FILE", help="for the cycles")
    verb.add_argument("--no-cycles", action="store_true", help="leave them out: much quicker")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim trace`."""
    from cgsim.scenarios.trace import list_scenarios, trace

    if options.list:
        scenarios = list_scenarios()
        if options.json:
            print_json({"scenarios": scenarios})
            return
        for row in scenarios:
            values = f" (N = {row['n']})" if row["n"] else ""
            print(f"{row['name']:<24} {row['explanation']}{values}; {row['mirrors']}")
        return
    if options.scenario is None:
        raise UserError("SCENARIO is missing; cgsim trace --list explains them")
    given = given_options(options, "kernel", "machine")
    result = trace(options.scenario, cycles=not options.no_cycles, **given)
    if options.json:
        print_json(result)
        return
    print(f"{result['scenario']}, kernel {result['kernel']}:", end=" ")
    print(f"{result['instructions']} instructions, {result['cond_branches']} branches")
    for number, access in enumerate(result["accesses"]):
        after = ",".join(str(i) for i in access["deps"]) or "-"
        place = f"{access['struct']}+{access['offset']}"
        print(
            f"{number:>4}  {access['op']:<6} {place:<28} {access['size']:>3}  "
            f"{access['field'] or '-':<24} after {after}"
        )
    for reading, cycles in result.get("cycles", {}).items():
        print(f"{reading}: {cycles:.1f} cycles")
