"""Facts of a recorded kernel: sizes and offsets of its structs.

They stand in `data/kernel/offsets.json`; an offset that it lacks is taken from the accesses of
`data/kernel/traces.jsonl` to that field.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import Any

from cgsim.data import data_path
from cgsim.errors import unknown_name


@dataclass(frozen=True)
class Kernel:
    """One kernel version's structs."""

    version: str
    structs: dict[str, dict] = field(hash=False, repr=False)

    @property
    def series(self) -> str:
        """The version without its last number: '6.12' or '7.3'."""
        return ".".join(self.version.split(".")[:2])

    def size(self, struct: str) -> int:
        """sizeof(struct), in bytes."""
        return int(self.structs[struct]["size"])

    def offset(self, struct: str, field: str) -> int:
        """offsetof(struct, field), in bytes."""
        facts = self.structs.get(struct)
        if facts is not None and field in facts["offsets"]:
            return int(facts["offsets"][field])
        return _recorded_offsets(self.version)[struct, field]


@functools.cache
def _all_structs() -> dict[str, dict]:
    return json.loads(data_path("kernel", "offsets.json").read_text())


@functools.cache
def recorded_rows() -> tuple[dict[str, Any], ...]:
    """All recorded scenarios (`data/kernel/traces.jsonl`), in the file's order."""
    text = data_path("kernel", "traces.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines() if line)


def rows_of(kernel: Kernel) -> list[dict[str, Any]]:
    """The recorded rows of a kernel; code recompiled from its source counts as its own."""
    return [row for row in recorded_rows() if row["kernel_version"].startswith(kernel.version)]


@functools.cache
def _recorded_offsets(version: str) -> dict[tuple[str, str], int]:
    return {
        (access["struct"], access["field"]): access["offset"]
        for row in rows_of(load_kernel(version))
        for access in row["accesses"]
    }


def kernel_versions() -> list[str]:
    """The versions that were recorded."""
    return sorted(_all_structs())


def load_kernel(version: str = "7.3.4") -> Kernel:
    """The facts of one version; raises UserError for a version that was not recorded."""
    structs = _all_structs()
    if not isinstance(version, str) or version not in structs:
        raise unknown_name("kernel", version, structs)
    return Kernel(version, structs[version])
