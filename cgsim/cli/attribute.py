"""`cgsim attribute`: the cost of each struct and field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import OWN_OPTIONS, add_json, add_parameters, add_verb, given_parameters
from cgsim.cli.printing import print_json, records
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "attribute",
        run,
        "which struct and field a workload's lookups touched, and what each cost",
        """\
examples:
  cgsim attribute --design idr --machine zen4-genoa
  cgsim attribute --design storage --workload gpu -p n_cgroups=4000 --json
""",
    )
    verb.add_argument("--design", required=True, metavar="NAME", help="see cgsim designs")
    verb.add_argument(
        "--machine", default="zen5-vm", metavar="NAME|FILE", help="a name or a profile (zen5-vm)"
    )
    verb.add_argument(
        "--workload", default="network", metavar="NAME|FILE", help="see cgsim workloads (network)"
    )
    add_parameters(verb)
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim attribute`."""
    given = given_parameters(options)
    for name in sorted(OWN_OPTIONS & given.keys()):
        raise UserError(f"parameter {name}: give it as --{name}")
    frame = cgsim.attribute(options.design, options.machine, options.workload, **given)
    if options.json:
        print_json({"words": records(frame)})
        return
    shown = frame.loc[:, (frame != 0).any()]
    print(f"simulated, per lookup: {options.design}, {options.machine}, {options.workload}\n")
    print(shown.to_string(index=False, float_format="{:.2f}".format))
