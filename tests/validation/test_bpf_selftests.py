"""The kernel's selftest benchmarks of BPF lookups, predicted: cliffs, order, refusals."""

from __future__ import annotations

import pytest

from cgsim.errors import UserError
from cgsim.machines import find_published
from cgsim.validation.bpf_selftests import predict_hashmap, predict_local_storage
from cgsim.validation.published import validate_published

SKYLAKE = "Skylake, 20 cores, 256 GB"


def test_storage_costs_the_same_up_to_the_slots_and_leaps_beyond() -> None:
    """16 maps have a slot each; from 17 on two evict each other, and the walk grows with maps."""
    machine = find_published(SKYLAKE)
    case = "local_storage sequential get"
    few, full, one_more, twice = (predict_local_storage(machine, case, x) for x in (1, 16, 17, 32))
    assert few == pytest.approx(full, rel=0.02)
    assert full * 1.05 < one_more < twice / 2
    interleaved = predict_local_storage(machine, "local_storage interleaved get", 32)
    assert interleaved < twice  # the gets of map 0 in between hit more often


def test_rows_as_published() -> None:
    """Every small row of the two benchmarks is predicted within 35 %."""
    frame = validate_published("local_storage", case="local_storage sequential get", x=[1, 16, 32])
    assert frame["error"].abs().max() < 0.35
    frame = validate_published("hashmap_lookup")
    assert list(frame["x"]) == [6, 50, 100]
    assert frame["error"].abs().max() < 0.35
    assert frame["predicted"].is_monotonic_decreasing


def test_refusals() -> None:
    """Unknown cases and numbers out of range are refused by name."""
    machine = find_published(SKYLAKE)
    with pytest.raises(UserError, match="unknown case 'x'"):
        predict_local_storage(machine, "x", 1)
    with pytest.raises(UserError, match=r"x = 0 is not allowed; .* 1\.\.4096"):
        predict_local_storage(machine, "local_storage sequential get", 0)
    with pytest.raises(UserError, match=r"x = 101 is not allowed; .* 1\.\.100"):
        predict_hashmap(machine, "M lookups/s by fill percent", 101)
