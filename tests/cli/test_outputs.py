"""What the command line does where its output cannot be written, and to what it writes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgsim.cli import main
from cgsim.data import data_path
from cgsim.files import write_atomically, write_with

CGSIM = [sys.executable, "-P", "-m", "cgsim"]
VERBS = ("designs", "machines", "machines zen5-vm --json", "trace --list", "--help", "--version")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CGSIM, *arguments], text=True, timeout=120, stderr=subprocess.PIPE, **options
    )  # type: ignore[call-overload, no-any-return]


def is_one_line(text: str) -> bool:
    return text.startswith("cgsim: error: ") and text.count("\n") == 1 and len(text) <= 520


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_said(verb: str, unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = run(*verb.split(), stdout=full, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 1
    assert is_one_line(done.stderr)
    assert "standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_a_reader_that_left_is_no_error(verb: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(*verb.split(), stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_output_is_said() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *CGSIM, "designs"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert is_one_line(done.stderr)


def test_escapes_of_a_profile_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = data_path("machines", "zen5-vm.yml").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("title:")]
    path = tmp_path / "mine.yml"
    path.write_text(text.replace(line, r'title: "\e]0;owned\a\e[31m\u202E"'))
    assert main(["machines", str(path)]) == 0
    out = capsys.readouterr().out
    assert r"\x1b]0;owned\x07\x1b[31m\u202e" in out
    assert all(c.isprintable() or c in "\n\t" for c in out)


def test_an_encoding_that_lacks_a_letter_is_no_error(tmp_path: Path) -> None:
    done = run("designs", stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_link_is_written_through_and_a_mode_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert write_atomically(link, "new") == link
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "fresh", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/full")):
        before = path.stat()
        with pytest.raises(OSError, match=r"directory|regular"):
            write_atomically(path, "x")
        assert path.stat().st_ino == before.st_ino


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a{b}.txt"
    write_atomically(path, "old")

    def fail(aside: Path) -> None:
        aside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_with(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


HOSTILE = (
    "numpy", "pandas", "numba", "yaml", "json", "multiprocessing", "argparse", "concurrent",
    "jupytext", "papermill", "ipykernel", "matplotlib", "signal", "threading", "resource",
)  # fmt: skip


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working directory whose modules say that they were run."""
    directory = tmp_path / "hostile"
    directory.mkdir()
    for name in HOSTILE:
        (directory / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n"
        )
    return directory


@pytest.mark.parametrize(
    "verb", ["designs", "machines zen5-vm", "trace idr/depth=0 --no-cycles", "misuse --design idr"]
)
def test_modules_of_the_working_directory_are_not_run(verb: str, hostile: Path) -> None:
    script = Path(sys.executable).with_name("cgsim")
    done = subprocess.run(
        [script, *verb.split()], cwd=hostile, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert not (hostile.parent / "ran").exists()


def test_no_worker_or_kernel_runs_them(hostile: Path, tiny_notebooks: Path) -> None:
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p]\n"
        "from cgsim.report.build import build_report\n"
        "if __name__ == '__main__':\n"
        f"    build_report('out', notebooks={str(tiny_notebooks)!r}, warm=False, mail=False)\n"
    )
    script = hostile.parent / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, script], cwd=hostile, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (hostile / "out" / "10_tiny.html").is_file()
    assert not (hostile.parent / "ran").exists()


@pytest.mark.parametrize("after_s", [0.1, 0.3, 0.8])
def test_an_interrupt_ends_a_run_within_two_seconds(after_s: float) -> None:
    process = subprocess.Popen(
        [*CGSIM, "simulate", "--design", "list", "-p", "n_cgroups=3000", "-p", "lookups=1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after_s)
    start = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    # the rest is for a busy host
    assert time.perf_counter() - start < 2 + 3
    if after_s > 0.2:
        assert process.returncode == 130
        assert err == "cgsim: interrupted\n"
