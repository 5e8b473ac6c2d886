"""`cgsim workloads`: the workloads, every value with its source or assumption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "workloads",
        run,
        "list the workloads, or explain one: every value, unit and source or assumption",
        "examples:\n  cgsim workloads\n  cgsim workloads k8s-node\n  cgsim workloads my-host.yml\n",
    )
    verb.add_argument("name", nargs="?", metavar="NAME|FILE", help="the one to explain")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim workloads`."""
    from cgsim.workloads import explain, list_workloads, load_workload

    if options.name is None:
        found = [load_workload(name) for name in list_workloads()]
        if options.json:
            print_json({"workloads": [{"name": w.name, "title": w.title} for w in found]})
            return
        width = max(len(workload.name) for workload in found)
        print("\n".join(f"{workload.name:<{width}}  {workload.title}" for workload in found))
        return
    workload = load_workload(options.name)
    rows = [row._asdict() for row in explain(workload, options.name)]
    if options.json:
        print_json({"name": workload.name, "title": workload.title, "values": rows})
        return
    print(f"{workload.name}: {workload.title}\n")
    width = max(len(row["field"]) for row in rows)
    for row in rows:
        value = f"{_plain(row['value'])} {row['unit']}"
        print(f"{row['field']:<{width}}  {value:<28}  {row['source']}")


def _plain(value: Any) -> str:
    """A value as its file would have it."""
    if isinstance(value, tuple):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
