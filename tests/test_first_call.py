"""What a first call starts: another process that compiles, one at a time, and few imports."""

import os
import subprocess
import sys
import time

import numba
import numpy as np
import pytest
from numba import types

from cgsim.compile import _aside, jit
from cgsim.compile.intrinsics import call_i64_4, function_address
from cgsim.core import timed

compiled_only = pytest.mark.skipif(jit.JIT_DISABLED, reason="nothing is compiled")
locks_only = pytest.mark.skipif(_aside.fcntl is None, reason="no file locks")

TRACE = "import cgsim; print(cgsim.trace('idr/depth=2'))"


@pytest.fixture
def two_cpus(monkeypatch):
    monkeypatch.setattr(_aside, "_free_cpus", lambda: 2)


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return done.stdout


@locks_only
@pytest.mark.usefixtures("two_cpus")
def test_one_process_compiles_and_others_wait(tmp_path):
    where = tmp_path / "new"
    done = where / "done"
    program = f"import time, pathlib; time.sleep(0.5); pathlib.Path({str(done)!r}).touch()"
    assert _aside.start(program, where)
    assert not _aside.start(program, where)  # somebody does already
    waited = (
        "from cgsim.compile import _aside; import pathlib; "
        f"_aside.wait(pathlib.Path({str(where)!r}))"
    )
    assert run(f"{waited}; print(pathlib.Path({str(done)!r}).exists())").strip() == "True"
    _aside.wait(where)
    assert done.exists()
    assert _aside.start("pass", where)  # free again
    _aside.wait(where)


@locks_only
@pytest.mark.usefixtures("two_cpus")
def test_a_killed_process_leaves_no_lock(tmp_path):
    assert _aside.start("import time; time.sleep(600)", tmp_path)
    _aside._child.kill()
    _aside.wait(tmp_path)
    assert _aside._child is None


@locks_only
def test_program_finds_this_package(tmp_path, two_cpus):
    answer = tmp_path / "answer"
    program = f"import cgsim, pathlib; pathlib.Path({str(answer)!r}).write_text(cgsim.__file__)"
    assert _aside.start(program, tmp_path)
    _aside.wait(tmp_path)
    assert answer.read_text() == sys.modules["cgsim"].__file__


def test_nothing_is_started_without_a_second_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(_aside, "_free_cpus", lambda: 1)
    assert not _aside.start("pass", tmp_path)


def test_nothing_is_started_where_nothing_can_be_written(tmp_path, two_cpus):
    (tmp_path / "file").touch()
    assert not _aside.start("pass", tmp_path / "file" / "below")
    _aside.wait(tmp_path / "file" / "below")


@locks_only
def test_no_process_outlives_its_parent(tmp_path):
    code = (
        "import pathlib; from cgsim.compile import _aside; _aside._free_cpus = lambda: 2\n"
        f"_aside.start('import time; time.sleep(600)', pathlib.Path({str(tmp_path)!r}))\n"
        "print(_aside._child.pid)"
    )
    number = int(run(code))
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("it still runs")


@compiled_only
def test_nothing_is_started_for_what_is_compiled(monkeypatch):
    timed.entry_points()
    monkeypatch.setattr(timed, "_addresses", None)
    monkeypatch.setattr(_aside, "start", lambda *_: pytest.fail("started"))
    timed.prepare_entry_points()


@jit.internal
def _sum_of_four(a, b, c, d):
    return a + b * 10 + c * 100 + d * 1000


@jit.njit
def _twice(value):
    return 2 * value


@jit.njit
def _address():
    return function_address(_sum_of_four)


@jit.njit
def _call(address):
    return _twice(call_i64_4(address, 1, 2, 3, 4))


def test_functions_are_called_by_address_and_as_parts():
    assert _call(_address()) == 8642
    assert _twice(4321) == 8642


@compiled_only
def test_a_part_has_no_machine_code():
    @numba.njit
    def outer(a):
        return _sum_of_four(a, 2, 3, 4)

    assert outer(1) == 4321
    compiled = _sum_of_four.overloads[(types.int64,) * 4]
    assert list(compiled.library.get_defined_functions()) == []
    (entry,) = outer.overloads.values()
    names = [function.name for function in entry.library.get_defined_functions()]
    assert names
    assert not [name for name in names if "_sum_of_four" in name]  # taken in


def test_a_part_may_hold_a_closure():
    @jit.internal
    def total(values):
        return sum([2 * value for value in values])

    @jit.njit
    def outer(values):
        return total(values)

    assert outer(np.arange(4)) == 12


def test_a_part_may_depend_on_none():
    @jit.internal
    def total(a, b):
        return a if b is None else a * b

    @jit.njit
    def outer(a):
        return total(a, None) + total(a, 3)

    assert outer(2) == 8


def test_trace_loads_no_frames(tmp_path):
    # an index of cached code names all types that it was compiled for, and loads their modules
    code = "import sys, cgsim; cgsim.trace('idr/depth=2', cycles=False); print(*sys.modules)"
    loaded = run(code, NUMBA_CACHE_DIR=os.fspath(tmp_path)).split()
    assert "cgsim.scenarios.trace" in loaded
    assert {"pandas", "matplotlib"}.isdisjoint(loaded)


@compiled_only
def test_loading_compiled_code_starts_no_compiler():
    code = "import sys, cgsim; cgsim.trace('idr/depth=2'); print(*sys.modules)"
    run(code)  # whatever is not in the cache yet is compiled
    loaded = run(code).split()
    assert "numba" in loaded
    assert {"scipy.linalg", "numba.np.linalg", "numba.typed.typeddict"}.isdisjoint(loaded)


def test_what_is_imported_is_not_searched_for_cycles_soon_and_never_kept():
    code = (
        "import gc, weakref, cgsim\n"
        "class Ring: pass\n"
        "ring = Ring(); ring.itself = ring; seen = weakref.ref(ring); del ring\n"
        "cgsim.simulate\n"
        "print(gc.isenabled(), gc.get_freeze_count(), gc.get_count()[0] < 10_000, end=' ')\n"
        "gc.collect(); print(seen() is None)"
    )
    assert run(code).split() == ["True", "0", "True", "True"]


@pytest.mark.slow
@compiled_only
def test_cold_processes_at_once_give_the_warm_answer(tmp_path):
    expected = run(TRACE)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TRACE],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": os.fspath(tmp_path)},
        )
        for _ in range(3)
    ]
    answers = [process.communicate()[0] for process in started]
    assert answers == [expected] * 3
    assert run(TRACE, NUMBA_CACHE_DIR=os.fspath(tmp_path)) == expected


@pytest.mark.slow
@compiled_only
def test_settings_that_change_the_code_still_work(tmp_path):
    expected = run(TRACE)
    cold = {"NUMBA_CACHE_DIR": os.fspath(tmp_path)}
    assert run(TRACE, NUMBA_BOUNDSCHECK="1", **cold) == expected
    assert run(TRACE, NUMBA_OPT="1", **cold) == expected
