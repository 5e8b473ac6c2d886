"""`cgsim validate`: predictions beside measurements."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb, given_options
from cgsim.cli.printing import print_json
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
  cgsim validate published --benchmark perfbook_count
  cgsim validate published --benchmark perfbook_hash --x 1,28,112 --json
  cgsim validate scale --id idr1 --cgroups 1000,100000 --mode dependent
  cgsim validate scale --id htab --distribution zipf1.0 --json

What was not measured (--x, --cgroups, ...) gets a row without a value.
""",
    )
    verb.add_argument("what", metavar="WHAT", choices=("published", "scale"), help="or scale")
    published = verb.add_argument_group("published")
    published.add_argument(
        "--benchmark",
        metavar="NAME",
        help="perfbook_count, perfbook_hash, local_storage or hashmap_lookup",
    )
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
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim validate published` and `cgsim validate scale`."""
    play, foreign = {
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
    frame, columns = play(options)
    if options.json:
        print_json({"rows": json.loads(frame.to_json(orient="records"))})
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
