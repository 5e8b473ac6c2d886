"""Hostile inputs by the hundred thousand: each door answers rightly or in one clear line.

A door is a function that makes one input from a random generator and gives it to the product, in
this process. Allowed are an answer, and a `UserError` of one line of at most 500 characters (by the
command line: status 0 or 2 and such a line). Everything else is counted as what it is: another
exception, a message that is too long or of several lines, a time of more than `PATIENCE_S`.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import signal
import string
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cgsim.cli import main
from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.machines import list_machines, load_machine
from cgsim.report.parameters import (
    Choice,
    Integer,
    ListOf,
    Number,
    ParameterError,
    check,
    parse_given,
)
from cgsim.trace_replay.trace_files import read_trace
from cgsim.workloads import load_workload

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PATIENCE_S = 20.0
_WORDS = (
    "", " ", "0", "-1", "1e1", "1e999", "10.0", "010", "1:10", "on", "null", "~", "[]", "{}", "[1",
    "{a: 1, a: 2}", "&a [*a]", "!!int x", "!!python/object:os.system x", "\x1b[31m", "\u202e", "é",
    "9" * 5000, "-" * 300, "[" * 200, "<script>", "../../etc/passwd", "/dev/zero", "a\nb", "1MiB",
    "nan", ".inf", "true", "'", '"', "%", "{preset}", "zen5-vm", "idr", "dependent", "x" * 2000,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "1", "x" * 1000, [], [1], {}, {"value": 1}, [[]], (), np.int64(3), b"x",
)  # fmt: skip


class Result(NamedTuple):
    """What came of a door's inputs."""

    door: str
    inputs: int
    answered: int
    refused: int
    bad: Counter[str]
    """What else, and how often."""
    seconds: float


class _Late(BaseException):
    """An input took longer than `PATIENCE_S`."""


def try_door(door: str, inputs: int, seed: int, directory: Path) -> Result:
    """Give a door so many inputs, made from `seed`."""
    rng = random.Random(f"{door} {seed}")
    give = DOORS[door]
    answered = refused = 0
    bad: Counter[str] = Counter()
    start = time.perf_counter()
    before = signal.signal(signal.SIGALRM, _late)
    for _ in range(inputs):
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        try:
            if give(rng, directory):
                answered += 1
            else:
                refused += 1
        except UserError as error:
            text = str(error)
            if len(text) > 500 or not text.isprintable():
                bad["message"] += 1
            else:
                refused += 1
        except _Late:
            bad["hang"] += 1
        except Exception as error:
            bad[f"{type(error).__name__}: {str(error)[:60]}"] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    return Result(door, inputs, answered, refused, bad, time.perf_counter() - start)


def _late(number: int, frame: FrameType | None) -> None:
    raise _Late


def _text(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return rng.choice(_WORDS)
    alphabet = string.printable + "é\u202e\x00\x1b"
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(30)))


def _machine_file(rng: random.Random, directory: Path) -> bool:
    """A profile with one to three places damaged, or its text cut, doubled or overwritten."""
    path = directory / "machine.yml"
    text = data_path("machines", f"{rng.choice(list_machines())}.yml").read_text()
    if rng.random() < 0.5:
        lines = text.splitlines()
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(lines))
            kind = rng.randrange(5)
            if kind == 0:
                del lines[at]
            elif kind == 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            elif kind == 2:
                lines[at] = lines[at].replace("value: ", f"value: {_text(rng)} #", 1)
            elif kind == 3:
                head, _, _ = lines[at].partition(":")
                lines[at] = f"{head}: {_text(rng)}"
            else:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        text = "\n".join(lines)
    else:
        data = bytearray(text.encode())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
        load_machine(path)
        return True
    path.write_text(text, errors="replace")
    load_machine(path)
    return True


def _machine_value(rng: random.Random, directory: Path) -> bool:
    """A profile with one leaf of another value, as JSON, which YAML reads too."""
    from cgsim.strict_yaml import read_yaml

    document = read_yaml(data_path("machines", "zen5-vm.yml"), "profile")
    node = document[rng.choice(("clock", "topology", "caches", "tlb", "window", "memory"))]
    while True:
        key = rng.choice(list(node))
        if not isinstance(node[key], dict) or rng.random() < 0.2:
            value = rng.choice(_VALUES)
            node[key] = value if isinstance(value, int | float | str | list | dict) else None
            break
        node = node[key]
    path = directory / "value.yml"
    try:
        path.write_text(json.dumps(document))
    except ValueError:
        return False
    load_machine(path)
    return True


def _given(rng: random.Random, directory: Path) -> bool:
    """Texts of -p."""
    name = rng.choice(("n_keys", "seed", "01_lookup.seed", "", "a b", "x" * 500))
    parse_given([f"{name}={_text(rng)}", _text(rng)][: rng.randrange(1, 3)])
    return True


_SPEC = {
    "seed": Integer(0, 2**32 - 1),
    "share": Number(0, 1),
    "design": Choice("idr", "list"),
    "keys": ListOf(Integer(1, 4096)),
}


def _notebook(rng: random.Random, directory: Path) -> bool:
    """Values of a notebook's parameters."""
    good = {"seed": 1, "share": 0.5, "design": "idr", "keys": [1, 2]}
    for _ in range(rng.randrange(1, 3)):
        good[rng.choice([*good, "sed"])] = rng.choice((rng.choice(_VALUES), _text(rng)))
    with contextlib.suppress(ParameterError):
        check(good, _SPEC)
        return True
    return False


