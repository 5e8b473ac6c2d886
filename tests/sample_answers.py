"""Made-up costs of all four users: answers, mail and index are tested without the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from cgsim.experiments.model_error import Family
from cgsim.experiments.places_of_use import USERS, able
from cgsim.experiments.recommend import Costs, Point, Study, answer_of, choose
from cgsim.report import mail

FAMILY = Family("isolated, L2", "alone, after 256 KiB were read in sequence", 17,
                0.1, 0.3, -0.1, 0.4, 136, 0.25, 1.8, 126, 0.95)  # fmt: skip
SCATTER = np.array([-0.3, 0.1, 0.3, -0.1])
ADDED = {
    "list": 9.0, "dmem": 40.0, "hash": 14.0, "hash-rcu": 4.0, "idr": 11.0, "xarray": 11.5,
    "radix": 11.0, "table": 6.0, "direct": 1.0, "direct-inlined": 5.5, "cgroup-storage": 12.0,
    "storage": 7.0, "subsys": 3.0, "blkg": 16.0, "v4": 25.0, "htab": 22.0, "percpu-htab": 24.0,
    "lru-htab": 23.0, "array": 2.0, "percpu-array": 3.5, "rhashtable": 21.0,
}  # fmt: skip


def study(user: str, factor: float = 1.0, **turned: float) -> Study:
    """A user's study with costs of `ADDED`; `turned` replaces some, dashes as underscores."""
    names, left = able(user, 2)
    costs = ADDED | {name.replace("_", "-"): ns for name, ns in turned.items()}
    rows = {
        name: pd.Series(
            {"rate_per_s": 90_000.0, "cgroup_bytes": 128.0 * (name in ("table", "idr")),
             "field_bytes": 160.0 * (name == "hash-rcu"),
             "entry_bytes": 64.0 if "hash" in name else 16.0}
        )
        for name in names
    }  # fmt: skip
    machine: Any = SimpleNamespace(name="zen4-genoa")
    point = Point(user, USERS[user].workload, machine, 2, 100, "7.3.4", 1, 600)
    added = {
        name: factor * costs[name] + SCATTER * (1 + index % 3) / 3
        for index, name in enumerate(names)
    }
    found = Costs(point, added, 16.0 + SCATTER, rows, FAMILY)
    return Study(found, left, 16, choose(found))


def results(**turned: float) -> mail.Results:
    """Results of all users, contention and updates."""
    studies = {user: study(user, **turned) for user in USERS}
    border = {
        "what": "keys", "at": 64, "recommended": "table",
        "why": "table before hash-rcu by 4.4 +- 2.1 ns", "by_ns": 4.4, "error_ns": 2.1,
    }  # fmt: skip
    found = {"borders": [border], "machines": []}
    answers = {user: answer_of(each, found if user == "packet-hook" else None)
               for user, each in studies.items()}  # fmt: skip
    contention = pd.DataFrame(
        [
            {"design": name, "cpus": cpus, "ns": ns * (cpus if name in ("v4", "dmem") else 1.0)}
            for name, ns in (("table", 5.0), ("hash-rcu", 4.0), ("v4", 20.0), ("dmem", 18.0))
            for cpus in (1, 8, 64)
        ]
    )
    updates = pd.DataFrame(
        [
            {"design": name, "n_keys": 4, "n_cgroups": 200, "operation": operation,
             "locked": 2.0 + (operation == "drop key") * 200, "allocated_bytes": 64.0,
             "waiting_bytes": 128.0, "ns": 40.0, "operations": 16}
            for name in mail.UPDATED
            for operation in ("create", *mail.OPERATIONS)
        ]
    )  # fmt: skip
    return mail.Results(studies, answers, contention, updates)
