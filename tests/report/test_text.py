"""Plain text and the sentences: narrow, ASCII, and true of the frame they were computed from."""

from __future__ import annotations

import pandas as pd
import pytest
import sample_frames as sample
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import UserError
from cgsim.experiments import paired
from cgsim.experiments.model_error import model_errors
from cgsim.report import compare, sentences, tables, text
from cgsim.report.thread import quote_html, thread_lines

PROSE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("line", "message"),
    [("x" * 76, "line 2 has 76 columns"), ("+\u00b1", "not plain ASCII"), ("a\tb", "ASCII")],
)
def test_check_plain_refuses(line: str, message: str) -> None:
    """Long lines, tabs and other letters are refused, with the line's number."""
    with pytest.raises(UserError, match=message):
        text.check_plain(f"fine\n{line}")


@given(st.lists(PROSE, max_size=60))
def test_wrap(prose: list[str]) -> None:
    """No line is longer than asked, no word is lost."""
    wrapped = text.wrap(" ".join(prose), indent="  ")
    assert all(len(line) <= 72 for line in wrapped.split("\n"))
    assert wrapped.split() == prose


def test_table() -> None:
    """Names to the left, numbers to the right, nothing behind them."""
    rows = [("list", "30.2 +-0.4", "512"), ("hash-rcu", "5.8 +-0.1", "-")]
    assert text.table(rows, ("design", "ns", "bytes")) == (
        "design            ns  bytes\n"
        "--------  ----------  -----\n"
        "list      30.2 +-0.4    512\n"
        "hash-rcu   5.8 +-0.1      -"
    )
    with pytest.raises(UserError, match="columns; allowed: 20"):
        text.table(rows, ("design", "ns", "bytes"), columns=20)


def test_curves() -> None:
    """A letter stands at its point, '*' where two meet; the key names them."""
    drawn = text.curves(
        {"up": {1.0: 1.0, 10.0: 100.0}, "flat": {1.0: 1.0, 10.0: 1.0}, "none": {1.0: 0.0}},
        ylabel="ns",
        xlabel="keys",
        columns=30,
        rows=5,
    )
    lines = drawn.split("\n")
    assert lines[0] == "ns"
    assert lines[1].startswith("100 |")
    assert "a" in lines[1].partition("   a up")[0]
    assert any(line.endswith("|*") or "|*  " in line for line in lines[1:6])
    assert lines[5].startswith("0.1 |c")
    assert "b flat" in drawn
    assert lines[-1].endswith("keys")


def test_quote() -> None:
    """Quotes nest as mail programs nest them; empty lines have no blank behind the mark."""
    assert text.quote("> old\nnew\n\nend") == ">> old\n> new\n>\n> end"


def test_thread() -> None:
    """The mail's lines are those of the file, and asking for others is refused."""
    lines = thread_lines("from bpf side", "use its own map")
    assert lines == [
        "from bpf side there should be _zero_ lookups.",
        "If bpf do a lookup it can equally use its own map to do that.",
    ]
    for wrong in (("nowhere", "map"), ("from bpf side", "nowhere")):
        with pytest.raises(UserError, match="nowhere"):
            thread_lines(*wrong)
    page = quote_html("* Lookup must", "per cgroup?").data
    assert "&gt;" not in page
    assert "idr based lookup + RCU protected index" in page


def with_costs(frame: pd.DataFrame, costs: pd.Series | float) -> pd.DataFrame:
    """The frame with other costs, the same with each of its seeds."""
    changed = frame.assign(ns=costs)
    changed["seed_ns"] = [(ns, ns, ns) for ns in changed["ns"]]
    return changed


def test_leaders_are_computed() -> None:
    """The cheapest of the frame; each other one with its paired difference, as mail has it."""
    frame = sample.at_point()
    family = model_errors().families["isolated, L1"]
    costs = compare.costs_of(frame)
    said = sentences.leaders_sentence(frame, "Here")
    assert said.startswith("Here: direct-inlined costs least, less than 0.2 ns; before ")
    found = paired.difference(costs, "direct-inlined", "list", family)
    assert f"list by {found.ns:.1f} +- {found.error_ns:.1f} ns" in said
    general = frame[frame["design"] != "direct-inlined"]
    said = sentences.leaders_sentence(general, "Here")
    assert said.startswith("Here: direct costs least, 4.5 ns; before table by 3.0 +- 2.1 ns")
    # hash-rcu is 1.45 ns behind, and the family's floor is above that
    assert said.endswith("; level with subsys; undecided between it and hash-rcu.")
    turned = with_costs(general, 1000 / general["ns"])
    assert sentences.leaders_sentence(turned, "Here").startswith("Here: list costs least")
    same = with_costs(frame, 1.0)
    assert "before" not in sentences.leaders_sentence(same, "Here")


