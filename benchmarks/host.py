"""This host: calibrated, measured, predicted; writes host.yml and host.csv.

Run with `python -m benchmarks.host`, into data/validation, on a host as quiet as can be had; takes
about a quarter of an hour, most of it to count instructions step by step. Nothing is fitted to the
lookups: the profile is what `cgsim calibrate` finds, the instructions are the native code's own.
`python -m benchmarks.host predict` predicts the measured rows again, where the model has changed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pandas as pd

from cgsim.data import data_path
from cgsim.files import write_atomically
from cgsim.machines import load_machine
from cgsim.validation.host.calibrate import calibrate
from cgsim.validation.measure import Bench, host_load, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

DESIGNS = ("list", "hash-rcu", "idr", "table", "direct", "storage")
CGROUPS = (1, 1000, 100_000)
KEYS = (8,)
REPEATS = 15


def predict() -> None:
    """Write host.csv with what the model says now of the rows that were measured."""
    path = data_path("validation", "host.csv")
    rows, machine = pd.read_csv(path), load_machine(data_path("validation", "host.yml"))
    population = ["design", "n_cgroups", "n_keys", "seed"]
    for (design, n_cgroups, n_keys, seed), part in rows.groupby(population, sort=False):
        footprint_bytes = int(part["footprint_bytes"].max())
        bench = Bench(design, n_cgroups, n_keys, footprint_bytes, seed)
        for index, row in part.iterrows():
            ns, _ = bench.predict(machine, row["mode"], row["caller"], row["instructions"])
            rows.loc[index, ["predicted_ns", "error"]] = [ns, ns / row["ns"] - 1]
    text = rows.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    write_atomically(path, text)


def main(designs: Sequence[str] = DESIGNS) -> None:
    """Calibrate, measure, predict, and write both files."""
    found = calibrate()
    write_atomically(data_path("validation", "host.yml"), found.text())
    parts = []
    for name in designs:
        load = host_load()
        part = measure(
            [name], n_cgroups=CGROUPS, n_keys=KEYS, repeats=REPEATS, machine=found.machine
        )
        parts.append(part.assign(host=load))
        frame = pd.concat(parts, ignore_index=True)
        text = frame.to_csv(index=False, float_format="%.5g", lineterminator="\n")
        write_atomically(data_path("validation", "host.csv"), text)


if __name__ == "__main__":
    if sys.argv[1:] == ["predict"]:
        predict()
    else:
        main(sys.argv[1:] or DESIGNS)
