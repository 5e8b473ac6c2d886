"""What is argued for, and what it costs, from searches and simulation."""

from __future__ import annotations

import pytest

from cgsim.errors import UserError
from cgsim.interface.catalogue import MISTAKES, SILENT
from cgsim.interface.price import DESIGNS, interface_cost
from cgsim.interface.recommendation import USERS, recommendation
from cgsim.machines import load_machine

pytestmark = pytest.mark.compiled


@pytest.mark.parametrize("user", [USERS[0], USERS[-1]])
def test_the_fewest_unnoticed(user: str) -> None:
    """No candidate of the user has fewer mistakes that nobody notices; the text is a section."""
    found = recommendation(user)
    unnoticed = {name: counts[SILENT] for name, counts in found.verdicts.items()}
    assert unnoticed[found.interface] == min(unnoticed.values()) == len(found.unnoticed)
    assert all(sum(counts.values()) == len(MISTAKES) for counts in found.verdicts.values())
    lines = found.lines()
    assert 5 <= len(lines) <= 8
    assert max(map(len, lines)) <= 72
    assert found.interface in lines[0]


def test_a_driver_can_have_no_bpf() -> None:
    assert set(recommendation("driver").verdicts) == {
        "registered-type",
        "cgroup-priv",
        "cgroup-priv-kref",
    }


def test_unknown_user() -> None:
    with pytest.raises(UserError, match="did you mean 'driver'"):
        recommendation("drivr")


def test_cost() -> None:
    """References are two locked instructions, the index table none; the posted lookup sleeps."""
    names = ("cgroup-priv-as-posted", "cgroup-priv-kref", "registered-type")
    costs = interface_cost("zen5-vm", names, cpus=2, n_cgroups=20, lookups=20)
    by_name = costs.set_index("interface")
    assert list(by_name["locked"]) == [2, 2, 0]
    assert list(by_name["sleeps"]) == [True, False, False]
    assert list(by_name["user"]) == ["driver"] * 3
    assert (by_name[["ns", "cold_ns", "contended_ns", "entry_bytes"]] > 0).all(axis=None)
    with pytest.raises(UserError, match="unknown interface"):
        interface_cost("zen5-vm", ["idr"])
    assert set(DESIGNS) >= set(names)


def test_cold_is_cold() -> None:
    """Other code reads more than L1 holds before each cold lookup: its chain misses, for everyone.

    With 20 cgroups all that a lookup touches stays in L1 when nothing else runs: at least one more
    access of each comes from L2 or farther.
    """
    machine = load_machine("zen5-vm")
    first, second = machine.caches[:2]
    miss = machine.ns(second.load_to_use_cycles - first.load_to_use_cycles)
    costs = interface_cost("zen5-vm", cpus=2, n_cgroups=20, lookups=20)
    assert (costs["cold_ns"] - costs["ns"] > miss).all(), costs
