"""Any workload as a file of events, in the form of recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cgsim.workloads import Feeds, load_workload
from cgsim.workloads.acts import OPERATION_SHIFT, PASS, REACH_MASK, REACHES_AN_EVENT
from cgsim.workloads.base import check_request
from cgsim.workloads.recorded import EVENT_COLUMNS, event_names

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def workload_events(
    workload: str | Path, n_lookups: int, seed: int = 1, **parameters: Any
) -> pd.DataFrame:
    """The first rows of a workload as events, in order of time.

    Parameters
    ----------
    workload : name, or a file
    n_lookups : rows over all CPUs
    seed : of the workload's draws
    parameters : values that replace the workload's own

    Returns
    -------
    DataFrame with columns time_ns, cpu, cgroup, key, event (`cgsim.workloads.recorded`). The rows
    of an event have its time. What looks nothing up is left out.

    Raises UserError for a bad argument.
    """
    loaded = load_workload(workload, **parameters)
    n_lookups, seed = check_request(n_lookups, seed)
    stream = Feeds(loaded, seed).take(n_lookups)
    act = stream.column("act")
    begins = act & REACH_MASK >= REACHES_AN_EVENT
    busy = stream.column("instructions") / loaded.instructions_per_ns
    gaps = np.rint(busy + stream.column("idle_ns")).astype(np.int64)
    # what a program executes is before the next event
    carried = np.where(begins, gaps, 0)
    time_ns = np.empty(len(stream), np.int64)
    cpu = np.empty(len(stream), np.int64)
    for number, (first, last) in enumerate(zip(stream.starts[:-1], stream.starts[1:], strict=True)):
        time_ns[first:last] = np.cumsum(carried[first:last])
        cpu[first:last] = number
    order = np.argsort(time_ns, kind="stable")
    order = order[act[order] >> OPERATION_SHIFT != PASS]
    columns = (
        time_ns, cpu, stream.column("cgroup"), stream.column("key"),
    )  # fmt: skip
    found = [*(column[order] for column in columns), event_names(act[order])]
    return pd.DataFrame(dict(zip(EVENT_COLUMNS, found, strict=True)))
