"""Verdicts beside SPIN's, on protocols written in Promela by hand (promela/*.pml)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cgsim.interface import explore

PROMELA = Path(__file__).parent / "promela"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("spin") or not shutil.which("gcc"), reason="no spin"),
]


def spin_finds_an_error(model: str, flags: list[str], where: Path) -> bool:
    """Whether SPIN, searching all of a model, finds an assertion violated or a bad end."""
    shutil.copy(PROMELA / f"{model}.pml", where / "model.pml")
    subprocess.run(["spin", *flags, "-a", "model.pml"], cwd=where, check=True, timeout=60)
    subprocess.run(["gcc", "-O1", "-o", "pan", "pan.c"], cwd=where, check=True, timeout=120)
    done = subprocess.run(
        ["./pan", "-m100000"], cwd=where, check=True, capture_output=True, text=True, timeout=120
    )
    assert "Search not completed" not in done.stdout or "errors: 1" in done.stdout
    assert "max search depth too small" not in done.stdout
    return "errors: 0" not in done.stdout


@pytest.mark.parametrize(
    ("model", "flags", "interface", "roles", "seed"),
    [
        (
            "kref", ["-DPOSTED"], "cgroup-priv-kref-as-posted",
            ["installer", "reader", "reader", "remover"], "",
        ),
        ("kref", [], "cgroup-priv-kref", ["installer", "reader", "reader", "remover"], ""),
        ("device_list", ["-DPOSTED"], "cgroup-priv-as-posted", ["owner", "neighbour"], ""),
        ("device_list", [], "cgroup-priv", ["owner", "neighbour"], ""),
        (
            "map_storage", ["-DFAULT"], "map-storage", ["low-driver", "low-destroyer"],
            "both free",
        ),
        ("map_storage", [], "map-storage", ["low-driver", "low-destroyer"], ""),
        (
            "lost_update", ["-DPOSTED"], "cgroup-buf-as-posted",
            ["installer", "other-installer", "counter", "teller"], "",
        ),
        (
            "lost_update", [], "cgroup-buf",
            ["installer", "other-installer", "counter", "teller"], "",
        ),
    ],
)  # fmt: skip
def test_same_verdict(
    model: str, flags: list[str], interface: str, roles: list[str], seed: str, tmp_path: Path
) -> None:
    (found,) = explore([interface], actors=roles, seed=seed)
    assert found.complete
    assert bool(found.violations) == spin_finds_an_error(model, flags, tmp_path)
    assert bool(found.violations) == bool(flags)
