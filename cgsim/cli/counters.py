"""`cgsim counters`: layouts of a counter that every CPU bumps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import add_json, add_parameters, add_verb, checked_parameters
from cgsim.cli.printing import print_json, records
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "counters",
        run,
        "layouts of a counter on many CPUs: an update, a sum, a life, bytes, error",
        """\
examples:
  cgsim counters --list
  cgsim counters --machine xeon-8176-8s --cpus 28
  cgsim counters --layout percpu --layout percpu-counter --machine zen4-genoa --cpus 64
  cgsim counters --layout percpu-counter -p group=4 -p possible=448 --json

Sums over the CPUs that are online and over all that are possible stand side by side.
""",
    )
    verb.add_argument("--layout", action="append", default=[], metavar="NAME", help="repeat; all")
    verb.add_argument(
        "--machine", default="zen5-vm", metavar="NAME|FILE", help="a name or a profile (zen5-vm)"
    )
    verb.add_argument("--cpus", type=int, metavar="N", help="that update (all of the machine)")
    verb.add_argument("--list", action="store_true", help="the layouts and what each mirrors")
    add_parameters(verb)
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim counters`."""
    from cgsim.percpu import list_layouts

    if options.list:
        found = list_layouts()
        if options.json:
            rows = [{"name": x.name, "title": x.title, "mirrors": x.mirrors} for x in found]
            print_json({"layouts": rows})
            return
        width = max(len(layout.name) for layout in found)
        print("\n".join(f"{x.name:<{width}}  {x.title}; {x.mirrors}" for x in found))
        return
    given = checked_parameters(options, cgsim.counters)
    for name in ("layouts", "cpus"):
        if name in given:
            raise UserError(f"parameter {name}: give it as --{name.removesuffix('s')}")
    model = cgsim.load_machine(options.machine)
    cpus = model.n_cpus if options.cpus is None else options.cpus
    frame = cgsim.counters(options.layout, model, cpus, **given)
    if options.json:
        print_json({"replicates": records(frame.replace(float("inf"), None))})
        return
    first = frame.iloc[0]
    print(f"simulated: {first['machine']}, {cpus} of {first['possible']} possible CPUs update\n")
    columns = [
        "layout", "ns", "lost", "sum_online_ns", "sum_possible_ns", "create_ns", "teardown_ns",
        "bytes", "error_bound",
    ]  # fmt: skip
    means = frame.groupby("layout", sort=False)[columns[1:]].mean().reset_index()
    print(means.to_string(index=False, float_format="{:.1f}".format))
