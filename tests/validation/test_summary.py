"""The summary of all families, and a reader's own benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cgsim.cli.command_line import run
from cgsim.errors import UserError
from cgsim.validation import measured_file
from cgsim.validation import summary as module
from cgsim.validation.measured_file import read_measured, validate_measured
from cgsim.validation.summary import BOUNDS, cause_of, host_rows, load_rows, summary, worst

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


def test_every_family_has_a_cause() -> None:
    assert all(cause_of(name, "anything") for name in BOUNDS)
    assert "at random" in cause_of("scale", "1000 cgroups, polluted")


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
