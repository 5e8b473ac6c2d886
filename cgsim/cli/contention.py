"""`cgsim contention`: lookups on many CPUs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import add_json, add_parameters, add_verb, checked_parameters, given_options
from cgsim.cli.printing import print_json, records

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "contention",
        run,
        "cost of lookups on many CPUs at once, of one cgroup or of popular ones",
        """\
examples:
  cgsim contention --machine zen4-genoa
  cgsim contention --design table --design v4 -p 'cpus=[1, 28]' -p 'uses=[percpu]'
  cgsim contention --user packet-hook -p n_cgroups=1000 -p zipf=1.1 --json

Lines that move between CPUs and what is waited for stand beside the times: ns of a lookup with its
use of the datum, means over replicates. Designs without a figure are named with the reason.
""",
    )
    verb.add_argument(
        "--design", action="append", default=[], metavar="NAME", help="repeat; none: all"
    )
    verb.add_argument(
        "--machine",
        default="zen4-genoa",
        metavar="NAME|FILE",
        help="a name or a profile with so many CPUs (zen4-genoa)",
    )
    verb.add_argument(
        "--user", metavar="NAME", help="driver, packet-hook, counter or bpf-map (anybody)"
    )
    add_parameters(verb)
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim contention`."""
    given = checked_parameters(options, cgsim.contention) | given_options(options, "user")
    if "designs" in given:
        raise cgsim.UserError("parameter designs: give them as --design")
    frame = cgsim.contention(options.machine, options.design, **given)
    if options.json:
        print_json({"replicates": records(frame)})
        return
    first = frame.iloc[0]
    where = (
        "the same cgroup"
        if first["n_cgroups"] == 1
        else (f"{first['n_cgroups']} cgroups, Zipf {first['zipf']:g}")
    )
    print(f"simulated: {first['machine']}, kernel {first['kernel']}, lookups of {where}\n")
    measured = frame[frame["usable"]].astype({"cpus": int})
    for use, rows in measured.groupby("use", sort=False):
        table = rows.pivot_table(index="design", columns="cpus", values="ns", sort=False)
        print(
            f"datum {use}: ns per lookup by CPUs\n{table.to_string(float_format='{:.1f}'.format)}"
        )
        most = rows[rows["cpus"] == rows["cpus"].max()]
        effects = most.groupby("design", sort=False)[
            ["locked", "transfers", "mutex_ns", "coherence_ns"]
        ].mean()
        print(f"\non {rows['cpus'].max()} CPUs, per lookup\n", end="")
        print(effects.to_string(float_format="{:.2f}".format), end="\n\n")
    for _, row in frame[~frame["usable"]].iterrows():
        print(f"{row['design']}, datum {row['use']}: none, {row['why']}")
    for design in measured.loc[measured["sleeps"].astype(bool), "design"].unique():
        print(f"{design}: its lookup takes a mutex and may sleep, so never in softirq")
