"""`cgsim replay`: an address trace through caches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cgsim
from cgsim.cli.parsing import add_json, add_verb, given_options
from cgsim.cli.printing import print_json
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "replay",
        run,
        "replay an address trace through the engine's caches",
        """\
examples:
  cgsim replay addresses.npy --caches "L1:32KiB/8,L2:512KiB/8,L3:16MiB/16"
  cgsim replay trace.parquet --machine zen5-vm --threads 2 --json
  cgsim replay trace.csv --machine zen4-genoa --cpus 8 --false-sharing
  cgsim replay trace.csv.gz --caches L1:32KiB/8 --columns address=addr,op=type
  valgrind --tool=lackey --trace-mem=yes --log-file=t.txt true; cgsim replay t.txt --machine zen5-vm

A trace is a table (CSV with any separator, or Parquet) with columns address and optionally op (R,
W, A; without it all are reads), cpu and size; a .npy or .npz of addresses; or the text of
valgrind's lackey, of Dinero or of DynamoRIO's view; compressed (gzip, bzip2, xz, zstd, lz4) or
not. Its content tells which.
""",
    )
    verb.add_argument("trace", type=Path, metavar="TRACE", help="a trace file; - is standard input")
    verb.add_argument("--caches", metavar="SPEC", help="a plain hierarchy: NAME:SIZE/WAYS,...")
    verb.add_argument(
        "--machine",
        metavar="NAME|FILE",
        help="a described machine; --caches, if given, replaces its caches",
    )
    verb.add_argument("--cpus", type=int, metavar="N", help="CPUs of the machine")
    verb.add_argument("--threads", type=int, metavar="T", help="host threads; the counts are equal")
    verb.add_argument("--tlb", metavar="SPEC", help="NAME:ENTRIES/WAYS,...")
    verb.add_argument(
        "--columns",
        metavar="COLUMN=NAME,...",
        help="names of a table's columns, address=addr,op=type; others are left out then",
    )
    verb.add_argument(
        "--line-bytes",
        type=int,
        metavar="N",
        help="of the lines of --caches, 64 to 4096; 64 by default",
    )
    verb.add_argument(
        "--false-sharing",
        action="store_true",
        help="count it, and name the lines with the most; words of 8 bytes",
    )
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim replay`."""
    if options.caches is None and options.machine is None:
        raise UserError("give --caches or --machine")
    result = cgsim.replay_file(
        options.trace,
        **given_options(
            options,
            "caches",
            "machine",
            "cpus",
            "threads",
            "tlb",
            "false_sharing",
            "columns",
            "line_bytes",
        ),
    ).to_json_dict()
    if options.json:
        print_json(result)
        return
    print(
        f"{result['accesses']} accesses, {result['line_accesses']} to single lines, in"
        f" {result['seconds']:.3f} s, "
        f"{result['accesses_per_second'] / 1e6:.1f} million a second"
    )
    for level in result["levels"]:
        print(f"{level['name']:<8} {level['hits']:>14} hits {level['misses']:>14} misses")
    for name, count in result["invalidations"].items():
        print(f"{name:<8} {count:>14} invalidations")
    print(f"{'memory':<8} {result['writebacks']:>14} writebacks")
    for level in result["tlb"]:
        print(f"{'TLB ' + level['name']:<8} {level['hits']:>14} hits {level['misses']:>14} misses")
    if (sharing := result.get("false_sharing")) is not None:
        misses = sharing["coherence_misses"]
        print(f"{sharing['count']} of {misses} coherence misses are false sharing")
        for line in sharing["lines"]:
            cpus = ", ".join(map(str, line["cpus"]))
            print(f"{line['address']:>18} {line['count']:>9} by CPUs {cpus}")
