"""Count the package as it was before the house was built, when it stood, and now.

    python -m benchmarks.house [REVISION ...]

Writes benchmarks/HOUSE.md, a column for each revision, from git's trees alone.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from pathlib import Path, PurePosixPath

from cgsim.files import write_atomically

REVISIONS = ("05cc164", "53d4575", "HEAD")
"""The last commit before the rooms, the last one of the move, and now."""
TARGET = Path(__file__).with_name("HOUSE.md")
_ROOT = Path(__file__).parents[1]
_MOST_LINES = 500
_HEAD = """\
# The house, counted

Written by `python -m benchmarks.house`: the Python files below `cgsim/`, as git has them. The first
column is the last commit before the modules moved into rooms, the second the last one of the move;
what came since added functions, too. A name of numba's internals is one that is imported from
`numba.core`, or, in a module that does so, an attribute with one leading underscore.
"""


def sources(revision: str) -> dict[PurePosixPath, str]:
    """Path -> text of the package's Python files."""
    command = ["git", "archive", revision, "cgsim"]
    packed = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {
            PurePosixPath(member.name): archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive
            if member.name.endswith(".py")
        }


def internal_names(text: str) -> set[str]:
    """The names of numba's internals in a module."""
    nodes = list(ast.walk(ast.parse(text)))
    imported = {
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numba.core")
        for alias in node.names
    }
    if not imported:
        return set()
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return imported | {a for a in attributes if a.startswith("_") and not a.startswith("__")}


def counts(revision: str) -> dict[str, str]:
    """What is counted -> the count."""
    texts = sources(revision)
    lines = {path: text.count("\n") for path, text in texts.items()}
    longest = max(lines, key=lambda path: lines[path])
    beside = [path for path in texts if len(path.parts) == 2 and path.stem[:2] != "__"]
    internal = {path: internal_names(text) for path, text in texts.items()}
    return {
        "lines": f"{sum(lines.values()):,}",
        "files": f"{len(lines)}",
        "modules at the top level": f"{len(beside)}",
        "packages at the top level": f"{len({p.parts[1] for p in texts if len(p.parts) > 2})}",
        "longest file": f"{'/'.join(longest.parts[1:])}, {lines[longest]} lines",
        f"files above {_MOST_LINES} lines": f"{sum(n > _MOST_LINES for n in lines.values())}",
        "names of numba's internals": f"{len(set.union(*internal.values()))}",
        "modules that hold them": f"{sum(map(bool, internal.values()))}",
    }


def page(revisions: tuple[str, ...]) -> str:
    """The whole file."""
    columns = [counts(revision) for revision in revisions]
    short = ["git", "log", "--no-walk=unsorted", "--format=%h", *revisions]
    names = subprocess.run(short, cwd=_ROOT, check=True, capture_output=True, text=True).stdout
    rows = [["", *names.split()], ["---"] * (len(columns) + 1)]
    rows += [[what, *(column[what] for column in columns)] for what in columns[0]]
    return _HEAD + "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revisions", nargs="*", default=REVISIONS, metavar="REVISION")
    write_atomically(TARGET, page(tuple(parser.parse_args().revisions)))
    print(f"wrote {TARGET}")
