"""Random operations on every design agree with a dict; the 2018 code as posted does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks import functional as page
from cgsim.compile.jit import njit
from cgsim.core.heap import allocate, release
from cgsim.core.space import load, store
from cgsim.designs import Design, add_design, base, get_design, list_designs
from cgsim.designs.ids import new_id
from cgsim.designs.objects import cgroup_cache, field_offset
from cgsim.designs.pointer_hash import AS_POSTED
from cgsim.errors import UserError
from cgsim.kernel import kernel_versions
from cgsim.stage.against_dict import FAULTS, KINDS, compare_with_dict

OPERATIONS = 60_000
MILLIONS = 10_000_000


def all_designs() -> list[Any]:
    """Every registered design."""
    return [pytest.param(design, id=design.name) for design in list_designs()]


@pytest.mark.compiled
@pytest.mark.parametrize("design", all_designs())
def test_agrees_with_a_dict(design: Any) -> None:
    row = compare_with_dict(design, OPERATIONS)
    assert {name: row[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert row["differences"] == row["leaked_bytes"] == 0
    assert all(row[name] > 0 for name in KINDS)


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("kernel", kernel_versions())
@pytest.mark.parametrize("design", all_designs())
def test_ten_million_agree(design: Any, kernel: str) -> None:
    row = compare_with_dict(design, MILLIONS, kernel=kernel)
    assert row["differences"] == row["leaked_bytes"] == 0
    assert sum(row[name] for name in ("install", "lookup", "miss", "remove")) > 0.95 * MILLIONS


def test_the_code_as_posted_answers_wrongly() -> None:
    """Entries are lost that nobody removed, and never come back; the mended code loses none."""
    row = compare_with_dict(AS_POSTED, 5000)
    assert row["lost"] > 100
    assert row["leaked_bytes"] > 0
    assert row["wrong"] == row["phantom"] == row["refused"] == 0
    mended = compare_with_dict(get_design("hash"), 5000)
    assert mended["differences"] == mended["leaked_bytes"] == 0
    assert {name: mended[name] for name in KINDS} == {name: row[name] for name in KINDS}


def test_same_seed_same_operations() -> None:
    one, same, other = (compare_with_dict("table", 2000, seed=seed) for seed in (5, 5, 6))
    assert one == same
    assert one != other


class Shifted(NamedTuple):
    """Slots in the cgroup, looked up one beside the right one."""

    cgroup_cache: int
    value_cache: int
    ids: int
    slots_offset: int
    datum_offset: int


SLOTS = 4


def shifted_prepare(heap: Any, kernel: Any) -> Shifted:
    """Caches and offsets."""
    owners = cgroup_cache(heap, kernel, 8 * SLOTS)
    values = heap.add_cache("datum", 16)
    return Shifted(owners, values, heap.place("global:ids", 64), field_offset(kernel), 0)


@njit
def shifted_register(space, design):
    return new_id(space, design.ids)


@njit
def shifted_create(space, design):
    return allocate(space, design.cgroup_cache, 0)[0]


@njit
def shifted_lookup(space, design, cgroup, key, token, key_token):
    return load(space, cgroup + design.slots_offset + 8 * ((key + 1) % SLOTS), 8, token)


@njit
def shifted_insert(space, design, cgroup, key, token):
    datum, datum_token = allocate(space, design.value_cache, token)
    store(space, cgroup + design.slots_offset + 8 * key, 8, datum, token, datum_token)
    return datum


@njit
def shifted_remove(space, design, cgroup, key, token):
    store(space, cgroup + design.slots_offset + 8 * key, 8, 0, token, 0)
    return True


@njit
def shifted_teardown(space, design, cgroup, token):
    release(space, design.cgroup_cache, cgroup, token)


@pytest.fixture
def shifted() -> Iterator[Design]:
    """A design that finds its neighbour's datum, and frees none."""
    yield add_design(
        Design(
            name="shifted",
            title="one slot beside",
            mirrors="nothing",
            parameters=Shifted,
            prepare=shifted_prepare,
            register=shifted_register,
            create=shifted_create,
            insert=shifted_insert,
            lookup=shifted_lookup,
            remove=shifted_remove,
            teardown=shifted_teardown,
            reader_side="rcu",
            max_keys=SLOTS,
        )
    )
    del base._BY_NAME["shifted"]


def test_other_faults_are_seen_too(shifted: Design) -> None:
    row = compare_with_dict(shifted, 2000)
    for name in ("lost", "wrong", "phantom", "misreported"):
        assert row[name] > 20, name
    assert row["refused"] == 0
    assert row["leaked_bytes"] > 0


def test_bad_numbers() -> None:
    with pytest.raises(UserError, match=r"operations = 0 is .* a whole number of 1\.\.10"):
        compare_with_dict("idr", 0)
    with pytest.raises(UserError, match="did you mean 'idr'"):
        compare_with_dict("idx", 10)


def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has a row per design and kernel, and says what differs."""
    table = [compare_with_dict(design, 3000) for design in ("idr", AS_POSTED)]
    assert [page.is_as_expected(row) for row in table] == [True, True]
    text = page.render(table, "the command")
    assert "| idr | 7.3.4 |" in text
    assert "(lost " in text
    assert not page.is_as_expected({**table[0], "leaked_bytes": 8})
    assert not page.is_as_expected({**table[1], "differences": 0, "leaked_bytes": 0})
    out = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["x", "--operations", "300", "--out", str(out)])
    monkeypatch.setattr(page, "list_designs", lambda: [get_design("idr")])
    assert page.main() == 0
    assert out.read_text().count("\n| idr |") == len(kernel_versions())
