"""The interface to argue for, as `python -m benchmarks.interfaces` recorded the searches for it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cgsim.data import data_path
from cgsim.strict_yaml import read_yaml

if TYPE_CHECKING:
    from pathlib import Path


def verdicts_file() -> Path:
    """The file of verdicts."""
    return data_path("interface", "verdicts.yml")


@cache
def _recorded() -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(verdicts_file(), "the file of verdicts")
    return found


def recorded_interface(user: str) -> dict[str, Any]:
    """What the searches say for a user.

    Returns
    -------
    dict: `interface`, what it `gives_up`, how many `mistakes` were made with each interface,
    how many of them went `unnoticed` with which and how many `only_debug` kernels notice, `which`
    went unnoticed with the one named, `states` searched without a violation, and `posted`:
    interface as posted -> properties that it breaks.
    """
    recorded = _recorded()
    return {**recorded["users"][user], "posted": recorded["posted"]}
