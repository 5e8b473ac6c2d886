"""Where the package's data and notebooks lie: in a checkout beside it, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path

from cgsim.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def data_directory() -> Path:
    """The directory of data/ (machines, kernel offsets and traces, published measurements)."""
    return _resource("_data", "data")


def notebooks_directory() -> Path:
    """The directory of the notebooks' sources (*.py, jupytext percent format)."""
    return _resource("_notebooks", "notebooks")


def checkout_directory() -> Path | None:
    """The root of the source checkout that this package is imported from; None for a wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None


def _resource(in_wheel: str, in_checkout: str) -> Path:
    """The first of the two places that exists."""
    for place in (_PACKAGE / in_wheel, _PACKAGE.parent / in_checkout):
        if place.is_dir():
            return place
    raise UserError(f"{in_checkout}: not found beside or inside {_PACKAGE}; reinstall cgsim")
