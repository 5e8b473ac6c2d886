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
from cgsim.experiments.counters import check_cpus
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
check_cpus(model, cpus)
steps = {"quick": (1, 2, 28, 112, 448), "full": (1, 2, 4, 8, 16, 28, 56, 112, 224, 336, 448)}
counts = sorted({*(cpus or [n for n in steps[preset] if n <= model.n_cpus]), 1})
options = {
    "seed": seed,
    "replicates": replicates or {"quick": 1, "full": 5}[preset],
    "threads": usable_cores(),
}
layouts = ("shared-atomic", "packed", "per-node", "padded", "percpu", "percpu-counter", "rstat")
most = max(counts)

# %% [markdown]
# ## An update
#
# All CPUs update one counter in a tight loop: the worst case for whatever they share, and each of a
# CPU's updates waits for the one before, since both are to the same word. How far such
# figures are from published measurements, row by row: `cgsim validate published --benchmark
# perfbook_count`.

# %%
from cgsim.report.captions import caption
from cgsim.report.figure import show
from cgsim.report.plot_percpu import alt, by_cpus, winner_sentence
from cgsim.studies.sweeps import sweep_updates

updates = sweep_updates(layouts, machine, counts, **options)
show(
    by_cpus(updates, "ns per update"),
    alt(updates, "Cost of an update against CPUs"),
    caption(updates, keys=1, cgroups=1),
)

# %%
from cgsim.report.sentences import answer, plain, with_half

answer(winner_sentence(updates))

# %% [markdown]
# ## Reading, clearing, creating, taking away
#
# One CPU does it, after all others have updated their copies: a sum fetches every line from the
# core that wrote it last. A percpu allocation zeroes the copy of every possible CPU.

# %%
from cgsim.report.plot_percpu import read_sentence
from cgsim.studies.sweeps import sweep_lifetimes

lives = sweep_lifetimes(layouts, machine, counts[::2] if preset == "quick" else counts, **options)
show(
    by_cpus(lives, "ns per read", "copies", "read_ns"),
    alt(lives, "Cost of a read of the sum against copies", "read_ns"),
    caption(lives, keys=1, cgroups=1),
)

# %%
answer(read_sentence(lives, "read_ns", "a read of the sum"))

# %%
from cgsim.report.tables import html_table

last = lives[lives["cpus"] == most].groupby("layout", sort=False).mean(numeric_only=True)
html_table(
    ("layout", "create ns", "read ns", "reset ns", "teardown ns", "error of a plain read"),
    [
        (
            str(name), *(plain(row[c]) for c in ("create_ns", "read_ns", "reset_ns")),
            plain(row['teardown_ns']), plain(row['error_bound']),
        )
        for name, row in last.iterrows()
    ],
)  # fmt: skip

# %% [markdown]
# ## Where each layout wins
#
# The same loop, but some operations read the sum. Cost per operation, reads included; layouts
# within 10 % of the cheapest are named with it. What reads see is exact but for `percpu-counter`,
# where a program that is content with its error bound reads one word.

# %%
from cgsim.report.plot_percpu import winners
from cgsim.studies.kept import update_cost

