"""By what a result was computed: version, commit, packages, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from cgsim.resources import checkout_directory

_PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "pandas",
    "pyarrow",
    "scipy",
    "pyyaml",
    "matplotlib",
    "papermill",
    "nbclient",
    "nbconvert",
    "nbformat",
    "jupytext",
    "ipykernel",
    "ipywidgets",
    "distributed",
    "SALib",
)


def version() -> str:
    """The version of cgsim; of its sources where it is not installed."""
    try:
        return importlib.metadata.version("cgsim")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def package_versions() -> dict[str, str]:
    """The versions of the packages that a result may depend on, and of Python."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def git_state() -> dict[str, Any]:
    """The commit that the package's checkout is at, and whether files differ from it.

    `{"commit": "unknown", "dirty": None}` outside a git checkout, as in an installed wheel.
    """
    root = checkout_directory()
    commit = _git(root, "rev-parse", "HEAD") if root and (root / ".git").exists() else None
    if commit is None:
        return {"commit": "unknown", "dirty": None}
    return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain"))}


def package_hash() -> str:
    """SHA-256 over the package's files by name: another one means other code or templates."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def short_commit(state: dict[str, Any]) -> str:
    """A commit for a page's heading: 12 digits, `+` where files differ from it."""
    return str(state["commit"])[:12] + ("+" if state["dirty"] else "")


def host() -> dict[str, Any]:
    """The machine that computed: CPU model, usable cores, memory (bytes), operating system."""
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": platform.platform(),
    }


def usable_cores() -> int:
    """The number of CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _git(root: Path | None, *arguments: str) -> str | None:
    """What a git command prints; None if it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    """The CPU's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "cpu model") and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"
