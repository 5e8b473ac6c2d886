"""Compiled code is loaded only as it was written, and the cache is never a precondition."""

import os
import pickle
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cgsim.compile import cache
from cgsim.compile.cache import CodeStore
from cgsim.compile.jit import JIT_DISABLED

PAYLOAD = bytes(range(256)) * 4
RUN = "from cgsim.core.rng import random_bits; print(random_bits(1, 2, 3))"
compiled_only = pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGSIM_CACHE_WARNING_SHOWN", raising=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "base" / "cgsim-0123456789abcdef"


@pytest.fixture
def store(directory: Path) -> CodeStore:
    store = CodeStore(directory)
    store.write("name", PAYLOAD)
    return CodeStore(directory)


def run(code: str = RUN, **environment: str | None) -> tuple[str, str]:
    """(Standard output, standard error) of a Python program; None: the variable is not set."""
    merged = {**os.environ, "CGSIM_CACHE_WARNING_SHOWN": None, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={name: value for name, value in merged.items() if value is not None},
    )
    return done.stdout.strip(), done.stderr


def test_what_is_written_is_read(store: CodeStore, directory: Path) -> None:
    assert store.read("name") == PAYLOAD
    assert store.read("other") is None
    assert not store.is_new
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    assert len(list(directory.iterdir())) == 2  # with the marker: nothing aside is left


def test_nothing_is_made_by_reading(directory: Path) -> None:
    store = CodeStore(directory)
    assert store.is_new
    assert store.read("name") is None
    assert not directory.parent.exists()


def _damaged() -> dict[str, bytes]:
    whole = cache._MAGIC + cache._digest("name", PAYLOAD) + PAYLOAD
    return {
        "empty": b"",
        "cut": whole[:-1],
        "cut in the hash": whole[:20],
        "longer": whole + b"\0",
        "garbage": bytes(reversed(whole)),
        "a pickle": pickle.dumps(print),
        "of another name": cache._MAGIC + cache._digest("other", PAYLOAD) + PAYLOAD,
        **{
            f"bit {bit}": whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8])
            + whole[bit // 8 + 1 :]
            for bit in range(0, 8 * len(whole), 997)
        },
    }  # fmt: skip


