"""The store: what it keeps, what it refuses, what survives."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cgsim.errors import UserError
from cgsim.studies.points import make_point
from cgsim.studies.store import Result, Store


def results(*seeds: int) -> list[Result]:
    """Results with two rows a point."""
    return [
        Result(
            f"{seed:032x}",
            make_point("simulate", {"design": "list", "seed": seed}),
            [{"ns": seed + 0.5, "mode": mode} for mode in ("a", "b")],
        )
        for seed in seeds
    ]


def keys(*seeds: int) -> list[str]:
    """Their keys."""
    return [result.key for result in results(*seeds)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of six points in three files."""
    store = Store(tmp_path / "store")
    for seeds in ((1, 2), (3, 4), (5, 6)):
        store.add("simulate", results(*seeds))
    return store


def test_rows_come_in_the_order_of_the_keys(store: Store) -> None:
    """Whatever the files' order, here and in a store opened anew."""
    for opened in (store, Store(store.directory)):
        table = opened.table(keys(5, 1, 4))
        assert table["ns"].to_pylist() == [5.5, 5.5, 1.5, 1.5, 4.5, 4.5]
        assert table["mode"].to_pylist() == ["a", "b"] * 3


def test_compaction_keeps_all(store: Store) -> None:
    """Three files become one with the same rows; a point that is in two files stays one."""
    before = store.table(keys(1, 2, 3, 4, 5, 6))
    store.add("simulate", results(6, 2))
    store.compact(at_least=2)
    assert len(store.files) == 1
    again = Store(store.directory)
    assert len(again) == 6
    assert again.table(keys(1, 2, 3, 4, 5, 6)).equals(before)


def test_another_process_compacts_or_empties(store: Store) -> None:
    """What was opened before finds the rows in their new file, and says which have gone."""
    before = store.table(keys(1, 6))
    for _ in range(2):
        Store(store.directory).compact(at_least=2)
        assert store.table(keys(1, 6)).equals(before)
        Store(store.directory).add("simulate", results(7))
    Store(store.directory).compact(at_least=2)
    store.compact(at_least=2)
    assert store.size_bytes > 0
    Store(store.directory).empty()
    with pytest.raises(KeyError):
        store.table(keys(1))


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "bits", "schema", "text"])
def test_a_file_that_is_not_whole_is_named(store: Store, damage: str) -> None:
    """One line with its name; the other files stay as they are."""
    path = store.files[1]
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_bytes(b"not Parquet at all, though longer than a footer\n" * 3)
    elif damage == "foreign":
        pq.write_table(pa.table({"a": [1]}), path)
    elif damage == "schema":
        table = pq.read_table(path)
        mark = b'{"schema": 99, "experiment": "simulate"}'
        pq.write_table(table.replace_schema_metadata({b"cgsim_points": mark}), path)
    else:
        path.write_bytes(content[:30] + bytes([content[30] ^ 1]) + content[31:])
    others = {p: p.read_bytes() for p in store.files if p != path}
    with pytest.raises(UserError) as caught:
        Store(store.directory).table(keys(1, 2, 3, 4, 5, 6))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {p: p.read_bytes() for p in others} == others


def test_what_a_killed_writer_left_is_no_file(store: Store) -> None:
    """Files aside are not read, and go when they are old."""
    aside = store.directory / ".simulate-x.parquet"
    aside.write_bytes(b"half")
    assert len(Store(store.directory)) == 6
    os.utime(aside, (0, 0))
    store.compact(at_least=2)
    assert not aside.exists()


def test_shrink_removes_what_came_first(store: Store) -> None:
    """Down to the limit, and the points with it."""
    for number, path in enumerate(sorted(store.files)):
        os.utime(path, (number, number))
    oldest, *_ = sorted(store.files)
    store.shrink(store.size_bytes - 1)
    assert not oldest.exists()
    assert len(store) == len(Store(store.directory)) == 4


def test_full_disk_is_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, nothing is left."""
    before = {path: path.read_bytes() for path in store.directory.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        UserError, match=r"No space left on device; what was computed before is kept"
    ):
        store.add("simulate", results(7))
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in store.directory.iterdir()} == before
    assert keys(7)[0] not in store
