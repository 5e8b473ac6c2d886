"""The recorded verdicts on interfaces are those of the searches, and are said as they are."""

from __future__ import annotations

from benchmarks.interfaces import content
from cgsim.experiments.recorded_interface import recorded_interface, verdicts_file
from cgsim.interface.interfaces import INTERFACES
from cgsim.report.advice import interface_sentence


def test_the_recorded_verdicts_are_the_searches() -> None:
    """`python -m benchmarks.interfaces` would write the same file."""
    assert verdicts_file().read_text() == content()


def test_everything_posted_is_counted() -> None:
    """The mail says of what was posted what fails: all of it, each with a property that does."""
    posted = recorded_interface("driver")["posted"]
    assert list(posted) == [name for name, each in INTERFACES.items() if each.as_posted]
    assert posted["cgroup-buf-as-posted"] == ["no update is lost"]
    assert all(posted.values())


def test_the_sentence_says_the_record() -> None:
    """The named interface has the fewest mistakes that nobody notices, and the sentence says so."""
    for user in ("driver", "packet-hook", "counter", "bpf-map"):
        found = recorded_interface(user)
        counts = found["unnoticed"]
        assert found["only_debug"].keys() == counts.keys()
        assert counts[found["interface"]] == min(counts.values())
        said = interface_sentence({"interface": found})
        assert said.startswith(f"{found['interface']}: {counts[found['interface']]} of ")
        more = found["only_debug"][found["interface"]]
        assert (f", {more} more without debug options" in said) == (more > 0)
        assert all(f"{name} {n}" in said for name, n in counts.items() if name not in said[:40])
