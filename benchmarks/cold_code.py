"""Cold against warm code on this host: writes data/validation/code.csv.

Run with `python -m benchmarks.cold_code`, on a host as quiet as can be had; a few seconds.
"""

from __future__ import annotations

import pandas as pd

from cgsim.data import data_path
from cgsim.files import write_atomically
from cgsim.validation.host.cold_code import measure_cold_code
from cgsim.validation.host.core import measure_core
from cgsim.validation.host.memory import Region

DESIGNS = ("list", "hash-rcu", "idr", "table", "direct", "storage")
ROUNDS, REPEATS = 5, 25


def main() -> None:
    """The median of some rounds, and what calls take."""
    rounds = pd.concat([measure_cold_code(DESIGNS, REPEATS) for _ in range(ROUNDS)])
    rows = rounds.groupby(["design", "code"], sort=False)["ns"].median().reset_index()
    figures = measure_core(Region(1 << 21, huge=True), REPEATS)
    for name in ("call", "retpoline"):
        if name in figures:
            rows.loc[len(rows)] = [name, "cycles, not ns", figures[name].value]
    text = rows.to_csv(index=False, float_format="%.3g", lineterminator="\n")
    write_atomically(data_path("validation", "code.csv"), text)


if __name__ == "__main__":
    main()
