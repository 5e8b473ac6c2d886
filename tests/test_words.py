"""Functions of words give what numba and Python give; what is none is refused."""

import ctypes
import linecache
import os
import subprocess
import sys
import textwrap
from functools import cache
from types import FunctionType

import numba
import numpy as np
import pytest
import word_samples
from hypothesis import example, given
from hypothesis import strategies as st

from cgsim.compile import block_access as fields
from cgsim.compile import intrinsics as raw
from cgsim.compile.jit import JIT_DISABLED, internal
from cgsim.core import block_fields as b
from cgsim.core import recency, retention, timed, words
from cgsim.core.host_memory import address_of
from cgsim.core.space import Timed
from cgsim.core.system import System
from cgsim.core.word_code import NoSourceError, NoWordsError, WordModule
from cgsim.machines.model import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.loops import COUNT_DATUM, DEPENDENT, Harness, run_lookups
from cgsim.stage.population import build_population

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled"),
]

_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_large = st.integers(_LOWEST, _HIGHEST)
_small = st.integers(-(1 << 18), 1 << 18) | st.integers(-8, 8)


def compiled(*functions):
    """Functions of words of int64, callable."""
    found = words.load(
        words.machine_code({function.__name__: function for function in functions}),
        [function.__name__ for function in functions],
    )
    return [
        ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * function.__code__.co_argcount)(address)
        for function, address in zip(functions, found.values(), strict=True)
    ]


def by_numba(function):
    arguments = ", ".join(["int64"] * function.__code__.co_argcount)
    return numba.njit(f"int64({arguments})", error_model="numpy")(function)


def in_python(function):
    names = {
        name: in_python(value.py_func) if hasattr(value, "py_func") else value
        for name, value in function.__globals__.items()
        if name in function.__code__.co_names
    }
    return FunctionType(function.__code__, names)


def wrapped(value):
    """An int as int64."""
    return (int(value) - _LOWEST) % (1 << 64) + _LOWEST


@cache
def both(function):
    """A function by words and by numba."""
    return *compiled(function), by_numba(function)


@pytest.mark.parametrize("sample", word_samples.SMALL, ids=lambda sample: sample.__name__)
def test_words_are_what_numba_and_python_compute(sample):
    @given(_small, _small, _small)
    def same(a, b, c):
        word, other = both(sample)
        assert word(a, b, c) == other(a, b, c) == in_python(sample)(a, b, c)

    same()


@pytest.mark.parametrize("sample", word_samples.LARGE, ids=lambda sample: sample.__name__)
def test_words_are_what_numba_computes_of_all_numbers(sample):
    @given(_large | _small, _large | _small, _large | _small)
    @example(_LOWEST, -1, 0)
    @example(_HIGHEST, 0, _LOWEST)
    def same(a, b, c):
        word, other = both(sample)
        assert word(a, b, c) == other(a, b, c)

    same()


@given(_large, _large, _large)
def test_words_wrap_around(a, b, c):
    assert both(word_samples.wrapping)[0](a, b, c) == wrapped(word_samples.wrapping(a, b, c))


def _memory(array, a, b, c):
    fields.put(array, 0, a)
    fields.add(array, 0, b)
    fields.put_element(array, 1 + (c & 3), b)
    fields.add_element(array, 1 + (a & 3), c)
    raw.poke_u8(array + 40, a)
    raw.poke_u16(array + 42, b)
    raw.poke_u32(array + 44, c)
    raw.poke_i64(array + 48, raw.peek_u8(array + 40) + raw.peek_u32(array + 44))
    if raw.unlikely(raw.peek_u16(array + 42) > 1000):
        fields.put(array, 7, raw.opaque(a))
    return fields.get(array, 0) ^ fields.element(array, 2) ^ fields.fixed(array, 8)


def _rows(row, name, way, ways):
    found = recency.find(row, ways, name)
    if found >= 0:
        recency.to_front(row, ways, found, raw.peek_u32(row + 4 * found))
    else:
        recency.insert(row, ways, name | recency.DIRTY)
    recency.remove(row, ways, way)
    return found


def _retention(age, half, draw):
    return 1 if retention.is_left(age & 0xFFFFFF, half | 1, draw & (1 << 53) - 1) else 0


@given(_large, _large, _large)
def test_intrinsics_are_what_numba_makes_of_them(a, b, c):
    answers = []
    for function in both(_memory):
        array = np.arange(9)
        answers.append((function(address_of(array), a, b, c), array.tolist()))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("ways", [4, 16, 20, 100, 200])
def test_rows_are_what_numba_makes_of_them(ways):
    rng = np.random.default_rng(ways)
    room = np.zeros(3 * 256, dtype=np.uint32)
    start = -address_of(room) % 512 // 4  # vectors lie on multiples of their size
    rows = [room[start + 256 * number :][:256] for number in range(2)]
    for name, way in rng.integers(1, 2 * ways, (400, 2)).tolist():
        answers = [
            function(address_of(row), name, way, ways)
            for function, row in zip(both(_rows), rows, strict=True)
        ]
        assert answers[0] == answers[1]
        assert rows[0].tolist() == rows[1].tolist()