def _workload(rng: random.Random, directory: Path) -> bool:
    """Values of a workload's parameters."""
    fields = ("n_cgroups", "n_keys", "devices", "packet_bytes", "popularity", "hot_bytes", "")
    values = {rng.choice(fields): rng.choice((rng.choice(_VALUES), _text(rng)))}
    load_workload(rng.choice(("network", "gpu", _text(rng))), **values)
    return True


def _workload_file(rng: random.Random, directory: Path) -> bool:
    """A damaged file of workloads."""
    source = rng.choice(sorted(data_path("workloads").glob("*.yml")))
    data = bytearray(source.read_bytes())
    for _ in range(rng.randrange(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path = directory / "workload.yml"
    path.write_bytes(data)
    load_workload(path)
    return True


def _trace(rng: random.Random, directory: Path) -> bool:
    """Text or bytes as a trace file."""
    path = directory / "trace.txt"
    kind = rng.randrange(4)
    if kind == 0:
        path.write_bytes(rng.randbytes(rng.randrange(300)))
    elif kind == 1:
        rows = [
            ",".join(_text(rng)[:20] for _ in range(rng.randrange(1, 5)))
            for _ in range(rng.randrange(6))
        ]
        path.write_text("\n".join(["cpu,op,address", *rows]), errors="replace")
    elif kind == 2:
        rows = [
            f"{rng.choice((' L', ' S', 'I ', ' M', '==', ' X'))} {rng.choice(('10', 'zz', ''))},"
            f"{rng.choice(('8', '-1', '', '99999'))}"
            for _ in range(rng.randrange(8))
        ]
        path.write_text("\n".join(rows))
    else:
        stream = io.BytesIO()
        np.save(stream, np.arange(20, dtype=rng.choice(("u8", "i8", "f8", "u2", "c8"))))
        data = bytearray(stream.getvalue())
        data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data) + 1)])
    read_trace(path)
    return True


def _parquet(rng: random.Random, directory: Path) -> bool:
    """A Parquet file of some columns, whole or damaged."""
    stream = io.BytesIO()
    columns = {"cpu": [0, 1], "op": ["R", rng.choice(("W", "A", "?", None))], "address": [64, 128]}
    columns[rng.choice((*columns, "size", "x"))] = [rng.choice(_VALUES[:8]), 1]
    try:
        pd.DataFrame(columns).to_parquet(stream)
    except (ValueError, TypeError, OverflowError):
        return False
    data = bytearray(stream.getvalue())
    if rng.random() < 0.7:
        data[rng.randrange(len(data))] = rng.randrange(256)
    path = directory / "trace.parquet"
    path.write_bytes(data)
    read_trace(path)
    return True


_PIECES: tuple[str, ...] = (
    "designs", "machines", "trace", "replay", "mail", "misuse", "simulate", "upkeep", "report",
    "validate", "attribute", "--json", "--list", "--design", "idr", "--machine", "zen5-vm", "-p",
    "n_keys=x", "seed=-1", "lookups=1e1", "--preset", "fast", "--out", "/dev/full", "/dev/zero",
    "--kernel", "5.0", "--workers", "0", "published", "--x", "1,a", "--caches", "L1:1TiB/1024",
    "--tlb", "L1:1000000000/4", "--version", "--help", "no-such.yml", "--seed", "9" * 30,
)  # fmt: skip


def _command_line(rng: random.Random, directory: Path) -> bool:
    """Words in any order; those that would simulate or build a report are made to fail first."""
    words = [
        rng.choice(_PIECES) if rng.random() < 0.8 else _text(rng) for _ in range(rng.randrange(6))
    ]
    verb = words[0] if words else ""
    if verb in ("simulate", "upkeep", "attribute", "misuse"):
        words += ["--design", "no-such-design"]
    elif verb in ("report", "mail"):
        words += ["--preset", "no-such-preset"]
    elif verb == "notebooks":
        words += ["--out", "/dev/full/x"]
    elif verb == "trace":
        words += ["--no-cycles"]
    elif verb in ("validate", "warm", "sweep", "compare", "recommend", "explore", "measure"):
        words += ["--no-such-option"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([word.replace("\0", "") for word in words])
        except SystemExit as leaving:
            status = int(leaving.code or 0)
    text = err.getvalue()
    if status not in (0, 1, 2) or (status and text.count("\n") != 1) or len(text) > 530:
        raise AssertionError(f"status {status} for {words}: {text[:200]}")
    return status == 0


DOORS: dict[str, Callable[[random.Random, Path], bool]] = {
    "machine files, text": _machine_file,
    "machine files, values": _machine_value,
    "-p of the command line": _given,
    "notebook parameters": _notebook,
    "workload values": _workload,
    "workload files": _workload_file,
    "trace files": _trace,
    "Parquet files": _parquet,
    "command lines": _command_line,
}

INPUTS = {
    "machine files, text": 5000,
    "machine files, values": 2000,
    "-p of the command line": 40_000,
    "notebook parameters": 30_000,
    "workload values": 13_000,
    "workload files": 2000,
    "trace files": 6000,
    "Parquet files": 1000,
    "command lines": 1000,
}
"""100,000 in all."""
