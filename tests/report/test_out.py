"""Where a report is written to: links, odd names, the same bytes each time."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cgsim.report import manifest
from cgsim.report.build import build_report

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
# %% [markdown]
# # Quick & odd
#
# One cell.

# %%
1 + 1
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A notebook whose name means something in a URL."""
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "01_a#b c%.py").write_text(SOURCE)
    return directory


def digests(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.glob("*.html")
    }


def test_odd_places_and_same_bytes(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Braces, blanks and a link in the way; SOURCE_DATE_EPOCH makes pages equal byte for byte."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    real, link = tmp_path / "a {preset} [b]*", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    once = build_report(link, notebooks=sources, warm=False, mail=False)
    first = digests(real)
    assert once.directory == link
    assert link.is_symlink()
    assert set(first) == {"01_a#b c%.html", "index.html"}
    page = (real / "index.html").read_text()
    assert 'href="01_a%23b%20c%25.html"' in page
    assert "2023-11-14 22:13:20 UTC" in page
    build_report(link, notebooks=sources, warm=False, mail=False)
    assert digests(real) == first


def test_a_senseless_date_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH = 'yesterday'"):
        manifest.now()


def test_inputs_below_a_hidden_directory_are_found(root: Path, tmp_path: Path) -> None:
    """Only what is hidden within data/ is left out, wherever the checkout lies."""
    data = tmp_path / ".cache" / "checkout" / "data"
    shutil.copytree(root / "data" / "machines", data / "machines")
    (data / ".hidden.yml").write_text("a: 1")
    found = {item["path"] for item in manifest.inputs(data)}
    assert "machines/zen5-vm.yml" in found
    assert ".hidden.yml" not in found


@pytest.mark.parametrize("verb", ["report", "notebooks --out new"])
def test_what_is_not_installed_is_named(verb: str, tmp_path: Path) -> None:
    """As with a plain wheel, without the packages of the extra `report`."""
    code = (
        "import sys\n"
        "for name in ('jupytext', 'nbformat', 'papermill', 'nbconvert'): sys.modules[name] = None\n"
        f"from cgsim.cli import main\nsys.exit(main({verb.split()!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert said[-1] == "cgsim: error: jupytext is not installed: pip install 'cgsim[report]'"
    assert len(said) == (2 if verb == "report" else 1)


def test_make_clean_removes_only_what_cgsim_wrote(root: Path, tmp_path: Path) -> None:
    """Whatever directory OUT names."""
    from cgsim.report import publish
    from cgsim.report.clean import clean

    other, out = tmp_path / "home", tmp_path / "out"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with publish.unfinished(out) as aside:
        (aside / "index.html").write_text("page")
        publish.place(aside, {"tool": "cgsim"}, out)
    (out / "notes.txt").write_text("mine")
    left = clean([other, out, tmp_path / "none"], notebooks=None)
    assert left == [other / "thesis.txt", out / "notes.txt"]
    assert "rm -rf $(OUT)" not in (root / "Makefile").read_text()
