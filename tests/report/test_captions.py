"""Captions: read off frames, so that they cannot speak of another run."""

from __future__ import annotations

import pandas as pd
import sample_frames as sample

from cgsim.report import headline
from cgsim.report.captions import caption


def test_of_a_summary() -> None:
    """Machine, user, the span of sizes, and the replicates' own seeds."""
    frame = sample.over_keys()
    assert caption(frame) == "zen5-vm, packet-hook, 1 to 64 keys, 1000 cgroups, seeds 1 to 3"


def test_of_replicates_and_what_no_frame_says() -> None:
    """One of a thing has no plural; several machines are all named; frames add up."""
    one = pd.DataFrame({"machine": ["a"], "cpus": [1], "seed": [7]})
    other = pd.DataFrame({"machine": ["b", "b"], "cpus": [28, 112], "seed": [7, 7]})
    assert caption(one, keys=1) == "a, 1 key, 1 CPU, seed 7"
    assert caption(one, other, kernel="7.3.4") == "a and b, kernel 7.3.4, 1 to 112 CPUs, seed 7"
    assert caption(one, cpus=[2]) == "a, 2 CPUs, seed 7"


def test_of_the_headline() -> None:
    """A user's place each."""
    answer = {"machine": "m", "workload": "gpu", "n_keys": 1, "n_cgroups": 5, "seeds": 4}
    said = headline.headline_caption({"driver": answer})
    assert said == "driver: m, gpu, 1 key in each of 5 cgroups, 4 seeds"
