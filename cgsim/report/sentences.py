"""Sentences computed from frames: who is ahead, by how much, and whether that means anything."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from cgsim.experiments.paired import BEFORE, LEVEL, LEVEL_NS, UNDECIDED
from cgsim.experiments.summary import interval_half_width
from cgsim.report.compare import agreement, costs_of, growth, standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cgsim.experiments.anatomy import Anatomy
    from cgsim.machines import Machine


def join_names(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def times(factor: float) -> str:
    """A factor in words, to two digits: '1.4 times', '12 times', '2,300 times'."""
    return f"{factor:.1f} times" if factor < 10 else f"{plain(factor, 2)} times"


def plain(value: float, significant: int = 3) -> str:
    """Three significant digits with commas between thousands, never an exponent."""
    if not math.isfinite(value):
        return "no bound"
    if value == 0:
        return "0"
    digits = significant - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, digits):,.{max(digits, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_half(values: Any) -> str:
    """The mean over seeds with the half-width of its 95 % interval: '3.57 +- 0.12'."""
    half = interval_half_width(values)
    mean = sum(values) / len(values)
    if half != half:
        return plain(mean)
    return f"{plain(mean)} +- {plain(half, 2) if half > 1e-9 * abs(mean) else '0'}"


def ns(value: float) -> str:
    """A time: '0.4 ns', '14.1 ns', '320 ns', 'less than 0.2 ns'."""
    if value < LEVEL_NS:
        return f"less than {LEVEL_NS:g} ns"
    return f"{value:.1f} ns" if value < 100 else f"{value:.0f} ns"


def leaders_sentence(rows: pd.DataFrame, what: str, machine: Machine | None = None) -> str:
    """Who is cheapest in `what`, before whom and by how much, and before whom not.

    machine : where it is not one of the package's.
    """
    place = standing(rows, machine)
    reached = float(rows["place_ns"].mean()) if "place_ns" in rows else 0.0
    text = f"{what}: {place.first} costs least, {ns(place.ns)}"
    if reached:
        text += f" ({ns(reached)} of them to get there)"
    before = [
        f"{o.second} by {o.ns:.1f} +- {o.error_ns:.1f} ns"
        for o in place.others
        if o.verdict == BEFORE
    ]
    if before:
        text += f"; before {join_names(before)}"
    for verdict, said in ((LEVEL, "level with"), (UNDECIDED, "undecided between it and")):
        names = [o.second for o in place.others if o.verdict == verdict]
        if names:
            text += f"; {said} {join_names(names)}"
    return text + "."


def share_sentence(rows: pd.DataFrame, whole_ns: float) -> str:
    """How much of `whole_ns` the lookup alone is, without the way to the cgroup that all share."""
    costs = {name: float(each.mean()) for name, each in costs_of(rows).items()}
    cheap, dear = min(costs, key=lambda n: costs[n]), max(costs, key=lambda n: costs[n])
    share = {name: 100 * cost / whole_ns for name, cost in costs.items()}
    return (
        "Without the way to the cgroup, which all designs share, the lookup is "
        f"{plain(share[cheap], 2)} % of that with {cheap} and {plain(share[dear], 2)} % with "
        f"{dear}."
    )


def growth_sentence(frame: pd.DataFrame, x: str, unit: str) -> str:
    """Which designs' cost grows over the range of `x`, and which one's does not."""
    low, high = float(frame[x].min()), float(frame[x].max())
    if low == high:
        return f"There is one point only, {_amount(low, x)} {unit}: nothing to compare."
    grows, flat = [], []
    for design, rows in frame.groupby("design", sort=False):
        ordered = rows.sort_values(x)
        first, last = ordered.iloc[0], ordered.iloc[-1]
        found = growth(first, last)
        if found.verdict != BEFORE or found.first == "high":
            flat.append(str(design))
        else:
            at = float(last[x])
            until = "" if at == high else f" (its last point: {_amount(at, x)} {unit})"
            text = f"{design} from {first['ns']:.1f} to {last['ns']:.1f} ns{until}"
            grows.append((float(last["ns"] - first["ns"]), text))
    text = f"From {_amount(low, x)} to {_amount(high, x)} {unit}"
    if grows:
        text += f" the cost grows: {join_names([words for _, words in sorted(grows)[::-1]])}"
    if flat:
        text += ("; " if grows else " ") + f"no growth is claimed for {join_names(flat)}"
    return text + "."


def flips(frame: pd.DataFrame, x: str, unit: str) -> str:
    """Where the cheapest design changes along `x`; it has not while one that led is not beaten."""
    parts: list[tuple[str, list[str]]] = []
    for value in sorted(frame[x].unique()):
        leaders = standing(frame[frame[x] == value]).level
        same = [name for name in parts[-1][1] if name in leaders] if parts else []
        if same:
            parts[-1] = (parts[-1][0], same)
        else:
            parts.append((_amount(float(value), x), list(leaders)))
    if len(parts) == 1:
        return f"Nothing is cheaper than {join_names(parts[0][1])} at any point."
    steps = [f"from {start} {unit} on {join_names(names)}" for start, names in parts]
    return f"Who is in front changes: {'; '.join(steps)}."


def _amount(value: float, x: str) -> str:
    """A value of a column: with thousands' commas, bytes in KiB."""
    return f"{value / 1024:,.0f}" if x.endswith("_bytes") else f"{value:,.0f}"


