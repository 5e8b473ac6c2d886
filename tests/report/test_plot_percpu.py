"""Figures and sentences of counter layouts, on made-up costs."""

from __future__ import annotations

import pandas as pd
import pytest

from cgsim.errors import UserError
from cgsim.report import plot_percpu as plots

COSTS = pd.DataFrame(
    [
        {"layout": layout, "cpus": cpus, "ns": ns * cpus**slope, "read_ns": 2.0 * cpus}
        for layout, ns, slope in (("shared", 4.0, 1), ("percpu", 2.0, 0))
        for cpus in (1, 8)
    ]
)


def test_costs_are_drawn_twice_log_and_linear() -> None:
    left, right = plots.by_cpus(COSTS, "ns", column="read_ns").axes
    assert [left.get_xscale(), left.get_yscale(), right.get_yscale()] == ["log", "log", "linear"]
    assert [list(line.get_ydata()) for line in right.lines] == [[2.0, 16.0]] * 2


def test_sentences_name_the_ends() -> None:
    assert plots.winner_sentence(COSTS) == (
        "On 8 CPUs an update costs 2 ns with percpu and 32 ns with shared, 16 times as much."
    )
    assert plots.read_sentence(COSTS, "read_ns", "a read").startswith("With 8 copies a read takes")
    assert "shared 4 ns at 1 and 32 ns at 8" in plots.alt(COSTS, "Cost")


def test_winners_are_named_with_who_is_level() -> None:
    rows = [
        {"layout": name, "cpus": 4, "reads": reads, "ns": ns}
        for reads, costs in ((0, (10.0, 10.5, 20.0)), (256, (30.0, 10.0, 9.99)))
        for name, ns in zip("abc", costs, strict=True)
    ]
    assert plots.winners(pd.DataFrame(rows)) == [
        ("0.00%", "a, b: 10 ns"),
        ("25.00%", "c, b: 9.99 ns"),
    ]


def test_memory_is_drawn_against_cpus_and_against_cgroups() -> None:
    frame = pd.DataFrame(
        [
            {"layout": "percpu", "possible": n, "cgroups": c, "bytes": 8 * n, "total_bytes": n * c}
            for n in (1, 64)
            for c in (1, 100)
        ]
    )
    left, right = plots.memory(frame).axes
    assert list(left.lines[0].get_ydata()) == [8, 512]
    assert list(right.lines[0].get_xdata()) == [1, 100]
    assert list(right.lines[0].get_ydata()) == [64 / 2**20, 6400 / 2**20]


def test_skew_and_losses() -> None:
    frame = pd.DataFrame({"layout": ["a", "a"], "zipf": [0.0, 1.0], "ns": [1.0, 2.0]})
    assert list(plots.skew(frame).axes[0].lines[0].get_xdata()) == [0.0, 1.0]
    lost = pd.DataFrame(
        [{"layout": "a", "ns": 1.0, "moves": 2, "interrupts": 3, "lost": 5, "updates": 100}]
    )
    assert plots.lost_rows(lost) == [("a", "2", "3", "5 (5.0%)")]


def test_lines_and_sets_show_who_shares() -> None:
    figure = plots.lines_and_sets([("packed", 0, 8), ("apart", 0, 64)], 16, 64)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [8] * 16
    assert plots.used_sets(0, 64, 16, 64) == 16
    assert plots.used_sets(0, 256 << 10, 16, 64) == 1
    with pytest.raises(UserError, match="no layouts"):
        plots.lines_and_sets([], 16, 64)
