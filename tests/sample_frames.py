"""Summary frames of made-up costs: figures, words and mail are tested without the engine."""

from __future__ import annotations

import pandas as pd

NS = {
    "list": 30.0,
    "hash": 22.0,
    "hash-rcu": 6.0,
    "table": 7.6,
    "subsys": 4.6,
    "direct": 4.55,
    "direct-inlined": 0.02,
}
BYTES = {
    "list": (0.0, 64.0),
    "hash": (0.0, 64.0),
    "hash-rcu": (0.0, 64.0),
    "table": (128.0, 16.0),
    "subsys": (0.0, 16.0),
    "direct": (0.0, 128.0),
    "direct-inlined": (0.0, 128.0),
}
CAUSES = ("work", "L1", "L2", "L3", "L4", "memory", "TLB", "coherence", "branch", "lock")


def row(design: str, ns: float, **point: object) -> dict[str, object]:
    """One row of a summary, with an interval of 2 % to each side."""
    values = {
        "design": design,
        "machine": "zen5-vm",
        "workload": "lookups alone",
        "user": "packet-hook",
        "n_cgroups": 1000,
        "n_keys": 8,
        "mode": "isolated",
        "footprint_bytes": 0,
        "between_bytes": 0,
        "ns": ns,
        "seeds": (1, 2, 3),
        "seed_ns": tuple(ns * (1 + 0.008 * step) for step in (-1, 0, 1)),
        "cycles": 4 * ns,
        "p99_ns": 2 * ns,
        "ns_low": 0.98 * ns,
        "ns_high": 1.02 * ns,
        "field_bytes": 160 if design.startswith("hash") else 0,
        "cgroup_bytes": BYTES[design][0],
        "entry_bytes": BYTES[design][1],
        **{f"{cause}_cycles": 0.0 for cause in CAUSES},
    }
    values |= {"work_cycles": ns, "L2_cycles": 3 * ns}
    return values | point


def at_point(factor: float = 1.0, **point: object) -> pd.DataFrame:
    """All designs at one point."""
    return pd.DataFrame([row(name, factor * ns, **point) for name, ns in NS.items()])


def over_keys() -> pd.DataFrame:
    """Dependent and throughput costs for 1, 8 and 64 keys; subsys ends at 8, as it must."""
    rows = []
    for mode, share in (("dependent", 1.0), ("throughput", 0.25)):
        for n_keys in (1, 8, 64):
            for name, ns in NS.items():
                if (name == "subsys" and n_keys > 14) or (
                    name == "direct-inlined" and mode == "dependent"
                ):
                    continue
                grows = n_keys / 8 if name in ("list", "hash-rcu") else 1.0
                rows.append(row(name, share * grows * ns, mode=mode, n_keys=n_keys))
    return pd.DataFrame(rows)


def workloads(factor: float = 1.0, **point: object) -> pd.DataFrame:
    """Both workloads: the GPU's lookups cost thrice the network's."""
    frames = [
        at_point(factor * times, mode="workload", workload=name, **point)
        for name, times in (("network", 2.0), ("gpu", 6.0))
    ]
    return pd.concat(frames, ignore_index=True)
