"""Lookups on this host: what is timed is right, counted and predicted; never how long it takes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cgsim.cli.command_line import run
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.loops import THROUGHPUT, Harness, run_lookups
from cgsim.validation.host.cold_code import measure_cold_code
from cgsim.validation.host.instructions import X86
from cgsim.validation.host.loops import additions
from cgsim.validation.host.stepping import can_step, count_instructions
from cgsim.validation.measure import Bench, for_native_code, measure

pytestmark = pytest.mark.compiled


@pytest.mark.skipif(not can_step(), reason="no ptrace here")
def test_instructions_are_counted_by_stepping() -> None:
    counts = [count_instructions(lambda n=n: additions(n, 0)) for n in (50, 250, 450)]
    if None in counts:
        pytest.skip("a child cannot be stepped here")
    fewer, more = np.diff(np.array(counts, dtype=int)).cumsum()
    assert 300 <= fewer <= 1400  # an addition, a count, a compare and a branch, or unrolled
    assert 1.6 < more / fewer < 2.4


@pytest.mark.engine
def test_a_lookup_is_measured_and_predicted() -> None:
    frame = measure(
        ["idr"], n_cgroups=[3], n_keys=[2], footprint_bytes=4096, repeats=3,
        machine=load_machine("zen5-vm"),
    )  # fmt: skip
    assert list(frame["caller"]) == ["bare", "driver"] * 3
    assert list(frame["mode"].unique()) == ["throughput", "dependent", "isolated"]
    assert (frame["ns"] > 0).all()
    assert (frame["ns"] <= frame["high_ns"]).all()
    assert np.allclose(frame["error"], frame["predicted_ns"] / frame["ns"] - 1)
    assert (frame["engine_instructions"] > 5).all()
    assert frame["predicted_ns"].between(0.3, 3000).all()


@pytest.mark.engine
def test_native_code_takes_a_slot_for_each_of_its_own_instructions() -> None:
    spec = system_spec(load_machine("zen5-vm"))
    dispatch = load_machine("zen5-vm").window.dispatch_width
    more = for_native_code(spec, 20, 50)
    assert (more.width, more.rob_entries) == (dispatch, spec.rob_entries)
    # 60 that are counted stand for 40
    less = for_native_code(spec, 60, 40)
    assert less.width == pytest.approx(1.5 * dispatch)
    assert less.rob_entries == 1.5 * spec.rob_entries


def test_bare_lookups_and_callers_read_their_own_arguments() -> None:
    """From one stream, filled anew for each: they find the same data."""
    bench = Bench("direct", 5, 3, 0, 1)
    assert bench.user == "packet-hook"
    sums = []
    for who in ("bare", "packet-hook", "bare"):
        caller = bench.caller(who, "throughput")
        sums.append(
            run_lookups(
                bench.population.native, *bench.what, bench.order[:200], THROUGHPUT, 0,
                Harness(0, 0, 0), caller,
            )
        )  # fmt: skip
    assert sums[0] == sums[1] == sums[2] > 0


@pytest.mark.skipif(not X86, reason="flushes code as x86 does")
def test_cold_code_is_timed() -> None:
    frame = measure_cold_code(["table", "idr"], 9)
    assert list(frame["design"]) == ["table"] * 3 + ["idr"] * 3
    assert list(frame["code"]) == ["warm", "from L2", "from memory"] * 2
    ns = frame.set_index(["design", "code"])["ns"]
    assert ns["idr", "from memory"] > ns["idr", "warm"] + 20


def test_designs_that_cannot_hold_the_keys_are_left_out() -> None:
    assert measure(["subsys"], n_cgroups=[1], n_keys=[64], repeats=3).empty


def test_a_bench_does_not_measure_nothing() -> None:
    bench = Bench("list", 4, 2, 0, 1)
    found = bench.native("throughput", "bare", 3)
    assert found.shape == (3,)
    assert (found > 0.1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"designs": ["idrr"]}, "idrr"),
        ({"modes": ["cold"]}, "modes = 'cold'"),
        ({"repeats": 1}, "repeats = 1"),
        ({"n_cgroups": [0]}, "n_cgroups = 0"),
        ({"designs": []}, "one design and one mode"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        measure(**options)  # type: ignore[arg-type]


def test_the_verb_prints_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--design", "list", "--cgroups", "2", "--keys", "1", "--mode", "throughput"]
    assert run(["measure", *arguments, "--repeats", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["caller"] for row in found["rows"]] == ["bare", "driver"]
    assert "load average" in found["host"]
    assert run(["measure", "--cgroups", "many"]) == 2
