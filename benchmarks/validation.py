"""Gather all predicted rows: writes data/validation/rows.csv and docs/MODEL.md.

Run with `python -m benchmarks.validation` after `benchmarks.traces`, `.scale` and `.published`,
from whose pages the rows come, with the digits that stand there. What profiles were made of
(compare-and-swap and core-to-core times) and what constants were fitted on is left out. The host's
own rows are `python -m benchmarks.host`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchmarks import model_page
from cgsim.data import data_path
from cgsim.files import write_atomically
from cgsim.validation.summary import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent
_FITTED = ("list", "idr", "array")
_HELD_OUT = ("perfbook_count", "perfbook_hash", "local_storage", "hashmap_lookup")


def main() -> None:
    """Write the rows and the page."""
    frame = pd.DataFrame([*_kernel_cycles(), *_scale(), *_published()], columns=list(COLUMNS))
    frame = frame[frame["measured"].gt(0) & frame["predicted"].gt(0)]
    text = frame.to_csv(index=False, lineterminator="\n")
    write_atomically(data_path("validation", "rows.csv"), text)
    model_page.write()


def _rows(page: str, first: str, heading: str = "") -> Iterator[dict[str, str]]:
    """The rows of the tables of a page whose first column is `first`, each by its last heading."""
    names: list[str] | None = None
    section = ""
    for line in (FOLDER / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            names = None
        elif names is None:
            wanted = cells[0] == first and section.startswith(heading)
            # a figure that was recorded is named by the column before it
            names = (
                [
                    f"{cells[i - 1]} {cell}" if cell == "recorded" else cell
                    for i, cell in enumerate(cells)
                ]
                if wanted
                else []
            )
        elif names and not set(cells[0]) <= set(":-"):
            yield dict(zip(names, cells, strict=True)) | {"section": section}


def _kernel_cycles() -> Iterator[tuple[object, ...]]:
    """Each scenario twice, back to back and dependent."""
    for row in _rows("TRACES.md", "scenario"):
        family = row["scenario"].split("/")[0]
        if family in _FITTED:
            continue
        for kind, column in (("throughput", "thr."), ("dependent", "dep.")):
            recorded = row[f"{column} recorded"]
            if recorded and row[column]:
                yield ("kernel-cycles", family, row["scenario"], f"{row['kernel']}, {kind}",
                       float(recorded), float(row[column]), "cycles")  # fmt: skip


def _scale() -> Iterator[tuple[object, ...]]:
    for row in _rows("SCALE.md", "id", "All rows"):
        conditions = f"{row['C']} cgroups, {row['pages']} pages, {row['mode']}"
        if row["footprint"]:
            conditions += f", {row['footprint']} bytes read between"
        yield ("scale", row["mode"], row["id"], conditions, float(row["measured"]),
               float(row["predicted"]), "ns")  # fmt: skip


def _published() -> Iterator[tuple[object, ...]]:
    for row in _rows("PUBLISHED.md", "machine"):
        if row["section"] in _HELD_OUT and "case" in row:
            conditions = f"{row['machine']}, {row['x']}, {row['unit']}"
            yield ("published", row["section"], row["case"], conditions, float(row["value"]),
                   float(row["predicted"]), row["unit"])  # fmt: skip


if __name__ == "__main__":
    main()
