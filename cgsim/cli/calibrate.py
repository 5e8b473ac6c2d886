"""`cgsim calibrate`: measure this host into a machine profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb, needs_report_packages
from cgsim.cli.printing import print_json

if TYPE_CHECKING:
    import argparse

    from cgsim.validation.host.calibrate import Calibration


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "calibrate",
        run,
        "measure this host, and write a machine profile of it",
        """\
examples:
  cgsim calibrate --out host.yml
  cgsim calibrate --out host.yml --pictures host-pictures
  cgsim calibrate --json

Takes less than two minutes, no root and no compiler; best on a quiet host, and it says how quiet
this one was. What cannot be measured is the nearest profile's, and says so. The file is accepted
wherever a machine's name is: cgsim simulate --machine host.yml --design idr
""",
    )
    verb.add_argument("--out", metavar="FILE", help="write the profile")
    verb.add_argument("--pictures", metavar="DIR", help="draw ladder and core-to-core times (SVG)")
    verb.add_argument("--nearest", metavar="NAME", help="whose values complete it")
    verb.add_argument(
        "--quick", action="store_true", help="to try it out: few repetitions, no memory"
    )
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim calibrate`."""
    from cgsim.files import write_atomically
    from cgsim.validation.host.calibrate import calibrate

    found = calibrate(options.nearest, quick=options.quick)
    if options.out is not None:
        write_atomically(options.out, found.text())
    if options.pictures is not None:
        with needs_report_packages():
            _draw(found, Path(options.pictures))
    if options.json:
        print_json(_record(found))
        return
    print(f"{found.machine.title}: {found.seconds:.0f} s\n")
    for name, figure in found.figures.items():
        spread = f"spread {figure.spread:.0%} of {figure.n}"
        print(f"{name:<22}{figure.value:>9.3g} {figure.unit:<10} {spread}")
    sizes = ", ".join(f"{name} {size >> 10} KiB" for name, size in found.inferred_bytes.items())
    print(f"\ncaches that a chase sees: {sizes or 'none'}")
    for field, reason in found.fallen_back.items():
        print(f"not measured: {field}: {reason}")
    for warning in found.warnings:
        print(f"warning: {warning}")


def _record(found: Calibration) -> dict[str, Any]:
    rungs = [
        {"what": what, "size": rung.size_bytes, "pages": rung.pages, **rung.figure._asdict()}
        for what, rows in (("bytes", found.ladder.sizes), ("pages", found.ladder.strides))
        for rung in rows
    ]
    return {
        "machine": found.document,
        "figures": {name: figure._asdict() for name, figure in found.figures.items()},
        "ladder": rungs,
        "huge_pages": found.ladder.got_huge,
        "inferred_bytes": found.inferred_bytes,
        "conflicts": found.conflicts,
        "window": found.window,
        "pairs": [
            {"cpus": list(pair), "one_way": figure and figure._asdict()}
            for pair, figure in found.pairs.items()
        ],
        "warnings": list(found.warnings),
        "not_measured": found.fallen_back,
        "seconds": round(found.seconds, 1),
    }


def _draw(found: Calibration, folder: Path) -> None:
    from cgsim.files import write_with
    from cgsim.report import plot_host

    rungs = [(rung.size_bytes, rung.pages, rung.figure.value) for rung in found.ladder.sizes]
    levels = {cache.name: cache.size_bytes for cache in found.machine.caches}
    pairs = {pair: figure.value for pair, figure in found.pairs.items() if figure is not None}
    ladder = plot_host.ladder(rungs, levels, found.inferred_bytes)
    write_with(folder / "ladder.svg", lambda path: ladder.savefig(path))
    if pairs:
        heat = plot_host.core_to_core(pairs)
        write_with(folder / "core-to-core.svg", lambda path: heat.savefig(path))