def test_what_the_place_costs_is_no_part_of_a_comparison() -> None:
    """Nor of the model's error, which is a share of what a lookup adds."""
    frame = sample.workloads()
    frame = frame[frame["workload"] == "network"]
    dear = with_costs(frame, frame["ns"] + 1000.0).assign(place_ns=1000.0)
    plain = with_costs(frame, frame["ns"])
    for one, other in zip(
        compare.standing(dear).others, compare.standing(plain).others, strict=True
    ):
        assert (one.second, one.verdict) == (other.second, other.verdict)
        assert one.model_ns == pytest.approx(other.model_ns)
    assert "(1000 ns of them to get there)" in sentences.leaders_sentence(dear, "Network")


def test_growth_and_flips() -> None:
    """Growth is told with its ends and the last point; a change of the cheapest with its place."""
    frame = sample.over_keys()
    frame = frame[frame["mode"] == "dependent"]
    text_of = sentences.growth_sentence(frame, "n_keys", "keys")
    assert text_of.startswith("From 1 to 64 keys the cost grows: list from 3.8 to 240.0 ns")
    assert "no growth is claimed for hash, table, subsys and direct" in text_of
    said = sentences.flips(frame, "n_keys", "keys")
    assert said == "Who is in front changes: from 1 keys on hash-rcu; from 64 keys on direct."
    one = frame[frame["n_keys"] == 8]
    assert "one point only" in sentences.growth_sentence(one, "n_keys", "keys")
    said = sentences.flips(one, "n_keys", "keys")
    assert said == "Nothing is cheaper than direct, subsys and hash-rcu at any point."
    walked = frame.assign(footprint_bytes=frame["n_keys"] * 1024)
    assert sentences.growth_sentence(walked, "footprint_bytes", "KiB").startswith(
        "From 1 to 64 KiB"
    )


def test_the_known_miss_beyond_a_level_is_stated() -> None:
    """Each family of isolated lookups with its error, and what the profile's levels do."""
    said = sentences.pollution_sentence("zen5-vm")
    for name, family in model_errors().families.items():
        if name.startswith("isolated"):
            assert f"{family.what}, {100 * family.low:+.0f} to {100 * family.high:+.0f} %" in said
    assert "On zen5-vm the model replaces lines of L1 and L3 by true LRU and L2 at random" in said
    assert "random" not in sentences.pollution_sentence("zen4-genoa")


def test_fields_that_cost_nothing() -> None:
    """Fields that fit the slab's slack are named with their bytes; none, no sentence."""
    frame = sample.at_point()
    assert "(bytes: hash 160, hash-rcu 160)" in sentences.field_sentence(frame)
    assert sentences.field_sentence(frame.assign(field_bytes=0)) == ""


def test_agreement() -> None:
    """Only orders that are claimed on both machines count."""
    one = sample.at_point()
    pairs, turned = compare.agreement(one, one.iloc[1:])
    assert (pairs > 5, turned) == (True, [])
    other = with_costs(one, 100 / one["ns"])
    pairs, turned = compare.agreement(one, other)
    assert ("table", "list") in turned
    assert ("direct", "subsys") not in turned
    said = sentences.agreement_sentence(one, other, "x", "m2")
    assert said.startswith(f"In x {pairs} pairs have a claimed order here and on m2, of them ")
    assert said.endswith("; list is cheapest there, direct-inlined here.")
    said = sentences.agreement_sentence(one, one, "x", "m2")
    assert said.endswith("none changes places; nothing is before direct-inlined on either.")


def test_tables_escape() -> None:
    """Cells and headers are escaped; a missing cost is a dash."""
    page = tables.html_table(("<a>",), [("<b>",)]).data
    assert "<th>&lt;a&gt;</th>" in page
    assert "<td>&lt;b&gt;</td>" in page
    frame = sample.at_point()
    rows = tables.cost_rows({"x": frame, "y": frame.iloc[:1]}, frame, 8)
    assert rows[0] == ("list", "30.0 +-0.6", "30.0 +-0.6", "512")
    assert rows[1][2] == "-"
    assert sentences.answer("<i>").data == '<div class="answer"><p>&lt;i&gt;</p></div>'
    assert "hash-rcu" in tables.designs_table(["hash-rcu"]).data
    assert "L2" in tables.machine_table("zen5-vm").data
