"""What the page of designs shows of each: its recorded accesses, cost curve, memory and upkeep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from cgsim.designs import get_design
from cgsim.experiments.evidence import RECORDED
from cgsim.experiments.paired import LEVEL_NS
from cgsim.experiments.waiting import waiting_memory
from cgsim.kernel import load_kernel
from cgsim.kernel_fields import rows_of, without_index
from cgsim.report.drawing import short_name
from cgsim.report.figure import new_figure, styled
from cgsim.report.plot import FLOOR_NS
from cgsim.report.sentences import plain, times
from cgsim.report.tables import html_table
from cgsim.scenarios import all_scenarios, numbers_in
from cgsim.scenarios.trace import FREE_STRUCTS, compare, trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cgsim.designs import Design

_LONGEST = 3
"""Of a scenario's numbers (position, depth) the largest up to this one is shown."""


class Recording(NamedTuple):
    """A scenario that a design mirrors: what `cgsim.trace.trace` gives, and the recorded row."""

    scenario: str
    ours: dict[str, Any]
    recorded: dict[str, Any]


def recording_of(design: Design, kernel: str) -> Recording | None:
    """The recorded function that a design says it mirrors, beside ours; None if there is none."""
    facts = load_kernel(kernel)
    functions = _functions(design.mirrors)
    for scenario in all_scenarios():
        if not functions & _functions(scenario.mirrors) or facts.series not in scenario.kernels:
            continue
        found = {number: row for row in rows_of(facts)
                 if (number := numbers_in(scenario, row)) is not None}  # fmt: skip
        if found:
            number = max((n for n in found if n <= _LONGEST), default=min(found))
            name = scenario.name(number)
            return Recording(name, trace(name, kernel, cycles=False), found[number])
    return None


def _functions(mirrors: str) -> set[str]:
    """The names of C functions in a text that says what is mirrored."""
    words = mirrors.replace(",", " ").replace(";", " ").split()
    return {word for word in words if "_" in word and "/" not in word}


def access_table(found: Recording) -> Any:
    """Each access of ours, in program order, and the recorded one beside it."""
    ours, recorded = found.ours["accesses"], found.recorded["accesses"]
    rows = []
    for number in range(max(len(ours), len(recorded))):
        mine = ours[number] if number < len(ours) else None
        theirs = recorded[number] if number < len(recorded) else None
        same = mine is not None and theirs is not None and _key(mine) == _key(theirs)
        rows.append((number + 1, *_cells(mine), "the same" if same else _words(theirs)))
    headers = ("", "op", "object", "bytes", "field", "waits for", "recorded")
    return html_table(headers, rows, texts=True)


def _key(access: Mapping[str, Any]) -> tuple[Any, ...]:
    """What must be equal; a place in a freely indexed array by its name."""
    name = without_index(access["field"])
    free = access["struct"] in FREE_STRUCTS or (name is not None and "[]" in name)
    place = name if free else access["offset"]
    return access["op"], access["struct"], place, access["size"], tuple(access["deps"])


def _cells(access: Mapping[str, Any] | None) -> tuple[str, ...]:
    if access is None:
        return ("-", "", "", "", "")
    after = ", ".join(str(dep + 1) for dep in access["deps"]) or "-"
    offset = access["offset"]
    place = f"{access['struct']} + {offset}"
    first = offset if offset is not None else 0
    return (
        access["op"],
        place,
        f"{first}..{first + access['size'] - 1}",
        access["field"] or "",
        after,
    )


def _words(access: Mapping[str, Any] | None) -> str:
    return "nothing" if access is None else " ".join(cell for cell in _cells(access) if cell)


def recording_sentence(found: Recording) -> str:
    """What was compared, and what differs."""
    ours, recorded = found.ours, found.recorded
    different = compare(recorded, ours)
    branches = ours["cond_branches"]
    text = (
        f"The table is {recorded['function']} alone ({found.scenario}), ours beside that of Linux "
        f"{recorded['kernel_version']}; the drawing is a whole lookup among other keys, to the "
        f"datum, so that its accesses are not the same ones. {len(ours['accesses'])} accesses, "
        f"{ours['instructions']} instructions, {branches} conditional "
        f"branch{'' if branches == 1 else 'es'}; "
    )
    return text + (f"different: {'; '.join(different)}." if different else "nothing differs.")


