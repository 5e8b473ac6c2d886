"""`cgsim validate`: predictions beside measurements."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb, given_options
from cgsim.cli.printing import print_json, records
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse

    import pandas as pd


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "validate",
        run,
        "predict measurements, and show them side by side",
        """\
examples:
  cgsim validate
  cgsim validate --measured local-storage.txt --machine host.yml
  cgsim validate published --benchmark perfbook_count
  cgsim validate published --benchmark perfbook_hash --x 1,28,112 --json
  cgsim validate scale --id idr1 --cgroups 1000,100000 --mode dependent
  cgsim validate scale --id htab --distribution zipf1.0 --json

Without WHAT: all families of measurements, from the stored predictions; exit status 1 if one is
outside of its stated bound. --measured reads the kernel's local-storage benchmark
(docs/measured.md), with the bound of the published tables.

What was not measured (--x, --cgroups, ...) gets a row without a value.
""",
    )
    verb.add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        choices=("summary", "published", "scale"),
        default="summary",
        help="published or scale; all families, if not given",
    )
    verb.add_argument(
        "--measured", metavar="FILE", help="predict what a kernel's benchmark printed"
    )
    verb.add_argument(
        "--machine", metavar="NAME|FILE", help="of --measured; of published, its tables' name"
    )
    published = verb.add_argument_group("published")
    published.add_argument(
        "--benchmark",
        metavar="NAME",
        help="perfbook_count, perfbook_hash, perfbook_cas, core_to_core, local_storage or "
        "hashmap_lookup",
    )
    published.add_argument("--case", metavar="NAME", help="one case of the benchmark")
    published.add_argument("--x", metavar="N,...", help="threads or table sizes")
    scale = verb.add_argument_group("scale: lookups over many cgroups (data/kernel/scale.csv)")
    scale.add_argument("--id", metavar="NAME,...", dest="ids", help="what is looked up")
    scale.add_argument("--cgroups", metavar="C,...", help="how many, up to 100000")
    scale.add_argument("--distribution", metavar="NAME", help="uniform or zipf1.0")
    scale.add_argument("--pages", metavar="4k|huge", help="that the objects lie on")
    scale.add_argument("--mode", metavar="NAME", help="throughput, dependent, serialized, polluted")
    scale.add_argument("--footprint", metavar="BYTES", type=int, help="read before each lookup")
    add_json(verb)


_OPTIONS = ("measured", "benchmark", "machine", "case", "x", "ids", "cgroups", "distribution",
            "pages", "mode", "footprint")  # fmt: skip
_TAKEN = {
    "measured": ("measured", "machine"),
    "summary": (),
    "published": ("benchmark", "machine", "case", "x"),
    "scale": ("ids", "cgroups", "distribution", "pages", "mode", "footprint"),
}


def run(options: argparse.Namespace) -> int:
    """`cgsim validate`; returns the exit status."""
    what = options.what
    if what == "summary" and options.measured is not None:
        what = "measured"
    for name in _OPTIONS:
        if name not in _TAKEN[what] and getattr(options, name) is not None:
            option = "id" if name == "ids" else name
            raise UserError(f"validate {what}: --{option} is not allowed")
    if what == "summary":
        return _print_summary(options.json)
    if what == "measured":
        return _print_measured(options)
    frame, columns = (_validate_published if what == "published" else _validate_scale)(options)
    if options.json:
        print_json({"rows": json.loads(frame.to_json(orient="records"))})
        return 0
    print(_table(frame, columns))
    return 0


def _table(frame: pd.DataFrame, columns: list[Any]) -> str:
    """Rows as text; errors and shares in percent."""
    shown: Any = {
        "error": "{:+.0%}".format,
        "predicted_ns": "{:.2f}".format,
        "median": "{:.1%}".format,
        "ninetieth": "{:.1%}".format,
        "ordered": "{:.1%}".format,
    }
    return frame[columns].to_string(index=False, formatters=shown, na_rep="-")


def _print_summary(as_json: bool) -> int:
    """All families, their worst rows, and 1 if one is outside of its bound."""
    from dataclasses import asdict

    from cgsim.validation.summary import BOUNDS, load_rows, summary, worst

    rows = load_rows()
    families, groups, far = summary(rows), summary(rows, ["family", "group"]), worst(rows)
    status = 0 if families["within"].all() else 1
    if as_json:
        print_json(
            {
                "families": records(families),
                "bounds": {name: asdict(bound) for name, bound in BOUNDS.items()},
                "groups": records(groups),
                "worst": records(far),
            }
        )
        return status
    print(_table(families, families.columns.tolist()))
    for name, bound in BOUNDS.items():
        print(
            f"  {name}: {bound.title}; bound {bound.median:.0%} median, {bound.ninetieth:.0%} 90th "
            f"percentile, {bound.ordered:.0%} of pairs in order"
        )
    print("\n" + _table(groups, [name for name in groups.columns if name != "within"]))
    print("\nworst rows:\n" + _table(far, ["family", "name", "conditions", "measured", "predicted",
                                          "error", "cause"]))  # fmt: skip
    return status


def _print_measured(options: argparse.Namespace) -> int:
    """What a file holds, predicted; 1 if it is outside of the published tables' bound."""
    from cgsim.validation.measured_file import validate_measured
    from cgsim.validation.summary import BOUNDS

    if options.machine is None:
        raise UserError("validate measured: --machine is missing: the profile of where it ran")
    frame = validate_measured(options.measured, options.machine)
    errors, bound = frame["error"].abs(), BOUNDS["published"]
    median, ninetieth = float(errors.median()), float(errors.quantile(0.9))
    if options.json:
        print_json({"rows": records(frame), "median": median, "ninetieth": ninetieth})
    else:
        print(_table(frame, frame.columns.tolist()))
        print(
            f"\nmedian {median:.0%}, 90th percentile {ninetieth:.0%}; "
            f"bound {bound.median:.0%}, {bound.ninetieth:.0%}"
        )
    return int(median > bound.median or ninetieth > bound.ninetieth)


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
        **given_options(options, "distribution", "pages", "mode"),
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
