"""The answer for one's own numbers."""

from __future__ import annotations

import json

import pytest

import cgsim
from cgsim.cli.command_line import run
from cgsim.errors import UserError
from cgsim.report import advice

FEW = ["list", "table", "direct", "direct-inlined", "cgroup-storage", "hash"]
SMALL = {"replicates": 3, "lookups": 100, "designs": FEW}


@pytest.mark.compiled
def test_an_answer_names_what_can_be_used_and_why_not_the_rest() -> None:
    """Fields, order, intervals that hold their figures, and the same answer twice."""
    answer = cgsim.recommend("packet-hook", n_keys=4, borders=False, **SMALL)
    assert {"user", "recommended", "designs", "borders"} <= set(answer)
    rows = {row["design"]: row for row in answer["designs"]}
    assert set(rows) == set(FEW)
    for row in rows.values():
        assert {"design", "usable", "why", "ns", "low", "high", "bytes"} <= set(row)
        if row["usable"]:
            assert row["low"] <= row["ns"] <= row["high"]
            assert row["bytes"] > 0
    assert not rows["hash"]["usable"]
    assert "may sleep" in rows["hash"]["why"]
    assert rows["hash"]["ns"] is None
    costs = [row["ns"] for row in answer["designs"] if row["usable"]]
    assert costs == sorted(costs)
    assert rows[answer["recommended"]]["usable"]
    json.dumps(answer, allow_nan=False)
    assert [each["design"] for each in answer["updates"]] == [
        answer["recommended"],
        answer["runner_up"],
    ]
    assert {"install", "remove", "teardown"} <= {
        each["operation"] for each in answer["updates"][0]["operations"]
    }
    assert answer == cgsim.recommend("packet-hook", n_keys=4, borders=False, **SMALL)


@pytest.mark.compiled
def test_a_border_beyond_which_none_can_be_used_names_none() -> None:
    """All that are compared hold 64 data of a cgroup: at 256 keys there is no answer."""
    answer = cgsim.recommend(
        "packet-hook", n_keys=16, n_cgroups=20, replicates=3, lookups=40, machines=[],
        designs=["direct", "direct-inlined"],
    )  # fmt: skip
    (border,) = (each for each in answer["borders"] if each["what"] == "keys")
    assert (border["at"], border["recommended"]) == (256, None)
    assert "256 keys asked for" in border["why"]
    assert "at 256 keys none (256 keys asked for" in advice.printed(answer)


@pytest.mark.compiled
def test_an_inlined_address_costs_more_than_a_pointer_as_on_the_page_of_packets() -> None:
    """Each cgroup runs a program of its own: the same sign as `cgsim.interface.packet_cost`."""
    from cgsim.interface import packet_cost

    answer = cgsim.recommend(
        "packet-hook", n_keys=1, n_cgroups=1000, borders=False, replicates=3, lookups=400,
        designs=["direct", "direct-inlined", "cgroup-storage"],
    )  # fmt: skip
    here = {row["design"]: row["ns"] for row in answer["designs"]}
    frame = packet_cost(
        "zen4-genoa", ways=("pointer", "inlined", "cgroup-storage"), packets=400,
        footprint_bytes=1 << 18, replicates=3,
    )  # fmt: skip
    page = frame.groupby("way")["ns"].mean()
    assert (here["direct"] < here["direct-inlined"]) == (page["pointer"] < page["inlined"])
    assert (here["direct"] < here["cgroup-storage"]) == (page["pointer"] < page["cgroup-storage"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user": "packet-hok"}, "unknown user 'packet-hok' .did you mean 'packet-hook'"),
        ({"user": "driver", "workload": "network"}, "user = 'driver' is not allowed"),
        ({"user": "packet-hook", "cpus": 100_000}, "cpus = 100000 is not allowed"),
        ({"user": "driver", "machine": "zen5-vm", "cpus": 3}, "1..2, the CPUs of zen5-vm"),
        ({"user": "driver", "n_keys": 0}, "n_keys = 0 is not allowed"),
        ({"user": "bpf-map", "designs": ["table"]}, "recommend: bpf-map with 2 keys: no BPF map"),
        ({"user": "driver", "machine": "zen9"}, "unknown machine 'zen9'"),
    ],
)
def test_bad_input_is_one_line(arguments: dict[str, object], message: str) -> None:
    """Refused before anything is simulated."""
    with pytest.raises(UserError, match=message) as caught:
        cgsim.recommend(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_the_verb_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, nothing on standard output."""
    assert run(["recommend", "--user", "drivr"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "did you mean 'driver'" in told.err
