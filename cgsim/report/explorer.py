"""The explorer: one point at a time, of stored ones at once, of others when they are computed.

Nothing between two points is drawn: a picture is of a point that was simulated.
"""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from cgsim.errors import UserError
from cgsim.experiments.places_of_use import able
from cgsim.experiments.summary import CAUSES, summarise
from cgsim.machines import load_machine
from cgsim.report.compare import standing
from cgsim.report.html import EXPLORER
from cgsim.report.plot import cause_colour
from cgsim.report.widgets import number_or_none
from cgsim.studies.kept import lookup_cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MODES = ("dependent", "throughput", "isolated")
_HEADS = ("design", "cost", "mean (95 % interval)", "cycles by cause", "bytes/cgroup")
_KEY = ("user", "machine", "mode", "footprint_bytes", "n_cgroups", "n_keys")


@dataclass(frozen=True)
class Place:
    """A point of the explorer: who looks up, where, how, among how much."""

    user: str = "packet-hook"
    machine: str = "zen5-vm"
    mode: str = "dependent"
    footprint_bytes: int = 0
    n_cgroups: int = 1000
    n_keys: int = 8
    designs: tuple[str, ...] = ()
    kernel: str = "7.3.4"
    lookups: int = 600
    replicates: int = 3
    seed: int = 1

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells its rows from those of other points."""
        return tuple(getattr(self, name) for name in _KEY)


def compute(place: Place, threads: int = 1) -> pd.DataFrame:
    """The summary of a point, a row per design that its user can have; through the store.

    A dependent cost only of designs whose address comes from the cgroup. Raises UserError for a
    point that no design can have, and for values outside their range.
    """
    from cgsim.designs import get_design

    names = able(place.user, place.n_keys, place.designs or None)[0]
    if place.mode == "dependent":
        names = [name for name in names if get_design(name).needs_cgroup]
    if not names:
        raise UserError(f"n_keys = {place.n_keys}: no design that is shown can be used so")
    options = {name: value for name, value in asdict(place).items()
               if name not in ("designs", "mode", "machine")}  # fmt: skip
    frames = [
        lookup_cost(name, place.machine, modes=(place.mode,), threads=threads, **options)
        for name in names
    ]
    return summarise(pd.concat(frames, ignore_index=True))


# --- a point as text, and back -------------------------------------------------------------------


def texts(place: Place) -> dict[str, str]:
    """The point as a command, as Python, for papermill and as a study; `place_of` reads them."""
    names = ", ".join(place.designs)
    quoted = ", ".join(f'"{name}"' for name in place.designs)
    scalars = {name: getattr(place, name) for name in
               ("footprint_bytes", "n_cgroups", "n_keys", "kernel", "lookups", "replicates",
                "seed")}  # fmt: skip
    command = " ".join(
        [
            f"cgsim simulate --workload alone --user {place.user} --machine {place.machine}",
            *(f"--design {name}" for name in place.designs),
            f"-p 'modes=[{place.mode}]'",
            *(f"-p {name}={value}" for name, value in scalars.items()),
        ]
    )
    keywords = ", ".join(f"{name}={value!r}" for name, value in scalars.items())
    python = (
        f'import cgsim, pandas as pd\npd.concat(cgsim.lookup_cost(name, machine="{place.machine}", '
        f'user="{place.user}", modes=["{place.mode}"], {keywords.replace(chr(39), chr(34))})\n'
        f"          for name in [{quoted}])"
    )
    papermill = " ".join(
        [
            f"papermill 09_explorer.ipynb out.ipynb -p user {place.user} -p machine "
            f"{place.machine} -p mode {place.mode}",
            *(f"-r {n} {v}" if n == "kernel" else f"-p {n} {v}" for n, v in scalars.items()),
            f"-y 'designs: [{names}]'",
        ]
    )
    study = "\n".join(
        [
            "name: point",
            f"designs: [{names}]",
            "workload: alone",
            f"machine: {place.machine}",
            f"user: {place.user}",
            f"modes: [{place.mode}]",
            *(f"{name}: {value}" for name, value in scalars.items()
              if name not in ("n_keys", "n_cgroups")),
            f"factors: {{n_keys: [{place.n_keys}], n_cgroups: [{place.n_cgroups}]}}",
        ]
    )  # fmt: skip
    return {"command": command, "Python": python, "papermill": papermill, "study": study}


def place_of(text: str) -> Place:
    """The point that one of `texts` names; what a text does not say is as in `Place`.

    Raises UserError for a text that names no designs, and for a number that is none.
    """
    found: dict[str, Any] = {}
    for name, kind in Place.__annotations__.items():
        if name in ("designs", "mode"):
            continue
        match = re.search(rf"\b{name}[\"']?\s*[=: ]\s*\[?[\"']?([\w./-]+)", text)
        if match:
            if kind == "int" and not match[1].isdigit():
                raise UserError(f"explorer: {name} = {match[1]!r}; allowed: a whole number")
            found[name] = int(match[1]) if kind == "int" else match[1]
    mode = re.search(r"\bmodes?\s*[=: ]\s*\[?[\"']?(\w+)", text)
    if mode:
        found["mode"] = mode[1]
    names = re.findall(r"--design ([\w-]+)", text)
    listed = re.search(r"(?:designs\s*[:=]|name in)\s*\[([^]]*)\]", text)
    if listed:
        names = re.findall(r"[\w-]+", listed[1])
    if not names:
        raise UserError("explorer: the text names no designs; allowed: one of the four forms")
    if found.get("mode", MODES[0]) not in MODES:
        raise UserError(f"explorer: mode = {found['mode']!r}; allowed: {', '.join(MODES)}")
    return Place(**found, designs=tuple(names))


# --- the points at hand --------------------------------------------------------------------------


class Points:
    """Points that were computed, and the place of the one that is looked at."""

    def __init__(self, places: Iterable[Place], threads: int = 1) -> None:
        self.rows: dict[tuple[Any, ...], pd.DataFrame] = {}
        for place in places:
            self.add(place, threads)

    def add(self, place: Place, threads: int = 1) -> None:
        """Compute a point, or get it from the store."""
        self.rows[place.key] = compute(place, threads)

    def values(self, name: str) -> list[Any]:
        """What one part of the points' keys takes, sorted."""
        return sorted({key[_KEY.index(name)] for key in self.rows})

    def frame(self) -> pd.DataFrame:
        """All rows."""
        return pd.concat(self.rows.values(), ignore_index=True)

    def data(self) -> dict[str, Any]:
        """The points for a page's script: `cgsim.report.html.EXPLORER`."""
        columns = (*_KEY, "design", "ns", "ns_low", "ns_high")
        rows = [
            (*key, row["design"], *(number_or_none(row[n]) for n in ("ns", "ns_low", "ns_high")))
            for key, frame in self.rows.items()
            for _, row in frame.iterrows()
        ]
        titles = {
            "user": "who looks up", "machine": "machine", "mode": "mode",
            "footprint_bytes": "bytes walked before", "n_cgroups": "cgroups", "n_keys": "keys",
        }  # fmt: skip
        choices = [
            {"name": name, "title": title, "slider": name in _KEY[3:]}
            for name, title in titles.items()
        ]
        return {"choices": choices, "columns": columns, "rows": rows}


