"""`cgsim store`: the user's own store of computed points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "store",
        run,
        "where computed points are kept and how many; or empty it",
        """\
examples:
  cgsim store
  cgsim store empty
  cgsim store --store results/store compact

Reports and notebooks find points there that were computed before. CGSIM_STORE names another
directory. Its files are Parquet: SELECT * FROM 'DIR/*.parquet' in DuckDB.
""",
    )
    verb.add_argument(
        "action", nargs="?", default="show", choices=("show", "compact", "empty"), metavar="ACTION",
        help="show, compact (join small files) or empty (show)",
    )  # fmt: skip
    verb.add_argument("--store", type=Path, metavar="DIR", help="another one, as of a sweep")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim store`."""
    from cgsim.studies.own_store import LIMIT_BYTES, default_store
    from cgsim.studies.store import Store

    store = Store(options.store or default_store())
    removed = 0
    if options.action == "empty":
        removed = store.empty()
    elif options.action == "compact":
        store.compact(at_least=2)
    facts = {
        "directory": str(store.directory),
        "points": len(store),
        "files": len(store.files),
        "bytes": store.size_bytes,
        "limit_bytes": LIMIT_BYTES if options.store is None else None,
        "removed": removed,
    }
    if options.json:
        print_json(facts)
        return
    print(store.directory)
    if removed:
        print(f"{removed} points removed")
    limit = "" if options.store else f" of at most {LIMIT_BYTES >> 20}"
    megabytes = store.size_bytes / 2**20
    print(f"{len(store)} points in {len(store.files)} files, {megabytes:.1f} MiB{limit}")
