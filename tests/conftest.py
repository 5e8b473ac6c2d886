"""Settings that all tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Figures are drawn to files: no screen is asked for, here or in kernels that tests start.
os.environ.setdefault("MPLBACKEND", "Agg")

# Points that tests compute go into a store of the run's own.
if "CGSIM_STORE" not in os.environ:
    os.environ["CGSIM_STORE"] = tempfile.mkdtemp(prefix="cgsim-points-")
    atexit.register(shutil.rmtree, os.environ["CGSIM_STORE"], ignore_errors=True)

# The first example of a test compiles code, so that times say nothing. Examples are derived from
# the test itself: the same in every run.
settings.register_profile(
    "cgsim",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("cgsim")

# Tests that need the compiler's products, which `make boundscheck` repeats with bounds checked.
_ENGINE_PACKAGES = (
    "cgsim.compile",
    "cgsim.core",
    "cgsim.designs",
    "cgsim.interface.checker",
    "cgsim.percpu",
    "cgsim.trace_replay",
    "cgsim.workloads",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `engine` every test of a module that uses the engine's packages."""
    for item in items:
        if _uses_engine(getattr(item, "module", None)):
            item.add_marker("engine")


@cache
def _uses_engine(module: ModuleType | None) -> bool:
    """Whether a test module has imported something of the engine."""
    values = vars(module).values() if module else ()
    names = [getattr(v, key, None) for v in values for key in ("__module__", "__name__")]
    return any(str(name).startswith(_ENGINE_PACKAGES) for name in names)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_notebooks() -> Path:
    """The directory of a real notebook that runs in a second."""
    return ROOT / "tests" / "notebooks"


@pytest.fixture(scope="session")
def tiny_report(tmp_path_factory: pytest.TempPathFactory, tiny_notebooks: Path) -> Path:
    """A report of the tiny notebook, built once by the real pipeline."""
    from cgsim.report.build import build_report

    out = tmp_path_factory.mktemp("report") / "out"
    build_report(out, notebooks=tiny_notebooks, warm=False, mail=False)
    return out
