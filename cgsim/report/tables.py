"""Tables for pages: frames turned into escaped HTML, numbers rounded, units in the headers."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from cgsim.designs import get_design
from cgsim.experiments.places_of_use import fit
from cgsim.report.sentences import per_cgroup_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from cgsim.designs.base import Design

_READERS = {"rcu": "RCU", "mutex": "a mutex", "none": "nothing"}
_DISPATCHED = "the dispatcher's section: rcu_read_lock, migrate_disable"
"""What is held around designs that only programs can use, which take nothing themselves."""


def html_table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, texts: bool = False
) -> Any:
    """A table for display; everything is escaped. `texts`: cells stand to the left."""
    from IPython.display import HTML

    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    kind = ' class="facts-table"' if texts else ""
    return HTML(f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def designs_table(names: Sequence[str]) -> Any:
    """The designs: what they mirror, the chain of loads, what a reader holds, how many keys."""
    headers = ("design", "mirrors", "from the cgroup to the datum", "reader holds", "keys")
    designs = [get_design(name) for name in names]
    rows = [
        (d.name, _unbroken(d.mirrors), _unbroken(d.loads_to_datum),
         _reader(d), f"{d.max_keys:,}")
        for d in designs
    ]  # fmt: skip
    return html_table(headers, rows, texts=True)


def _reader(design: Design) -> str:
    """What is held while a datum is looked up and used."""
    if design.reader_side == "none" and not fit(design.name, "driver").usable:
        return _DISPATCHED
    return _READERS.get(design.reader_side, design.reader_side)


def _unbroken(text: str) -> str:
    """Arrows that a line break does not split."""
    return text.replace(" -> ", " \u2192 ").replace("->", "-\u2060>")


def machine_table(name: str) -> Any:
    """A machine's levels: size, load-to-use time, who shares them."""
    from cgsim.machines import load_machine

    machine = load_machine(name)
    rows = [
        (level.name, _size(level.size_bytes), f"{level.load_to_use_cycles:g}",
         f"{machine.ns(level.load_to_use_cycles):.1f}", level.shared_by)
        for level in machine.caches
    ]  # fmt: skip
    memory = machine.memory.local_ns
    rows.append(("memory", "-", f"{machine.cycles(memory):.0f}", f"{memory:.1f}", "all"))
    return html_table((f"{machine.title}", "size", "cycles", "ns", "shared by"), rows)


def _size(size_bytes: int) -> str:
    """Bytes in KiB or MiB."""
    kib = size_bytes / 1024
    return f"{kib:g} KiB" if kib < 1024 else f"{kib / 1024:g} MiB"


def cost_rows(
    columns: Mapping[str, pd.DataFrame], memory: pd.DataFrame, n_keys: int
) -> list[tuple[str, ...]]:
    """A row per design: a cost per column with half its interval, and the memory beside it.

    columns : header -> summary rows of one point. A design that a column lacks has a '-' there.
    """
    names = list(dict.fromkeys(str(d) for frame in columns.values() for d in frame["design"]))
    bytes_by_design = per_cgroup_bytes(memory, n_keys)
    rows = []
    for name in names:
        cells = [_cost(frame, name) for frame in columns.values()]
        size = bytes_by_design.get(name)
        rows.append((name, *cells, "-" if size is None else f"{size:,.0f}"))
    return rows


def _cost(frame: pd.DataFrame, design: str) -> str:
    """'14.1 +-0.3', the interval left out where there is none."""
    found = frame[frame["design"] == design]
    if found.empty:
        return "-"
    row = found.iloc[0]
    half = float(row["ns_high"] - row["ns"])
    text = _digits(float(row["ns"]))
    return text if half != half else f"{text} +-{_digits(half)}"


def _digits(value: float) -> str:
    """One decimal below 100, none above."""
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def manifest_table(facts: Mapping[str, Any]) -> Any:
    """Names and values: versions, parameters, seeds."""
    return html_table(
        ("name", "value"), [(name, _value(value)) for name, value in facts.items()], texts=True
    )


def _value(value: Any) -> str:
    """A value for people: items of a list with commas."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def run_facts(
    parameters: Mapping[str, Any], replicates: int, seed: int, **ran: Any
) -> dict[str, Any]:
    """What a notebook's last cell shows: versions, parameters, the seeds of all replicates.

    ran : what parameters that leave the choice to the preset came to, by their names.
    """
    from cgsim.report.manifest import git_state, package_versions, short_commit, version

    ran["replicates"] = replicates
    versions = package_versions()
    shown = ("python", "numba", "numpy", "pandas", "matplotlib")
    return {
        "cgsim": version(),
        "commit": short_commit(git_state()),
        **{name: versions[name] for name in shown if name in versions},
        **{f"parameter {name}": ran.get(name, value) for name, value in parameters.items()},
        "seeds": ", ".join(str(seed + i) for i in range(replicates)),
    }


def as_percent(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The frame with the shares in some columns as text."""
    return frame.assign(**{name: frame[name].map("{:.1%}".format) for name in names})
