"""Pages of the report before that are kept, because nothing that they are made from has changed.

That is: the notebook and its parameters, cgsim's files and commit, the data, the versions of other
packages, the machine that computes, and what a page says of the others. A notebook of the user's
own, or one with a file among its parameters, may read more than that, and always runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cgsim.provenance import host, package_versions
from cgsim.report import publish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cgsim.report.notebooks import Notebook


def shared(
    state: Mapping[str, Any],
    package: str,
    inputs: Sequence[Mapping[str, Any]],
    pages: tuple[tuple[str, str], ...],
    machines: Mapping[str, str],
) -> dict[str, Any]:
    """What all pages of a report are made from, for `made_from`."""
    return {
        "git": dict(state),
        "package": package,
        "data": [[entry["path"], entry["sha256"]] for entry in inputs],
        "versions": package_versions(),
        "host": host(),
        "pages": [list(page) for page in pages],
        "machines": dict(machines),
        "epoch": os.environ.get("SOURCE_DATE_EPOCH", ""),
    }


def made_from(notebook: Notebook, parameters: Mapping[str, Any], common: Mapping[str, Any]) -> str:
    """What a page is made from, as one SHA-256; "" if it cannot be told.

    common : of `shared`.
    """
    texts = [text for value in parameters.values() for text in _texts(value)]
    if any(os.path.exists(text) for text in texts):
        return ""
    own = {"source": notebook.source.read_text(), "parameters": dict(parameters)}
    return publish.checksum({**common, **own})


def keep(target: Path, aside: Path, wanted: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Copy from the report in `target` into `aside` what is made from the same and is whole.

    wanted : notebook -> `made_from`. Returns what the report's manifest says of each notebook whose
    page, frames and figures are all there now.
    """
    before = publish.recorded(target)
    kept = {}
    for name, digest in wanted.items():
        entry = before.get("notebooks", {}).get(name, {})
        files = [file for file in before.get("files", {}) if file.partition(".")[0] == name]
        if not digest or entry.get("made_from") != digest or f"{name}.html" not in files:
            continue
        if publish.copy_own(target, files, aside):
            kept[name] = entry
    return kept


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
