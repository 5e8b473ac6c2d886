"""The mail: composed from frames exactly as the golden text, plain, narrow, and never sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sample_frames as sample

from cgsim.errors import UserError
from cgsim.report import mail
from cgsim.studies.sweeps import Setting

GOLDEN = Path(__file__).parent.parent / "golden" / "mail.txt"
FACTS = mail.Facts(
    setting=Setting("zen5-vm", designs=tuple(sample.NS)),
    machine_title="a machine of this test",
    second_machine="skylake-sp",
    second_title="another machine of this test",
    version="0.1.0",
    commit="0123456789ab",
    command="cgsim mail --preset quick --machine zen5-vm --seed 1",
)


def results() -> mail.Results:
    """Made-up results; the second machine turns two designs round."""
    second = sample.workloads(1.5).query("workload == 'network'").reset_index(drop=True)
    for column in ("ns", "ns_low", "ns_high"):
        second.loc[second["design"] == "table", column] = 5.0
    return mail.Results(
        keys=sample.over_keys(),
        isolated=sample.at_point(1.5),
        workloads=sample.workloads(),
        second=second,
    )


def test_golden() -> None:
    """The text, to the letter. CGSIM_GOLDEN=1 writes it anew, to be read before it is kept."""
    text = mail.compose(FACTS, results())
    if os.environ.get("CGSIM_GOLDEN") == "1":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_plain_and_narrow() -> None:
    """At most 75 columns of ASCII, and no tab."""
    lines = mail.compose(FACTS, results()).split("\n")
    assert max(map(len, lines)) <= 75
    assert all(" " <= letter <= "~" for line in lines for letter in line)


def test_says_what_it_must() -> None:
    """Simulated in the first paragraph, quotes, memory beside time, seeds, kernel, command."""
    text = mail.compose(FACTS, results())
    opening = text.split("\n\n")[1]
    assert "simulated, not measured" in opening
    assert ">> * Lookup must be really cheap." in text
    assert "> from bpf side there should be _zero_ lookups." in text
    flat = " ".join(text.split())
    for needed in (
        "design dependent isolated network gpu bytes",
        "seeds 1..3",
        "Linux 7.3.4",
        "Not modelled",
        "$ cgsim mail --preset quick --machine zen5-vm --seed 1",
        "158870.html",
        "Where hash-rcu loses",
    ):
        assert needed in flat


def test_winner_follows_the_frame() -> None:
    """With other numbers another design is named: no name stands in the code."""
    turned = results()
    for frame in (turned.keys, turned.isolated, turned.workloads, turned.second):
        for column in ("ns", "ns_low", "ns_high"):
            frame.loc[frame["design"] == "list", column] = 0.001
    flat = " ".join(mail.compose(FACTS, turned).split())
    assert "Cheapest in the network workload: list" in flat
    assert "Where list loses: memory" in flat


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
        mail.mail_text(**arguments)  # type: ignore[arg-type]


def test_write_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written with the options given, and the command says them."""
    asked = []

    def run(setting: Setting, second_machine: str, keys: object) -> mail.Results:
        asked.append((setting, second_machine))
        return results()

    monkeypatch.setattr(mail, "run", run)
    path = mail.write_mail(
        tmp_path, "quick", seed=7, replicates=2, second_machine="zen3-milan", kernel="6.12.117"
    )
    assert path == tmp_path / "mail.txt"
    (setting, second), text = asked[0], path.read_text()
    assert (setting.seed, setting.replicates, setting.kernel) == (7, 2, "6.12.117")
    assert second == "zen3-milan"
    command = " ".join(text.replace("\\\n", " ").split())
    assert "--seed 7 --second-machine zen3-milan --kernel 6.12.117 --replicates 2 $" in command
    assert "seeds 7..8" in text
