"""Places of use: who can have which design, and why not."""

from __future__ import annotations

import pytest

from cgsim.designs.base import list_designs
from cgsim.errors import UserError
from cgsim.experiments.places_of_use import USERS, able, fit


@pytest.mark.parametrize(
    ("design", "user", "n_keys", "why"),
    [
        ("hash", "packet-hook", 1, "may sleep"),
        ("hash", "counter", 1, "may sleep"),
        ("direct", "driver", 1, "a driver attaches none"),
        ("storage", "driver", 1, "BPF map"),
        ("direct-inlined", "packet-hook", 65, "65 keys asked for.*at most 64"),
        ("subsys", "driver", 15, "15 keys asked for.*at most 14"),
        ("table", "bpf-map", 1, "no BPF map"),
        ("htab", "packet-hook", 1, "a map of the program's own"),
        ("array", "counter", 1, "share a cache line"),
        ("percpu-array", "bpf-map", 1, "one CPU only"),
    ],
)
def test_what_cannot_be_used_says_why(design: str, user: str, n_keys: int, why: str) -> None:
    """Unusable, with the reason."""
    found = fit(design, user, n_keys)
    assert not found.usable
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found.why)


@pytest.mark.parametrize(
    ("design", "user"),
    [
        ("hash", "driver"), ("hash-rcu", "packet-hook"), ("table", "packet-hook"),
        ("direct", "packet-hook"), ("cgroup-storage", "counter"), ("percpu-htab", "counter"),
        ("storage", "bpf-map"), ("htab", "bpf-map"),
    ],
)  # fmt: skip
def test_what_can_be_used(design: str, user: str) -> None:
    """Usable with two keys."""
    assert fit(design, user, 2).usable


def test_every_design_has_a_user_and_is_able_or_not() -> None:
    """None is lost: each is able or has a reason, and somebody can use it."""
    everyone = {design.name for design in list_designs()}
    somebody = set()
    for user in USERS:
        chosen, left = able(user, 1)
        assert set(chosen) | set(left) == everyone
        assert all(left.values())
        somebody |= set(chosen)
    assert somebody == everyone


def test_limits_stand_beside_what_can_be_used() -> None:
    """64 keys, attached programs, 14 subsystems."""
    assert "64" in fit("direct", "packet-hook").why
    assert "attached" in fit("cgroup-storage", "packet-hook").why
    assert "14" in fit("subsys", "driver").why
    assert fit("table", "driver").why == ""


def test_an_unknown_user_is_refused_in_one_line() -> None:
    """With the closest name."""
    with pytest.raises(UserError, match="did you mean 'packet-hook'"):
        fit("table", "packet-hok")