def pollution_sentence(machine: str) -> str:
    """How far lookups after other code were predicted from what was measured, and why, by level."""
    from cgsim.experiments.model_error import model_errors
    from cgsim.machines import load_machine

    errors = model_errors()
    said = [
        f"{family.what}, {100 * family.low:+.0f} to {100 * family.high:+.0f} %"
        for name, family in errors.families.items()
        if name.startswith("isolated")
    ]
    levels = load_machine(machine).caches
    drawn = [level.name for level in levels if level.replacement == "random"]
    ordered = [level.name for level in levels if level.replacement != "random"]
    how = [f"{join_names(ordered)} by true LRU"] if ordered else []
    how += [f"{join_names(drawn)} at random"] if drawn else []
    return (
        f"Known misses on {errors.machine} (nine of ten rows): {'; '.join(said)}. On {machine} the "
        f"model replaces lines of {join_names(how)}; real caches prefer to keep lines that were "
        "used more than once, so that costs after a footprint of about a level's size are too high."
    )


def answer(*sentences: str) -> Any:
    """Sentences as one paragraph each, escaped, for display at the end of a notebook's cell."""
    from IPython.display import HTML

    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in sentences if text)
    return HTML(f'<div class="answer">{paragraphs}</div>')


def heading(title: str, text: str, *, folds: bool = False) -> Any:
    """A small heading with a line under it, escaped, for display.

    folds : in a page what the cell displays from here to the next such heading can be folded; a
        chooser opens one of them.
    """
    from IPython.display import HTML

    kind = ' class="fold"' if folds else ""
    return HTML(f"<h3{kind}>{escape(title)}</h3><p>{escape(text)}</p>")


def anatomy_sentences(drawn: Sequence[Anatomy]) -> list[str]:
    """Which lookups have the shortest and the longest chain, and which take a lock."""
    by_chain = sorted(drawn, key=lambda lookup: lookup.chain)
    shortest = [d.design.name for d in by_chain if d.chain == by_chain[0].chain]
    longest = [d.design.name for d in by_chain if d.chain == by_chain[-1].chain]
    locked = [
        f"{d.design.name} ({count} locked operations)"
        for d in drawn
        if (count := sum(touch.operation == "RMW!" for touch in d.touches))
    ]
    text = (
        f"With {drawn[0].n_keys} keys the shortest chain is that of {join_names(shortest)}, "
        f"{by_chain[0].chain} dependent access{'es' if by_chain[0].chain > 1 else ''} with the "
        f"datum's own; the longest that of {join_names(longest)}, {by_chain[-1].chain}."
    )
    if not locked:
        return [text]
    return [text, f"A lock is taken to read by {join_names(locked)}."]


