"""What a first call compiles and loads: parts of one piece, and few imports."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import types

from cgsim.compile import jit
from cgsim.compile.intrinsics import call_i64_4, function_address

compiled_only = pytest.mark.skipif(jit.JIT_DISABLED, reason="nothing is compiled")
TRACE = "import cgsim; print(cgsim.trace('idr/depth=2'))"


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return done.stdout


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


def test_functions_are_called_by_address_and_as_parts() -> None:
    assert _call(_address()) == 8642
    assert _twice(4321) == 8642


@compiled_only
def test_a_part_has_no_machine_code() -> None:
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


def test_a_part_may_hold_a_closure() -> None:
    @jit.internal
    def total(values):
        return sum([2 * value for value in values])

    @jit.njit
    def outer(values):
        return total(values)

    assert outer(np.arange(4)) == 12


def test_a_part_may_depend_on_none() -> None:
    @jit.internal
    def total(a, b):
        return a if b is None else a * b

    @jit.njit
    def outer(a):
        return total(a, None) + total(a, 3)

    assert outer(2) == 8


def test_trace_loads_no_frames(tmp_path: Path) -> None:
    # an index of cached code names all types that it was compiled for, and loads their modules
    code = "import sys, cgsim; cgsim.trace('idr/depth=2', cycles=False); print(*sys.modules)"
    loaded = run(code, NUMBA_CACHE_DIR=os.fspath(tmp_path)).split()
    assert "cgsim.scenarios.trace" in loaded
    assert {"pandas", "matplotlib"}.isdisjoint(loaded)


@compiled_only
def test_loading_compiled_code_starts_no_compiler() -> None:
    code = "import sys, cgsim; cgsim.trace('idr/depth=2'); print(*sys.modules)"
    run(code)  # whatever is not in the cache yet is compiled
    loaded = run(code).split()
    assert "numba" in loaded
    assert {"scipy.linalg", "numba.np.linalg", "numba.typed.typeddict"}.isdisjoint(loaded)


@pytest.mark.slow
@compiled_only
def test_cold_processes_at_once_give_the_warm_answer(tmp_path: Path) -> None:
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
def test_settings_that_change_the_code_still_work(tmp_path: Path) -> None:
    expected = run(TRACE)
    cold = {"NUMBA_CACHE_DIR": os.fspath(tmp_path)}
    assert run(TRACE, NUMBA_BOUNDSCHECK="1", **cold) == expected
    assert run(TRACE, NUMBA_OPT="1", **cold) == expected
