"""`cgsim simulate`: cost of lookups in a workload, or alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import (
    add_json,
    add_parameters,
    add_verb,
    checked_parameters,
    chosen_designs,
    given_options,
    named_designs,
)
from cgsim.cli.printing import print_json, records
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse

_KEYS_ALONE = 8
"""Keys of each cgroup in `cgsim.lookup_cost`, if none are given."""


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "simulate",
        run,
        "cost of lookups: design, machine, workload -> table",
        """\
examples:
  cgsim simulate --design idr
  cgsim simulate --design list --design hash --machine zen5-vm --workload gpu
  cgsim simulate --design idr --design direct --workload alone -p 'modes=[dependent]'
  cgsim simulate --design idr -p n_keys=8 -p seed=7 --json
  cgsim simulate --design all --user packet-hook -p n_keys=30
  cgsim simulate --design table --out table.csv
  cgsim simulate --design ./mine.py --design list

A design given as all stands for those that the user can have; the others are named with the reason.
Workloads: a name of cgsim workloads, a file of your own, or alone: lookups of random cgroups and
keys one after another.
The table shows means over replicates with a 95 % interval; --out and --json have each replicate.
""",
    )
    verb.add_argument(
        "--design", action="append", required=True, metavar="NAME|FILE", help="or all; repeat"
    )
    verb.add_argument(
        "--user", metavar="NAME", help="driver, packet-hook, counter or bpf-map (the workload's)"
    )
    verb.add_argument(
        "--machine", default="zen5-vm", metavar="NAME|FILE", help="a name or a profile (zen5-vm)"
    )
    verb.add_argument(
        "--workload", default="network", metavar="NAME|FILE", help="see cgsim workloads (network)"
    )
    add_parameters(verb)
    verb.add_argument("--out", type=Path, metavar="FILE", help="write .csv or .parquet")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim simulate`."""
    import pandas as pd

    if options.out and options.out.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {options.out}: allowed: a name that ends in .csv or .parquet")
    alone = options.workload == "alone"
    given = checked_parameters(options, cgsim.lookup_cost if alone else None)
    designs = chosen_designs(named_designs(options.design), *_place(options, given, alone))
    given |= given_options(options, "user")
    if alone:
        frames = [cgsim.lookup_cost(name, options.machine, **given) for name in designs]
    else:
        frames = [
            cgsim.simulate(name, options.machine, options.workload, **given) for name in designs
        ]
    frame = pd.concat(frames, ignore_index=True)
    points = cgsim.summarise(frame)
    if options.out:
        from cgsim.files import write_with

        write = frame.to_csv if options.out.suffix == ".csv" else frame.to_parquet
        write_with(options.out, lambda aside: write(aside, index=False))
    if options.json:
        print_json({"points": records(points), "replicates": records(frame)})
    elif not options.out:
        _print_points(points)


def _place(
    options: argparse.Namespace, given: dict[str, Any], alone: bool
) -> tuple[str | None, int]:
    """Who looks up, and how many keys each cgroup has."""
    if alone:
        return options.user, given.get("n_keys", _KEYS_ALONE)
    from cgsim.experiments.points import user_for
    from cgsim.workloads import load_workload

    workload = load_workload(options.workload)
    return user_for(workload, options.user), given.get("n_keys", workload.n_keys)


def _print_points(points: Any) -> None:
    """Print the cost of each point and where its cycles went."""
    first = points.iloc[0]
    print(
        f"simulated: {first['machine']}, kernel {first['kernel']}, {first['workload']} "
        f"({', '.join(dict.fromkeys(points['user']))}), "
        f"{first['n_cgroups']} cgroups, {first['n_keys']} keys each, "
        f"{first['replicates']} replicates"
    )
    names = ["design", "mode", "ns", "ns_low", "ns_high", "p50_ns", "p99_ns", "p999_ns", "cycles"]
    memory = [name for name in ("cgroup_bytes", "entry_bytes") if name in points]
    columns = [name for name in [*names, *memory] if name in points]
    print(f"\n{points[columns].to_string(index=False, float_format='{:.2f}'.format)}")
    causes = [name for name in points if name.endswith("_cycles") and points[name].abs().max() > 0]
    stack = points[["design", "mode", *causes]].rename(columns=lambda c: c.removesuffix("_cycles"))
    print(f"\nwhere the cycles went:\n{stack.to_string(index=False, float_format='{:.2f}'.format)}")
