"""`cgsim upkeep`: install, remove, teardown, a key that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import add_json, add_parameters, add_verb, checked_parameters, named_designs
from cgsim.cli.printing import print_json, records

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "upkeep",
        run,
        "cost of install, remove, teardown and of a key that goes",
        """\
examples:
  cgsim upkeep --design idr --design table
  cgsim upkeep --design table -p data=percpu -p n_keys=16 --machine zen4-genoa
  cgsim upkeep --design list -p footprint_bytes=1048576 --json

First what an operation does (locks and who can wait for them, allocation, copying, memory that
waits for a grace period), then its time and what that rests on.
""",
    )
    verb.add_argument(
        "--design", action="append", required=True, metavar="NAME|FILE", help="repeat to compare"
    )
    verb.add_argument(
        "--machine", default="zen5-vm", metavar="NAME|FILE", help="a name or a profile (zen5-vm)"
    )
    add_parameters(verb)
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim upkeep`."""
    import pandas as pd

    given = checked_parameters(options, cgsim.upkeep)
    frame = pd.concat(
        [cgsim.upkeep(name, options.machine, **given) for name in named_designs(options.design)],
        ignore_index=True,
    )
    points = cgsim.summarise(frame)
    if options.json:
        print_json({"points": records(points), "replicates": records(frame)})
        return
    first = points.iloc[0]
    print(
        f"simulated: {first['machine']}, kernel {first['kernel']}, {first['n_cgroups']} cgroups, "
        f"{first['n_keys']} keys each, {first['data']} data\n"
    )
    effects = [
        "design", "operation", "locked", "atomics", "locks", "blocks", "allocated_bytes",
        "copied_bytes", "freed_bytes", "waiting_bytes", "left",
    ]  # fmt: skip
    print(points[effects].to_string(index=False, float_format="{:.1f}".format), end="\n\n")
    times = [
        "design", "operation", "ns", "p99_ns", "drained_ns", "deferred_ns", "operations",
        "evidence",
    ]  # fmt: skip
    print(points[times].to_string(index=False, float_format="{:.1f}".format))
    print(
        "\nns are means of so many operations and leave out what is above: the system call, "
        "cgroup_mutex, charging. Where the code is not recorded it is written down from its source."
    )
