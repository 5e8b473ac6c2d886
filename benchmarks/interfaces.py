"""Write data/interface/verdicts.yml: the interface to argue for, by user, as the searches say.

    python -m benchmarks.interfaces

`cgsim recommend` and the mail read it, since the searches take some seconds; a test searches again.
"""

from __future__ import annotations

import yaml

from cgsim.experiments.recorded_interface import verdicts_file
from cgsim.files import write_atomically
from cgsim.interface.catalogue import DEBUG, SILENT
from cgsim.interface.recommendation import GIVES_UP, USERS, recommendation

HEAD = "# Written by `python -m benchmarks.interfaces`; change nothing by hand.\n"
SOURCE = (
    "searches of every interleaving (cgsim explore) and the catalogue of mistakes "
    "(cgsim.interface.catalogue) of this package"
)


def content() -> str:
    """The file's text."""
    found = {user: recommendation(user) for user in USERS}
    users = {
        user: {
            "interface": each.interface,
            "gives_up": GIVES_UP[each.interface],
            "mistakes": sum(each.verdicts[each.interface].values()),
            "unnoticed": {name: counts[SILENT] for name, counts in each.verdicts.items()},
            "only_debug": {name: counts[DEBUG] for name, counts in each.verdicts.items()},
            "which": list(each.unnoticed),
            "states": each.states,
        }
        for user, each in found.items()
    }
    posted = {name: list(broken) for name, broken in found[USERS[0]].posted.items()}
    told = {"source": SOURCE, "posted": posted, "users": users}
    return HEAD + yaml.safe_dump(told, sort_keys=False, width=98)


if __name__ == "__main__":
    write_atomically(verdicts_file(), content())