@given(st.integers(0, 1 << 24), st.integers(1, 1 << 24), _large)
def test_retention_is_what_numba_makes_of_it(age, half, draw):
    word, other = both(_retention)
    answer = word(age, half, draw)
    assert answer == other(age, half, draw)
    halves = (age & 0xFFFFFF) / (half | 1)
    distance = 2.0 ** -(halves * np.sqrt(halves)) * 2.0**53 - (draw & (1 << 53) - 1)
    assert answer == (distance > 0) or abs(distance) < 2


_REFUSED = {
    "a / b": "operator Div",
    "a ** 2": "operator Pow",
    "1.5": "1.5, which is no int64",
    "'text'": "'text', which is no int64",
    "1 << 63": "9223372036854775808, which is no int64",
    "2 ** 70": "operator Pow",
    "a << 64": "a shift by 64",
    "a >> -1": "a shift by -1",
    "a // 0": "a division by 0",
    "+a": "UAdd",
    "-(a > b)": "USub",
    "~(a > b)": "Invert",
    "a and b": "the value of `and` or `or` of words",
    "(a > 1) or b": "the value of `and` or `or` of words",
    "1 if a and b else a > b": "a value that is a word or a truth",
    "min(a, a > b)": "min or max of less than two words",
    "min(a)": "min or max of less than two words",
    "a is b": "comparison Is",
    "a in (1, 2)": "comparison In",
    "[a, b][0]": "expression List",
    "(a, b)[c]": "an index that is no constant",
    "(a, b)[2]": "an index that is no constant",
    "(a, b) + 1": "a tuple or nothing",
    "sum([i for i in range(a)])": "expression ListComp",
    "(lambda: a)()": "which is no global name",
    "abs(a)": "a call of <built-in function abs>",
    "len(())": "a tuple or nothing",
    "(a, (b, c))[0]": "a tuple or nothing",
    "unknown": "`unknown`, which is no global name",
    "a.real": "`a`, which is no global name",
    "block_fields.unknown": "`block_fields.unknown`, which is no global name",
    "blocks": "which is no int64",
    "helper(a, b, c)": "a call with names of arguments".replace(
        "a call with names of arguments", "too few or many"
    ),
    "helper(a=a)": "a call with names of arguments",
    "helper(*(a,))": "expression Starred",
    "(d := a)": "expression NamedExpr",
    "f'{a}'": "expression JoinedStr",
    "no_result(a) + 1": "a tuple or nothing",
    "function(a, b, c)": "a recursive call",
    "with_default(a)": "an argument that is not plain",
}
_REFUSED_BODIES = {
    "global d\nd = a\nreturn d": "statement Global",
    "if a:\n    d = 1\nreturn d": "d, which may have no value here",
    "for i in range(a):\n    d = i\nreturn d": "d, which may have no value here",
    "while a > 0:\n    d = a\n    a -= 1\nreturn d": "d, which may have no value here",
    "d = a\nd = a > b\nreturn d": "d, a word here and a truth there",
    "if a:\n    return a\nreturn a > b": "results of different kinds",
    "if a:\n    return a": "results of different kinds",
    "if a:\n    return\nreturn a": "results of different kinds",
    "for i in range(0, a, 2):\n    b += i\nreturn b": "a range of a step other than 1 and -1",
    "for i in range(0, a, c):\n    b += i\nreturn b": "a range of a step other than 1 and -1",
    "for i in (1, 2):\n    b += i\nreturn b": "a loop over something else",
    "for i in range(a):\n    b += i\nelse:\n    b = 1\nreturn b": "a loop's else",
    "while a:\n    a -= 1\nelse:\n    b = 1\nreturn b": "a loop's else",
    "a.real = 1\nreturn a": "an assignment",
    "a[0] = 1\nreturn a": "an assignment",
    "a[0] += 1\nreturn a": "an assignment",
    "d = a, b\nreturn a": "an assignment",
    "d, e = a\nreturn a": "an assignment",
    "d, e = a, b, c\nreturn a": "a tuple of another length",
    "d: int = a\nreturn d": "statement AnnAssign",
    "assert a\nreturn a": "statement Assert",
    "try:\n    return a\nfinally:\n    b = 1": "statement Try",
    "with a:\n    return b": "statement With",
    "import os\nreturn a": "statement Import",
    "raise ValueError": "statement Raise",
    "del a\nreturn b": "statement Delete",
    "def inner():\n    return a\nreturn b": "",
    "match a:\n    case 1:\n        return b\nreturn c": "statement Match",
    "yield a": "expression Yield",
    "return a, b": "",
    "return a > b": "",
    "pass": "",
}
_HEAD = """\
from cgsim.core import blocks
from cgsim.compile.jit import internal

@internal
def helper(a):
    return a

@internal
def no_result(a):
    pass

def with_default(a, b=1):
    return a

def function(a, b, c):
"""


