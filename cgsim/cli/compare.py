"""`cgsim compare`: what changed from one run of a study to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json, records

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "compare",
        run,
        "what changed from one run of a study to another, paired, with intervals",
        """\
examples:
  cgsim sweep study.yml --out before; (change something); cgsim sweep study.yml --out after
  cgsim compare before after
  cgsim compare on-6.12 on-7.3 --metric p99_ns --json

A and B are directories of `cgsim sweep`, or their results.parquet: of two commits, kernels,
machines. Rows are paired by seed; "first" or "second" is cheaper only where the interval says so.
""",
    )
    verb.add_argument("first", type=Path, metavar="A", help="the one run")
    verb.add_argument("second", type=Path, metavar="B", help="the other")
    verb.add_argument("--metric", default="ns", metavar="COLUMN", help="what to compare (ns)")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim compare`."""
    from cgsim.studies.compare import compare

    table = compare(options.first, options.second, metric=options.metric)
    facts = table.attrs
    if options.json:
        sides = ("differs", "only_first", "only_second")
        print_json({**{name: facts[name] for name in sides}, "points": records(table)})
        return
    for side, path, about in zip("AB", (options.first, options.second), facts["runs"], strict=True):
        dirty = "+" if about.get("dirty") else ""
        print(f"{side}: {path}, commit {str(about.get('commit', 'unknown'))[:12]}{dirty}")
    for name, (one, other) in facts["differs"].items():
        print(f"{name}: {one} -> {other}")
    print(f"{options.metric}, B - A, 95 % paired by seed; less is better\n")
    named = [n for n in table.columns[: list(table.columns).index("first")]]
    shown = [n for n in named if table[n].nunique() > 1 or n in ("design", "layout")]
    columns = [*shown, "first", "second", "difference", "low", "high", "verdict"]
    words = {"first": "A", "second": "B"}
    text = table[columns].assign(verdict=table["verdict"].replace(words))
    print(text.rename(columns=words).to_string(index=False, float_format="{:.2f}".format))
    counts = table["verdict"].value_counts()
    print(
        f"\n{len(table)} points: {counts.get('first', 0)} cheaper in A, "
        f"{counts.get('second', 0)} in B, {counts.get('level', 0)} level, "
        f"{counts.get('undecided', 0)} undecided; only in A {facts['only_first']}, "
        f"only in B {facts['only_second']}"
    )
