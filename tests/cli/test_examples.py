"""The commands of README and of every verb's help are taken as they stand there, and run."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cgsim.cli.command_line import make_parser

ROOT = Path(__file__).parents[2]
TESTED_ELSEWHERE = {
    "replay": "tests/trace_replay/test_examples.py",
    "report": "tests/report, tests/pages",
    "sweep": "tests/studies",
    "compare": "tests/studies",
    "warm": "tests/report/test_warm.py",
    "calibrate": "tests/validation/test_host.py",
    "measure": "tests/validation/test_measure.py",
}
QUICK = ("designs", "machines", "trace --list", "notebooks")


def verbs() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def examples() -> list[str]:
    """What stands after `cgsim`, without the explanation behind it."""
    files = (ROOT / "README.md", ROOT / "docs" / "tutorial.md", ROOT / "docs" / "howto.md")
    texts = [*(path.read_text() for path in files), *(str(v.epilog) for v in verbs().values())]
    lines = [line for text in texts for line in text.splitlines()]
    found = [
        re.split(r" {2,}|;| > | # ", match[1])[0].strip()
        for line in lines
        if (match := re.match(r" +(?:\.venv/bin/)?cgsim (\S.*)", line))
    ]
    return sorted(set(found))


@pytest.mark.parametrize("example", examples())
def test_an_example_is_taken(example: str) -> None:
    """No option of it is unknown, or has a value of a wrong kind."""
    make_parser().parse_args(shlex.split(example))


def test_every_verb_has_an_example() -> None:
    assert {example.split()[0] for example in examples()} >= set(verbs())


MAIL = "From: A <a@example.org>\nMessage-ID: <1@example.org>\nSubject: x\n\n" + "said\n" * 40


def run(example: str, directory: Path) -> None:
    """Run one where the files of one's own lie that examples speak of."""
    for name in ("data", "docs"):
        if not (directory / name).exists():
            (directory / name).symlink_to(ROOT / name)
    design = (ROOT / "cgsim" / "designs" / "list_walk.py").read_text()
    (directory / "mine.py").write_text(design.replace('name="list"', 'name="mine"'))
    (directory / "my-network.yml").write_text((ROOT / "data/workloads/network.yml").read_text())
    machine = (ROOT / "data" / "machines" / "zen5-vm.yml").read_text()
    for name in ("my-machine.yml", "host.yml"):
        (directory / name).write_text(machine)
    measured = (ROOT / "docs" / "local-storage.txt").read_text()
    (directory / "local-storage.txt").write_text(measured)
    for name in ("their.eml", "their-mail.eml"):
        (directory / name).write_text(MAIL)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cgsim", *shlex.split(example)],
        cwd=directory, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    # with a family out of its bound, `validate` has done its work and says so
    kept = (0, 1) if example.startswith("validate") else (0,)
    assert done.returncode in kept, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout or " --out " in example


@pytest.mark.compiled
@pytest.mark.parametrize("example", [e for e in examples() if e.startswith(QUICK)])
def test_a_quick_example_runs(example: str, tmp_path: Path) -> None:
    run(f"{example} --out made" if example == "notebooks" else example, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    [e for e in examples() if not e.startswith(QUICK) and e.split()[0] not in TESTED_ELSEWHERE],
)
def test_an_example_runs(example: str, tmp_path: Path) -> None:
    run(example, tmp_path)
