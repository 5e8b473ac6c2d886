"""Winners with ties, borders, sensitivity, stopping: on small studies that run in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim.errors import UserError
from cgsim.experiments.model_error import family_of
from cgsim.studies import flips, sensitivity
from cgsim.studies.sampling import draw, read_sample
from cgsim.studies.statistics import interval, paired
from cgsim.studies.winners import winners


def made_up(points: list[dict[str, int]], cost: dict[str, object]) -> pd.DataFrame:
    """Rows of a study with known costs: design -> function of a point."""
    rows = [
        {"point": number, "design": name, "seed": seed, "ns": of(point) + 0.1 * seed}  # type: ignore
        for number, point in enumerate(points)
        for name, of in cost.items()
        for seed in range(4)
    ]
    return pd.DataFrame(rows)


COST = {
    "list": lambda point: 10.0 + point["n_keys"],
    "table": lambda point: 50.0,
    "idr": lambda point: 50.5,
}


def test_ties_are_ties() -> None:
    """Within the level none wins; behind it, one does."""
    points = [{"n_keys": 1}, {"n_keys": 100}]
    found = winners(made_up(points, COST), ["point"])
    assert found["winner"].tolist() == ["list", ""]
    assert found["tied"].tolist() == ["list", "table, idr"]
    assert found["runner_up"].tolist() == ["table", "idr"]
    assert found["margin"].tolist() == pytest.approx([50.15 / 11.15 - 1, 50.65 / 50.15 - 1])


def test_border_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly, with few points: list is tied with the table up to 42 keys, 5 % above it."""
    asked: list[int] = []

    def sweep(study: dict, **_: object) -> pd.DataFrame:
        asked.extend(point["n_keys"] for point in study["points"])
        return made_up(study["points"], COST)

    monkeypatch.setattr(flips, "sweep", sweep)
    table = flips.find_flips(
        {"designs": list(COST), "factors": {"n_cgroups": [10, 20]}}, "n_keys", low=1, high=1000,
        closeness=0.0, rounds=12,
    )  # fmt: skip
    assert len(table) == 2
    last = table[table["n_cgroups"] == 10].iloc[-1]
    assert (last["below"], last["above"]) == (42, 43)
    assert last["winner_below"] == "list"
    assert last["winner_above"] == "idr, table"
    assert len(asked) < 120
    assert len(asked) == len(set(asked)) * 2


def test_intervals() -> None:
    """Student's t for few values, bootstrap for many: each holds the mean of normal values."""
    rng = np.random.default_rng(3)
    for size, least in ((5, 0.88), (20, 0.85)):
        inside = 0
        for _ in range(120):
            low, high = interval(rng.normal(7.0, 2.0, size))
            inside += low <= 7.0 <= high
        assert inside / 120 > least
    assert interval(np.array([2.0, 2.0, 2.0])) == (2.0, 2.0)
    assert paired(np.array([1.0]), np.array([2.0])).verdict == "undecided"


@pytest.mark.parametrize("method", ["sobol", "latin"])
def test_samples_lie_within_their_ranges(method: str) -> None:
    """Whole where the bounds are, the same for the same seed, each choice as often."""
    factors = {
        "n_keys": {"low": 1, "high": 64, "scale": "log"},
        "machine.memory.local_ns": {"low": 80.0, "high": 120.0},
        "kernel": ["6.12.117", "7.3.4"],
    }
    sample = read_sample({"method": method, "points": 64, "seed": 3}, factors, "study")
    assert sample is not None
    points = draw(sample, factors)
    assert points == draw(sample, factors)
    keys = [point["n_keys"] for point in points]
    assert all(isinstance(key, int) and 1 <= key <= 64 for key in keys)
    assert min(keys) < 3
    assert max(keys) > 40
    assert all(80 <= point["machine.memory.local_ns"] <= 120 for point in points)
    assert sum(point["kernel"] == "7.3.4" for point in points) == 32


def test_sample_of_a_study(tmp_path: Path) -> None:
    """A sampled machine value changes the cost, and is a column."""
    study = {
        "designs": ["list"], "workload": "alone", "n_cgroups": 40_000, "lookups": 200,
        "mode": "dependent", "replicates": 1, "sample": {"method": "latin", "points": 4},
        "factors": {"machine.memory.local_ns": {"low": 50.0, "high": 500.0}},
    }  # fmt: skip
    frame = cgsim.sweep(study, store=tmp_path, workers=1, progress=False)
    by_latency = frame.sort_values("machine.memory.local_ns")
    assert len(frame) == 4
    assert by_latency["ns"].is_monotonic_increasing
    assert by_latency["ns"].nunique() == 4