@pytest.mark.parametrize("content", _damaged().values(), ids=_damaged().keys())
def test_what_is_damaged_is_not_read_and_written_anew(
    store: CodeStore, directory: Path, content: bytes
) -> None:
    (directory / "name.nbc").write_bytes(content)
    assert store.read("name") is None
    store.write("name", PAYLOAD)
    assert store.read("name") == PAYLOAD


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_what_others_may_write_to_is_not_read(
    store: CodeStore, directory: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    directory.chmod(mode)
    for _ in range(2):
        assert store.read("name") is None
        store.write("name", b"other")
    assert CodeStore(directory).read("name") is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "others may write to it" in said
    directory.chmod(0o700)
    assert CodeStore(directory).read("name") == PAYLOAD


def test_what_belongs_to_another_is_not_read(
    store: CodeStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert store.read("name") is None
    assert "it belongs to another user" in capsys.readouterr().err


def test_no_symbolic_link_is_followed(
    store: CodeStore, directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = tmp_path / "victim"
    (directory / "name.nbc").rename(victim)
    (directory / "name.nbc").symlink_to(victim)
    before = victim.read_bytes()
    assert store.read("name") is None
    store.write("name", b"other")
    assert victim.read_bytes() == before
    assert store.read("name") == b"other"
    (tmp_path / "cgsim-1111111111111111").symlink_to(directory)
    assert CodeStore(tmp_path / "cgsim-1111111111111111").read("name") is None
    assert "not a directory" in capsys.readouterr().err


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(store: CodeStore, directory: Path) -> None:
    (directory / "name.nbc").unlink()
    os.mkfifo(directory / "name.nbc")
    assert store.read("name") is None


@pytest.mark.parametrize("number", [28, 30, 122])  # ENOSPC, EROFS, EDQUOT
@pytest.mark.parametrize("call", ["mkstemp", "replace"])
def test_where_nothing_can_be_written_one_line_says_so(
    store: CodeStore,
    directory: Path,
    number: int,
    call: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*{"mkstemp": (tempfile, call), "replace": (os, call)}[call], fail)
    for name in ("new", "newer"):
        store.write(name, PAYLOAD)
        assert store.read(name) is None
    assert store.read("name") == PAYLOAD  # what is there goes on being used
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert os.strerror(number) in said
    assert len(list(directory.iterdir())) == 2


def test_no_directory_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    store = CodeStore(None, "no home")
    assert store.read("name") is None
    store.write("name", PAYLOAD)
    assert capsys.readouterr().err.endswith(": no home\n")


def test_places_in_the_order_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given"))
    found = []
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", None):
        directory = cache.open_store().directory
        assert directory is not None
        found.append(directory.parent.relative_to(tmp_path).as_posix())
        if name:
            monkeypatch.setenv(name, "")
    assert found == ["given", "xdg/cgsim/numba", "home/.cache/cgsim/numba"]


@pytest.mark.parametrize("problem", [RuntimeError("no home"), KeyError("uid")])
def test_a_user_without_a_home_has_no_cache(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def fail() -> Path:
        raise problem

    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert cache.open_store().directory is None


def test_only_own_directories_are_pruned_and_foreign_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune = cache.prune
    monkeypatch.setattr(cache, "prune", lambda _: None)
    monkeypatch.setattr(cache, "_KEPT_DIRECTORIES", 4)

    def make(number: int) -> Path:
        directory = tmp_path / f"cgsim-{number:016x}"
        CodeStore(directory).write("name", PAYLOAD)
        os.utime(directory, (number, number))
        return directory

    foreign = [tmp_path / name for name in ("cgsim-notes", "cgsim-" + "f" * 16, "other")]
    for directory in foreign:
        directory.mkdir()
        (directory / "precious.nbc").write_text("mine")
    copied = tmp_path / ("cgsim-" + "e" * 16)  # of another name, so the marker proves nothing
    CodeStore(tmp_path / "cgsim-aaaaaaaaaaaaaaaa").write("name", PAYLOAD)
    (tmp_path / "cgsim-aaaaaaaaaaaaaaaa").rename(copied)
    own = [make(number) for number in range(1, 9)]
    (own[0] / "precious").write_text("mine")
    os.utime(own[0], (1, 1))
    prune(own[-1])
    assert [directory.exists() for directory in own] == [True] + 2 * [False] + 5 * [True]
    assert sorted(file.name for file in own[0].iterdir()) == ["precious", cache._MARKER]
    assert all((directory / "precious.nbc").exists() for directory in foreign)
    assert (copied / "name.nbc").exists()


@compiled_only
@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/proc/none", "XDG_CACHE_HOME": None, "NUMBA_CACHE_DIR": None},
        {"HOME": "", "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": ""},
        {"NUMBA_CACHE_DIR": "/proc/none"},
        {"NUMBA_CACHE_DIR": "/dev/null"},
    ],
    ids=["no home", "all empty", "no directory", "a device"],
)
def test_without_a_cache_a_call_works_and_one_line_says_it(
    environment: dict[str, str | None], tmp_path: Path
) -> None:
    expected, _ = run()
    package = Path(cache.__file__).parent.parent
    answer, said = run(**environment)
    assert answer == expected
    assert said.count("\n") == 1
    assert said.startswith("cgsim: warning: compiled code cannot be kept")
    assert not [*package.rglob("*.nbi"), *package.rglob("*.nbc")]


@compiled_only
def test_damaged_code_is_compiled_anew_and_no_planted_pickle_runs(tmp_path: Path) -> None:
    where = os.fspath(tmp_path)
    expected, _ = run(NUMBA_CACHE_DIR=where)
    files = list(tmp_path.rglob("*.nbc"))
    assert files

    class Planted:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (os.fspath(tmp_path / "planted"),)

    for content in (pickle.dumps(Planted()), b"", b"garbage"):
        for file in files:
            file.write_bytes(content)
        assert run(NUMBA_CACHE_DIR=where) == (expected, "")
    assert not (tmp_path / "planted").exists()
    assert all(file.stat().st_size > 1000 for file in files)  # there again
