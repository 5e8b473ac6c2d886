"""The mail: exactly the golden text, plain, narrow, every sentence recomputed, and never sent."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import sample_answers as sample
from scipy import stats

from cgsim.errors import UserError
from cgsim.experiments.paired import BEFORE
from cgsim.experiments.places_of_use import USERS, limits, narrows
from cgsim.experiments.recommend import Study
from cgsim.report import advice, headline, mail
from cgsim.report.envelope import Answered

GOLDEN = Path(__file__).parent.parent / "golden" / "mail.txt"
FACTS = mail.Facts(
    machine="zen4-genoa",
    machine_title="a server of this test",
    kernel="7.3.4",
    seed=1,
    version="0.1.0",
    commit="0123456789ab",
    command="cgsim mail --preset quick --machine zen4-genoa --seed 1",
)


def test_golden() -> None:
    """The text, to the letter. CGSIM_GOLDEN=1 writes it anew, to be read before it is kept."""
    text = mail.compose(FACTS, sample.results())
    if os.environ.get("CGSIM_GOLDEN") == "1":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_plain_narrow_and_short() -> None:
    """At most 75 columns of ASCII, no tab, no more lines than a list reads."""
    lines = mail.compose(FACTS, sample.results()).split("\n")
    assert max(map(len, lines)) <= 75
    assert all(" " <= letter <= "~" for line in lines for letter in line)
    assert len(lines) <= 125


def test_says_what_it_must() -> None:
    """Simulated, how far off, whose numbers, seeds, kernel, command, what is not modelled."""
    flat = " ".join(mail.compose(FACTS, sample.results()).split())
    for needed in (
        "simulated, not measured",
        "nine of ten predictions were between 10 % too low and 40 % too high",
        "on zen4-genoa nothing was measured",
        "> * Lookup must be really cheap.",
        "seeds 1..4",
        "Linux 7.3.4",
        "Not modelled",
        "$ cgsim mail --preset quick --machine zen4-genoa --seed 1",
        "158870.html",
    ):
        assert needed in flat


# --- every sentence, recomputed from the costs themselves ---


def _apart(study: Study, one: str, other: str) -> tuple[float, float]:
    """(mean difference, half-width with the model's error), by the definition of both."""
    costs = study.costs
    apart = costs.added[other] - costs.added[one]
    half = stats.t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    family = costs.family
    larger = max(costs.added[one].mean(), costs.added[other].mean())
    model = max(family.pair_floor_ns, family.pair_ninetieth * larger)
    return float(apart.mean()), float(np.hypot(half, model))


def _row(text: str, user: str, name: str) -> re.Match[str] | None:
    """A design's row in a user's table."""
    begin = text.index(f"\n{user}: {USERS[user].workload}, ") + 1
    table = text[begin : text.index("\n\n", begin)]
    return re.search(
        rf"^{re.escape(name)}\*? +(\S+) +(\S+) \.\. (\S+) +(\S+|\S+ \+- \S+) +(\S+) +(\S+)( +\w)?$",
        table, re.M,
    )  # fmt: skip


def _check_user(text: str, study: Study) -> None:
    """Recompute the row of each design, the verdict and the sentences of one user."""
    user, added, chosen = study.costs.point.user, study.costs.added, study.chosen
    flat = " ".join(text.split())
    for name, costs in added.items():
        ns, half = _apart(study, chosen, name) if name != chosen else (0.0, 0.0)
        assert name == chosen or ns >= -half, f"{user}: {name} is before {chosen}, not named"
        row = _row(text, user, name)
        if row is None:
            assert name not in mail.SHOWN[user]
            continue
        mean, low, high, behind, share, _, limit = row.groups()
        assert float(mean) == pytest.approx(costs.mean(), abs=0.051)
        assert float(low) <= costs.mean() / 1.3 + 0.1
        assert float(high) >= costs.mean() + 1.7
        assert float(share) == pytest.approx(costs.mean() * 1e-7 * 90_000, rel=0.06)
        if name == chosen:
            assert behind == "named"
        elif ns > half:
            by, error = (float(each) for each in behind.split(" +- "))
            assert (by, error) == pytest.approx((ns, half), abs=0.051)
        else:
            assert behind in ("undecided", "level")
        assert bool(limit) == bool(limits(name))
    said = re.search(
        rf"- [a-z, -]*\b{user}\b[a-z, -]*: ([a-z0-9-]+)(.*?)\.(?= - | The guess)", flat
    )
    assert said is not None
    assert said[1] == chosen
    tied = {n for n in added if n != chosen and abs(_apart(study, chosen, n)[0])
            <= _apart(study, chosen, n)[1]}  # fmt: skip
    narrow = {name: narrows(name, user) for name in {*tied, chosen}}
    assert not narrow[chosen] or all(narrow.values())
    named = re.search(r"between it and (.*)", said[2])
    assert (set(re.split(", | and ", named[1])) if named else set()) == tied
    if not tied:
        near = min((n for n in added if n != chosen), key=lambda n: added[n].mean())
        ns, half = _apart(study, chosen, near)
        assert f"before all others ({near} by {ns:.1f} +- {half:.1f} ns)" in said[2]
    facts = re.search(
        rf" {user}: {study.costs.point.workload}, 2 keys in each of 100 cgroups, 4 "
        r"seeds; ([\d.]+) ns before a lookup. At 90,000 lookups/s all (\d+) are within "
        r"([\d.]+) % of a CPU",
        flat,
    )
    assert facts is not None
    assert float(facts[1]) == pytest.approx(study.costs.place.mean(), abs=0.051)
    assert int(facts[2]) == len(added)
    means = [costs.mean() for costs in added.values()]
    assert float(facts[3]) == pytest.approx((max(means) - min(means)) * 1e-7 * 90_000, rel=0.06)


@pytest.mark.parametrize("turned", [{}, {"list": 0.1}, {"hash_rcu": 30.0, "table": 28.0}])
def test_every_claim_is_what_the_costs_say(turned: dict[str, float]) -> None:
    """Sign, order, significance and units of all users, with other winners too."""
    results = sample.results(**turned)
    text = mail.compose(FACTS, results)
    for study in results.studies.values():
        _check_user(text, study)


_SENTENCES = (
    r"The question was \[0\] how", r"All figures here are simulated",
    r"Nearest measurements: 17 ro", r"The intervals hold", r"In short:",
    r"- [a-z, -]+: [a-z0-9-]+, ", r"[a-z-]+: (gpu|network), ", r"At 90,000 lookups",
    r"The guess in the thread", r"A pointer hash read under RCU",
    r"ns: what a lookup with its use", r"90 %: its interval", r"behind: the named",
    r"bytes: of a cgroup", r"\*: not in", r"Limits: a: ", r"Contention: CPUs",
    r"From 1 to 64 CPUs", r"Updates \(4 keys", r"Interface \(cgsim explore: all",
    r"- [a-z, -]+: [a-z-]+: \d+ of 20 mistakes", r"Where another design",
    r"- [a-z, -]+: (nowhere|at )", r"Not modelled", r"An order of few ns", r"cgsim 0.1.0, commit",
    r"This mail again",
)  # fmt: skip


def test_no_sentence_escapes_the_checks() -> None:
    """A sentence of a kind that no test here knows makes this fail."""
    text = mail.compose(FACTS, sample.results())
    for paragraph in text.split("\n\n")[2:]:
        prose = re.split(r"\n(?=design )", paragraph)[0].replace("\n  ", " ")
        if re.match(r"  ?\$|\[0\]", prose):
            continue
        for sentence in re.split(r"(?<=[a-z)%])\. (?=[A-Z*]|90 %|% CPU|behind)|\n(?=- )", prose):
            flat = " ".join(sentence.split())
            assert any(re.match(kind, flat) for kind in _SENTENCES), flat


@pytest.mark.parametrize("hash_rcu", [4.0, 5.9, 11.5])
def test_the_guess_stands_as_the_paired_difference_says(hash_rcu: float) -> None:
    """hash-rcu before the table, undecided, or behind it, for every user that has both."""
    results = sample.results(hash_rcu=hash_rcu)
    flat = " ".join(mail.compose(FACTS, results).split())
    sentence = flat[flat.index("A pointer hash read") : flat.index(" driver: gpu")]
    for user in ("driver", "packet-hook", "counter"):
        ns, half = _apart(results.studies[user], "hash-rcu", "table")
        assert user in sentence
        assert ("undecided" in sentence) == (abs(ns) <= half)
        if abs(ns) > half:
            assert f"{user} ({abs(ns):.1f} +- {half:.1f} ns)" in sentence
            assert ("before it" in sentence) == (ns > 0)


def test_contention_says_who_grows() -> None:
    """Exactly those whose lookup more than doubles."""
    flat = " ".join(mail.compose(FACTS, sample.results()).split())
    assert (
        "Between 1 and 64 CPUs a lookup grows with v4 64 times and dmem 64 times; the others"
        in flat
    )


def test_the_index_begins_with_the_mails_verdicts_and_picture() -> None:
    """The alternative text names each recommended design with its interval."""
    answers = sample.results().answers
    alt = headline.headline_alt(answers)
    for answer in answers.values():
        row = advice.row_of(answer, answer["recommended"])
        assert f"{answer['user']}: {row['design']} {row['ns']:.1f} ns" in alt
    assert len(headline.headline(answers).axes) == 4


def test_no_order_is_claimed_against_the_recommended_design() -> None:
    """None of the others is before it: it would have been named."""
    for answer in sample.results().answers.values():
        for order in answer["orders"]:
            assert order["verdict"] != BEFORE or order["first"] == answer["recommended"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "fast"}, "unknown preset 'fast'"),
        ({"machine": "zen5-wm"}, "did you mean 'zen5-vm'"),
        ({"second_machine": mail.MACHINE}, "give another"),
    ],
)
def test_refused(arguments: dict[str, str], message: str) -> None:
    """Mistakes are refused before anything is simulated."""
    with pytest.raises(UserError, match=message):
        mail.mail_text(**arguments)


