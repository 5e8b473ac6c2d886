"""The small inputs in cases/, each modelled on something that users report: counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cgsim.errors import UserError
from cgsim.trace_replay.replay import replay_file

CASES = Path(__file__).parent / "cases"
MESI = {"caches": "L1:32KiB/4,L2:256KiB/8", "cpus": 3}
SHARING = {"caches": "L1:32KiB/8,L2:1MiB/16", "false_sharing": True}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("stride4k.npy", {"machine": "zen5-vm"}, [(0, 6000), (5400, 600), (0, 600)]),
        ("smt.csv", {"machine": "zen4-genoa", "cpus": 384}, [(3, 1), (0, 1), (0, 1)]),
        ("mesi.csv", MESI, [(1, 8), (5, 3)]),
        ("mesi.csv.gz", MESI, [(1, 8), (5, 3)]),
        ("pandas_filtered.parquet", {}, [(0, 4)]),
        ("kernel_int64.parquet", {}, [(1, 2)]),
        ("int64.npy", {}, [(0, 2)]),
        ("big_endian.npy", {}, [(0, 2)]),
        ("semicolon.csv", {}, [(0, 2)]),
        ("lower_case.csv", {}, [(0, 2)]),
        ("extra_columns.csv", {"columns": "address=address,op=op"}, [(0, 2)]),
        ("dinero.din", {}, [(1, 2)]),
        ("drmemtrace_view.txt", {}, [(1, 1)]),
        ("lackey_sb.txt", {}, [(1, 1)]),
        ("counters_packed.csv", SHARING, [(0, 400), (399, 1)]),
        ("counters_padded.csv", SHARING, [(396, 4), (0, 4)]),
    ],
)
def test_cases(name: str, options: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    given = options if "caches" in options or "machine" in options else {"caches": "L1:32KiB/8"}
    result = replay_file(CASES / name, **{**given, **options})
    assert [(level.hits, level.misses) for level in result.levels] == expected
    if name.startswith("mesi"):
        assert (result.levels[0].invalidations, result.writebacks) == (2, 2)
    if name.startswith("smt"):
        assert [level.misses for level in result.tlb] == [1, 1]
    if result.false_sharing is not None:
        assert result.false_sharing.count == (396 if "packed" in name else 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blank_lines.csv", "blank_lines.csv: line 5: op is 'X'"),
        ("extra_columns.csv", "unknown column 'time'; .*--columns address=addr,op=type"),
    ],
)
def test_refused_cases(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replay_file(CASES / name, "L1:32KiB/8")
