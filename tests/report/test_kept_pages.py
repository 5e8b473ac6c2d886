"""A report keeps the pages of the one before that nothing has changed for, and makes all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cgsim.report import build, kept_pages
from cgsim.report.notebooks import find_notebooks

SOURCE = """\
# %% [markdown]
# # A page
#
# Of one text.

# %% tags=["parameters"]
word: str = "a"  # shown

# %%
print(word)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two notebooks that stand for the package's own."""
    directory = tmp_path / "notebooks"
    directory.mkdir()
    for name in ("01_one", "02_two"):
        (directory / f"{name}.py").write_text(SOURCE)
    monkeypatch.setattr(build, "notebooks_directory", lambda: directory)
    return directory


def report(out: Path, **parameters: str) -> dict[str, Any]:
    """Build; the manifest."""
    given = {key.replace("__", "."): value for key, value in parameters.items()}
    build.build_report(out, parameters=given, warm=False, mail=False)
    return json.loads((out / "manifest.json").read_text())


def test_only_what_changed_is_made_again(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A parameter, a source, a file that is gone: the page that it is about, and no other."""
    out = tmp_path / "out"
    ran: list[list[str]] = []
    run_all = build.nb.run_all
    monkeypatch.setattr(
        build.nb,
        "run_all",
        lambda jobs, *rest: ran.append([job.name for job in jobs]) or run_all(jobs, *rest),
    )
    first = report(out)
    pages = {name: (out / f"{name}.html").read_bytes() for name in first["notebooks"]}
    again = report(out)
    assert again["notebooks"] == first["notebooks"]
    assert {name: (out / f"{name}.html").read_bytes() for name in pages} == pages
    assert "02_two                     kept" in capfd.readouterr().err
    changed = report(out, **{"02__word": "b"})
    assert changed["notebooks"]["02_two"]["parameters"] == {"word": "b"}
    assert changed["notebooks"]["01_one"] == first["notebooks"]["01_one"]
    (own / "01_one.py").write_text(SOURCE + "print(2)\n")
    report(out, **{"02__word": "b"})
    (out / "02_two.html").unlink()
    report(out, **{"02__word": "b"})
    assert (out / "02_two.html").exists()
    assert ran == [["01_one", "02_two"], [], ["02_two"], ["01_one"], ["02_two"]]


def test_what_a_page_is_made_from(own: Path, tmp_path: Path) -> None:
    """Each part counts; with a file among the parameters it cannot be told."""
    notebook = find_notebooks(own)[0]
    common = {"git": {"commit": "1", "dirty": False}, "package": "x", "data": [["a.yml", "0"]]}
    digests = {kept_pages.made_from(notebook, {"word": "a"}, common)}
    for change in ({"git": {"commit": "2", "dirty": False}}, {"package": "y"}, {"data": []}):
        digests.add(kept_pages.made_from(notebook, {"word": "a"}, common | change))
    digests.add(kept_pages.made_from(notebook, {"word": "b"}, common))
    assert len(digests) == 5
    file = tmp_path / "machine.yml"
    file.touch()
    assert kept_pages.made_from(notebook, {"designs": ["list", str(file)]}, common) == ""


def test_notebooks_of_the_users_own_always_run(own: Path, tmp_path: Path) -> None:
    """They may read what cgsim knows nothing of."""
    other = tmp_path / "mine"
    other.mkdir()
    (other / "01_one.py").write_text(SOURCE)
    build.build_report(tmp_path / "out", notebooks=other, warm=False, mail=False)
    entry = json.loads((tmp_path / "out" / "manifest.json").read_text())["notebooks"]["01_one"]
    assert entry["made_from"] == ""
