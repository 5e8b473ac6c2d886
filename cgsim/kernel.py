"""Facts of a recorded kernel: sizes and offsets of its structs (`data/kernel/offsets.json`)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field

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
        return int(self.structs[struct]["offsets"][field])


@functools.cache
def _all_structs() -> dict[str, dict]:
    return json.loads(data_path("kernel", "offsets.json").read_text())


def kernel_versions() -> list[str]:
    """The versions that were recorded."""
    return sorted(_all_structs())


def load_kernel(version: str = "7.3.4") -> Kernel:
    """The facts of one version; raises UserError for a version that was not recorded."""
    structs = _all_structs()
    if version not in structs:
        raise unknown_name("kernel", version, structs)
    return Kernel(version, structs[version])
