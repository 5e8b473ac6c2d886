"""The record of a study's run, beside its results."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from cgsim.errors import UserError
from cgsim.files import write_atomically
from cgsim.provenance import git_state, host, package_versions, version

SCHEMA = 1
NAME = "manifest.json"


def write_run(directory: Path, facts: dict[str, Any], *, state: str) -> Path:
    """Write the manifest of a run that is "running" or "finished"; returns its path.

    Raises UserError if the directory cannot be written to: at once, before anything is computed.
    """
    now = datetime.datetime.now(datetime.UTC)
    content = {
        "tool": "cgsim sweep",
        "schema": SCHEMA,
        "state": state,
        "version": version(),
        "date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": git_state(),
        "host": host(),
        "versions": package_versions(),
        **facts,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        return write_atomically(directory / NAME, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{directory / NAME}: cannot be written: {reason}") from None
