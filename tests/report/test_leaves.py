"""A report leaves frames and figures beside its pages, and gets its points through the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cgsim.report.build import build_report
from cgsim.studies.frames import read_frame

NOTEBOOK = """\
# %% [markdown]
# # Points
#
# A page of two points and a figure.

# %%
import cgsim
from cgsim.report.figure import show
from cgsim.studies.kept import simulate
from cgsim.studies.leave import leave

rows = simulate("list", "zen5-vm", "network", lookups=20, n_cgroups=40, replicates=2)
show(cgsim.plot.workload_bars(leave(rows, "rows", lookups=20)), "bars")
"""


def test_report_leaves_data_and_computes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are named in the manifest; the second report finds all points."""
    monkeypatch.setenv("CGSIM_STORE", str(tmp_path / "points"))
    sources = tmp_path / "notebooks"
    sources.mkdir()
    (sources / "01_points.py").write_text(NOTEBOOK)
    out = tmp_path / "out"
    for counts in ({"computed": 2, "found": 0}, {"computed": 0, "found": 2}):
        build_report(out, notebooks=sources, warm=False, mail=False)
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["points"] == counts
        left = {"01_points.rows.parquet", "01_points.figure.svg", "01_points.figure.pdf"}
        assert left <= set(manifest["files"])
    frame = read_frame(out / "01_points.rows.parquet")
    assert frame["replicate"].tolist() == [0, 1]
    assert frame.attrs["parameters"] == {"lookups": 20}
    assert (out / "01_points.figure.pdf").read_bytes().startswith(b"%PDF")
