"""`make clean`: removes reports and notebooks that cgsim wrote, and nothing else.

python -m cgsim.report.clean DIRECTORY ... : what reports wrote there, and unedited notebooks
"""

from __future__ import annotations

import sys
from pathlib import Path

from cgsim.report import publish
from cgsim.report.notebooks import is_as_written
from cgsim.resources import checkout_directory


def clean(directories: list[Path], notebooks: Path | None) -> list[Path]:
    """Remove the files of reports in `directories`; returns what is left there of others.

    And the .ipynb files in `notebooks` that nobody edited or ran.
    """
    left = []
    for directory in directories:
        if directory.is_dir():
            left += publish.remove(directory)
    for notebook in sorted(notebooks.glob("*.ipynb")) if notebooks else ():
        if is_as_written(notebook):
            notebook.unlink()
        else:
            left.append(notebook)
    return left


if __name__ == "__main__":
    root = checkout_directory()
    arguments = [Path(argument) for argument in sys.argv[1:]]
    for path in clean(arguments, root / "notebooks" if root else None):
        print(f"kept, not as cgsim wrote it: {path}")