def _made(body, path):
    source = _HEAD + textwrap.indent(body, "    ") + "\n"
    linecache.cache[path] = len(source), None, source.splitlines(keepends=True), path
    names = {}
    exec(compile(source, path, "exec"), names)
    return names["function"]


@pytest.mark.parametrize(
    ("body", "message"),
    [*((f"return {value}", text) for value, text in _REFUSED.items()), *_REFUSED_BODIES.items()],
)
def test_everything_else_is_refused(body, message):
    path = f"<{body}>"
    function = _made(body, path)
    with pytest.raises(NoWordsError) as refused:
        WordModule("refused").export("function", function)
    if message:
        assert message in str(refused.value)
        name = "with_default" if "with_default" in body else "helper" if "few" in message else ""
        assert str(refused.value).endswith(f" in {name or 'function'}")
        place = str(refused.value).removeprefix(f"{path}:").partition(":")[0]
        assert int(place) >= (1 if name else _HEAD.count("\n"))


def test_a_closure_is_refused():
    number = 3

    @internal
    def inner(a):
        return a + number

    with pytest.raises(NoWordsError, match="a variable of an outer function"):
        WordModule("refused").export("inner", inner)


def test_without_a_source_numba_compiles(monkeypatch):
    names = {}
    exec("def function(a):\n    return a", names)
    with pytest.raises(NoSourceError):
        words.machine_code({"f": names["function"]})
    monkeypatch.setattr(words, "_read", lambda path: None)
    assert words.addresses("none", {"function": names["function"]}) is None


def test_machine_code_is_kept_and_checked(monkeypatch, tmp_path):
    monkeypatch.setattr(words, "ENABLED", True)
    monkeypatch.setattr(words, "DIRECTORY", tmp_path / "new")
    samples = {"bits": word_samples.bits}
    assert not words.is_cached("test")
    words.addresses("test", samples)
    assert words.is_cached("test")
    (file,) = (tmp_path / "new").iterdir()  # nothing else is left there
    whole = file.read_bytes()
    monkeypatch.setattr(words, "machine_code", lambda functions: pytest.fail("compiled again"))
    words.addresses("test", samples)
    monkeypatch.undo()
    monkeypatch.setattr(words, "ENABLED", True)
    monkeypatch.setattr(words, "DIRECTORY", tmp_path / "new")
    for damaged in (whole[:-1], whole[:10], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        assert not words.is_cached("test")
    words.addresses("test", samples)
    assert file.read_bytes() == whole
    monkeypatch.setattr(words, "_cpu", lambda: ("another", ""))
    assert not words.is_cached("test")


def test_where_nothing_can_be_written_it_is_compiled_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(words, "ENABLED", True)
    monkeypatch.setattr(words, "DIRECTORY", tmp_path / "file")
    assert set(words.addresses("test", {"bits": word_samples.bits})) == {"bits"}


@pytest.mark.parametrize(
    ("machine", "cpus"), [("zen5-vm", 1), ("zen4-genoa", 2), ("skylake-sp", 2)]
)
@pytest.mark.parametrize("places", [False, True])
def test_engines_of_both_routes_agree(machine, cpus, places, monkeypatch):
    routes = []
    for enabled in (True, False):
        monkeypatch.setattr(timed, "_addresses", None)
        monkeypatch.setattr(words, "ENABLED", enabled)
        population = build_population("hash", n_cgroups=400, n_keys=8, seed=3)
        order = np.random.default_rng(5).integers(0, [400, 8], (2000, 2))
        spec = system_spec(load_machine(machine), cpus, prefetch_next_line=True)
        system = System(spec, population.heap, places=places)
        for cpu in range(cpus):
            space = Timed(population.heap.mem, population.heap.block, system.cpu(cpu))
            run_lookups(
                space, population.parameters, population.cgroups, population.keys, order,
                DEPENDENT, COUNT_DATUM, Harness(instructions=7, ticks=0, chain=1),
            )  # fmt: skip
        counts = system.places.counts.tolist() if places else None
        clocks = [system.field(b.C_DISPATCH, cpu) for cpu in range(cpus)]
        causes = [system.causes(cpu).tolist() for cpu in range(cpus)]
        routes.append((clocks, causes, system.counters(), counts))
    assert routes[0] == routes[1]


def test_a_switch_leaves_all_to_numba():
    code = "from cgsim.core import words; print(words.ENABLED)"
    for value, answer in (("0", "False"), ("1", str(not numba.config.BOUNDSCHECK))):
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "CGSIM_WORDS": value},
        )
        assert done.stdout.strip() == answer