mixed = []
for reads in {"quick": (0, 16, 64), "full": (0, 1, 4, 16, 64, 256)}[preset]:
    for n in sorted({counts[len(counts) // 2], most}):
        for name in layouts:
            frame = update_cost(name, machine, n, reads=reads, **options)
            ns = frame["ns"].mean() * (1024 - reads) / 1024
            mixed.append({"layout": name, "cpus": n, "reads": reads, "ns": ns})

# %%
import pandas as pd

mixed = pd.DataFrame(mixed)
html_table(
    ("reads", *(f"{n} CPUs" for n in dict.fromkeys(mixed["cpus"]))), winners(mixed), texts=True
)

# %%
from cgsim.report.plot_percpu import winners_sentence

answer(winners_sentence(mixed))

# %% [markdown]
# ## Many cgroups, some of them popular
#
# Each update picks one of 64 cgroups, then its counter; the more skewed their popularity, the more
# often CPUs meet at one line. A CPU's updates of different counters overlap, so they are cheaper
# here than those of one counter above. And what a program really pays: the lookup first (below, at
# exponent 1).

# %%
from cgsim.report.plot_percpu import skew

crowd = min(28, model.n_cpus)
repeated = options | {"replicates": max(options["replicates"], 3)}
skewed = pd.concat(
    [
        update_cost(name, machine, crowd, cgroups=64, zipf=zipf, **repeated).assign(zipf=zipf)
        for name in ("shared-atomic", "per-node", "percpu")
        for zipf in (0.0, 0.5, 1.0, 1.5)
    ]
)
edges = skewed[skewed["layout"] == "shared-atomic"].groupby("zipf")["ns"].mean()
show(
    skew(skewed),
    f"Cost of an update on {crowd} CPUs against skew: shared-atomic {plain(edges.iloc[0])} ns "
    f"where all cgroups are alike, {plain(edges.iloc[-1])} ns at exponent 1.5.",
    caption(skewed, keys=1, cgroups=64) + ", Zipf exponents 0 to 1.5",
)

# %%
from cgsim.report.plot_percpu import skew_sentence

answer(skew_sentence(skewed, updates))

# %%
found = []
for design in (None, "list", "idr", "table"):
    row = [design or "address known"]
    for name in ("shared-atomic", "percpu"):
        frame = update_cost(name, machine, crowd, cgroups=64, zipf=1.0, design=design, **repeated)
        row.append(with_half(frame["ns"]))
    found.append(tuple(row))
html_table(("lookup, then update", "shared-atomic ns", "percpu ns"), found)

# %% [markdown]
# ## Interrupts and moves
#
# An interrupt that counts in the middle of an update, a task that moves to another CPU in it:
# on x86 `this_cpu_add` is one instruction and loses nothing; a load and a store do. (Other
# architectures turn interrupts off around it, or use an atomic one; they are not simulated.) Eight
# CPUs, an interrupt in a fifth of all turns within an update, 2 % of turns after a move.

# %%
from cgsim.report.plot_percpu import lost_rows

disturbed = pd.concat(
    [
        update_cost(
            name, machine, min(8, model.n_cpus), updates=4000, interrupts=200, moves=20, seed=seed
        )
        for name in ("percpu-plain", "percpu", "u64-stats", "thread-local", "shared-atomic")
    ]
)
html_table(("layout", "moves", "interrupts", "lost"), lost_rows(disturbed))

# %%
bad = disturbed[disturbed["lost"] > 0]["layout"].tolist()
answer(f"Of {len(disturbed)} layouts, these lose updates: {', '.join(bad) or 'none'}.")

# %% [markdown]
# ## Which lines, which sets
#
# Eight packed words share a line: that is false sharing, and the line moves at every update. A line
# each ends it. The kernel's units are a power of two apart, so all copies want the same set.

# %%
from cgsim.experiments.counter_stand import Stand
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
    caption(machine=machine, keys=1, cgroups=1, cpus=shown, seeds=seed),
)

# %%
answer(f"The copies of {shown} CPUs use so many L1 sets: {', '.join(facts)}.")

# %% [markdown]
# ## Memory
#
# The kernel reserves for every possible CPU, online or not, and populates whole pages: the first
# percpu counter takes a page of each CPU, which the next ones share.

# %%
from cgsim.experiments.counters import memory_table
from cgsim.report.plot_percpu import memory

table = memory_table(layouts, machine, counts, sorted({1, *cgroups}))
single = table[(table["possible"] == most) & (table["cgroups"] == 1)].set_index("layout")["bytes"]
show(
    memory(table),
    "Bytes of one counter: " + ", ".join(f"{name} {size}" for name, size in single.items()) + ".",
    caption(machine=machine, keys=1, cgroups=[1, *cgroups], cpus=counts) + ", no seed",
)

# %%
all_of = table[(table["possible"] == most) & (table["cgroups"] == max(cgroups))]
total = all_of.set_index("layout")["total_bytes"] / 2**20
answer(
    f"With {most} possible CPUs a percpu counter takes {single['percpu']} bytes, a shared word "
    f"{single['shared-atomic']}; {max(cgroups)} cgroups need {plain(total['percpu'])} MiB for one "
    f"counter each, {plain(total['padded'])} MiB with a line per CPU, "
    f"{plain(total['shared-atomic'])} MiB with a shared word."
)

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

parameters = {name: globals()[name] for name in spec}
manifest_table(run_facts(parameters, replicates=options["replicates"], seed=seed, cpus=counts))
