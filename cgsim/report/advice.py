"""An answer of `cgsim.recommend` in words and tables of plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.experiments.model_error import model_errors
from cgsim.experiments.paired import BEFORE
from cgsim.experiments.places_of_use import get_user
from cgsim.report import text
from cgsim.report.sentences import join_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEGLIGIBLE_SHARE = 0.0005
"""Of a CPU: where all designs together differ by less, cost decides nothing."""

HEADERS = ("design", "ns", "90 %", "behind", "% CPU", "bytes", "limits")


def usable(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of designs that can be used, the cheapest first."""
    return [row for row in answer["designs"] if row["usable"]]


def row_of(answer: Mapping[str, Any], design: str) -> dict[str, Any]:
    """A design's row."""
    return next(row for row in answer["designs"] if row["design"] == design)


def rows(
    answer: Mapping[str, Any], names: Sequence[str], letters: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Table rows under `HEADERS` of the designs named; letters : of limits."""
    measured = model_errors().designs
    behind = _behind(answer)
    return [
        (
            row["design"] + ("" if row["design"] in measured else "*"),
            ns(row["ns"]),
            f"{ns(row['low'])} .. {ns(row['high'])}",
            behind.get(row["design"], "named"),
            percent(row["share"]),
            f"{row['bytes']:,.0f}",
            letters.get(row["why"], ""),
        )
        for row in usable(answer)
        if row["design"] in names
    ]


def _behind(answer: Mapping[str, Any]) -> dict[str, str]:
    """How far each design is behind the recommended one, where that is claimed."""
    chosen = answer["recommended"]
    found = {}
    for order in answer["orders"]:
        other = order["second"] if order["first"] == chosen else order["first"]
        claimed = f"{order['by_ns']:.1f} +- {order['error_ns']:.1f}"
        found[other] = claimed if order["verdict"] == BEFORE else order["verdict"]
    return found


def interface_sentence(answer: Mapping[str, Any]) -> str:
    """Which interface the searches speak for."""
    found = answer["interface"]
    named = found["interface"]
    counts, debug = found["unnoticed"], found["only_debug"]
    more = any(debug.values())
    others = [
        f"{name} {count}{f' + {debug[name]}' if more else ''}"
        for name, count in counts.items()
        if name != named
    ]
    beside = f" ({', '.join(others)})" if others else ""
    said = f"{named}: {counts[named]} of {found['mistakes']} mistakes pass unnoticed"
    return said + (f", {debug[named]} more without debug options" if more else "") + beside


LEGEND = (
    "ns: what a lookup with its use adds to what the place costs anyway. 90 %: its interval, with "
    "the model's error. behind: the named one, where claimed. bytes: of a cgroup, fields too. "
    "*: not in the measurements behind the error"
)


def letters_of(
    answers: Sequence[Mapping[str, Any]], shown: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Limit -> letter, for those of the designs shown, in the order in which they come."""
    limits = [
        row["why"]
        for answer in answers
        for row in usable(answer)
        if row["why"] and row["design"] in shown[answer["user"]]
    ]
    return dict(zip(dict.fromkeys(limits), "abcdefghijklmnop", strict=False))


def ns(value: float) -> str:
    """A time without its unit: one decimal below 100."""
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def percent(share: float) -> str:
    """A share in percent, two significant digits, never an exponent."""
    value = 100 * share
    return (
        f"{value:.1f}" if value >= 0.995 else f"{value:.2f}" if value >= 0.0995 else f"{value:.4f}"
    )


def place(answer: Mapping[str, Any]) -> str:
    """What was simulated on the machine, for a table's head."""
    seeds = answer["seeds"]
    return (
        f"{answer['workload']}, {answer['n_keys']} "
        f"key{'s' if answer['n_keys'] > 1 else ''} in each of {answer['n_cgroups']} cgroups, "
        f"{seeds} seed{'s' if seeds > 1 else ''}"
    )


def sizes(answer: Mapping[str, Any]) -> str:
    """The numbers that an answer is for."""
    keys = answer["n_keys"]
    return f"{keys} key{'s' if keys > 1 else ''}, {answer['n_cgroups']:,} cgroups"


def verdict(answer: Mapping[str, Any]) -> str:
    """For whom, and `choice`."""
    return f"{answer['user']} ({sizes(answer)}): {choice(answer)}"


def choice(answer: Mapping[str, Any]) -> str:
    """The recommended design and why that one: alone in front, or of several undecided ones."""
    chosen = answer["recommended"]
    level = tied(answer)
    first = usable(answer)[0]["design"]
    if not level and chosen == first:
        return f"{chosen}, before all others{_at_least(answer)}."
    others = [name for name in level if name != chosen]
    return (
        f"{chosen}, for fewest limits, then bytes: cost does not decide between it and "
        f"{join_names(others)}."
    )


def _at_least(answer: Mapping[str, Any]) -> str:
    """How far the next one is behind."""
    if not answer["orders"]:
        return ""
    near = answer["orders"][0]
    return f" ({near['second']} by {near['by_ns']:.1f} +- {near['error_ns']:.1f} ns)"


def tied(answer: Mapping[str, Any]) -> list[str]:
    """The designs whose order with the recommended one is not claimed."""
    chosen = answer["recommended"]
    return [
        order["second"] if order["first"] == chosen else order["first"]
        for order in answer["orders"]
        if order["verdict"] != BEFORE
    ]


def budget(answer: Mapping[str, Any]) -> str:
    """What the choice can cost or save, as a share of a CPU."""
    shares = [row["share"] for row in usable(answer)]
    span = max(shares) - min(shares)
    said = (
        f"At {text.rounded(answer['rate_per_s'])} lookups/s all {len(shares)} are within "
        f"{percent(span)} % of a CPU"
    )
    if span < NEGLIGIBLE_SHARE:
        return f"{said}: choose by interface and lifetime, not by cost."
    return f"{said}."


def cannot(answer: Mapping[str, Any]) -> list[str]:
    """The designs that cannot be used, with the reason."""
    reasons: dict[str, list[str]] = {}
    for row in answer["designs"]:
        if not row["usable"]:
            reasons.setdefault(row["why"], []).append(row["design"])
    return [f"{join_names(names)}: {why}" for why, names in reasons.items()]


def flips(answer: Mapping[str, Any]) -> list[str]:
    """Where another design is named, one sentence for each border."""
    said = []
    for border in answer["borders"]:
        where = f"on {border['at']}" if border["what"] == "machine" else _amount(border)
        said.append(f"{where} {border['recommended'] or 'none'} ({border['why']})")
    return said


def _amount(border: Mapping[str, Any]) -> str:
    return f"at {border['at']:,} {border['what']}"


def machines(answer: Mapping[str, Any]) -> str:
    """Whether other machines agree, by pairs whose order is claimed on both."""
    said = []
    for each in answer["machines"]:
        turned = [f"{one} and {other}" for one, other in each["turned"]]
        what = f"{join_names(turned)} change places" if turned else "none changes places"
        said.append(f"{each['machine']} {each['pairs']} pairs, {what}")
    return f"Pairs with a claimed order here and there: {'; '.join(said)}." if said else ""


def error_sentence(error: Mapping[str, Any]) -> str:
    """The model's own error and where it comes from."""
    return (
        f"Nearest measurements: {error['rows']} rows '{error['what']}' on {error['measured_on']}; "
        f"nine of ten predictions were between {-100 * error['low']:.0f} % too low and "
        f"{100 * error['high']:.0f} % too high, differences of two off by up to "
        f"{100 * error['pair']:.0f} % of the larger and no better than "
        f"{error['pair_floor_ns']:.1f} ns."
    )


def printed(answer: Mapping[str, Any]) -> str:
    """The whole answer for a terminal."""
    who = get_user(answer["user"])
    names = [row["design"] for row in usable(answer)]
    letters = letters_of([answer], {answer["user"]: names})
    parts = [
        f"simulated for {who.title}\n{answer['machine']}, {place(answer)}, {answer['cpus']} CPUs\n"
        f"reaching the cgroup {'and calling the program ' if who.reach == 'skb' else ''}costs "
        f"{ns(answer['place_ns'])} ns without a lookup",
        text.table(rows(answer, names, letters), HEADERS, columns=text.MAIL_COLUMNS),
        text.wrap(f"{LEGEND}; the nearest measurements' error is used for all."),
        f"recommended: {answer['recommended']}; runner-up by cost: {answer['runner_up']}",
        text.wrap(verdict(answer)),
        text.wrap(budget(answer)),
        text.wrap(error_sentence(answer["error"])),
        _listed("limits", [f"{letter}: {limit}" for limit, letter in letters.items()]),
        _listed("cannot be used there", cannot(answer)),
        _listed(
            "interface",
            [f"{interface_sentence(answer)}; it gives up {answer['interface']['gives_up']}"],
        ),
        _listed("elsewhere", flips(answer) or ["no other answer at the points tried"]),
        text.wrap(machines(answer)),
        _listed("updates", [line for each in answer.get("updates", []) for line in _update(each)]),
    ]
    return "\n\n".join(part for part in parts if part)


def _listed(head: str, lines: Sequence[str]) -> str:
    """A head and indented lines, "" if there are none."""
    if not lines:
        return ""
    return "\n".join([f"{head}:", *(text.wrap(f"  {line}", indent="    ") for line in lines)])


def _update(facts: Mapping[str, Any]) -> list[str]:
    """The update side of one design, an operation a line."""
    return [
        f"{facts['design']}, {each['operation']}: {each['locked']:.0f} locked instructions, "
        f"{each['allocated_bytes']:.0f} bytes allocated, {each['waiting_bytes']:.0f} waiting, "
        f"{each['ns']:.0f} ns ({each['operations']} timed)"
        for each in facts["operations"]
    ]