def profile_sentence(machine: str) -> str:
    """How much of a machine's profile rests on sources."""
    from cgsim.machines import explain, load_machine

    rows = explain(load_machine(machine))
    unverified = [row.field for row in rows if not row.is_verified]
    text = (
        f"Of the {len(rows)} values of the profile {machine}, {len(rows) - len(unverified)} have a"
    )
    text += " source"
    if unverified:
        text += f"; {len(unverified)} are unverified, among them {join_names(unverified[:4])}"
    return f"{text}. The command cgsim machines {machine} lists them all."


def per_cgroup_bytes(rows: pd.DataFrame, n_keys: int) -> dict[str, float]:
    """Design -> bytes of one cgroup with `n_keys` data."""
    once = rows.drop_duplicates("design")
    return {
        str(row["design"]): float(row["cgroup_bytes"] + n_keys * row["entry_bytes"])
        for _, row in once.iterrows()
    }


def memory_sentence(bytes_by_design: dict[str, float], n_keys: int) -> str:
    """Who takes least memory, who takes most."""
    ordered = sorted(bytes_by_design.items(), key=lambda item: item[1])
    (small, least), (large, most) = ordered[0], ordered[-1]
    equal = [name for name, size in ordered if size <= 1.05 * least]
    return (
        f"With {n_keys} keys a cgroup takes least memory with {join_names(equal)} "
        f"({least:,.0f} bytes) and most with {large} ({most:,.0f} bytes)."
        if small != large
        else f"{small} takes {least:,.0f} bytes per cgroup."
    )


def field_sentence(rows: pd.DataFrame) -> str:
    """Fields inside struct cgroup that cost nothing, since its slab object has room for them."""
    once = rows.drop_duplicates("design")
    free = once[(once["field_bytes"] > 0) & (once["cgroup_bytes"] < once["field_bytes"])]
    if free.empty:
        return ""
    named = [f"{row['design']} {row['field_bytes']:.0f}" for _, row in free.iterrows()]
    return (
        "Fields in struct cgroup itself are not counted where its slab object has room for them "
        f"(bytes: {', '.join(named)})."
    )


def agreement_sentence(
    one: pd.DataFrame, other: pd.DataFrame, where: str, second_machine: str
) -> str:
    """How far a second machine agrees about one point, by orders claimed on both."""
    pairs, turned = agreement(one, other)
    first, second = standing(one), standing(other)
    both = [name for name in first.level if name in second.level]
    text = f"In {where} {pairs} pair{'s have' if pairs != 1 else ' has'} a claimed order here and "
    text += f"on {second_machine}"
    if turned:
        text += f", of them change places {', '.join(f'{a} and {b}' for a, b in turned)}"
    elif pairs:
        text += ", none changes places"
    return text + (
        f"; nothing is before {join_names(both)} on either."
        if both
        else f"; {second.first} is cheapest there, {first.first} here."
    )


def stack_sentence(rows: pd.DataFrame, what: str) -> str:
    """The largest cause of the cheapest and of the dearest design's cycles."""
    ordered = rows.sort_values("cycles")
    parts = []
    for row in (ordered.iloc[0], ordered.iloc[-1])[: len(ordered)]:
        causes = {
            str(name).removesuffix("_cycles"): float(row[name])
            for name in rows.columns
            if str(name).endswith("_cycles")
        }
        cause = max(causes, key=lambda name: causes[name])
        share = causes[cause] / max(float(row["cycles"]), 1e-9)
        cycles = f"{100 * share:.0f} % of its {row['cycles']:.0f} cycles"
        parts.append(f"{row['design']} spends {cycles} on {cause}")
    return f"{what}: {join_names(parts)}."
