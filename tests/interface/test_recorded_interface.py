"""The recorded verdicts on interfaces are those of the searches, and are said as they are."""

from __future__ import annotations

from benchmarks.interfaces import content
from cgsim.experiments.recorded_interface import recorded_interface, verdicts_file
from cgsim.report.advice import interface_sentence


def test_the_recorded_verdicts_are_the_searches() -> None:
    """`python -m benchmarks.interfaces` would write the same file."""
    assert verdicts_file().read_text() == content()


def test_the_sentence_says_the_record() -> None:
    """The named interface has the fewest mistakes that nobody notices, and the sentence says so."""
    for user in ("driver", "packet-hook", "counter", "bpf-map"):
        found = recorded_interface(user)
        counts = found["unnoticed"]
        assert counts[found["interface"]] == min(counts.values())
        said = interface_sentence({"interface": found})
        assert said.startswith(f"{found['interface']}: {counts[found['interface']]} of ")
        assert all(f"{name} {n}" in said for name, n in counts.items() if name not in said[:40])
