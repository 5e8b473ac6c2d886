"""`cgsim mail`: the answer as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_verb

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "mail",
        run,
        "the answer as plain text for the list, on standard output",
        """\
examples:
  cgsim mail > mail.txt
  cgsim mail --preset full
  cgsim mail --machine zen4-genoa --second-machine neoverse-v1 --seed 7

Nothing is ever sent: read it, edit it, send it yourself.
""",
    )
    verb.add_argument("--preset", default="quick", metavar="quick|full", help="how much (quick)")
    verb.add_argument("--machine", metavar="NAME", help="whose figures (zen4-genoa)")
    verb.add_argument("--second-machine", metavar="NAME", help="also looked at (skylake-sp)")
    verb.add_argument("--kernel", metavar="VERSION", help="whose structs and code (7.3.4)")
    verb.add_argument("--seed", type=int, metavar="N", help="of the first replicate (1)")
    verb.add_argument("--replicates", type=int, metavar="N", help="as many as decide")
    verb.add_argument("--keys", type=int, dest="n_keys", metavar="N", help="each workload's own")
    verb.add_argument("--cgroups", type=int, dest="n_cgroups", metavar="N", help="likewise")


def run(options: argparse.Namespace) -> None:
    """`cgsim mail`."""
    from cgsim.report.mail import mail_text

    names = ("machine", "second_machine", "kernel", "seed", "replicates", "n_keys", "n_cgroups")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    print(mail_text(options.preset, **given), end="")
