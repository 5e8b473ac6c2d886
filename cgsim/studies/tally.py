"""How many points the processes of one run computed, and how many they found.

A report tells its notebooks' kernels by the environment where to add what they did.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TALLY = "CGSIM_TALLY"
"""An environment variable: the file to which each process adds."""


def count(computed: int, found: int) -> None:
    """Add to the tally of the run that this process is a part of, if it has one."""
    path = os.environ.get(TALLY)
    if path:
        line = json.dumps({"computed": computed, "found": found}) + "\n"
        with open(path, "a") as stream:
            stream.write(line)


def read_tally(path: Path) -> dict[str, int]:
    """The sums of a tally's file."""
    total = {"computed": 0, "found": 0}
    if path.is_file():
        for line in path.read_text().splitlines():
            for name, number in json.loads(line).items():
                total[name] += number
    return total