def design_curves(
    panels: Sequence[tuple[str, pd.DataFrame, str, str]], design: str, modes: Sequence[str]
) -> Figure:
    """One design's cost in each panel, in grey behind it that of others with the same caller.

    panels : (title, summary frame, column of the abscissa, its label). modes : the first in which
    a design has rows is shown.
    """
    with styled():
        figure, many = new_figure(2.3, len(panels), sharey=True)
        for axes, (title, frame, x, label) in zip(many, panels, strict=True):
            own = _of_mode(frame[frame["design"] == design], modes)
            alike = frame["user"].isin(own["user"])
            _others(axes, frame[alike & (frame["design"] != design)], x, modes)
            _own(axes, own, x)
            ticks = sorted(frame[x].unique())
            axes.set(xscale="log", yscale="log", xlabel=label, title=title)
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.minorticks_off()
            axes.yaxis.set_major_formatter("{x:g}")
        many[0].set_ylabel("ns per lookup")
    return figure


def _of_mode(rows: pd.DataFrame, modes: Sequence[str]) -> pd.DataFrame:
    for mode in modes:
        found = rows[rows["mode"] == mode]
        if not found.empty:
            return found
    return rows


def _others(axes: Axes, frame: pd.DataFrame, x: str, modes: Sequence[str]) -> None:
    """All other designs' lines, as one path with gaps."""
    xs: list[float] = []
    ys: list[float] = []
    for _, rows in frame.groupby("design", sort=False):
        rows = _of_mode(rows, modes).sort_values(x)
        xs += [*rows[x], math.nan]
        ys += [*rows["ns"].clip(lower=FLOOR_NS), math.nan]
    axes.plot(xs, ys, color="#cfcfcf", linewidth=0.9)


def _own(axes: Axes, rows: pd.DataFrame, x: str) -> None:
    """The design's line, its cost written at both ends."""
    rows = rows.sort_values(x)
    axes.plot(
        rows[x], rows["ns"].clip(lower=FLOOR_NS), color="#000000", linewidth=2, marker="o", zorder=3
    )
    ends = (rows.index[0], rows.index[-1]) if len(rows) > 1 else rows.index
    for end in ends:
        value = float(rows.loc[end, "ns"])
        axes.annotate(
            f"{value:.1f}" if value >= LEVEL_NS else f"<{LEVEL_NS:g}",
            (float(rows.loc[end, x]), max(value, FLOOR_NS)),
            xytext=(0, 5), textcoords="offset points", ha="center", fontsize=8, zorder=4,
        )  # fmt: skip


def curves_alt(
    panels: Sequence[tuple[str, pd.DataFrame, str, str]], design: str, modes: Sequence[str]
) -> str:
    """The figure in words: the design's cost at both ends of each panel."""
    parts = []
    for title, frame, x, label in panels:
        own = _of_mode(frame[frame["design"] == design], modes).sort_values(x)
        first, last = own.iloc[0], own.iloc[-1]
        parts.append(
            f"{title}: {first['ns']:.1f} ns at {first[x]:,} {label}, {last['ns']:.1f} ns at "
            f"{last[x]:,}"
        )
    return f"Cost of a lookup with {design}, others of its caller in grey. {'; '.join(parts)}."


def shown_mode(design: str) -> str:
    """Which cost the curve shows: nothing waits where the address does not hang on the cgroup."""
    return "dependent" if get_design(design).needs_cgroup else "throughput"


UPKEEP_HEADERS = (
    "operation", "locked", "atomic", "lock in", "who can wait", "allocated", "copied", "freed",
    "waits", "left", "ns", "ns, cold", "freed later, ns", "of", "code",
)  # fmt: skip


