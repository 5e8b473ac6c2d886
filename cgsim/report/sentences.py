"""Sentences computed from frames: who is ahead, by how much, and whether that means anything."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from cgsim.report.compare import SAME_NS, agreement, are_level, standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cgsim.experiments.anatomy import Anatomy


def join_names(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def times(factor: float) -> str:
    """A factor in words: '1.4 times', '12 times'."""
    return f"{factor:.1f} times" if factor < 10 else f"{factor:.0f} times"


def compared(value: float, base: float) -> str:
    """A cost beside a smaller one: '18.2 ns (1.4 times that)'; no factor of next to nothing."""
    return f"{ns(value)} ({times(value / base)} that)" if base >= 1 else ns(value)


def plain(value: float) -> str:
    """Three significant digits with commas between thousands, never an exponent."""
    if not math.isfinite(value):
        return "no bound"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    text = f"{round(value, digits):,.{max(digits, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ns(value: float) -> str:
    """A time: '0.4 ns', '14.1 ns', '320 ns', 'less than 0.2 ns'."""
    if value < SAME_NS:
        return f"less than {SAME_NS:g} ns"
    return f"{value:.1f} ns" if value < 100 else f"{value:.0f} ns"


def leaders_sentence(rows: pd.DataFrame, what: str) -> str:
    """Who is cheapest in `what`, who follows, who is last."""
    place = standing(rows)
    names = join_names(place.leaders)
    if not place.rest:
        return f"{what}: no difference that the model can tell; all take about {ns(place.ns)}."
    text = f"{what}: {names} {'costs' if len(place.leaders) == 1 else 'cost'} least, {ns(place.ns)}"
    if len(place.leaders) > 1:
        text += " (level: intervals overlap, or less than 5 % or 0.2 ns apart)"
    second, last = place.rest[0], place.rest[-1]
    text += f"; next comes {second[0]}, {compared(second[1], place.ns)}"
    if second != last:
        text += f"; last {last[0]}, {compared(last[1], place.ns)}"
    return text + "."


def growth_sentence(frame: pd.DataFrame, x: str, unit: str) -> str:
    """Which designs' cost grows over the range of `x`, and which one's does not."""
    low, high = float(frame[x].min()), float(frame[x].max())
    if low == high:
        return f"There is one point only, {_amount(low, x)} {unit}: nothing to compare."
    grows, flat = [], []
    for design, rows in frame.groupby("design", sort=False):
        ordered = rows.sort_values(x)
        first, last = ordered.iloc[0], ordered.iloc[-1]
        if are_level(first, last) or last["ns"] < first["ns"]:
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
        text += ("; " if grows else " ") + f"no clear growth for {join_names(flat)}"
    return text + "."


def flips(frame: pd.DataFrame, x: str, unit: str) -> str:
    """Where the cheapest design changes along `x`; leaders that stay level count as the same."""
    parts: list[tuple[str, list[str]]] = []
    for value in sorted(frame[x].unique()):
        leaders = standing(frame[frame[x] == value]).leaders
        same = [name for name in parts[-1][1] if name in leaders] if parts else []
        if same:
            parts[-1] = (parts[-1][0], same)
        else:
            parts.append((_amount(float(value), x), list(leaders)))
    if len(parts) == 1:
        return f"The cheapest over the whole range: {join_names(parts[0][1])}."
    steps = [f"from {start} {unit} on {join_names(names)}" for start, names in parts]
    return f"The cheapest changes: {'; '.join(steps)}."


def _amount(value: float, x: str) -> str:
    """A value of a column: with thousands' commas, bytes in KiB."""
    return f"{value / 1024:,.0f}" if x.endswith("_bytes") else f"{value:,.0f}"


def pollution_sentence() -> str:
    """How far lookups after other code were predicted from what was measured, by level."""
    from cgsim.experiments.model_error import model_errors

    errors = model_errors()
    said = [
        f"{family.what}, {100 * family.low:+.0f} to {100 * family.high:+.0f} %"
        for name, family in errors.families.items()
        if name.startswith("isolated")
    ]
    return (
        f"Known misses on {errors.machine} (nine of ten rows): {'; '.join(said)}. The model's "
        "caches are true LRU; real ones keep lines used more than once through a sequential read."
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
    """How far a second machine agrees about one point."""
    rank, turned = agreement(one, other)
    first, second = standing(one).leaders, standing(other).leaders
    text = f"In {where}, "
    text += (
        f"the order of designs on {second_machine} has rank correlation {rank:.2f} with the first "
        "machine's"
        if not math.isnan(rank)
        else f"there are too few designs on {second_machine} to correlate ranks"
    )
    if set(first) & set(second):
        text += f"; {join_names([name for name in first if name in second])} leads on both"
    else:
        text += f"; {join_names(second)} leads there, {join_names(first)} here"
    if turned:
        text += f"; clearly change places: {', '.join(f'{a} and {b}' for a, b in turned)}"
    return text + "."


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
