"""The page of designs: what is compared with the recordings, and what its tables say."""

from __future__ import annotations

import copy
import re

import pandas as pd
import pytest

from cgsim.designs import get_design, list_designs
from cgsim.report.design_page import (
    access_table,
    curves_alt,
    design_curves,
    memory_line,
    memory_table,
    misuse_table,
    packet_table,
    recording_of,
    recording_sentence,
    side_by_side,
    upkeep_sentences,
    upkeep_table,
)
from cgsim.report.drawing import short_name
from cgsim.report.figure import to_svg

KERNEL = "7.3.4"


@pytest.mark.parametrize(
    ("design", "scenario"),
    [
        ("list", "list/position=3"),
        ("idr", "idr/depth=2"),
        ("hash", "hash/position=3"),
        ("table", "net-generic"),
        ("subsys", "css"),
        ("storage", "storage/hit"),
        ("cgroup-storage", "direct"),
        ("percpu-htab", "percpu-htab"),
        ("xarray", "xarray/depth=2"),
    ],
)
def test_a_design_finds_its_recording(design: str, scenario: str) -> None:
    found = recording_of(get_design(design), KERNEL)
    assert found is not None
    assert re.fullmatch(scenario.replace("=3", "=[1-3]").replace("=2", "=[1-3]"), found.scenario)
    assert recording_sentence(found).endswith("nothing differs.")
    cells = re.findall(r"<td>(the same|[^<]*)</td></tr>", access_table(found).data)
    assert set(cells) == {"the same"}
    assert len(cells) == len(found.ours["accesses"])


def test_what_was_never_written_has_no_recording() -> None:
    assert recording_of(get_design("direct"), KERNEL) is None
    with_one = [d.name for d in list_designs() if recording_of(d, KERNEL) is not None]
    assert len(with_one) >= 10


def test_a_difference_is_shown() -> None:
    found = recording_of(get_design("list"), KERNEL)
    assert found is not None
    other = copy.deepcopy(found)
    other.ours["accesses"][0]["offset"] += 8
    del other.ours["accesses"][-1]
    text = access_table(other).data
    assert text.count("the same") == len(found.ours["accesses"]) - 2
    assert "different: accesses" in recording_sentence(other)


def curve(design: str, low: float, high: float) -> list[dict[str, object]]:
    """A line of two points."""
    points = ((1, low), (16, high))
    same = {"design": design, "mode": "dependent", "user": "driver"}
    return [same | {"n_keys": n, "ns": ns} for n, ns in points]


def test_curves_show_one_design_among_the_others() -> None:
    frame = pd.DataFrame(curve("list", 5.0, 50.0) + curve("idr", 10.0, 12.0) + curve("x", 0.01, 2))
    panels = (("dependent, by keys", frame, "n_keys", "keys per cgroup"),)
    figure = design_curves(panels, "list", ("dependent", "throughput"))
    grey, black = figure.axes[0].get_lines()
    assert list(black.get_ydata()) == [5.0, 50.0]
    assert len(grey.get_xdata()) == 6, "two designs, each ended by a gap"
    assert [text.get_text() for text in figure.axes[0].texts] == ["5.0", "50.0"]
    assert "5.0 ns at 1 keys per cgroup, 50.0 ns at 16" in curves_alt(
        panels, "list", ("dependent", "throughput")
    )
    assert len(to_svg(figure, light=True)) < 0.6 * len(to_svg(figure))
    assert "keys per cgroup" in to_svg(figure, light=True)


def updates(design: str, ns: float) -> list[dict[str, object]]:
    """Rows as `cgsim.upkeep` gives them."""
    names = ("allocated_bytes", "copied_bytes", "freed_bytes", "waiting_bytes")
    return [
        {"design": design, "operation": operation, "ns": ns, "deferred_ns": 0.0, "locked": 1.0,
         "locks": "cgroup, global:pcpu_lock", "blocks": "updates of the same cgroup",
         "atomics": 0.0, "left": 0.0, "operations": 32.0,
         "evidence": "recorded: idr_alloc" if design == "idr" else "not recorded",
         **dict.fromkeys(names, 64.0)}
        for operation in ("install", "remove", "drop key")
    ]  # fmt: skip


def test_tables_of_updates() -> None:
    frame = pd.DataFrame(updates("list", 8.0) + updates("idr", 250.0))
    one = frame[frame["design"] == "list"]
    text = upkeep_table(one, one).data
    assert "<td>cgroup, pcpu_lock</td>" in text
    assert text.count("<tr>") == 1 + 3
    table = side_by_side(frame, ("install", "create")).data
    assert "<td>list</td><td>(8.0)</td><td>-</td><td>64</td>" in table, "not recorded"
    assert "<td>idr</td><td>250</td><td>-</td><td>64</td>" in table
    first, second, third = upkeep_sentences(frame, grace_ms=20, removals=1000)
    assert "An install takes 1 locked instructions (list) to 1 (idr)" in first
    assert "all cgroups share is taken by none" in first
    assert "recorded code with idr;" in second
    assert "32.9 KiB" in third, "64 bytes, 1000 a second: a page of 507 pointers, and 20 ms"


def test_tables_of_memory_packets_and_mistakes() -> None:
    memory = pd.DataFrame(
        [{"design": "list", "data": "regular", "possible_cpus": 4, "n_keys": 2, "field_bytes": 24,
          "cgroup_bytes": 0.0, "entry_bytes": 64.0, "percpu_bytes": 0.0, "key_bytes": 3.0,
          "fixed_bytes": 0, "total_bytes": 128.0}]
    )  # fmt: skip
    assert "<td>64</td><td>-</td><td>3</td><td>-</td><td>128</td>" in memory_table(memory).data
    assert "64 bytes per entry, 0 per cgroup, 3 per key." in memory_line(memory, "list")
    packets = pd.DataFrame(
        {"way": ["no buffer", "worst"], "ns": [10.0, 11.5], "accesses": [6, 13], "programs": [1, 1]}
    )
    assert "<td>worst</td><td>11.5</td><td>+1.5</td>" in packet_table(packets, packets).data
    same = {"misuse": "first key", "harm": "none", "what_happened": "not 0"}
    mistakes = pd.DataFrame([{"design": name, **same} for name in ("a", "b")])
    assert "<td>not 0</td><td>a, b</td>" in misuse_table(mistakes).data


def test_long_names_are_cut() -> None:
    assert short_name("percpu:current_task") == "current_task"
    assert short_name("bpf_storage_buffer") == "storage_buffer"
    assert len(short_name("a_name_that_would_not_fit")) == 19