def picture(points: Points, place: Place) -> str:
    """A stored point as HTML: costs, intervals, cycles by cause, memory; the cheapest around it."""
    rows = points.rows[place.key]
    if place.designs:
        rows = rows[rows["design"].isin(place.designs)]
    rows = rows.sort_values("ns")
    top = float(rows[["ns", "ns_high"]].max().max()) or 1.0
    cycles = float(rows["cycles"].max()) or 1.0
    lines = []
    for _, row in rows.iterrows():
        low, high = float(row["ns_low"]), float(row["ns_high"])
        range_ = "" if low != low else f" ({low:.2f} to {high:.2f})"
        whisker = "" if low != low else (
            f'<i style="position:absolute;top:.35em;height:2px;background:#000;'
            f'left:{100 * low / top:.2f}%;width:{max(100 * (high - low) / top, 0.2):.2f}%"></i>'
        )  # fmt: skip
        stack = "".join(
            f'<i title="{cause}: {float(row[f"{cause}_cycles"]):.1f} cycles" style="display:'
            f"inline-block;height:.8em;box-sizing:border-box;border:1px solid #444;background:"
            f'{cause_colour(cause)};width:{100 * float(row[f"{cause}_cycles"]) / cycles:.2f}%"></i>'
            for cause in CAUSES
            if row.get(f"{cause}_cycles", 0) > 0.005 * cycles
        )
        size = row["cgroup_bytes"] + place.n_keys * row["entry_bytes"]
        lines.append(
            f"<tr><td>{escape(str(row['design']))}</td>"
            f'<td style="width:16em"><div style="position:relative"><div style="background:#9dbfe0;'
            f'height:.8em;width:{100 * float(row["ns"]) / top:.2f}%"></div>{whisker}</div></td>'
            f"<td>{float(row['ns']):.2f} ns{range_}</td>"
            f'<td style="width:14em;line-height:0">{stack}</td><td>{size:,.0f}</td></tr>'
        )
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    return f"<table><tr>{heads}</tr>{''.join(lines)}</table>{_map(points, place)}"


