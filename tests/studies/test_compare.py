"""Two runs side by side, and figures of one's own frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim.cli import main
from cgsim.errors import UserError


def run(
    machine: str, shift: float = 0.0, designs: tuple[str, ...] = ("list", "table")
) -> pd.DataFrame:
    """A made-up run: noise that seeds share, so that only pairs show a small difference."""
    rows = [
        {
            "design": design, "machine": machine, "kernel": "7.3.4", "workload": "network",
            "n_cgroups": 10, "n_keys": n_keys, "mode": "workload", "footprint_bytes": 0,
            "replicate": seed, "seed": seed, "lookups": 100,
            "ns": 20 + 10 * np.sin(seed) + n_keys + shift * (design == "list"),
        }
        for design in designs
        for n_keys in (2, 5)
        for seed in range(6)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_pairs_show_what_means_hide() -> None:
    """A shift far below the spread is found, in the design that has it alone."""
    table = cgsim.compare(run("a"), run("b", 0.5))
    assert table.set_index(["design", "n_keys"])["verdict"].to_dict() == {
        ("list", 2): "first", ("list", 5): "first", ("table", 2): "level", ("table", 5): "level",
    }  # fmt: skip
    assert table["difference"].tolist() == pytest.approx([0.5, 0.5, 0, 0])
    assert table.attrs["differs"] == {"machine": ["a", "b"]}
    assert (table["replicates"] == 6).all()


def test_noise_is_undecided() -> None:
    """An order is claimed only where the interval allows it."""
    second = run("a")
    second["ns"] += 3 * np.cos(7 * np.arange(len(second)))
    assert "undecided" in set(cgsim.compare(run("a"), second)["verdict"])


def test_what_only_one_has_is_counted() -> None:
    """And nothing in common is an error."""
    table = cgsim.compare(run("a"), run("a", designs=("list", "hash")))
    assert table.attrs["only_first"] == table.attrs["only_second"] == 2
    with pytest.raises(UserError, match="no point in common"):
        cgsim.compare(run("a", designs=("list",)), run("a", designs=("hash",)))


def test_command_line_compares_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two kernels' runs, from their directories."""
    study = {
        "designs": ["list"], "workload": "network", "factors": {"n_keys": [2]}, "lookups": 20,
        "n_cgroups": 40, "replicates": 3,
    }  # fmt: skip
    for kernel in ("6.12.117", "7.3.4"):
        cgsim.sweep(study | {"kernel": kernel}, out=tmp_path / kernel, workers=1, progress=False)
    assert main(["compare", str(tmp_path / "6.12.117"), str(tmp_path / "7.3.4")]) == 0
    text = capsys.readouterr().out
    assert "kernel: 6.12.117 -> 7.3.4" in text
    assert "1 points:" in text
    assert main(["compare", str(tmp_path / "none"), str(tmp_path / "7.3.4")]) == 2


def test_figures_of_a_frame(tmp_path: Path) -> None:
    """The curves of a frame as a PDF; what cannot be drawn is said."""
    frame = run("a")
    path = tmp_path / "x.pdf"
    cgsim.plot.cost_curves(frame).savefig(path)
    assert path.read_bytes().startswith(b"%PDF")
    with pytest.raises(UserError, match="nothing varies"):
        cgsim.plot.cost_curves(frame[frame["n_keys"] == 2])
    with pytest.raises(UserError, match="machine varies too"):
        cgsim.plot.cost_curves(pd.concat([frame, run("b")]))
