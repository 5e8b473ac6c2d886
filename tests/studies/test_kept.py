"""Experiments through the store give what they give without it; and what is left beside a page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import cgsim
from cgsim.studies import identity, kept, leave
from cgsim.studies import tally as tally_file
from cgsim.studies.frames import read_frame
from cgsim.studies.points import make_point

POINT = {"n_keys": 3, "n_cgroups": 40, "lookups": 20, "seed": 5}


@pytest.fixture
def tally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, and the file of the tally."""
    monkeypatch.setenv("CGSIM_STORE", str(tmp_path / "points"))
    monkeypatch.setenv(tally_file.TALLY, str(tmp_path / "tally"))
    return tmp_path / "tally"


def test_frames_are_the_same(tally: Path) -> None:
    """Computed, found, and half of each: bit for bit what the experiment returns."""
    plain = cgsim.simulate("list", "zen5-vm", "network", replicates=4, **POINT)
    for replicates in (2, 4, 4):
        frame = kept.simulate("list", "zen5-vm", "network", replicates=replicates, **POINT)
    pd.testing.assert_frame_equal(frame, plain, check_exact=True)
    assert tally_file.read_tally(tally) == {"computed": 4, "found": 6}
    modes = ("dependent", "throughput")
    plain = cgsim.lookup_cost("list", "zen5-vm", modes=modes, replicates=2, **POINT)
    for _ in range(2):
        frame = kept.lookup_cost("list", "zen5-vm", modes=modes, replicates=2, **POINT)
        pd.testing.assert_frame_equal(frame, plain, check_exact=True)


def test_a_default_given_is_the_same_point() -> None:
    """Saying what goes without saying changes no key."""
    bare = make_point("simulate", {"design": "list", "machine": "zen5-vm", "seed": 1})
    said = make_point(
        "simulate",
        {"design": "list", "machine": "zen5-vm", "seed": 1, "aged": True, "kernel": "7.3.4"},
    )
    assert said == bare
    other = make_point("simulate", {**dict(bare.arguments), "kernel": "6.12.117"})
    assert identity.key_of(other) != identity.key_of(bare)


def test_a_change_of_sources_or_data_changes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file that a result hangs on is in its key; those of other designs are not."""
    point = make_point("simulate", {"design": "list", "machine": "zen5-vm", "seed": 1})
    before = identity.key_of(point)
    files = identity.sources_below("cgsim.experiments.lookups")
    names = {path.name for path in files}
    assert {"lookups.py", "window.py", "population.py", "surroundings.py"} <= names
    assert "idr.py" not in names
    hashes = identity._hash_of

    def changed(wanted: str) -> str:
        def other(path: Path) -> bytes:
            return b"other" if path.name == wanted else hashes(path)

        identity.engine_hash.cache_clear()
        monkeypatch.setattr(identity, "_hash_of", other)
        return identity.key_of(point)

    try:
        for name in ("window.py", "list_walk.py", "offsets.json"):
            assert changed(name) != before, name
        for name in ("idr.py", "mail.py"):
            assert changed(name) == before, name
    finally:
        identity.engine_hash.cache_clear()


def test_a_change_of_a_machine_or_workload_file_changes_the_key(tmp_path: Path, root: Path) -> None:
    """Also while a session goes on; the file's name and place do not matter."""
    keys = set()
    for number, (kind, name) in enumerate([("machine", "zen5-vm"), ("workload", "k8s-node")]):
        text = (root / "data" / f"{kind}s" / f"{name}.yml").read_text()
        own = tmp_path / f"{name}.yml"
        for content in (text, text + "# a remark\n", text):
            own.write_text(content)
            given = {"design": "list", "machine": "zen5-vm", "workload": "network", "seed": number}
            keys.add(identity.key_of(make_point("simulate", given | {kind: str(own)})))
    assert len(keys) == 4


def test_a_store_that_cannot_be_written_is_said_once(
    tally: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything is computed all the same."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CGSIM_STORE", str(tmp_path / "file" / "points"))
    for seed in (1, 2):
        kept.simulate("list", "zen5-vm", "network", replicates=1, **POINT | {"seed": seed})
    assert capsys.readouterr().err.count("points are not kept") == 1
    assert tally_file.read_tally(tally) == {"computed": 2, "found": 0}


def test_frames_left_beside_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file a frame, a second one of a name gets a number; attrs go with it."""
    frame = pd.DataFrame({"ns": [1.5]})
    leave.leave(frame, "by keys", seed=3)
    assert frame.attrs["parameters"] == {"seed": 3}
    assert {"version", "commit"} <= frame.attrs.keys()
    monkeypatch.setenv(leave.DIRECTORY, str(tmp_path))
    monkeypatch.setenv(leave.OWNER, "01_lookup")
    for _ in range(2):
        leave.leave(frame, "by keys", seed=3)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["01_lookup.by-keys-2.parquet", "01_lookup.by-keys.parquet"]
    again = read_frame(tmp_path / names[1])
    assert again.attrs["parameters"] == {"seed": 3}
    assert again["ns"].tolist() == [1.5]
