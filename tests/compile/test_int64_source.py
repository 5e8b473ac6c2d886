"""What must be true of the engine's int64 functions, read off their source.

Numba tells LLVM that sums and products do not overflow, gives 0 for a division by 0, and leaves a
shift by less than 0 or more than 63 undefined; `cgsim.compile.block_access` tells LLVM that a field
and an element of an array are never the same word, and that no compiled code writes what `fixed`
reads. None of this is seen by the compiler where it is wrong.
"""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cgsim.compile.jit import JIT_DISABLED
from cgsim.core import block_fields as b
from cgsim.core import scheduler

CORE = Path(b.__file__).parent
ARRAYS = {"C_CAUSES": len(b.CAUSES), "C_WAIT": b.WAIT_BUCKETS}
"""The arrays within blocks, and how many words they have."""
ARRAY_POINTERS = {"C_NOTES", "C_SAME_PLACE", "K_EVENTS", "K_HOT", "K_SEEN", "S_ENTERED", "S_QUEUE",
                  "S_SAME_PLACE", "S_SHARES"}  # fmt: skip
"""Fields that hold the address of an array of its own."""
ARRAYS_BEHIND = {"S_LOG": "_HEADER"}
"""Fields that hold the address of fields with an array behind them, and how many fields."""
POSITIVE = {
    "fixed(level, K_SETS)": "sets of a level; the profile's reader refuses less than 1",
    "get(cache, _STRIDE)": "bytes of a slab object, at least 8",
    "window": "ticks, tested against 0 before",
    "sets": "as K_SETS",
    "ring": "tested against 0 before",
}
"""Divisors that are no constants, and why they are above 0."""
WITHIN_A_WORD = {
    "fold": "at most 29 - 6, the bits of a name",
    "2 * fold": "at most 2 * (29 - 6)",
    "shift": "of a page, at most 30",
    "get(cpu, C_LAST_SHIFT)": "of a page, at most 30; 62 at the start",
    "core - 62 * word": "word is core // 62, so 0 to 61",
    "core": "of a machine that is touched in bulk: at most 61",
}
"""Shifts that are no constants, and why they are 0 to 63."""
_LARGE = 1 << 31
_FIELD = {"get": "read", "fixed": "fixed", "put": "written", "add": "written"}
_ELEMENT = {"element", "put_element", "add_element"}


class Function(NamedTuple):
    """A function of the engine, and the module it stands in."""

    module: str
    node: ast.FunctionDef


def _decorators(node: ast.FunctionDef) -> set[str]:
    called = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return {d.id for d in called if isinstance(d, ast.Name)}


def _functions() -> list[Function]:
    return [
        Function(f"cgsim.core.{source.stem}", node)
        for source in sorted(CORE.glob("*.py"))
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.FunctionDef) and _decorators(node) & {"inlined", "internal", "njit"}
    ]


FUNCTIONS = _functions()
PARTS = [f for f in FUNCTIONS if _decorators(f.node) & {"inlined", "internal"}]


