"""Files go into a directory that may hold other people's: nothing foreign is ever lost."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from benchmarks.swap_faults import FAULTS, NEW, OLD, attempts, foreign_lost, prepare, write_report
from cgsim.errors import UserError
from cgsim.report import publish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_call_loses_nothing(fault: str, tmp_path: Path) -> None:
    outcomes = list(attempts(tmp_path / "dir", fault))
    assert len(outcomes) > 20
    assert {outcome[1:] for outcome in outcomes} == {(0, 0, False, 0)}


def test_own_files_are_replaced_and_foreign_ones_stay(tmp_path: Path) -> None:
    target = prepare(tmp_path)
    (target / "a.html").chmod(0o600)
    write_report(target, NEW)
    assert {name: (target / name).read_text() for name in NEW} == NEW
    assert foreign_lost(target) == 0
    assert not (target / "gone.html").exists()
    assert stat.S_IMODE((target / "a.html").stat().st_mode) == 0o600
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((target / "c.html").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("name", ["mail.txt", "a.html", "manifest.json", "c.html"])
def test_what_someone_edited_is_not_overwritten(name: str, tmp_path: Path) -> None:
    target = prepare(tmp_path)
    text = '{"tool": "cgsim", "files": {}}' if name == "manifest.json" else "edited"
    (target / name).write_text(text)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        write_report(target, NEW)
    assert (target / name).read_text() == text
    assert not [entry for entry in target.iterdir() if entry.name.startswith(".cgsim")]


def test_an_edited_file_that_is_no_longer_written_is_kept(tmp_path: Path) -> None:
    target = prepare(tmp_path)
    (target / "gone.html").write_text("edited")
    write_report(target, NEW)
    assert (target / "gone.html").read_text() == "edited"


def test_a_link_under_the_name_of_a_page_is_not_replaced(tmp_path: Path) -> None:
    target = prepare(tmp_path)
    other = tmp_path / "other.txt"
    other.write_text(OLD["a.html"])
    (target / "a.html").unlink()
    (target / "a.html").symlink_to(other)
    with pytest.raises(UserError, match=r"a\.html"):
        write_report(target, NEW)
    assert (target / "a.html").is_symlink()
    assert other.read_text() == OLD["a.html"]


def test_names_in_a_manifest_that_leave_the_directory_are_ignored(tmp_path: Path) -> None:
    target = prepare(tmp_path)
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    import hashlib

    digest = hashlib.sha256(b"mine").hexdigest()
    content = {"tool": "cgsim", "files": {"../outside.txt": digest, "sub/deep.txt": digest}}
    (target / "manifest.json").write_text(publish.seal(content))
    for name in OLD:
        (target / name).unlink()
    write_report(target, NEW)
    assert outside.read_text() == "mine"
    assert foreign_lost(target) == 0


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(UserError, match="holds files but no report"):
        publish.check_free(tmp_path)
    listed = {"tool": "cgsim", "files": ["index.html"]}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    with pytest.raises(UserError, match="holds files but no report"):
        publish.check_free(tmp_path)
    with pytest.raises(UserError, match="is not a directory"):
        publish.check_free(tmp_path / "x")


def test_hidden_directories_of_killed_runs_go_and_no_other(tmp_path: Path) -> None:
    killed, foreign = tmp_path / ".cgsim-unfinished-0", tmp_path / ".cgsim-unfinished-mine"
    killed.mkdir()
    (killed / "written-by-cgsim").touch()
    (killed / "page.html").write_text("x")
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with publish.unfinished(tmp_path) as first:
        assert not killed.exists()
        with publish.unfinished(tmp_path):
            assert first.is_dir()
    assert [entry.name for entry in tmp_path.iterdir()] == [foreign.name]
    assert (foreign / "thesis.txt").read_text() == "mine"


def test_a_directory_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), publish.unfinished(tmp_path / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
