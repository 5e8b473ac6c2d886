"""What pages say of themselves: code in descriptions, their machine, the state they are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgsim import provenance
from cgsim.report import build
from cgsim.report.html import Heading
from cgsim.report.index import PageLink, render_index


def test_backticks_on_the_front_page_are_code() -> None:
    heading = Heading("", "full", "unknown", "2026-01-01", "0.1.0", "")
    pages = [
        PageLink("01_a.html", "A page", "`docs/MODEL.md` says <b>, not `"),
    ]
    page = render_index(heading, pages, None, [], "cgsim report")
    assert "<code>docs/MODEL.md</code> says &lt;b&gt;, not `" in page


def test_a_page_says_its_machine_and_those_of_others() -> None:
    machines = {"01_a": "zen5-vm", "02_b": "zen5-vm", "03_c": "xeon-8176-8s", "04_d": "zen4-genoa"}
    assert build.machine_line("01_a", machines) == (
        "Machine of this page: zen5-vm; of others: xeon-8176-8s (03), zen4-genoa (04)"
    )
    assert build.machine_line("01_a", {"01_a": "zen5-vm"}) == "Machine of this page: zen5-vm"
    assert build.machine_line("07_e", machines) == ""


def test_the_hash_of_the_package_follows_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    (tmp_path / "a.py").write_text("1")
    first = provenance.package_hash()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert provenance.package_hash() == first
    (tmp_path / "a.py").write_text("2")
    assert provenance.package_hash() != first
