"""Lookups over many cgroups, beside what was measured natively."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cgsim import load_machine
from cgsim.cli import main
from cgsim.core.space import Native
from cgsim.kernel import load_kernel
from cgsim.scenarios.play import play_once
from cgsim.validation.scale import accuracy, measured_scale, order_pairs, scale_ids, validate_scale
from cgsim.validation.scale.predict import DISTRIBUTIONS, drawn_order
from cgsim.validation.scale.setups import Workshop, setup_of


def test_every_recorded_id_has_a_setup() -> None:
    assert set(measured_scale()["id"]) <= set(scale_ids())


@pytest.mark.parametrize("name", scale_ids())
def test_lookups_find_what_was_installed(name: str) -> None:
    """Each owner and key has a value of its own, which the call finds (a miss finds none)."""
    prepared = setup_of(name).build(Workshop(name, load_kernel("7.3.4"), 3, "4k", 1))
    space = Native(prepared.heap.mem, prepared.heap.block)
    found = [
        play_once(space, prepared.parameters, int(owner), int(key))
        for owner in prepared.owners
        for key in prepared.keys[:5]
    ]
    if name.startswith("miss"):
        assert set(found) == {0}
    elif name == "pc2":
        # what the root counter holds: every charge so far
        assert found == [1, 2, 3]
    else:
        assert 0 not in found
        assert len(set(found)) == len(found) >= 3


def test_objects_lie_as_recorded() -> None:
    prepared = setup_of("idr1k").build(Workshop("idr1k", load_kernel("7.3.4"), 100, "huge", 1))
    owners = np.sort(prepared.owners)
    assert (owners % 4096 == 0).all()
    # thirteen slabs of eight, next to each other, handed out in random order
    assert owners[-1] - owners[0] < 13 * 32768
    assert (prepared.owners != owners).any()


@pytest.mark.compiled
def test_zipf_prefers_few_and_uniform_none() -> None:
    prepared = setup_of("task").build(Workshop("task", load_kernel("7.3.4"), 1000, "4k", 1))
    shares = {}
    for distribution in DISTRIBUTIONS:
        counts = np.bincount(drawn_order(prepared, 1000, distribution, 1)[:, 0], minlength=1000)
        shares[distribution] = np.sort(counts)[::-1] / counts.sum()
    assert shares["uniform"][0] < 0.002
    # the first of a thousand ranks: 1 / H(1000)
    assert shares["zipf1.0"][0] == pytest.approx(1 / 7.485, rel=0.05)
    assert shares["zipf1.0"][9] == pytest.approx(0.1 / 7.485, rel=0.15)


@pytest.mark.compiled
def test_the_guests_figures_at_100000_cgroups() -> None:
    """Dependent, from the text beside the data: a shared idr 18 ns, one per cgroup 411."""
    shared = validate_scale(["idrg"], [100_000], mode="dependent", pages="4k")
    own = validate_scale(["idr1"], [100_000], mode="dependent", pages="4k")
    assert shared["predicted_ns"][0] == pytest.approx(18, rel=0.15)
    assert own["predicted_ns"][0] == pytest.approx(411, rel=0.15)


@pytest.mark.compiled
def test_a_few_rows_are_near_what_was_measured() -> None:
    frame = validate_scale(["idr1", "list1", "cghitk", "htab"], [1000], pages="4k")
    assert set(frame["mode"]) == {"throughput", "dependent", "serialized"}
    assert accuracy(frame)["median"] < 0.1
    pairs, right = order_pairs(frame)
    assert right >= 0.9 * pairs > 0


@pytest.mark.compiled
def test_a_footprint_makes_lookups_cold() -> None:
    rows = [
        validate_scale(["cghit"], [1], pages="huge", footprint_bytes=size)
        for size in (0, 256 << 10, 40 << 20)
    ]
    costs = [float(row["predicted_ns"][0]) for row in rows]
    assert costs[0] < costs[1] / 2 < costs[2] / 4
    # owner, slot and element come from memory, one after the other
    assert costs[2] > 2 * load_machine("zen5-vm").memory.local_ns


@pytest.mark.compiled
def test_combinations_that_were_not_measured_have_no_value() -> None:
    frame = validate_scale(["arr"], [7], distribution="zipf1.0", pages="4k", mode="throughput")
    assert frame["value"].isna().all()
    assert (frame["predicted_ns"] > 1).all()
    assert list(frame["C"]) == [7]


def test_order_pairs_ignore_ties_and_other_conditions() -> None:
    frame = pd.DataFrame(
        {
            "C": [1, 1, 1, 2],
            "distribution": "uniform",
            "pages": "4k",
            "mode": "throughput",
            "footprint_bytes": 0,
            "value": [10.0, 10.5, 20.0, 1.0],
            "predicted_ns": [11.0, 9.0, 10.0, 5.0],
        }
    )
    assert order_pairs(frame) == (2, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--id idrx", "did you mean"),
        ("--cgroups 0", "cgroups = 0 is not allowed"),
        ("--cgroups 100001", "cgroups = 100001 is not allowed"),
        ("--cgroups many", "--cgroups = 'many' is not allowed"),
        ("--pages 2m", "unknown pages '2m'"),
        ("--mode dependant", "did you mean 'dependent'"),
        ("--distribution zipf", "unknown distribution 'zipf'"),
        ("--footprint -1", "footprint = -1 is not allowed"),
        ("--benchmark perfbook_count", "--benchmark is not allowed"),
    ],
)
def test_bad_options_get_one_clear_line(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "scale", *options.split()]) != 0
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
