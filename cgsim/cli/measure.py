"""`cgsim measure`: lookups timed natively on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.cli.parsing import add_json, add_verb
from cgsim.cli.printing import print_json, records
from cgsim.errors import UserError

if TYPE_CHECKING:
    import argparse

_COLUMNS = ["design", "caller", "n_cgroups", "n_keys", "mode", "ns", "median_ns", "high_ns",
            "spread", "stable"]  # fmt: skip
_PREDICTED = ["predicted_ns", "error", "instructions", "engine_instructions"]


def add(verbs: Any) -> None:
    """Add the verb's parser."""
    verb = add_verb(
        verbs,
        "measure",
        run,
        "time the designs natively on this host: the source that is simulated, compiled",
        """\
examples:
  cgsim measure --design idr,list --cgroups 1000 --keys 8
  cgsim measure --design idr --machine zen5-vm --json

"bare" is the lookup alone, the other row its caller's turn. ns is the lower quartile of the
repetitions. With --machine the same lookups are predicted on it, with the instructions of the
native code, counted step by step. Best on a quiet host, and on the profile of cgsim calibrate.
""",
    )
    verb.add_argument("--design", metavar="NAME,...", help="all, if not given")
    verb.add_argument("--cgroups", metavar="C,...", default="1,1000,100000", help="how many")
    verb.add_argument("--keys", metavar="N,...", default="1,8,64", help="data of each cgroup")
    verb.add_argument("--mode", metavar="NAME,...", help="throughput, dependent, isolated")
    verb.add_argument("--footprint", metavar="BYTES", type=int, default=1 << 21,
                      help="read before each isolated lookup")  # fmt: skip
    verb.add_argument("--repeats", metavar="N", type=int, default=15, help="3 to 1000")
    verb.add_argument("--machine", metavar="NAME|FILE", help="predict on it, too")
    add_json(verb)


def run(options: argparse.Namespace) -> None:
    """`cgsim measure`."""
    from cgsim.machines import load_machine
    from cgsim.validation.measure import MODES, host_load, measure

    machine = None if options.machine is None else load_machine(options.machine)
    load = host_load()
    frame = measure(
        None if options.design is None else options.design.split(","),
        n_cgroups=_numbers("cgroups", options.cgroups),
        n_keys=_numbers("keys", options.keys),
        modes=MODES if options.mode is None else options.mode.split(","),
        footprint_bytes=options.footprint,
        repeats=options.repeats,
        machine=machine,
    )
    if options.json:
        print_json({"host": load, "rows": records(frame)})
        return
    shown = {"error": "{:+.0%}".format, "spread": "{:.0%}".format}
    columns = _COLUMNS + (_PREDICTED if machine is not None else [])
    formats: Any = {name: shown.get(name) for name in columns if name in shown}
    print(frame[columns].to_string(index=False, formatters=formats, na_rep="-",
                                   float_format="{:.2f}".format))  # fmt: skip
    unstable = int((~frame["stable"]).sum())
    print(
        f"\n{load}" + (f"; warning: {unstable} of {len(frame)} rows unstable" if unstable else "")
    )


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise UserError(
            f"--{name} = {text!r} is not allowed; allowed: whole numbers, as in 1,1000"
        ) from None
