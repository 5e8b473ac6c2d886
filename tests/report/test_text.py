"""Plain text and the sentences: narrow, ASCII, and true of the frame they were computed from."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import sample_frames as sample
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import UserError
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


def pair(one: tuple[float, float, float], other: tuple[float, float, float]) -> pd.DataFrame:
    """Two designs with (ns, low, high) each."""
    frame = sample.at_point().iloc[[0, 1]].copy()
    frame[["ns", "ns_low", "ns_high"]] = [one, other]
    return frame


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ((10, 9.9, 10.1), (10.4, 10.3, 10.5), True),  # less than 5 %
        ((10, 9.9, 10.1), (10.6, 10.5, 10.7), False),
        ((10, 9.0, 11.0), (12.0, 10.9, 13.1), True),  # intervals overlap
        ((10, 9.0, 11.0), (12.0, 11.1, 12.9), False),
        ((0.1, 0.1, 0.1), (0.29, 0.29, 0.29), True),  # less than 0.2 ns
        ((10, math.nan, math.nan), (11, math.nan, math.nan), False),  # one replicate
    ],
)
def test_level(one: tuple, other: tuple, level: bool) -> None:
    """What may be called level, whichever comes first."""
    frame = pair(one, other)
    for first, second in ((0, 1), (1, 0)):
        assert compare.are_level(frame.iloc[first], frame.iloc[second]) is level


def test_leaders_are_computed() -> None:
    """The sentence names the cheapest of the frame, not a favourite of ours."""
    frame = sample.at_point()
    general = frame[frame["design"] != "direct-inlined"]
    sentence = sentences.leaders_sentence(general, "Here")
    assert sentence.startswith("Here: direct and subsys cost least, 4.5 ns (level") or (
        sentence.startswith("Here: direct and subsys cost least, 4.6 ns (level")
    )
    assert "next comes hash-rcu, 6.0 ns (1.3 times that)" in sentence
    assert sentence.endswith("last list, 30.0 ns (6.6 times that).")
    turned = general.assign(ns=1000 / general["ns"])
    turned = turned.assign(ns_low=turned["ns"], ns_high=turned["ns"])
    assert sentences.leaders_sentence(turned, "Here").startswith("Here: list costs least")
    tiny = sentences.leaders_sentence(frame, "Here")
    assert "direct-inlined costs least, less than 0.2 ns; next comes direct, 4." in tiny
    assert "times that" not in tiny
    same = frame.assign(ns=1.0, ns_low=1.0, ns_high=1.0)
    assert "no difference" in sentences.leaders_sentence(same, "Here")


def test_growth_and_flips() -> None:
    """Growth is told with its ends and the last point; a change of the cheapest with its place."""
    frame = sample.over_keys()
    frame = frame[frame["mode"] == "dependent"]
    text_of = sentences.growth_sentence(frame, "n_keys", "keys")
    assert text_of.startswith("From 1 to 64 keys the cost grows: list from 3.8 to 240.0 ns")
    assert "no clear growth for hash, table, subsys and direct" in text_of
    assert "from 1 keys on hash-rcu" in sentences.flips(frame, "n_keys", "keys")
    assert "from 8 keys on direct" in sentences.flips(frame, "n_keys", "keys")
    one = frame[frame["n_keys"] == 8]
    assert "one point only" in sentences.growth_sentence(one, "n_keys", "keys")
    assert "whole range: direct and subsys" in sentences.flips(one, "n_keys", "keys")
    walked = frame.assign(footprint_bytes=frame["n_keys"] * 1024)
    assert sentences.growth_sentence(walked, "footprint_bytes", "KiB").startswith(
        "From 1 to 64 KiB"
    )


def test_the_known_miss_beyond_a_level_is_stated() -> None:
    """Each family of isolated lookups with its error, in percent, and the reason."""
    said = sentences.pollution_sentence()
    for name, family in model_errors().families.items():
        if name.startswith("isolated"):
            assert f"{family.what}, {100 * family.low:+.0f} to {100 * family.high:+.0f} %" in said
    assert "true LRU" in said


def test_fields_that_cost_nothing() -> None:
    """Fields that fit the slab's slack are named with their bytes; none, no sentence."""
    frame = sample.at_point()
    assert "(bytes: hash 160, hash-rcu 160)" in sentences.field_sentence(frame)
    assert sentences.field_sentence(frame.assign(field_bytes=0)) == ""


def test_agreement() -> None:
    """Ranks are correlated over common designs; only clear exchanges are told."""
    one = sample.at_point()
    rank, turned = compare.agreement(one, one.iloc[1:])
    assert rank == pytest.approx(1)
    assert list(turned) == []
    other = one.assign(ns=100 / one["ns"], ns_low=100 / one["ns"], ns_high=100 / one["ns"])
    rank, turned = compare.agreement(one, other)
    assert rank == pytest.approx(-1)
    assert ("list", "table") in turned
    assert ("subsys", "direct") not in turned
    assert "clearly change places" in sentences.agreement_sentence(one, other, "x", "m2")
    assert "too few" in sentences.agreement_sentence(one.iloc[:2], one, "x", "m2")


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
