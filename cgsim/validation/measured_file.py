"""What a reader measured on a kernel of their own: the kernel's local-storage benchmark.

`tools/testing/selftests/bpf/bench`, run by benchs/run_bench_local_storage.sh, prints headings with
a number of keys or maps and below them lines with a latency. Those lines are read, all others are
passed over (docs/measured.md has the recipe).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.machines.model import Machine
from cgsim.strict_yaml import read_text
from cgsim.validation.bpf_selftests import (
    CONTROL_ENTRIES,
    MAX_MAPS,
    STORAGE_CASES,
    predict_local_storage,
)

if TYPE_CHECKING:
    from pathlib import Path

_HEADING = re.compile(r"^\s*num[_ ](?:maps|keys)\s*:\s*(\d+)\s*$")
_LATENCY = re.compile(r"hits latency:?\s+([0-9]+(?:\.[0-9]+)?)\s*ns/op")
_CASES = (
    (re.compile(r"hash_?map \(control\) +sequential +get", re.I), "hashmap control sequential get"),
    (re.compile(r"local_storage +cache +sequential +get", re.I), "local_storage sequential get"),
    (re.compile(r"local_storage +cache +interleaved +get", re.I), "local_storage interleaved get"),
)


def read_measured(path: str | Path) -> pd.DataFrame:
    """The rows of a benchmark's output: case, x (maps or keys), measured (ns).

    Raises UserError, naming the line, for a figure without its number of maps or keys, and if the
    file holds no figure.
    """
    rows: list[dict[str, object]] = []
    number: int | None = None
    for count, line in enumerate(read_text(path, "the benchmark's output").splitlines(), 1):
        if heading := _HEADING.match(line):
            number = int(heading[1])
            continue
        case = next((name for pattern, name in _CASES if pattern.search(line)), None)
        latency = _LATENCY.search(line)
        if case is None or latency is None:
            continue
        most = CONTROL_ENTRIES if STORAGE_CASES[case].hashed else MAX_MAPS
        if number is None or not 1 <= number <= most:
            raise UserError(
                f"{path}: line {count}: {case} of {number} maps or keys; allowed: a heading "
                f"'num_maps: N' or 'num keys: N' above it, N in 1..{most}"
            )
        rows.append({"case": case, "x": number, "measured": float(latency[1])})
    if not rows:
        raise UserError(
            f"{path}: no line of the local-storage benchmark in it; allowed: the output of "
            "benchs/run_bench_local_storage.sh"
        )
    return pd.DataFrame(rows)


def validate_measured(path: str | Path, machine: str | Machine) -> pd.DataFrame:
    """Predict what a file holds on a machine, best one of `cgsim.calibrate`.

    Returns a DataFrame: case, x, measured, predicted (ns), error (predicted / measured - 1). Raises
    UserError as `read_measured`, or for an unknown machine.
    """
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    frame = read_measured(path)
    frame["predicted"] = [
        predict_local_storage(model, case, x)
        for case, x in zip(frame["case"], frame["x"], strict=True)
    ]
    return frame.assign(error=frame["predicted"] / frame["measured"] - 1)
