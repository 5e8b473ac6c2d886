"""Compiling is done once, is seen, and covers what it says."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cgsim.compile.jit import JIT_DISABLED
from cgsim.designs import list_designs
from cgsim.percpu import list_layouts
from cgsim.report import warm as module
from cgsim.report.progress import progress_for
from cgsim.report.warm import Piece, for_command_line, for_notebooks, warm

RUN = "from cgsim.core.rng import random_bits; print(random_bits(1, 2, 3))"
compiled_only = pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")


def _leave_a_file(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")


def _fail(_: str) -> None:
    raise ValueError("no such piece")


def test_pieces_are_run_once_and_groups_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CGSIM_COMPILING_SHOWN", "1")  # is taken back at the end
    names = [str(tmp_path / name) for name in "abc"]
    groups = ["designs", "designs", "layouts"]
    pieces = [
        Piece(group, _leave_a_file, name, first=name.endswith("a"))
        for group, name in zip(groups, names, strict=True)
    ]
    stream = io.StringIO()
    for _ in range(2):
        warm(pieces, 2, progress_for(stream, "pieces"))
    assert [Path(name).read_text() for name in names] == ["x", "x", "x"]
    lines = stream.getvalue().splitlines()
    assert sorted(line.split()[1] for line in lines) == ["designs", "layouts"]


def test_what_fails_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CGSIM_COMPILING_SHOWN", "1")
    for _ in range(2):
        with pytest.raises(ValueError, match="no such piece"):
            warm([Piece("designs", _fail, "x")], 1, progress_for(io.StringIO()))


def test_every_design_and_layout_has_its_piece() -> None:
    pieces = for_notebooks()
    assert pieces[0].first
    designs = {piece.name for piece in pieces if piece.run is module._design}
    types = {design.parameters for design in list_designs() if design.name in designs}
    assert types == {design.parameters for design in list_designs()}
    assert len(types) == len(designs)
    layouts = {piece.name for piece in pieces if piece.run is module._layout}
    assert layouts == {layout.name for layout in list_layouts()}
    assert set(for_command_line()) > set(pieces)


def _on_a_terminal(cache: Path) -> str:
    """What a call says on standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    environment.pop("CGSIM_COMPILING_SHOWN", None)
    subprocess.run(
        [sys.executable, "-c", RUN],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.write(theirs, b"end\n")
    said = b""
    while not said.endswith(b"end\r\n"):
        said += os.read(ours, 1000)
    os.close(ours)
    os.close(theirs)
    return said.decode().removesuffix("end\r\n")


@compiled_only
def test_a_first_call_says_on_a_terminal_that_it_compiles(tmp_path: Path) -> None:
    assert _on_a_terminal(tmp_path) == "cgsim: compiling once, about 15 s\r\n"
    assert _on_a_terminal(tmp_path) == ""
    for file in tmp_path.rglob("*.nbc"):
        file.unlink()
    assert _on_a_terminal(tmp_path) == "cgsim: compiling once, some seconds\r\n"
