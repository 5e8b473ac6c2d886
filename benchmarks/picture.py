"""Draws docs/lookup.svg, the README's picture, from a fresh simulation."""

from __future__ import annotations

from pathlib import Path

from cgsim.files import write_atomically
from cgsim.report.figure import styled, to_svg
from cgsim.report.plot import workload_bars
from cgsim.studies.sweeps import in_workloads, setting_of

PICTURE = Path(__file__).parent.parent / "docs" / "lookup.svg"
MACHINE = "zen4-genoa"


def main() -> None:
    """Simulate the workloads of the quick preset and write the picture."""
    setting = setting_of("quick", MACHINE, kernel="7.3.4", seed=1)
    with styled():
        figure = workload_bars(in_workloads(setting, n_keys=8), {"network": "network workload"})
        write_atomically(PICTURE, to_svg(figure))
    print(f"wrote {PICTURE.name}")


if __name__ == "__main__":
    main()
