"""`cgsim explore`: every interleaving of an interface's actors."""

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
        "explore",
        run,
        "try every interleaving of an interface's actors, and show what goes wrong",
        """\
examples:
  cgsim explore
  cgsim explore cgroup-priv-as-posted cgroup-priv --lanes
  cgsim explore cgroup-priv-kref --actors reader reader reader ioctl destroyer
  cgsim explore map-storage --states 100000 --json

Interfaces whose name ends in -as-posted have the faults that were posted. Each violation comes with
its shortest schedule. A search that ends at a bound says so, and is not complete.
""",
    )
    verb.add_argument("interface", nargs="*", metavar="INTERFACE", help="names; none: all")
    verb.add_argument(
        "--actors",
        nargs="+",
        default=[],
        metavar="ROLE",
        help="run these beside each other in place of the interface's own scenarios",
    )
    verb.add_argument(
        "--states", type=int, metavar="N", help="visit at most N states a scenario (2000000)"
    )
    verb.add_argument("--lanes", action="store_true", help="a column for each actor")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim explore`."""
    from cgsim.interface import explore, lanes, step_table

    bound = {} if options.states is None else {"states": options.states}
    found = explore(options.interface, actors=options.actors, **bound)
    if options.json:
        print_json({"interfaces": [explored.record() for explored in found]})
        return
    for explored in found:
        print(f"{explored.name}: {explored.interface.title}")
        for scenario in explored.scenarios:
            end = "all" if scenario.complete else f"NOT all, ended by {scenario.bound}"
            broken = ", ".join(v.property for v in scenario.violations) or "nothing violated"
            print(f"  {scenario.scenario}: {scenario.states} states, {end}; {broken}")
        for name, violation in explored.shortest.items():
            print(f"\n  violated: {name} ({violation.scenario})")
            draw = lanes if options.lanes else step_table
            print("    " + draw(violation.schedule).replace("\n", "\n    "))
        print()
