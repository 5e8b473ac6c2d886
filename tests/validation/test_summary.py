"""The summary of all families, and a reader's own benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cgsim.cli.command_line import run
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.validation import measured_file
from cgsim.validation import summary as module
from cgsim.validation.measured_file import read_measured, validate_measured
from cgsim.validation.summary import (
    BOUNDS,
    cause_of,
    host_rows,
    host_sentence,
    kept_sentence,
    load_rows,
    summary,
    worst,
)

EXAMPLE = Path(__file__).parents[2] / "docs" / "local-storage.txt"


def rows(*figures: tuple[float, float], family: str = "scale") -> pd.DataFrame:
    """Rows under the same conditions: (measured, predicted)."""
    frame = pd.DataFrame(
        {
            "family": family, "group": "g", "name": [f"n{i}" for i in range(len(figures))],
            "conditions": "1 cgroup", "measured": [m for m, _ in figures],
            "predicted": [p for _, p in figures], "unit": "ns",
        }
    )  # fmt: skip
    return frame.assign(error=frame["predicted"] / frame["measured"] - 1)


def test_a_family_is_summed_up() -> None:
    found = summary(rows((10, 10.5), (20, 19), (21, 19.5), (40, 80))).iloc[0]
    assert (found["n"], found["pairs"], found["ordered"]) == (4, 5, 1.0)
    assert found["median"] == pytest.approx(0.0607, abs=1e-3)
    assert not found["within"]  # the 90th percentile is 0.72
    assert summary(rows((10, 10.5), (20, 19))).iloc[0]["within"]


def test_pairs_in_the_wrong_order_break_a_bound() -> None:
    found = summary(rows((10.0, 10.7), (11.5, 10.6))).iloc[0]
    assert found["median"] < BOUNDS["scale"].median * 1.1
    assert (found["pairs"], found["ordered"]) == (1, 0.0)
    assert not found["within"]


def test_the_worst_rows_are_far_off_in_either_direction() -> None:
    far = worst(rows((10, 10), (10, 40), (10, 2), (10, 11)), 2)
    assert list(far["predicted"]) == [2, 40]
    assert all(far["cause"])


@pytest.mark.parametrize(
    ("family", "name", "conditions", "ratio", "said"),
    [
        ("scale", "arr", "1 cgroups, huge pages, polluted, 2097152 bytes read between", 4.0,
         "at random"),
        ("scale", "arr", "1 cgroups, huge pages, polluted, 0 bytes read between", 4.0, "not known"),
        ("scale", "arr", "1 cgroups, huge pages, polluted, 2097152 bytes read between", 0.5,
         "not known"),
        ("scale", "idr1", "100000 cgroups, huge pages, serialized", 1.7, "may share the L3"),
        ("kernel-cycles", "radix/depth=4", "7.3.4, throughput", 1.4, "may overlap"),
        ("kernel-cycles", "radix/depth=4", "7.3.4, throughput", 0.7, "not known"),
        ("published", "lookups, 448 readers", "an 8-socket machine", 2.0, "not known"),
        ("host", "list", "100000 cgroups, 8 keys, dependent, bare", 0.1, "may have taken the L3"),
        ("host", "list", "100000 cgroups, 8 keys, dependent, bare", 10.0, "not known"),
    ],
)  # fmt: skip
def test_a_cause_is_named_only_where_it_can_be_one(
    family: str, name: str, conditions: str, ratio: float, said: str
) -> None:
    assert said in cause_of(module._Row(family, "g", name, conditions, ratio))


def test_lines_are_forgotten_only_by_a_level_that_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    row = module._Row("scale", "polluted", "arr", "1 cgroups, 2097152 bytes read between", 4.0)
    assert "at random" in cause_of(row)
    monkeypatch.setattr(module, "load_machine", lambda name: load_machine("skylake-sp"))
    assert {level.replacement for level in load_machine("skylake-sp").caches} == {"lru"}
    assert cause_of(row) == module.NOT_KNOWN


def test_a_bound_that_is_missed_is_said_with_its_limit() -> None:
    assert kept_sentence(summary(rows((10, 10), (20, 20)))) == ("All 1 families keep their bounds.")
    said = kept_sentence(summary(rows((10, 20), (20, 40))))
    assert said.startswith("1 of 1 families miss a bound")
    assert "scale (median 100 %, not <= 7 %; 90th percentile 100 %, not <= 20 %)" in said


def test_how_busy_the_host_was_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame(
        {
            "stable": [True, False, False],
            "host": [f"load average {load} on 2 CPUs" for load in (0.5, 9.1, 3.0)],
        }
    )
    monkeypatch.setattr(module, "_host", lambda: frame)
    assert "3 rows 2 are not stable" in host_sentence()
    assert host_sentence().endswith(
        "0.5 to 9.1 on 2 CPUs, so that their errors are those of a busy host too."
    )
    frame["host"] = "load average 1.0 on 2 CPUs"
    assert host_sentence().endswith("load average of 1 to 1 on 2 CPUs.")


def test_the_stored_rows_are_of_all_families() -> None:
    stored = load_rows()
    assert set(stored["family"]) == set(BOUNDS)
    assert (stored[["measured", "predicted"]] > 0).all().all()


def test_the_verb_tells_by_its_status_whether_bounds_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "load_rows", lambda: rows((10, 10), (20, 20)))
    assert run(["validate"]) == 0
    monkeypatch.setattr(module, "load_rows", lambda: rows((10, 30), (20, 20)))
    capsys.readouterr()
    assert run(["validate", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["families"][0]["within"] is False
    assert found["worst"][0]["cause"]


def test_rows_of_the_host_keep_their_conditions_apart() -> None:
    frame = pd.DataFrame(
        {
            "design": ["idr", "idr"], "n_cgroups": [1, 1], "n_keys": [8, 8],
            "mode": ["dependent"] * 2, "caller": ["bare", "driver"], "ns": [5.0, 6.0],
            "predicted_ns": [5.0, 6.0],
        }
    )  # fmt: skip
    assert host_rows(frame)["conditions"].nunique() == 2


def test_the_example_is_read() -> None:
    found = read_measured(EXAMPLE)
    assert len(found) == 10
    first = found.iloc[0]
    assert (first["case"], first["x"], first["measured"]) == (
        "hashmap control sequential get", 10, 47.847,
    )  # fmt: skip
    assert found["case"].nunique() == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", "no line of the local-storage benchmark"),
        ("local_storage cache sequential get: hits latency: 2.5 ns/op\n", "line 1: .* of None"),
        ("num_maps: 0\nlocal_storage cache sequential get: hits latency: 2 ns/op\n", "of 0 maps"),
    ],
)
def test_a_file_without_figures_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "measured.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_measured(path)


def test_a_file_is_predicted_on_a_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = dict(zip(read_measured(EXAMPLE)["measured"], range(99), strict=False))
    assert len(known) == 10
    monkeypatch.setattr(measured_file, "predict_local_storage", lambda machine, case, x: 50.0)
    found = validate_measured(EXAMPLE, "skylake-20c")
    assert found["error"].iloc[0] == pytest.approx(50 / 47.847 - 1)
    assert run(["validate", "--measured", str(EXAMPLE), "--machine", "skylake-20c"]) == 1
    assert "bound 12%, 35%" in capsys.readouterr().out
    assert run(["validate", "--measured", str(EXAMPLE)]) == 2
    assert run(["validate", "published", "--measured", str(EXAMPLE)]) == 2