def test_sensitivity_names_what_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cost that hangs on one factor, that one has all of it."""

    def sweep(study: dict, **_: object) -> pd.DataFrame:
        return made_up(study["points"], {"list": lambda point: 100.0 * point["n_keys"]})

    monkeypatch.setattr(sensitivity, "sweep", sweep)
    study = {"factors": {"n_cgroups": {"low": 1, "high": 9}, "n_keys": {"low": 1, "high": 64}}}
    for method, column, samples in (("sobol", "total", 128), ("morris", "mu_star", 8)):
        table = sensitivity.sensitivity(study, "list", method=method, samples=samples)
        assert table["factor"].tolist() == ["n_keys", "n_cgroups"]
        assert table[column].iloc[1] == pytest.approx(0, abs=0.01)
    with pytest.raises(UserError, match="a power of two"):
        sensitivity.sensitivity(study, "list", samples=12)


def test_stopping_adds_replicates_where_they_are_needed(tmp_path: Path) -> None:
    """Until the interval is narrow, or there are as many as allowed, or the budget is spent."""
    study = {
        "designs": ["list"], "workload": "network", "lookups": 20, "replicates": 2,
        "factors": {"n_keys": [2, 5]}, "n_cgroups": 40,
    }  # fmt: skip
    options = {"store": tmp_path, "workers": 1, "progress": False}
    wide = cgsim.sweep(study | {"stop": {"width": 0.9}}, **options)
    assert len(wide) < 24
    most = cgsim.sweep(study | {"stop": {"width": 1e-9, "most_replicates": 6}}, **options)
    assert most.groupby("point").size().tolist() == [6, 6]
    spent = cgsim.sweep(study | {"stop": {"width": 1e-9, "budget": 7}}, **options)
    assert spent.groupby("point").size().tolist() == [4, 2]


def test_other_studies_run(tmp_path: Path) -> None:
    """Layouts over CPUs; a footprint; CPUs and machines; upkeep."""
    options = {"store": tmp_path, "workers": 1, "progress": False}
    layouts = cgsim.sweep(
        {"layouts": ["shared-atomic", "percpu"], "factors": {"cpus": [1, 2]}, "replicates": 1,
         "updates": 32},
        **options,
    )  # fmt: skip
    assert layouts[["cpus", "layout"]].to_numpy().tolist() == [
        [1, "shared-atomic"], [1, "percpu"], [2, "shared-atomic"], [2, "percpu"],
    ]  # fmt: skip
    cold = cgsim.sweep(
        {"designs": ["list"], "workload": "alone", "factors": {"footprint_bytes": [0, 65536]},
         "machines": ["zen5-vm", "zen4-genoa"], "lookups": 10, "n_cgroups": 20, "replicates": 1},
        **options,
    )  # fmt: skip
    assert cold["footprint_bytes"].tolist() == [0, 65536] * 2
    assert cold["machine"].tolist() == ["zen5-vm"] * 2 + ["zen4-genoa"] * 2
    assert (cold["mode"] == "isolated").all()
    lives = cgsim.sweep(
        {"designs": ["list"], "experiment": "upkeep", "factors": {"n_keys": [2]},
         "n_cgroups": 20, "samples": 2, "replicates": 1},
        **options,
    )  # fmt: skip
    assert "install" in set(lives["operation"])


def test_an_order_is_claimed_only_beyond_the_models_own_error() -> None:
    """Seeds agree on 3 ns of 50; the error of a difference of such lookups is larger than that."""
    frame = made_up([{"n_keys": 1}], {name: COST[name] for name in ("table", "idr")})
    frame.loc[frame["design"] == "idr", "ns"] += 3.0
    assert winners(frame, ["point"])["winner"].tolist() == ["table"]
    for machine in ("zen5-vm", "of-a-file-of-mine"):
        known = frame.assign(machine=machine, mode="dependent", footprint_bytes=0)
        error = family_of(known.assign(machine="zen5-vm").iloc[0]).of_difference(53.5)
        assert error > 3.5
        found = winners(known, ["point"])
        assert (found["winner"].tolist(), found["tied"].tolist()) == ([""], ["table, idr"])


def test_a_design_that_drops_out_of_a_tie_is_named() -> None:
    table = pd.DataFrame()
    table.attrs["points"] = [
        {"n_keys": 8, "n_cgroups": 100, "tied": "direct"},
        {"n_keys": 1, "n_cgroups": 100, "tied": "direct, table"},
    ]
    assert flips.drop_sentence(table, "keys", "n_keys", ["n_cgroups"]) == (
        "n_cgroups 100: with the fewest keys (1) nothing is cheaper than direct, table. Something "
        "is cheaper than table from 8 keys on. Nothing is cheaper than direct anywhere."
    )
