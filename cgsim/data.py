"""The package's data files: where they are, in a wheel or a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.resources import data_directory

if TYPE_CHECKING:
    from pathlib import Path


def data_path(*parts: str) -> Path:
    """The path of a data file or directory, as in `data_path("machines", "zen5-vm.yml")`.

    The path is not required to exist. Raises `UserError` if there is no data directory at all.
    """
    return data_directory().joinpath(*parts)