def test_write_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written with the options given, and the command says them."""
    asked = []

    def run(
        machine: str, kernel: str, seed: int, others: object, given: object, *chosen: object
    ) -> mail.Results:
        asked.append((machine, kernel, seed, others, given))
        return sample.results()

    monkeypatch.setattr(mail, "run", run)
    said = mail.write_mail(
        tmp_path, seed=7, replicates=2, second_machine="zen2-rome", kernel="6.12.117", n_cgroups=40
    )
    (machine, kernel, seed, others, given) = asked[0]
    assert (machine, kernel, seed, others[0]) == ("zen4-genoa", "6.12.117", 7, "zen2-rome")
    assert given == {"n_keys": None, "n_cgroups": 40, "replicates": 2}
    text = (tmp_path / "mail.txt").read_text()
    assert text == said.text
    command = " ".join(text.replace("\\\n", " ").split())
    assert (
        "--seed 7 --second-machine zen2-rome --kernel 6.12.117 --cgroups 40 --replicates 2 $"
        in command
    )
    assert len(said.verdicts) == 4


def test_users_and_sections_chosen() -> None:
    """A section that is not asked for is not there; what is answered is quoted, and named above."""
    answered = Answered("Re: x", "<a@example.org>", (), "> one of theirs")
    text = mail.compose(FACTS, sample.results(), ("updates",), answered)
    assert text.startswith(
        "Subject: Re: x\nIn-Reply-To: <a@example.org>\nReferences: <a@example.org>\n\n> one of"
    )
    assert "Updates (" in text
    assert "Contention:" not in text
    assert "Lookup must be really cheap" not in text
    for wrong in ({"users": ["hook"]}, {"sections": ["update"]}):
        with pytest.raises(UserError, match=r"unknown (user|section) '"):
            mail.reply(**wrong)  # type: ignore[arg-type]
