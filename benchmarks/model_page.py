"""docs/MODEL.md: what is modelled and what is not, with the measured error of each statement."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cgsim.data import data_path
from cgsim.files import write_atomically
from cgsim.validation.summary import BOUNDS, load_rows, summary, worst

OUT = Path(__file__).resolve().parents[1] / "docs" / "MODEL.md"
TEXT = Path(__file__).with_name("model_page.md")


def write() -> None:
    """Fill the measured errors of the stored rows into the text."""
    rows = load_rows()
    text = TEXT.read_text(encoding="utf-8")
    families = summary(rows).set_index("family")
    for name in BOUNDS:
        found = families.loc[name] if name in families.index else None
        text = text.replace(f"{{{name}}}", "not measured" if found is None else _error(found))
    text = text.replace("{families}", _families(families))
    text = text.replace("{groups}", _groups(rows))
    text = text.replace("{worst}", _worst(rows))
    text = text.replace("{code}", _code(pd.read_csv(data_path("validation", "code.csv"))))
    text = text.replace("{load}", _load(pd.read_csv(data_path("validation", "host.csv"))))
    write_atomically(OUT, text)


def _error(row: pd.Series) -> str:
    return f"median {row['median']:.0%}, 90th percentile {row['ninetieth']:.0%} of {row['n']} rows"


def _families(families: pd.DataFrame) -> str:
    lines = [
        "| family | rows | median | 90th percentile | pairs in order | bound | kept |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for name, row in families.iterrows():
        bound = BOUNDS[str(name)]
        kept = "yes" if row["within"] else "**no**"
        lines.append(
            f"| {bound.title} | {row['n']} | {row['median']:.1%} | {row['ninetieth']:.1%} "
            f"| {row['ordered']:.1%} of {row['pairs']} | {bound.median:.0%} / "
            f"{bound.ninetieth:.0%} / {bound.ordered:.0%} | {kept} |"
        )
    return "\n".join(lines)


def _groups(rows: pd.DataFrame) -> str:
    lines = [
        "| family | of it | rows | median | 90th percentile |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for family in rows["family"].unique():
        table = summary(rows[rows["family"] == family], ["family", "group"])
        lines += [
            f"| {family} | {row['group']} | {row['n']} | {row['median']:.1%} "
            f"| {row['ninetieth']:.1%} |"
            for row in table.to_dict("records")
        ]
    return "\n".join(lines)


def _code(rows: pd.DataFrame) -> str:
    """What cold code and calls took."""
    calls = rows.set_index("design")["ns"]
    ns = rows[rows["code"] != "cycles, not ns"].pivot(index="design", columns="code", values="ns")
    more = {code: ns[code] - ns["warm"] for code in ("from L2", "from memory")}
    close = [more[code][["table", "hash-rcu", "direct"]] for code in more]
    apart = [values.max() - values.min() for values in close]
    text = (
        f"a lookup whose code comes from L2 took {max(more['from L2'].min(), 0):.0f} to "
        f"{more['from L2'].max():.0f} ns more than one whose code is warm, one whose code comes "
        f"from memory {more['from memory'].min():.0f} to {more['from memory'].max():.0f} ns more; "
        f"table, hash-rcu and direct differ in it by {apart[0]:.0f} and {apart[1]:.0f} ns"
    )
    if "call" in calls and "retpoline" in calls:
        text += (
            f". A call with its return takes {calls['call']:.0f} cycles, an indirect jump through "
            f"a retpoline {calls['retpoline']:.0f}"
        )
    return text


def _load(rows: pd.DataFrame) -> str:
    """How busy the host was, and how many rows are not stable."""
    loads = rows["host"].str.extract(r"average ([\d.]+)")[0].astype(float)
    return (
        f"with a load average of {loads.min():.1f} to {loads.max():.1f}; of {len(rows)} rows "
        f"{int((~rows['stable']).sum())} are not stable"
    )


def _worst(rows: pd.DataFrame) -> str:
    lines = [
        "| family | row | conditions | measured | predicted | what is missing |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    lines += [
        f"| {row['family']} | {row['name']} | {row['conditions']} | {row['measured']:.4g} "
        f"{row['unit']} | {row['predicted']:.4g} | {row['cause']} |"
        for row in worst(rows).to_dict("records")
    ]
    return "\n".join(lines)
