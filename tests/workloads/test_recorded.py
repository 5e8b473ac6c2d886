"""Recorded events: read, refused by row, played, and written from any other workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cgsim.errors import UserError
from cgsim.workloads import Feeds, explain, load_workload
from cgsim.workloads.acts import REACH_MASK, REACHES_AN_EVENT
from cgsim.workloads.export import workload_events
from cgsim.workloads.recorded import EVENT_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    (100, 3, "/a", 0, "packet"),
    (100, 3, "/a", 1, "program"),
    (150, 7, "/b", 0, "packet"),
    (170, 3, "/b", 0, "packet"),
]


def written(tmp_path: Path, rows: list[tuple], name: str = "e.csv") -> Path:
    path = tmp_path / name
    frame = pd.DataFrame(rows, columns=list(EVENT_COLUMNS))
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("name", ["e.csv", "e.parquet"])
def test_a_file_is_played_as_it_was_recorded(tmp_path: Path, name: str) -> None:
    workload = load_workload(written(tmp_path, ROWS, name), cold_lines=5, cold_lines_per_us=100)
    assert (workload.cpus, workload.n_cgroups, workload.n_keys) == (2, 2, 2)
    assert workload.reach == "skb"
    stream = Feeds(workload, 1).take(8)  # four rows of each CPU: the file again from its start
    first = slice(stream.starts[0], stream.starts[0] + 3)
    np.testing.assert_array_equal(stream.column("cgroup")[first], [0, 0, 1])
    np.testing.assert_array_equal(stream.column("key")[first], [0, 1, 0])
    np.testing.assert_array_equal(stream.column("idle_ns")[first], [0, 0, 70])
    np.testing.assert_array_equal(stream.column("cold_lines")[first], [5, 0, 12])
    np.testing.assert_array_equal(stream.column("cgroup")[stream.starts[1] :], [1] * 4)


def changed(row: int, column: str, value: Any) -> list[tuple]:
    frame = pd.DataFrame(ROWS, columns=list(EVENT_COLUMNS)).astype(object)
    frame.loc[row, column] = value
    return [tuple(values) for values in frame.to_numpy()]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (changed(3, "time_ns", 90), ["row 4: time_ns = 90", "row before"]),
        (changed(2, "time_ns", -1), ["row 3: time_ns = -1"]),
        (changed(1, "time_ns", "soon"), ["row 2: time_ns = 'soon'", "whole number"]),
        (changed(0, "cpu", 1.5), ["row 1: cpu = 1.5"]),
        (changed(2, "cgroup", None), ["row 3: cgroup = nan", "an id or a name"]),
        (changed(1, "event", "pakcet"), ["row 2: event = 'pakcet'", "packet, program"]),
        (changed(3, "event", "ioctl"), ["row 4: event = 'ioctl'", "not both"]),
        (changed(2, "event", "program"), ["row 3: event = 'program'", "as a CPU's first"]),
        ([], ["0 events"]),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: list[tuple], words: list[str]) -> None:
    path = written(tmp_path, rows)
    with pytest.raises(UserError) as caught:
        load_workload(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "e.csv" in message
    for word in words:
        assert word in message


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("time_ns,cpu\n1,2\n")
    with pytest.raises(UserError, match="column cgroup is missing"):
        load_workload(path)
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        load_workload(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("network", {"cpus": 3, "n_keys": 3}), ("gpu-server", {"unplugs_per_s": 5, "cpus": 2})],
)
def test_any_workload_can_be_written_and_played(
    tmp_path: Path, name: str, parameters: dict[str, Any]
) -> None:
    frame = workload_events(name, 1200, 5, **parameters)
    assert list(frame) == list(EVENT_COLUMNS)
    assert frame["time_ns"].is_monotonic_increasing
    path = tmp_path / "out.parquet"
    frame.to_parquet(path, index=False)
    recorded = Feeds(load_workload(path), 1).take(1200)
    made = Feeds(load_workload(name, **parameters), 5).take(1200)
    np.testing.assert_array_equal(recorded.starts, made.starts)
    for column in ("key",):
        np.testing.assert_array_equal(recorded.column(column), made.column(column))
    events = made.column("act") & REACH_MASK >= REACHES_AN_EVENT
    again = recorded.column("act") & REACH_MASK >= REACHES_AN_EVENT
    np.testing.assert_array_equal(again, events)
    # the cgroups are the same but for their numbers
    pairs = set(
        zip(made.column("cgroup").tolist(), recorded.column("cgroup").tolist(), strict=True)
    )
    assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})


def test_the_example_is_what_its_command_writes(root: Path) -> None:
    example = pd.read_csv(root / "data" / "workloads" / "recorded-example.csv")
    frame = workload_events("network", 2000, 1, cpus=2)
    pd.testing.assert_frame_equal(example, frame, check_dtype=False)
    sources = {row.field: row.source for row in explain(load_workload("recorded"))}
    assert sources["events_file"].startswith("assumption")
