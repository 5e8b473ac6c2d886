"""`cgsim mail`: the answer as plain text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_verb
from cgsim.errors import UserError, shown

if TYPE_CHECKING:
    import argparse

    from cgsim.report.envelope import Answered


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

  cgsim mail --quote their-mail.eml --quote-lines 12-30 > reply.txt
  cgsim mail --in-reply-to '<20180313212758.x@y>' --from 'A B <a@b.org>' --mbox > reply.mbox

Nothing is ever sent: read it, edit it, send it yourself: `git send-email reply.txt`, or
`mutt -f reply.mbox`. A mail as a file (--quote) brings its own Message-ID, References and Subject.
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
    for name, text in (
        ("user", "its numbers only (all four); repeat"),
        ("section", "contention, updates, interface or elsewhere only (all); repeat"),
    ):
        verb.add_argument(f"--{name}", action="append", dest=f"{name}s", metavar="NAME", help=text)
    verb.add_argument("--quote", type=Path, metavar="FILE", help="a mail, or text, to be quoted")
    verb.add_argument("--quote-lines", metavar="A-B", help="which lines of its text (all)")
    verb.add_argument("--in-reply-to", metavar="ID", help="Message-ID of the mail answered")
    verb.add_argument("--mbox", action="store_true", help="as an mbox of one message")
    verb.add_argument("--from", dest="author", metavar="ADDRESS", help="whose it is, with --mbox")


def run(options: argparse.Namespace) -> None:
    """`cgsim mail`."""
    from cgsim.report.envelope import mbox
    from cgsim.report.mail import mail_text

    if options.mbox != (options.author is not None):
        raise UserError("--mbox and --from 'Name <name@example.org>' go together; give both")
    if options.mbox:
        mbox("", options.author)  # refuses a wrong address before anything is simulated

    names = ("machine", "second_machine", "kernel", "seed", "replicates", "n_keys", "n_cgroups",
             "users", "sections")  # fmt: skip
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    letter = mail_text(options.preset, answered=_answered(options), **given)
    print(mbox(letter, options.author) if options.mbox else letter, end="")


def _answered(options: argparse.Namespace) -> Answered:
    """What --quote, --quote-lines and --in-reply-to say."""
    from cgsim.report.envelope import Answered, named, read_mail

    lines = None
    if options.quote_lines is not None:
        found = re.fullmatch(r"(\d{1,6})-(\d{1,6})", options.quote_lines)
        if options.quote is None or found is None:
            raise UserError(
                f"--quote-lines {shown(options.quote_lines)}: allowed: FIRST-LAST, with --quote"
            )
        lines = int(found[1]), int(found[2])
    answered = Answered() if options.quote is None else read_mail(options.quote, lines)
    return answered if options.in_reply_to is None else named(answered, options.in_reply_to)
