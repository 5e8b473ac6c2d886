"""`cgsim workloads`: the workloads, every value with its source or assumption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_parameters, add_verb, given_parameters
from cgsim.cli.printing import print_json
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "workloads",
        run,
        "list the workloads, or explain one: every value, unit and source or assumption",
        """\
examples:
  cgsim workloads
  cgsim workloads k8s-node
  cgsim workloads my-network.yml
  cgsim workloads network -p cpus=2 --export events.csv --lookups 2000
  cgsim workloads gpu --export a.npy --addresses --design idr --machine zen4-genoa --lookups 100

Exported and recorded events have the columns time_ns, cpu, cgroup, key, event; cgsim simulate
--workload events.csv plays them. The head of cgsim/workloads/recorded.py says how to record some.
With --addresses what is written are the lines that the lookups and all other code ask for, from an
empty machine on, as cgsim replay --machine reads them.
""",
    )
    verb.add_argument("name", nargs="?", metavar="NAME|FILE", help="the one to explain")
    verb.add_argument(
        "--export", type=Path, metavar="FILE", help="write its events: .csv, .parquet"
    )
    verb.add_argument(
        "--addresses",
        action="store_true",
        help="export an address trace instead: .csv, .parquet, .npy, .npz",
    )
    verb.add_argument("--design", metavar="NAME", help="of the lookups, for --addresses")
    verb.add_argument("--machine", metavar="NAME|FILE", help="that plays it, for --addresses")
    verb.add_argument("--lookups", type=int, default=10_000, metavar="N", help="to export (10000)")
    verb.add_argument("--seed", type=int, default=1, metavar="N", help="of what is exported (1)")
    add_parameters(verb)
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim workloads`."""
    from cgsim.workloads import explain, list_workloads, load_workload

    if options.export is not None:
        (_export_addresses if options.addresses else _export)(options)
        return
    if options.addresses:
        raise UserError("--addresses goes with --export")
    if options.parameter and options.name is None:
        raise UserError("-p goes with a workload's name")

    if options.name is None:
        found = [load_workload(name) for name in list_workloads()]
        if options.json:
            print_json({"workloads": [{"name": w.name, "title": w.title} for w in found]})
            return
        width = max(len(workload.name) for workload in found)
        print("\n".join(f"{workload.name:<{width}}  {workload.title}" for workload in found))
        return
    workload = load_workload(options.name, **given_parameters(options))
    rows = [row._asdict() for row in explain(workload, options.name)]
    if options.json:
        print_json({"name": workload.name, "title": workload.title, "values": rows})
        return
    print(f"{workload.name}: {workload.title}\n")
    width = max(len(row["field"]) for row in rows)
    for row in rows:
        value = f"{_plain(row['value'])} {row['unit']}"
        print(f"{row['field']:<{width}}  {value:<28}  {row['source']}")


def _export(options: argparse.Namespace) -> None:
    """Write a workload's events."""
    from cgsim.files import write_with
    from cgsim.workloads.export import workload_events

    if options.name is None:
        raise UserError("--export goes with a workload's name")
    if options.export.suffix not in (".csv", ".parquet"):
        raise UserError(f"--export {options.export}: allowed: a name that ends in .csv or .parquet")
    frame = workload_events(
        options.name, options.lookups, options.seed, **given_parameters(options)
    )
    write = frame.to_csv if options.export.suffix == ".csv" else frame.to_parquet
    write_with(options.export, lambda aside: write(aside, index=False))
    print(f"wrote {len(frame)} events to {options.export}")


def _export_addresses(options: argparse.Namespace) -> None:
    """Write a workload's address trace."""
    import numpy as np

    from cgsim.experiments.addresses import workload_addresses
    from cgsim.files import write_with

    for field in ("name", "design", "machine"):
        if getattr(options, field) is None:
            raise UserError(
                f"--addresses goes with {'a workload' if field == 'name' else '--' + field}"
            )
    suffix = options.export.suffix
    if suffix not in (".csv", ".parquet", ".npy", ".npz"):
        allowed = "a name that ends in .csv, .parquet, .npy or .npz"
        raise UserError(f"--export {options.export}: allowed: {allowed}")
    trace = workload_addresses(
        options.name, options.design, options.machine, lookups=options.lookups, seed=options.seed,
        **given_parameters(options),
    )  # fmt: skip
    frame = trace.accesses

    def write(aside: Path) -> None:
        if suffix == ".csv":
            frame.to_csv(aside, index=False)
        elif suffix == ".parquet":
            frame.to_parquet(aside, index=False)
        else:
            codes = frame.assign(op=frame["op"].cat.codes.astype(np.uint8))
            if suffix == ".npy":
                np.save(aside, codes.to_records(index=False))
            else:
                arrays: dict[str, Any] = {str(name): codes[name].to_numpy() for name in codes}
                np.savez_compressed(aside, **arrays)

    write_with(options.export, write)
    print(f"wrote {len(frame)} accesses to {options.export}; the first {trace.warm} of them warm")


def _plain(value: Any) -> str:
    """A value as its file would have it."""
    if isinstance(value, tuple):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
