"""Frames and figures left beside a page: for who wants the data, not the picture of them.

A notebook that `cgsim report` runs leaves them in the directory that it is told by the environment;
run by hand it leaves none.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cgsim.provenance import git_state, version
from cgsim.studies.frames import write_frame

if TYPE_CHECKING:
    import pandas as pd

DIRECTORY, OWNER = "CGSIM_LEAVE", "CGSIM_LEAVE_AS"
"""Environment variables: where to, and the name of the notebook."""


def leave(frame: pd.DataFrame, name: str, /, **parameters: Any) -> pd.DataFrame:
    """Give a frame its `attrs`, and leave it as `NOTEBOOK.name.parquet`; returns the frame.

    `attrs` are the version and commit that computed it, and `parameters`.
    """
    attrs: dict[str, Any] = {**_provenance(), "parameters": parameters}
    frame.attrs.update(attrs)
    place = place_for(name, ".parquet")
    if place is not None:
        plain = frame.copy(deep=False)
        plain.attrs = {}
        write_frame(place, pa.Table.from_pandas(plain, preserve_index=False), attrs)
    return frame


def place_for(name: str, suffix: str) -> Path | None:
    """A new file's path for something called `name`; None where nothing is to be left."""
    directory = os.environ.get(DIRECTORY)
    if not directory:
        return None
    stem = f"{os.environ.get(OWNER, 'notebook')}.{re.sub(r'[^a-z0-9]+', '-', name.lower())}"
    path = Path(directory) / f"{stem}{suffix}"
    number = 2
    while path.exists():
        path = Path(directory) / f"{stem}-{number}{suffix}"
        number += 1
    return path


@functools.cache
def _provenance() -> dict[str, Any]:
    state = git_state()
    return {"version": version(), "commit": state["commit"], "dirty": state["dirty"]}
