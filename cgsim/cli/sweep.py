"""`cgsim sweep`: a study of many points."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_verb

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "sweep",
        run,
        "run a study: a grid or a sample of points, each with several seeds",
        """\
examples:
  cgsim sweep study.yml --out results
  cgsim sweep study.yml --out results --workers 8
  cgsim sweep study.yml --out results --scheduler tcp://10.0.0.1:8786

DIR/results.parquet has a row per point, design and replicate, DIR/manifest.json how it came about,
DIR/store each computed point. Run again, after an interruption or with a point more, it computes
only what is missing.
""",
    )
    verb.add_argument("study", type=Path, metavar="FILE", help="the study, in YAML")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    verb.add_argument("--workers", type=int, metavar="N", help="processes (one a core)")
    verb.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler: tcp://...")
    verb.add_argument("--store", type=Path, metavar="DIR", help="of computed points (OUT/store)")


def run(options: argparse.Namespace) -> None:
    """`cgsim sweep`."""
    from cgsim.studies.progress import Progress
    from cgsim.studies.run import RESULTS, run_study

    done = run_study(
        options.study,
        out=options.out,
        store=options.store,
        workers=options.workers,
        scheduler=options.scheduler,
        progress=Progress(),
    )
    for item in done.left_out:
        print(f"left out: {item.design} with {item.n_keys} keys: {item.reason}", file=sys.stderr)
    print(
        f"{done.table.num_rows} rows: {done.computed} points computed, {done.found} found, "
        f"in {done.seconds:.1f} s on {done.where}",
        file=sys.stderr,
    )
    print(options.out / RESULTS)
