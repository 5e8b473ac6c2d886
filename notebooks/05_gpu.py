# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What an operator of GPUs would notice
#
# A driver that reads a cgroup's priority at each submission and page flip, and charges memory up
# the hierarchy: ns a submission, its share of the ioctl, and what an unplug costs.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many lookups and replicates
machine: str = "zen4-genoa"  # a name of `cgsim machines`
seed: int = 1  # of the first replicate; the others take the following ones
replicates: int = 0  # 0: as the preset says
lookups: int = 0  # measured per point and replicate; 0: as the preset says
unplugs_per_s: float = 20.0  # of a device, in the part on unplugging
designs: list = ["dmem", "list", "hash-rcu", "idr", "table", "subsys"]  # which designs

# %%
from cgsim.machines import list_machines
from cgsim.report.manifest import usable_cores
from cgsim.report.parameters import Choice, Integer, ListOf, Number, check
from cgsim.studies.sweeps import design_names
from cgsim.workloads import GpuWorkload, list_workloads, load_workload

spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "seed": Integer(0, 2**32 - 1),
    "replicates": Integer(0, 100),
    "lookups": Integer(0, 1_000_000),
    "unplugs_per_s": Number(0.1, 1000.0),
    "designs": ListOf(Choice(*design_names()), shortest=1),
}
check(globals(), spec)

options = {
    "lookups": lookups or {"quick": 400, "full": 4000}[preset],
    "replicates": replicates or {"quick": 3, "full": 8}[preset],
    "seed": seed,
    "threads": usable_cores(),
}
names = [name for name in list_workloads() if isinstance(load_workload(name), GpuWorkload)]

# %% [markdown]
# ## A submission
#
# Between two ioctls of a client lie milliseconds in which driver and user code use the caches: the
# lookup is cold. Means over replicates, with 95 % intervals. *ns* includes the way from the task to
# its cgroup, which all designs share, *lookup* does not.

# %%
import pandas as pd

from cgsim.experiments.in_workload import simulate
from cgsim.experiments.summary import summarise
from cgsim.report.sentences import answer, plain
from cgsim.report.tables import html_table

way = simulate(designs[0], machine, "gpu", n_keys=2, without_lookup=True, **options)
played = [simulate(name, machine, "gpu", n_keys=2, **options) for name in designs]
points = summarise(
    pd.concat([rows.assign(place_ns=way["ns"].to_numpy()) for rows in played], ignore_index=True)
)
html_table(
    ("design", "ns", "from", "to", "lookup", "p99 ns", "accesses"),
    [
        (
            row.design, plain(row.ns), plain(row.ns_low), plain(row.ns_high),
            plain(row.ns - row.place_ns), plain(row.p99_ns), plain(row.accesses),
        )
        for row in points.itertuples()
    ],
)  # fmt: skip

# %%
from cgsim.report.sentences import leaders_sentence, share_sentence

model = load_workload("gpu")
ioctl_ns = model.driver_instructions / model.instructions_per_ns
answer(
    f"An ioctl's own {plain(model.driver_instructions, 2)} instructions take "
    f"{plain(ioctl_ns / 1e3, 2)} us. {share_sentence(points, ioctl_ns)}",
    leaders_sentence(points, "In a submission"),
)

# %% [markdown]
# ## Where the cycles go

# %%
from cgsim.report.captions import caption
from cgsim.report.figure import show
from cgsim.report.plot import cpi_stacks, stacks_alt

show(
    cpi_stacks(points, {"gpu": "GPU workload"}),
    stacks_alt(points, {"gpu": "GPU workload"}),
    caption(points),
)

# %% [markdown]
# ## Named situations
#
# A laptop has one or two devices, a training host eight, shared by 64 containers.

# %%
rows = []
for name in names:
    known = load_workload(name)
    for design in designs[:2]:
        frame = simulate(design, machine, name, **options).mean(numeric_only=True)
        cpu = 100 * frame["ns"] * frame["rate_per_s"] / 1e9
        rows.append(
            (
                known.title, design, plain(frame["event_ns"]), plain(frame["rate_per_s"]),
                f"{cpu:.4f} %",
            )
        )  # fmt: skip
html_table(("situation", "design", "ns an ioctl", "lookups/s", "of a CPU"), rows)

# %% [markdown]
# ## A device goes while clients run
#
# Its datum is removed from every cgroup, and installed again when it comes back. The slowest
# operations are these; their locks are in the times.

# %%
more = options | {"lookups": max(options["lookups"], 3000)}  # a sweep is 300 of them
unplugged = []
for design in designs:
    frame = simulate(design, machine, "gpu-server", unplugs_per_s=unplugs_per_s, **more)
    busy = frame.mean(numeric_only=True)
    swept = load_workload("gpu-server").n_cgroups * busy["change_ns"] / 1e3
    unplugged.append(
        (design, plain(busy["ns"]), plain(busy["change_ns"]), plain(busy["change_p99_ns"]),
         plain(swept))
    )  # fmt: skip
html_table(("design", "lookup ns", "install or remove ns", "p99 ns", "all cgroups, us"), unplugged)

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

manifest_table(
    run_facts({name: globals()[name] for name in spec}, replicates=options["replicates"], seed=seed)
)
