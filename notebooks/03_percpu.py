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
# # Counters on many CPUs
#
# A cgroup's datum is often a counter that every CPU bumps. One word or one per CPU: what an update
# and a byte cost. Contention is not a formula here: CPUs take turns in simulated time, and
# lines move between their caches.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many points and replicates
machine: str = "xeon-8176-8s"  # a name of `cgsim machines`
seed: int = 1  # of the first replicate; the others take the following ones
replicates: int = 0  # 0: as the preset says
cpus: list = []  # numbers of CPUs to sweep; none: as the preset says
cgroups: list = [10, 100, 1000, 10000]  # numbers of cgroups for the memory

# %%
from cgsim.machines import list_machines, load_machine
from cgsim.report.manifest import usable_cores
from cgsim.report.parameters import Choice, Integer, ListOf, check

spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "seed": Integer(0, 2**32 - 1),
    "replicates": Integer(0, 100),
    "cpus": ListOf(Integer(1, 4096), shortest=0),
    "cgroups": ListOf(Integer(1, 1_000_000), shortest=2),
}
check(globals(), spec)

model = load_machine(machine)
steps = {"quick": (1, 2, 28, 112, 448), "full": (1, 2, 4, 8, 16, 28, 56, 112, 224, 336, 448)}
counts = sorted({n for n in (cpus or steps[preset]) if n <= model.n_cpus} | {1})
options = {
    "seed": seed,
    "replicates": replicates or {"quick": 1, "full": 5}[preset],
    "threads": usable_cores(),
}
layouts = ("shared-atomic", "packed", "per-cluster", "padded", "percpu", "rstat")

# %% [markdown]
# ## An update
#
# All CPUs update one counter in a tight loop: the worst case for whatever they share. How far such
# figures are from published measurements, row by row: `cgsim validate published --benchmark
# perfbook_count`. Reads by summing and locks are not shown: there the model is not good enough yet.

# %%
from cgsim.contention import sweep_updates
from cgsim.report.figure import show
from cgsim.report.plot_percpu import alt, by_cpus, winner_sentence

updates = sweep_updates(layouts, machine, counts, **options)
show(by_cpus(updates, "ns per update"), alt(updates, "Cost of an update against CPUs"))

# %%
from cgsim.report.words import answer

answer(winner_sentence(updates))

# %% [markdown]
# ## Which lines, which sets
#
# Eight packed words share a line: that is false sharing, and the line moves at every update. A line
# each ends it. The kernel's units are a power of two apart, so all copies want the same set.

# %%
from cgsim.contention import Stand
from cgsim.percpu import get_layout
from cgsim.report.plot_percpu import lines_and_sets, used_sets

shown = min(64, model.n_cpus)
sets = model.caches[0].sets
rows = []
for name in ("packed", "padded", "percpu"):
    layout = Stand(get_layout(name), model, shown, seed=seed).layout
    rows.append((name, layout.base, layout.stride))
facts = [f"{name}: {used_sets(base, stride, shown, sets)} of {sets}" for name, base, stride in rows]
show(
    lines_and_sets(rows, shown, sets),
    f"CPUs per line and L1 set by CPU, for {shown} CPUs. L1 sets used: {', '.join(facts)}.",
)

# %%
answer(f"The copies of {shown} CPUs use so many L1 sets: {', '.join(facts)}.")

# %% [markdown]
# ## Memory
#
# The kernel reserves for every possible CPU, online or not.

# %%
from cgsim.contention import memory_table
from cgsim.report.plot_percpu import memory

table = memory_table(layouts, machine, counts)
most = table[table["possible"] == max(counts)].set_index("layout")["bytes"]
show(
    memory(table, cgroups),
    "Bytes of one counter: " + ", ".join(f"{name} {size}" for name, size in most.items()) + ".",
)

# %%
answer(
    f"With {max(counts)} possible CPUs a percpu counter takes {most['percpu']} bytes, a shared "
    f"word {most['shared-atomic']}; {max(cgroups)} cgroups need "
    f"{most['percpu'] * max(cgroups) / 2**20:.3g} MiB for one counter each."
)

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

manifest_table(
    run_facts({name: globals()[name] for name in spec}, replicates=options["replicates"], seed=seed)
)