def upkeep_table(warm: pd.DataFrame, cold: pd.DataFrame) -> Any:
    """What one design's operations do, in counts and bytes, then what they cost, of how many."""
    cold = cold.set_index("operation")
    rows = [
        (
            row["operation"],
            _count(row["locked"]),
            _count(row["atomics"]),
            ", ".join(short_name(name) for name in row["locks"].split(", ")) or "-",
            row["blocks"] or "-",
            *(_bytes(row[f"{name}_bytes"]) for name in ("allocated", "copied", "freed", "waiting")),
            _count(row["left"]),
            _ns(row["ns"]),
            _ns(cold.loc[row["operation"], "ns"]),
            _ns(row["deferred_ns"]) if row["deferred_ns"] > 0 else "-",
            f"{row['operations']:,.0f}",
            row["evidence"].removeprefix(f"{RECORDED}: "),
        )
        for _, row in warm.iterrows()
    ]
    return html_table(UPKEEP_HEADERS, rows)


def _ns(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _count(value: float) -> str:
    if value == 0:
        return "-"
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def _bytes(value: float) -> str:
    return "-" if value == 0 else f"{value:,.0f}"


def side_by_side(warm: pd.DataFrame, operations: Sequence[str]) -> Any:
    """A row per design: ns of each operation, and the bytes that one removal leaves waiting.

    In brackets where the operation's code is not recorded; a star where a drop leaves data behind.
    """
    rows = []
    for name, own in warm.groupby("design", sort=False):
        ns = {
            row["operation"]: _ns(row["ns"])
            if row["evidence"].startswith(RECORDED)
            else f"({_ns(row['ns'])})"
            for _, row in own.iterrows()
        }
        for _, row in own[own["left"] > 0].iterrows():
            ns[row["operation"]] += " *"
        waiting = float(own.loc[own["operation"] == "remove", "waiting_bytes"].iloc[0])
        cells = [ns.get(op, "-") for op in operations]
        rows.append((name, *cells, _bytes(waiting)))
    return html_table(("design", *operations, "waiting"), rows)


def memory_table(frame: pd.DataFrame) -> Any:
    """A row per design and kind of data, bytes."""
    columns = (
        "field_bytes", "cgroup_bytes", "entry_bytes", "percpu_bytes", "key_bytes", "fixed_bytes",
        "total_bytes",
    )  # fmt: skip
    headers = (
        "design", "data", "field", "cgroup", "entry", "copies", "key", "fixed", "total",
    )  # fmt: skip
    rows = [
        (row["design"], row["data"], *(_bytes(row[name]) for name in columns))
        for _, row in frame.iterrows()
    ]
    return html_table(headers, rows)


def memory_line(frame: pd.DataFrame, design: str) -> str:
    """One design's memory in a sentence."""
    parts = []
    for _, row in frame[frame["design"] == design].iterrows():
        text = (
            f"{row['data']} data: {row['entry_bytes']:,.0f} bytes per entry, "
            f"{row['cgroup_bytes']:,.0f} per cgroup"
        )
        if row["percpu_bytes"]:
            text += f", {row['percpu_bytes']:,.0f} for an entry's copies"
        if row["key_bytes"]:
            text += f", {row['key_bytes']:,.0f} per key"
        parts.append(text)
    first = frame.iloc[0]
    sizes = f"{first['n_keys']} keys and {first['possible_cpus']} possible CPUs"
    return f"Memory with {sizes}, {'; '.join(parts)}."


def misuse_table(frame: pd.DataFrame) -> Any:
    """A row per mistake and outcome: what came of it, and with which designs."""
    rows: list[tuple[str, ...]] = []
    for name, found in frame.groupby("misuse", sort=False):
        for (harm, text), same in found.groupby(["harm", "what_happened"], sort=False):
            rows.append((str(name), str(harm), str(text), ", ".join(same["design"])))
    return html_table(("mistake", "harm", "what happened", "with"), rows, texts=True)


def packet_table(warm: pd.DataFrame, cold: pd.DataFrame) -> Any:
    """A row per way to the buffer: ns per packet beyond the packet without one."""
    base = {frame_name: float(frame["ns"].iloc[0]) for frame_name, frame in _pair(warm, cold)}
    cold_by_way = cold.set_index("way")
    rows = [
        (
            row["way"], _ns(row["ns"]), f"{row['ns'] - base['warm']:+.1f}",
            _ns(cold_by_way.loc[row["way"], "ns"]),
            f"{cold_by_way.loc[row['way'], 'ns'] - base['cold']:+.1f}",
            f"{row['accesses']:.0f}", f"{row['programs']:,.0f}",
        )
        for _, row in warm.iterrows()
    ]  # fmt: skip
    return html_table(
        ("way", "ns", "more", "ns, cold", "more", "accesses", "programs in memory"), rows
    )


def _pair(warm: pd.DataFrame, cold: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    return (("warm", warm), ("cold", cold))


def drop_sentences(warm: pd.DataFrame) -> list[str]:
    """Whose drop of a key leaves data behind, and why the dearest drop costs what it does."""
    drops = warm[warm["operation"] == "drop key"].sort_values("ns")
    if drops.empty:
        return []
    said = [
        f"* {row['design']}'s drop of a key does not reach all cgroups: {row['left']:,.0f} data "
        "are left behind. Its time is not comparable."
        for _, row in drops[drops["left"] > 0].iterrows()
    ]
    whole = drops[drops["left"] == 0]
    if len(whole) > 1:
        cheap, dear = whole.iloc[0], whole.iloc[-1]
        causes = [str(name) for name in whole.columns if str(name).endswith("_cycles")]
        more = {name.removesuffix("_cycles"): float(dear[name] - cheap[name]) for name in causes}
        cause = max(more, key=lambda name: more[name])
        share = more[cause] / float(dear["cycles"] - cheap["cycles"])
        said.append(
            f"The dearest drop of a key, with {dear['design']}, takes "
            f"{times(dear['ns'] / cheap['ns'])} that of {cheap['design']}: "
            f"{plain(dear['accesses'])} accesses beside {plain(cheap['accesses'])}, "
            f"{plain(dear['locked'])} locked instructions beside {plain(cheap['locked'])}; "
            f"{plain(100 * share, 2)} % of the difference is {cause}."
        )
    return said


def upkeep_sentences(warm: pd.DataFrame, grace_ms: int, removals: int) -> list[str]:
    """What installs take, whom they block, and what waits for grace periods."""
    installs = warm[warm["operation"] == "install"].sort_values("locked", kind="stable")
    least, most = installs.iloc[0], installs.iloc[-1]
    everybody = installs.loc[installs["blocks"].str.contains("all cgroups"), "design"]
    rows = warm[warm["operation"] == "remove"].sort_values("waiting_bytes")
    largest = rows.iloc[-1]
    waiting = waiting_memory(float(largest["waiting_bytes"]), removals, grace_ms)
    backed = installs.loc[installs["evidence"].str.startswith(RECORDED), "design"]
    return [
        f"An install takes {least['locked']:.3g} locked instructions ({least['design']}) to "
        f"{most['locked']:.3g} ({most['design']}); a lock that all cgroups share is taken by "
        f"{', '.join(everybody) or 'none'}.",
        f"Times of an install rest on recorded code with {', '.join(backed) or 'none'}; others, "
        "in brackets, on code that is written down from its source. All leave out what is above: "
        "the system call, cgroup_mutex, charging.",
        f"{removals:,} removals a second on a CPU, grace periods of {grace_ms} ms (both assumed) "
        f"keep up to {waiting.most_bytes / 1024:,.1f} KiB waiting with {largest['design']}, which "
        f"frees most per removal ({largest['waiting_bytes']:,.0f} bytes): kfree_rcu collects for "
        f"{waiting.batch_seconds:.2g} s before it asks for a grace period.",
    ]
