"""How far the model was from what was measured, by family: writes data/validation/errors.yml.

Run with `python -m benchmarks.errors`. Published intervals take their model's error from there.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.data import data_path
from cgsim.files import write_atomically
from cgsim.validation.scale import validate_scale

if TYPE_CHECKING:
    import pandas as pd

_CONDITIONS = ["C", "distribution", "pages", "mode", "footprint_bytes"]
_KIB = 1024
_SMALL_NS = 10

HEAD = """\
# Written by `python -m benchmarks.errors`: the model against the rows of data/kernel/scale.csv,
# kernel functions run natively over 1 and 1000 cgroups on a guest with 2 CPUs of a Zen 5.
# error: predicted / measured - 1. low, high: its 5th and 95th percentile.
# median, ninetieth: of its absolute value.
# pair_ninetieth: 90th percentile over pairs of functions under the same conditions of
#   |predicted difference - measured difference| / larger measured value.
# pair_floor_ns: the same in ns, of pairs where both were measured below 10 ns.
# ordered: share of the pairs measured more than 10 % apart that are predicted in their order.
schema: 1
machine: zen5-vm
source: "data/kernel/scale.csv, {rows} rows measured on zen5-vm"
measured_designs: [list, idr, xarray, storage, htab, array, cgroup-storage]
families:
"""


def main() -> None:
    """Predict all rows and write the file."""
    frame = validate_scale()
    frame = frame[frame["value"].notna()]
    polluted = frame["mode"] == "polluted"
    families = {
        "throughput": ("back to back, overlapping", frame[frame["mode"] == "throughput"]),
        "dependent": ("back to back, each waiting", frame[frame["mode"] == "dependent"]),
        "isolated, L1": (
            "alone, with less than an L1 read in between",
            frame[polluted & (frame["footprint_bytes"] <= 16 * _KIB)],
        ),
        "isolated, L2": (
            "alone, after 256 KiB were read in sequence",
            frame[polluted & (frame["footprint_bytes"] == 256 * _KIB)],
        ),
        "isolated, beyond L2": (
            "alone, after 2 MiB were read in sequence (L2: 1 MiB)",
            frame[polluted & (frame["footprint_bytes"] > 1024 * _KIB)],
        ),
    }
    lines = [HEAD.format(rows=len(frame))]
    for name, (what, rows) in families.items():
        lines.append(f'  - name: "{name}"\n    what: "{what}"\n')
        lines += [f"    {key}: {value}\n" for key, value in _figures(rows).items()]
    write_atomically(data_path("validation", "errors.yml"), "".join(lines))


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    """The figures of one family."""
    errors = rows["error"].to_numpy()
    apart, small, pairs, right = [], [], 0, 0
    for _, group in rows.groupby(_CONDITIONS):
        values = list(zip(group["value"], group["predicted_ns"], strict=True))
        for (m, p), (n, q) in itertools.combinations(values, 2):
            apart.append(abs((p - q) - (m - n)) / max(m, n))
            if max(m, n) < _SMALL_NS:
                small.append(abs((p - q) - (m - n)))
            if abs(m - n) > 0.1 * max(m, n):
                pairs += 1
                right += (m < n) == (p < q)
    return {
        "rows": len(rows),
        "median": round(float(np.median(np.abs(errors))), 3),
        "ninetieth": round(float(np.quantile(np.abs(errors), 0.9)), 3),
        "low": round(float(np.quantile(errors, 0.05)), 3),
        "high": round(float(np.quantile(errors, 0.95)), 3),
        "pairs": len(apart),
        "pair_ninetieth": round(float(np.quantile(apart, 0.9)), 3),
        "pair_floor_ns": round(float(np.quantile(small, 0.9)), 2),
        "ordered_pairs": pairs,
        "ordered": round(right / pairs, 3),
    }


if __name__ == "__main__":
    main()
