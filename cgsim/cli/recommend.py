"""`cgsim recommend`: which design for one's own numbers, how sure, and where that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import add_json, add_verb, given_options
from cgsim.cli.printing import print_json

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "recommend",
        run,
        "which design for a user's own numbers, how sure, and where the answer changes",
        """\
examples:
  cgsim recommend --user packet-hook --keys 30 --cgroups 5000 --cpus 16
  cgsim recommend --user driver --machine skylake-sp
  cgsim recommend --user counter --workload k8s-node --cpus 64 --json

Users: driver (in the kernel), packet-hook, counter, bpf-map (behind BPF's dispatcher). Cgroups with
traffic go in proportion to --cgroups. What is not given is the workload's own.
""",
    )
    verb.add_argument("--user", required=True, metavar="NAME", help="who looks up")
    verb.add_argument("--keys", type=int, dest="n_keys", metavar="N", help="data of each cgroup")
    verb.add_argument("--cgroups", type=int, dest="n_cgroups", metavar="N", help="how many")
    verb.add_argument("--cpus", type=int, metavar="N", help="CPUs that use the data (16)")
    verb.add_argument("--machine", metavar="NAME|FILE", help="a name or a profile (zen4-genoa)")
    verb.add_argument("--workload", metavar="NAME", help="network, gpu, ... (the user's own)")
    verb.add_argument("--seed", type=int, metavar="N", help="of the first replicate (1)")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim recommend`."""
    names = ("n_keys", "n_cgroups", "cpus", "machine", "workload", "seed")
    answer = cgsim.recommend(options.user, **given_options(options, *names))
    if options.json:
        print_json(answer)
        return
    from cgsim.report.advice import printed

    print(printed(answer))