def _constant(module: str, node: ast.expr) -> int | None:
    """The value of an expression of constants; None if it is none."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    known = vars(importlib.import_module(module))
    if not all(isinstance(known.get(name), int) for name in names):
        return None
    if not isinstance(node, (ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp)):
        return None
    value = eval(ast.unparse(node), dict(known))
    return value if isinstance(value, int) else None


def _operations(function: Function) -> list[tuple[type[ast.operator], ast.expr, ast.expr]]:
    found: list[tuple[type[ast.operator], ast.expr, ast.expr]] = []
    for node in ast.walk(function.node):
        if isinstance(node, ast.BinOp):
            found.append((type(node.op), node.left, node.right))
        elif isinstance(node, ast.AugAssign):
            found.append((type(node.op), node.target, node.value))
    return found


def _places(functions: list[Function]) -> list[tuple[Function, ast.Call]]:
    return [
        (function, node)
        for function in functions
        for node in ast.walk(function.node)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {*_FIELD, *_ELEMENT}
    ]


@pytest.mark.parametrize("function", PARTS, ids=lambda f: f"{f.module}.{f.node.name}")
def test_divisions_and_shifts_are_of_known_size(function: Function) -> None:
    for operator, _, right in _operations(function):
        value = _constant(function.module, right)
        if operator in (ast.FloorDiv, ast.Mod):
            assert value is not None or ast.unparse(right) in POSITIVE, ast.unparse(right)
            assert value is None or value > 0
        elif operator in (ast.LShift, ast.RShift):
            assert value is not None or ast.unparse(right) in WITHIN_A_WORD, ast.unparse(right)
            assert value is None or 0 <= value <= 63


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f"{f.module}.{f.node.name}")
def test_products_with_large_numbers_wrap_where_it_is_said(function: Function) -> None:
    for operator, left, right in _operations(function):
        if operator in (ast.Mult, ast.Add, ast.Sub):
            for side, other in ((left, right), (right, left)):
                value = _constant(function.module, side)
                if _constant(function.module, other) is None:
                    assert value is None or abs(value) < _LARGE or value == scheduler.AGU_ENTRY


@pytest.mark.parametrize("function", PARTS, ids=lambda f: f"{f.module}.{f.node.name}")
def test_there_is_nothing_but_int64(function: Function) -> None:
    for node in ast.walk(function.node):
        assert not isinstance(node, (ast.Div, ast.Pow, ast.MatMult, ast.Try))
        if isinstance(node, ast.Subscript):  # of a tuple
            assert isinstance(node.slice, ast.Constant)
        if isinstance(node, ast.Constant) and not isinstance(node.value, (str, bool)):
            assert isinstance(node.value, int)
            assert -(1 << 63) <= node.value < 1 << 63


def test_no_word_is_both_a_field_and_an_element() -> None:
    words = {
        word
        for name, count in ARRAYS.items()
        for word in range(vars(b)[name], vars(b)[name] + count)
    }
    elements = 0
    for function, call in _places(FUNCTIONS):
        module = function.module
        assert isinstance(call.func, ast.Name)
        place, index = call.args[:2]
        if call.func.id in _ELEMENT:
            elements += 1
            if ast.unparse(place) == "cpu":
                assert _array_of(module, index) in ARRAYS, ast.unparse(call)
            elif (pointer := _pointer(function, place)) in ARRAYS_BEHIND:
                assert ast.unparse(index).startswith(f"{ARRAYS_BEHIND[pointer]} + ")
            else:
                assert pointer in ARRAY_POINTERS, ast.unparse(call)
        else:
            pointer = _pointer(function, place)
            assert pointer not in ARRAY_POINTERS, ast.unparse(call)
            if pointer in ARRAYS_BEHIND:
                fields, at = ARRAYS_BEHIND[pointer], _constant(module, index)
                assert at is not None
                assert at < vars(importlib.import_module(module))[fields]
            named = ast.unparse(index)
            if named.startswith("C_") and (value := _constant(module, index)) is not None:
                assert value not in words, ast.unparse(call)
            assert named.partition(" ")[0] not in ARRAYS, ast.unparse(call)
    assert elements > 5


def _array_of(module: str, index: ast.expr) -> str:
    """The array that an index `ARRAY + ...` belongs to; of a name, what it was assigned last."""
    if isinstance(index, ast.BinOp) and isinstance(index.left, ast.Name):
        return index.left.id
    assigned = {
        ast.unparse(_array_index(node.value))
        for function in FUNCTIONS
        if function.module == module
        for node in ast.walk(function.node)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(index)
    }
    return assigned.pop() if len(assigned) == 1 else ast.unparse(index)


def _array_index(node: ast.expr) -> ast.expr:
    return node.left if isinstance(node, ast.BinOp) else node


def _pointer(function: Function, place: ast.expr) -> str:
    """The field whose value is the address: `fixed(cpu, FIELD)`, or a name that came from there."""
    if isinstance(place, ast.BinOp):
        return _pointer(function, place.left)
    if isinstance(place, ast.Name):
        sources = {_pointer(function, value) for value in _values_of(function, place.id)}
        return sources.pop() if len(sources) == 1 else ""
    is_field = isinstance(place, ast.Call) and ast.unparse(place.func) in _FIELD
    return ast.unparse(place.args[1]) if is_field and isinstance(place, ast.Call) else ""


def _values_of(function: Function, name: str) -> list[ast.expr]:
    """What a local name is given; of a loop over a range, where it begins."""
    values: list[ast.expr] = []
    for node in ast.walk(function.node):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            values.append(node.value)
        elif isinstance(node, ast.For) and ast.unparse(node.target) == name:
            assert isinstance(node.iter, ast.Call)
            values.append(node.iter.args[0])
    return values


def test_what_is_fixed_is_not_written() -> None:
    names: dict[str, set[str]] = {"read": set(), "fixed": set(), "written": set()}
    for _, call in _places(FUNCTIONS):
        if isinstance(call.func, ast.Name) and call.func.id in _FIELD:
            index = call.args[1]
            base = index.left if isinstance(index, ast.BinOp) else index
            if isinstance(base, ast.Name) and base.id.isupper():
                names[_FIELD[call.func.id]].add(base.id)
    assert names["fixed"]
    assert names["fixed"] & names["written"] == set()


PLAYED = """
import numpy as np
from cgsim.core import block_fields as b
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.loops import COUNT_DATUM, DEPENDENT, Harness, run_lookups
from cgsim.stage.population import build_population
for machine, cpus in (("zen5-vm", 1), ("skylake-sp", 2)):
    population = build_population("hash", n_cgroups=40, n_keys=8, seed=3)
    order = np.random.default_rng(5).integers(0, [40, 8], (60, 2))
    system = System(system_spec(load_machine(machine), cpus), population.heap)
    for cpu in range(cpus):
        space = Timed(population.heap.mem, population.heap.block, system.cpu(cpu))
        run_lookups(
            space, population.parameters, population.cgroups, population.keys, order,
            DEPENDENT, COUNT_DATUM, Harness(instructions=7, ticks=0, chain=1),
        )
    print([system.causes(cpu).tolist() for cpu in range(cpus)])
"""


@pytest.mark.compiled
@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
def test_the_engine_is_what_python_makes_of_it_whose_numbers_do_not_wrap() -> None:
    answers = []
    for disabled in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PLAYED],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
        )
        answers.append(done.stdout)
    assert answers[0] == answers[1]
    assert "[" in answers[0]
