"""Damages the cache of compiled code in every way, and sees whether the answers stay right.

`python -m benchmarks.damaged_cache` writes CACHE.md. Each round damages some files of a full cache
and runs a new process, which must give the answers that it gave before, say nothing, run no planted
pickle and leave each file whole again.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from cgsim.files import write_atomically

FILES, ROUNDS = 200, 8
PROGRAM = """
import cgsim
print(cgsim.trace("idr/depth=2"))
for design in ("idr", "list"):
    print(cgsim.simulate(design, "zen5-vm", "network", lookups=200, replicates=1).to_json())
"""


def _flip(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(8 * len(content))
    byte = content[at // 8] ^ 1 << at % 8
    return content[: at // 8] + bytes([byte]) + content[at // 8 + 1 :]


class _Planted:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.fspath(self.path),)


def _ways(planted: Path) -> dict[str, Callable[[bytes, bytes, random.Random], bytes]]:
    """(What is done to a file: its content, another file's content, random numbers)."""
    pickled = pickle.dumps(_Planted(planted))
    return {
        "one bit flipped": lambda own, other, rng: _flip(own, rng),
        "cut": lambda own, other, rng: own[: rng.randrange(len(own))],
        "emptied": lambda own, other, rng: b"",
        "random bytes": lambda own, other, rng: rng.randbytes(len(own)),
        "another file's content": lambda own, other, rng: other,
        "a pickle that runs code": lambda own, other, rng: pickled,
        "that pickle behind the old head": lambda own, other, rng: own[:64] + pickled,
    }


def _answers(cache: Path) -> tuple[str, str]:
    """(What the program prints, what it says on standard error)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": os.fspath(cache)},
    )
    return done.stdout, done.stderr


def _state(files: list[Path]) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()[49:]).hexdigest()
        for file in files
        if file.is_file()
    }


def section() -> str:
    """The Markdown of the measurement."""
    rng = random.Random(1)
    right: Counter[str] = Counter()
    all_of: Counter[str] = Counter()
    said = 0
    with tempfile.TemporaryDirectory() as directory:
        cache, planted = Path(directory, "cache"), Path(directory, "planted")
        expected, _ = _answers(cache)
        files = sorted(cache.rglob("*.nbc"))
        names = set(_state(files))
        for _ in range(ROUNDS):
            chosen = rng.sample(files, FILES // ROUNDS)
            kinds = [rng.choice(list(_ways(planted))) for _ in chosen]
            for file, kind in zip(chosen, kinds, strict=True):
                other = rng.choice([f for f in files if f != file])
                content = _ways(planted)[kind](file.read_bytes(), other.read_bytes(), rng)
                file.write_bytes(content)
            answers, errors = _answers(cache)
            said += bool(errors)
            whole = set(_state(files)) == names and answers == expected
            all_of.update(kinds)
            right.update(kinds if whole else [])
        again, _ = _answers(cache)
        ran = planted.exists()
    rows = [(kind, count, right[kind]) for kind, count in sorted(all_of.items())]
    rows.append(("all", all_of.total(), right.total()))
    return (
        "# Damaged files of compiled code\n\n"
        f"Written by `python -m benchmarks.damaged_cache`: {FILES} times a file of {len(files)} is"
        f" damaged, in {ROUNDS} rounds with a new process after each. Planted pickles that ran:"
        f" {int(ran)}. Rounds that failed or said anything: {said}. At the end all answers are"
        f" right: {'yes' if again == expected else 'no'}.\n\n"
        + tabulate(rows, headers=("damage", "files", "right answers"), tablefmt="github")
        + "\n"
    )


if __name__ == "__main__":
    write_atomically(Path(__file__).with_name("CACHE.md"), section())