def _map(points: Points, place: Place) -> str:
    """The cheapest design by keys and cgroups, at the point's other values."""
    keys, cgroups = points.values("n_keys"), points.values("n_cgroups")
    head = "".join(f"<th>{n:,} key{'s' if n > 1 else ''}</th>" for n in keys)
    body = []
    for many in cgroups:
        cells = []
        for few in keys:
            here = replace(place, n_cgroups=many, n_keys=few)
            rows = points.rows.get(here.key)
            if rows is not None and place.designs:
                rows = rows[rows["design"].isin(place.designs)]
            best = "-" if rows is None or rows.empty else ", ".join(_in_front(rows))
            mark = ' style="outline:2px solid #0b5cad"' if here.key == place.key else ""
            cells.append(f"<td{mark}>{escape(best)}</td>")
        body.append(f"<tr><th>{many:,} cgroups</th>{''.join(cells)}</tr>")
    return (
        "<p>Cheapest mean first, then those that it is not cheaper than beyond the errors of seeds "
        f"and model:</p><table><tr><th></th>{head}</tr>{''.join(body)}</table>"
    )


def _in_front(rows: pd.DataFrame) -> tuple[str, ...]:
    """The cheapest design, and those that it is not before."""
    return standing(rows, load_machine(str(rows["machine"].iloc[0]))).level


# --- the widget ----------------------------------------------------------------------------------


@dataclass
class _State:
    """What the widget shows; quiet while it sets its own controls."""

    place: Place
    quiet: bool = False


def explore(points: Points, start: Place, shown: Sequence[str]) -> Any:
    """The widget: choices over the points, the picture, and the point as text.

    A text that is opened and names a point that is not there says "computing" at once, and is
    computed beside.
    """
    import ipywidgets as widgets

    controls: dict[str, Any] = {}
    for name, title in (("user", "user"), ("machine", "machine"), ("mode", "mode")):
        controls[name] = widgets.Dropdown(options=points.values(name), description=title)
    for name, title in (
        ("footprint_bytes", "walked"),
        ("n_cgroups", "cgroups"),
        ("n_keys", "keys"),
    ):
        options = [(f"{value:,}", value) for value in points.values(name)]
        controls[name] = widgets.SelectionSlider(options=options, description=title)
    designs = widgets.SelectMultiple(
        options=list(shown), value=tuple(start.designs or shown), description="designs", rows=6
    )
    view, note = widgets.HTML(), widgets.HTML()
    form = widgets.Dropdown(options=list(texts(start)), description="as")
    words = widgets.Textarea(layout=widgets.Layout(width="95%", height="5em"))
    words.description = "point"
    button = widgets.Button(description="open", tooltip="show the point that the text names")
    state = _State(start)

    def draw(place: Place) -> None:
        state.place = place
        walked = controls["footprint_bytes"]
        walked.layout.display = "" if place.mode == "isolated" else "none"
        words.value = texts(place)[form.value]
        if place.key in points.rows:
            view.value, note.value = picture(points, place), ""
        else:
            view.value = ""
            note.value = "This point was not computed; <b>open</b> computes it."

    def chosen(_: Any = None) -> None:
        if not state.quiet:
            values = {name: control.value for name, control in controls.items()}
            if values["mode"] != "isolated":
                values["footprint_bytes"] = 0  # nothing is walked through between other lookups
            draw(replace(state.place, **values, designs=tuple(designs.value)))

    def show(place: Place) -> None:
        state.quiet = True
        for name, control in controls.items():
            values = points.values(name)
            if name in _KEY[3:]:
                control.options = [(f"{value:,}", value) for value in values]
            else:
                control.options = values
            control.value = getattr(place, name)
        designs.options = list(dict.fromkeys([*shown, *place.designs]))
        designs.value = place.designs
        state.quiet = False
        draw(place)

    def work(place: Place) -> None:
        try:
            points.add(place)
            show(place)
        except UserError as error:
            note.value = escape(str(error))

    def opened(_: Any = None) -> None:
        try:
            place = place_of(words.value)
        except UserError as error:
            note.value = escape(str(error))
            return
        if place.key in points.rows and set(place.designs) <= set(shown):
            show(place)
            return
        note.value = "computing ..."
        threading.Thread(target=work, args=(place,), daemon=True).start()

    for control in (*controls.values(), designs):
        control.observe(chosen, "value")
    form.observe(lambda _: draw(state.place), "value")
    button.on_click(opened)
    show(replace(start, designs=tuple(start.designs or shown)))

    class Explorer(widgets.VBox):
        """The widget, and the points for a page's script."""

        def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
            bundle = super()._repr_mimebundle_(**options)
            return {**bundle, EXPLORER: points.data(), "text/html": view.value}

    return Explorer([*controls.values(), designs, note, view, form, words, button])
