"""The command line: the verbs of the Python API, one small function each.

Exit status: 0 done, 1 a report failed, 2 a mistake in what was given (one line on standard
error, no traceback), 130 interrupted.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import cgsim
from cgsim.errors import UserError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

_DESCRIPTION = """\
What a lookup of per-cgroup private data costs, simulated access for access.

A design (list, hash, idr, ...) is the kernel's own data structure in a simulated memory; a machine
is a described processor; a workload decides who looks up what, and what runs in between.
"""
_EPILOG = """\
start here:
  cgsim designs                      what can be simulated
  cgsim machines                     on which machines
  cgsim simulate --design idr        one answer, as a table
  cgsim report                       all notebooks, into reports/index.html

Each verb has its own help with examples: cgsim simulate --help
"""


_OWN_OPTIONS = {"design", "machine", "workload"}


class _Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and suggests the closest name for a mistyped one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with status 2."""
        self.exit(2, f"cgsim: error: {message} (see {self.prog} --help)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value outside the choices, with a hint."""
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        close = get_close_matches(str(value), names, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise argparse.ArgumentError(
            action, f"unknown {value!r}{hint}; allowed: {', '.join(names)}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except UserError as error:
        print(f"cgsim: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has left; point the descriptor elsewhere so that Python's own
        # flush at exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("cgsim: interrupted", file=sys.stderr)
        return 130


def _parser() -> _Parser:
    """The parser of all verbs."""
    parser = _Parser(prog="cgsim", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"cgsim {cgsim.__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=_Parser)

    verb = _verb(
        verbs,
        "simulate",
        _simulate,
        "cost of lookups: design, machine, workload -> table",
        """\
examples:
  cgsim simulate --design idr
  cgsim simulate --design list --design hash --machine zen5-vm --workload gpu
  cgsim simulate --design idr --design direct --workload alone -p 'modes=[dependent]'
  cgsim simulate --design idr -p n_keys=8 -p seed=7 --json
  cgsim simulate --design table --out table.csv

Workloads: network, gpu, or alone, that is lookups of random cgroups and keys one after another.
The table shows means over replicates with a 95 % interval; --out and --json have each replicate.
""",
    )
    verb.add_argument(
        "--design", action="append", required=True, metavar="NAME", help="repeat to compare"
    )
    verb.add_argument(
        "--machine", default="zen5-vm", metavar="NAME|FILE", help="a name or a profile (zen5-vm)"
    )
    verb.add_argument(
        "--workload", default="network", metavar="NAME", help="network, gpu or alone (network)"
    )
    _add_parameters(verb)
    verb.add_argument("--out", type=Path, metavar="FILE", help="write .csv or .parquet")
    _add_json(verb)

    verb = _verb(
        verbs,
        "attribute",
        _attribute,
        "which struct and field a workload's lookups touched, and what each cost",
        """\
examples:
  cgsim attribute --design idr --machine zen4-genoa
  cgsim attribute --design storage --workload gpu -p n_cgroups=4000 --json
""",
    )
    verb.add_argument("--design", required=True, metavar="NAME", help="see cgsim designs")
    verb.add_argument(
        "--machine", default="zen5-vm", metavar="NAME|FILE", help="a name or a profile (zen5-vm)"
    )
    verb.add_argument(
        "--workload", default="network", metavar="NAME", help="network or gpu (network)"
    )
    _add_parameters(verb)
    _add_json(verb)

    verb = _verb(
        verbs,
        "upkeep",
        _upkeep,
        "cost of install, remove, teardown and of a key that goes",
        """\
examples:
  cgsim upkeep --design idr --design table
  cgsim upkeep --design table -p data=percpu -p n_keys=16 --machine zen4-genoa
  cgsim upkeep --design list -p footprint_bytes=1048576 --json

Locks, allocation, copying, and memory that waits for a grace period stand beside the times.
""",
    )
    verb.add_argument(
        "--design", action="append", required=True, metavar="NAME", help="repeat to compare"
    )
    verb.add_argument(
        "--machine", default="zen5-vm", metavar="NAME|FILE", help="a name or a profile (zen5-vm)"
    )
    _add_parameters(verb)
    _add_json(verb)

    verb = _verb(
        verbs,
        "misuse",
        _misuse,
        "make the users' mistakes with each design, and say what came of them",
        """\
examples:
  cgsim misuse
  cgsim misuse --design hash-as-posted --design table
  cgsim misuse --misuse 'install twice' --json
""",
    )
    verb.add_argument("--design", action="append", default=[], metavar="NAME", help="repeat; all")
    verb.add_argument("--misuse", action="append", default=[], metavar="NAME", help="repeat; all")
    _add_json(verb)

    verb = _verb(
        verbs,
        "report",
        _report,
        "run the notebooks, write HTML pages, mail.txt and manifest.json",
        """\
examples:
  cgsim report                                   quick preset, into reports/
  cgsim report --preset full --out reports-full
  cgsim report --notebook 01_lookup -p seed=7    one notebook, one parameter
  cgsim report -p 01_lookup.seed=7               that parameter in that notebook alone

Values are YAML: -p 'keys=[1, 16]', -p share=0.5. The old report stays if anything fails.
""",
    )
    verb.add_argument("--preset", default="quick", metavar="quick|full", help="how much (quick)")
    verb.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR", help="(reports)")
    verb.add_argument(
        "--notebook", action="append", default=[], metavar="NAME", help="only this one; repeat"
    )
    verb.add_argument("--workers", type=int, metavar="N", help="notebooks at a time (one a core)")
    verb.add_argument("--notebooks", type=Path, metavar="DIR", help="sources of your own (*.py)")
    verb.add_argument("--no-mail", action="store_true", help="do not write mail.txt")
    _add_parameters(verb)

    verb = _verb(
        verbs,
        "mail",
        _mail,
        "the answer as plain text for the list, on standard output",
        """\
examples:
  cgsim mail > mail.txt
  cgsim mail --preset full
  cgsim mail --machine zen4-genoa --second-machine neoverse-v1 --seed 7

Nothing is ever sent: read it, edit it, send it yourself.
""",
    )
    verb.add_argument("--preset", default="quick", metavar="quick|full", help="how much (quick)")
    verb.add_argument("--machine", metavar="NAME", help="whose figures (zen5-vm)")
    verb.add_argument("--second-machine", metavar="NAME", help="to compare with (skylake-sp)")
    verb.add_argument("--kernel", metavar="VERSION", help="whose structs and code (7.3.4)")
    verb.add_argument("--seed", type=int, metavar="N", help="of the first replicate (1)")
    verb.add_argument("--replicates", type=int, metavar="N", help="as the preset says")

    verb = _verb(
        verbs,
        "notebooks",
        _notebooks,
        "write the .ipynb files of the notebooks, for JupyterLab and papermill",
        """\
examples:
  cgsim notebooks                    beside their sources, in a checkout
  cgsim notebooks --out my-notebooks
  papermill my-notebooks/01_lookup.ipynb out.ipynb -p seed 7

A file that is newer than its source is left alone.
""",
    )
    verb.add_argument("--out", type=Path, metavar="DIR", help="where to")

    verb = _verb(
        verbs,
        "designs",
        _designs,
        "list the lookup designs and what each mirrors",
        "example:\n  cgsim designs --json\n",
    )
    _add_json(verb)

    verb = _verb(
        verbs,
        "machines",
        _machines,
        "list the machine profiles, or explain one: every value, unit and source",
        "examples:\n  cgsim machines\n  cgsim machines zen5-vm\n  cgsim machines my-machine.yml\n",
    )
    verb.add_argument("name", nargs="?", metavar="NAME|FILE", help="the one to explain")
    _add_json(verb)

    verb = _verb(
        verbs,
        "trace",
        _trace,
        "the accesses of one kernel function, with the dependences between them",
        """\
examples:
  cgsim trace --list
  cgsim trace idr/depth=2
  cgsim trace list/position=16 --kernel 6.12.117 --machine zen5-vm --json
""",
    )
    verb.add_argument("scenario", nargs="?", metavar="SCENARIO", help="see --list")
    verb.add_argument("--list", action="store_true", help="explain the scenarios")
    verb.add_argument("--kernel", metavar="VERSION", help="a recorded kernel version")
    verb.add_argument("--machine", metavar="NAME|FILE", help="for the cycles")
    verb.add_argument("--no-cycles", action="store_true", help="leave them out: much quicker")
    _add_json(verb)

    verb = _verb(
        verbs,
        "replay",
        _replay,
        "replay an address trace through the engine's caches",
        """\
examples:
  cgsim replay addresses.npy --caches "L1:32KiB/8,L2:512KiB/8,L3:16MiB/16"
  cgsim replay trace.parquet --machine zen5-vm --cpus 8 --threads 2 --json
  cgsim replay trace.csv --machine zen5-vm --cpus 8 --false-sharing
  valgrind --tool=lackey --trace-mem=yes --log-file=t.txt true; cgsim replay t.txt --machine zen5-vm

A trace is a .npy of uint64 byte addresses, a Parquet or CSV file with columns cpu, op (R, W, A),
address and optionally size, or the text that valgrind's lackey writes.
""",
    )
    verb.add_argument("trace", type=Path, metavar="TRACE", help=".npy, .parquet, .csv or text")
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
        "--false-sharing",
        action="store_true",
        help="count it, and name the lines with the most; words of 8 bytes",
    )
    _add_json(verb)

    verb = _verb(
        verbs,
        "validate",
        _validate,
        "predict measurements, and show them side by side",
        """\
examples:
  cgsim validate published --benchmark perfbook_count
  cgsim validate published --benchmark perfbook_hash --x 1,28,112 --json
  cgsim validate scale --id idr1 --cgroups 1000,100000 --mode dependent
  cgsim validate scale --id htab --distribution zipf1.0 --json

What was not measured (--x, --cgroups, ...) gets a row without a value.
""",
    )
    verb.add_argument("what", metavar="WHAT", choices=("published", "scale"), help="or scale")
    published = verb.add_argument_group("published")
    published.add_argument("--benchmark", metavar="NAME", help="perfbook_count or perfbook_hash")
    published.add_argument("--machine", metavar="NAME", help="as the published tables call it")
    published.add_argument("--case", metavar="NAME", help="one case of the benchmark")
    published.add_argument("--x", metavar="N,...", help="threads or table sizes")
    scale = verb.add_argument_group("scale: lookups over many cgroups (data/kernel/scale.csv)")
    scale.add_argument("--id", metavar="NAME,...", dest="ids", help="what is looked up")
    scale.add_argument("--cgroups", metavar="C,...", help="how many, up to 100000")
    scale.add_argument("--distribution", metavar="NAME", help="uniform or zipf1.0")
    scale.add_argument("--pages", metavar="4k|huge", help="that the objects lie on")
    scale.add_argument("--mode", metavar="NAME", help="throughput, dependent, serialized, polluted")
    scale.add_argument("--footprint", metavar="BYTES", type=int, help="read before each lookup")
    _add_json(verb)
    return parser


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, epilog: str
) -> argparse.ArgumentParser:
    """Add one verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog
    )
    parser.set_defaults(run=run)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="for programs: JSON, no table")


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add -p."""
    parser.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter, VALUE in YAML; repeat",
    )


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The values of -p."""
    from cgsim.report.parameters import parse_given

    return parse_given(options.parameter)


def _checked(
    options: argparse.Namespace, function: Callable[..., Any] | None = None
) -> dict[str, Any]:
    """The values of -p, none of which has an option of its own; `function` takes them all."""
    given = _given(options)
    for name in sorted(_OWN_OPTIONS & given.keys()):
        raise UserError(f"parameter {name}: give it as --{name}")
    if function is not None:
        allowed = set(inspect.signature(function).parameters) - _OWN_OPTIONS
        for name in given:
            if name not in allowed:
                raise unknown_name("parameter", name, allowed)
    return given


def _set(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the named options that were given, as keyword arguments."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, allow_nan=False))


def _simulate(options: argparse.Namespace) -> None:
    """`cgsim simulate`."""
    import pandas as pd

    if options.out and options.out.suffix not in (".csv", ".parquet"):
        raise UserError(f"--out {options.out}: allowed: a name that ends in .csv or .parquet")
    alone = options.workload == "alone"
    given = _checked(options, cgsim.lookup_cost if alone else None)
    if alone:
        frames = [cgsim.lookup_cost(name, options.machine, **given) for name in options.design]
    else:
        frames = [
            cgsim.simulate(name, options.machine, options.workload, **given)
            for name in options.design
        ]
    frame = pd.concat(frames, ignore_index=True)
    points = cgsim.summarise(frame)
    if options.out:
        from cgsim.files import write_with

        write = frame.to_csv if options.out.suffix == ".csv" else frame.to_parquet
        write_with(options.out, lambda aside: write(aside, index=False))
    if options.json:
        _print_json({"points": _records(points), "replicates": _records(frame)})
    elif not options.out:
        _print_points(points)


def _attribute(options: argparse.Namespace) -> None:
    """`cgsim attribute`."""
    given = _given(options)
    for name in sorted(_OWN_OPTIONS & given.keys()):
        raise UserError(f"parameter {name}: give it as --{name}")
    frame = cgsim.attribute(options.design, options.machine, options.workload, **given)
    if options.json:
        _print_json({"words": _records(frame)})
        return
    shown = frame.loc[:, (frame != 0).any()]
    print(f"simulated, per lookup: {options.design}, {options.machine}, {options.workload}\n")
    print(shown.to_string(index=False, float_format="{:.2f}".format))


def _records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame for JSON; NaN becomes null."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


def _print_points(points: Any) -> None:
    """Print the cost of each point and where its cycles went."""
    first = points.iloc[0]
    print(
        f"simulated: {first['machine']}, kernel {first['kernel']}, {first['workload']}, "
        f"{first['n_cgroups']} cgroups, {first['n_keys']} keys each, "
        f"{first['replicates']} replicates"
    )
    names = ["design", "mode", "ns", "ns_low", "ns_high", "p50_ns", "p99_ns", "p999_ns", "cycles"]
    memory = [name for name in ("cgroup_bytes", "entry_bytes") if name in points]
    columns = [name for name in [*names, *memory] if name in points]
    print(f"\n{points[columns].to_string(index=False, float_format='{:.2f}'.format)}")
    causes = [name for name in points if name.endswith("_cycles") and points[name].abs().max() > 0]
    stack = points[["design", "mode", *causes]].rename(columns=lambda c: c.removesuffix("_cycles"))
    print(f"\nwhere the cycles went:\n{stack.to_string(index=False, float_format='{:.2f}'.format)}")


def _upkeep(options: argparse.Namespace) -> None:
    """`cgsim upkeep`."""
    import pandas as pd

    given = _checked(options, cgsim.upkeep)
    frame = pd.concat(
        [cgsim.upkeep(name, options.machine, **given) for name in options.design],
        ignore_index=True,
    )
    points = cgsim.summarise(frame)
    if options.json:
        _print_json({"points": _records(points), "replicates": _records(frame)})
        return
    first = points.iloc[0]
    print(
        f"simulated: {first['machine']}, kernel {first['kernel']}, {first['n_cgroups']} cgroups, "
        f"{first['n_keys']} keys each, {first['data']} data\n"
    )
    columns = [
        "design", "operation", "ns", "p99_ns", "drained_ns", "deferred_ns", "locked", "locks",
        "allocated_bytes", "copied_bytes", "freed_bytes", "waiting_bytes",
    ]  # fmt: skip
    print(points[columns].to_string(index=False, float_format="{:.1f}".format))


def _misuse(options: argparse.Namespace) -> None:
    """`cgsim misuse`."""
    from cgsim.interface import explore

    frame = explore(options.design, options.misuse)
    if options.json:
        _print_json({"rows": _records(frame)})
        return
    for name, rows in frame.groupby("misuse", sort=False):
        print(f"{name}:")
        for (harm, text), same in rows.groupby(["harm", "what_happened"], sort=False):
            print(f"  {harm}: {text}\n    {', '.join(same['design'])}")


def _report(options: argparse.Namespace) -> int:
    """`cgsim report`."""
    try:
        from cgsim.report.build import ReportFailure, build_report
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'cgsim[report]'") from None
    try:
        report = build_report(
            options.out,
            options.preset,
            parameters=_given(options),
            only=options.notebook,
            notebooks=options.notebooks,
            workers=options.workers,
            mail=not options.no_mail,
        )
    except ReportFailure as failure:
        print(f"cgsim: report failed: {failure}", file=sys.stderr)
        return 1
    print(report.directory / "index.html")
    return 0


def _mail(options: argparse.Namespace) -> None:
    """`cgsim mail`."""
    from cgsim.report.mail import mail_text

    names = ("machine", "second_machine", "kernel", "seed", "replicates")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    print(mail_text(options.preset, **given), end="")


def _notebooks(options: argparse.Namespace) -> None:
    """`cgsim notebooks`."""
    from cgsim.report.notebooks import find_notebooks, refresh
    from cgsim.resources import checkout_directory, notebooks_directory

    out = options.out
    if out is None:
        if checkout_directory() is None:
            raise UserError("--out is needed: the installed notebooks' own directory is not yours")
        out = notebooks_directory()
    for path in refresh(find_notebooks(notebooks_directory()), out):
        print(path)


def _designs(options: argparse.Namespace) -> None:
    """`cgsim designs`."""
    rows = [
        {
            "name": design.name,
            "title": design.title,
            "mirrors": design.mirrors,
            "reader_side": design.reader_side,
            "loads_to_datum": design.loads_to_datum,
        }
        for design in cgsim.list_designs()
    ]
    if options.json:
        _print_json({"designs": rows})
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['title']}")
        for label, text in (("mirrors", row["mirrors"]), ("loads", row["loads_to_datum"])):
            if text:
                print(f"{'':<{width}}  {label}: {text}")


def _machines(options: argparse.Namespace) -> None:
    """`cgsim machines`."""
    from cgsim.machines import model as machines

    if options.name is None:
        found = [machines.load_machine(name) for name in machines.list_machines()]
        if options.json:
            _print_json({"machines": [{"name": m.name, "title": m.title} for m in found]})
            return
        width = max(len(machine.name) for machine in found)
        print("\n".join(f"{machine.name:<{width}}  {machine.title}" for machine in found))
        return
    machine = machines.load_machine(options.name)
    rows = [row._asdict() for row in machines.explain(machine)]
    if options.json:
        _print_json({"name": machine.name, "title": machine.title, "values": rows})
        return
    print(f"{machine.name}: {machine.title}\n")
    width = max(len(row["field"]) for row in rows)
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']} {row['unit']}".strip()
        print(f"{row['field']:<{width}}  {value:<16}  {row['source']}")


def _trace(options: argparse.Namespace) -> None:
    """`cgsim trace`."""
    from cgsim.scenarios.trace import list_scenarios, trace

    if options.list:
        scenarios = list_scenarios()
        if options.json:
            _print_json({"scenarios": scenarios})
            return
        for row in scenarios:
            values = f" (N = {row['n']})" if row["n"] else ""
            print(f"{row['name']:<24} {row['explanation']}{values}; {row['mirrors']}")
        return
    if options.scenario is None:
        raise UserError("SCENARIO is missing; cgsim trace --list explains them")
    given = _set(options, "kernel", "machine")
    result = trace(options.scenario, cycles=not options.no_cycles, **given)
    if options.json:
        _print_json(result)
        return
    print(f"{result['scenario']}, kernel {result['kernel']}:", end=" ")
    print(f"{result['instructions']} instructions, {result['cond_branches']} branches")
    for number, access in enumerate(result["accesses"]):
        after = ",".join(str(i) for i in access["deps"]) or "-"
        place = f"{access['struct']}+{access['offset']}"
        print(
            f"{number:>4}  {access['op']:<6} {place:<28} {access['size']:>3}  "
            f"{access['field']:<24} after {after}"
        )
    for reading, cycles in result.get("cycles", {}).items():
        print(f"{reading}: {cycles:.1f} cycles")


def _validate(options: argparse.Namespace) -> None:
    """`cgsim validate published` and `cgsim validate scale`."""
    run, foreign = {
        "published": (
            _validate_published,
            ("ids", "cgroups", "distribution", "pages", "mode", "footprint"),
        ),
        "scale": (_validate_scale, ("benchmark", "machine", "case", "x")),
    }[options.what]
    for name in foreign:
        if getattr(options, name) is not None:
            option = "id" if name == "ids" else name
            raise UserError(f"validate {options.what}: --{option} is not allowed")
    frame, columns = run(options)
    if options.json:
        _print_json({"rows": json.loads(frame.to_json(orient="records"))})
        return
    shown = {"error": "{:+.0%}".format, "predicted_ns": "{:.2f}".format}
    print(frame[columns].to_string(index=False, formatters=shown, na_rep="-"))


def _validate_published(options: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    """Rows and the columns to show."""
    from cgsim.validation.published import validate_published

    if options.benchmark is None:
        raise UserError("validate published: --benchmark is missing")
    numbers = _whole_numbers("x", options.x)
    frame = validate_published(options.benchmark, options.machine, options.case, numbers)
    return frame, ["machine", "case", "x", "value", "predicted", "unit", "error"]


def _validate_scale(options: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    """Rows and the columns to show."""
    from cgsim.validation.scale import KEY_COLUMNS, validate_scale

    frame = validate_scale(
        options.ids.split(",") if options.ids is not None else None,
        _whole_numbers("cgroups", options.cgroups),
        **_set(options, "distribution", "pages", "mode"),
        footprint_bytes=options.footprint,
    )
    return frame, [*KEY_COLUMNS, "value", "predicted_ns", "error"]


def _whole_numbers(name: str, text: str | None) -> list[int] | None:
    """The numbers of a comma-separated option."""
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise UserError(
            f"--{name} = {text!r} is not allowed; allowed: whole numbers, as in 1,28,112"
        ) from None


def _replay(options: argparse.Namespace) -> None:
    """`cgsim replay`."""
    if options.caches is None and options.machine is None:
        raise UserError("give --caches or --machine")
    result = cgsim.replay_file(
        options.trace,
        **_set(options, "caches", "machine", "cpus", "threads", "tlb", "false_sharing"),
    ).to_json_dict()
    if options.json:
        _print_json(result)
        return
    print(
        f"{result['accesses']} accesses in {result['seconds']:.3f} s, "
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


if __name__ == "__main__":
    sys.exit(main())
