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
# # What an operator of a network host would notice
#
# Packets that run a hook's programs: their share of the packet's budget, contention between queues,
# and why a warm micro-benchmark says something else.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many lookups and replicates
machine: str = "zen4-genoa"  # a name of `cgsim machines`; it has the CPUs for many queues
workload: str = "network"  # a network workload, a name of `cgsim workloads`
seed: int = 1  # of the first replicate; the others take the following ones
replicates: int = 0  # 0: as the preset says
lookups: int = 0  # measured per point and replicate; 0: as the preset says
n_keys: int = 8  # programs of the hook: every packet runs all of them, in order
cpus: list = []  # numbers of CPUs to sweep, each with a queue; none: as the preset says
designs: list = ["list", "idr", "table", "storage", "cgroup-storage", "direct"]  # which designs

# %%
from cgsim.machines import list_machines, load_machine
from cgsim.report.manifest import usable_cores
from cgsim.report.parameters import Choice, Integer, ListOf, check
from cgsim.studies.sweeps import design_names
from cgsim.workloads import NetworkWorkload, list_workloads, load_workload

networks = [name for name in list_workloads() if isinstance(load_workload(name), NetworkWorkload)]
spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "workload": Choice(*networks),
    "seed": Integer(0, 2**32 - 1),
    "replicates": Integer(0, 100),
    "lookups": Integer(0, 1_000_000),
    "n_keys": Integer(1, 64),
    "cpus": ListOf(Integer(1, 64), shortest=0),
    "designs": ListOf(Choice(*design_names()), shortest=1),
}
check(globals(), spec)

options = {
    "lookups": lookups or {"quick": 2000, "full": 20_000}[preset],
    "replicates": replicates or {"quick": 1, "full": 5}[preset],
    "seed": seed,
    "threads": usable_cores(),
}
steps = {"quick": [1, 4, 16], "full": [1, 2, 4, 8, 16, 32, 64]}[preset]
queues = sorted(cpus or [n for n in steps if n <= load_machine(machine).n_cpus])
sizes = {"n_keys": n_keys, "rx_queues": 64, "n_sockets": 8000}

# %% [markdown]
# ## The budget of a packet
#
# At line rate a packet has as long as its bits take on the wire. How much of that the hook's
# programs take to find and use their data, with everything in between: reaching the socket's
# cgroup, the dispatcher, the lookups. What each value of the workload rests on: `cgsim workloads`.

# %%
import pandas as pd

from cgsim.experiments.packets import packet_budget
from cgsim.report.captions import caption
from cgsim.report.figure import show
from cgsim.report.plot_packets import budget, budget_alt

budgets = pd.concat(
    [packet_budget(name, machine, workload, n_keys=n_keys, **options) for name in designs],
    ignore_index=True,
)
sizes_of = {"keys": n_keys, "cgroups": load_workload(workload).n_cgroups, "cpus": 1}
show(budget(budgets), budget_alt(budgets), caption(budgets, **sizes_of))

# %%
from cgsim.report.sentences import answer, plain
from cgsim.report.tables import html_table

means = budgets.groupby("design", sort=False).mean(numeric_only=True)
small = budgets[(budgets["gbit_s"] == 10) & (budgets["frame_bytes"] == 64)]
shares = small.groupby("design", sort=False)["share"].mean()
html_table(
    ("design", "hook ns", "packet ns", "packets/s and CPU", "p99.9 us", "sustained/s"),
    [
        (
            name, plain(row["hook_ns"]), plain(row["service_ns"]), plain(row["packets_per_s"]),
            plain(row["p999_us"]), plain(row["sustained_per_s"]),
        )
        for name, row in means.iterrows()
    ],
)  # fmt: skip

# %%
hook = 100 * means["hook_ns"] / means["service_ns"]
cheap, dear = shares.idxmin(), shares.idxmax()
wire, whole = small["budget_ns"].iloc[0], means["service_ns"].min()
answer(
    f"With {n_keys} programs a packet, {cheap} takes {plain(100 * shares[cheap])} % of the "
    f"{plain(wire)} ns that a 64-byte frame has at 10 Gbit/s (its bits, preamble and gap on the "
    f"wire), and {dear} {plain(100 * shares[dear])} %. One CPU cannot keep that pace anyway: a "
    f"packet's whole work takes {plain(whole)} ns at least.",
    f"Of that work the hook is {plain(hook.min())} to {plain(hook.max())} %: in packets per second "
    "and at p99.9 an operator sees that much, no more.",
)

# %% [markdown]
# ## Queues that share cgroups
#
# Each CPU serves a queue; the cgroups have sockets on all of them, and a program counts atomically.
# What the CPUs share then moves between their caches.

# %%
from cgsim.experiments.in_workload import simulate
from cgsim.report.plot_packets import by_cpus

crowd = pd.concat(
    [
        simulate(
            name, machine, workload, cpus=n, program_uses=["count-atomic"], **sizes,
            **(options | {"lookups": options["lookups"] * max(n // 4, 1)}),
        )
        for name in designs
        for n in queues
    ],
    ignore_index=True,
)  # fmt: skip
last = crowd[crowd["cpus"] == max(queues)].groupby("design", sort=False)["event_ns"].mean()
show(
    by_cpus(crowd),
    f"ns per packet against CPUs; on {max(queues)}: "
    + ", ".join(f"{name} {plain(value)}" for name, value in last.items())
    + ".",
    caption(crowd),
)

# %%
from cgsim.report.plot_packets import crowd_sentence

answer(crowd_sentence(crowd))

# %% [markdown]
# ## The micro-benchmark and the packet
#
# The same lookup warm, back to back, and within packets, where other code has used the caches in
# between: where the cycles went, per lookup, with 95 % intervals over seeds. Of what it costs in
# packets the lookup is what is left without the dispatcher and the update, seed by seed; *adds
# most*: the cause whose cycles grow most from warm to packets.

# %%
from cgsim.experiments.lookups import lookup_cost
from cgsim.report.plot_packets import micro_row, micro_sentence

repeated = options | {"replicates": max(options["replicates"], 3)}
rows = []
for name in designs:
    bench = {"modes": ["throughput"], "n_keys": n_keys, "n_cgroups": 30}
    warm = lookup_cost(name, machine, **bench, **repeated)
    there = simulate(name, machine, workload, n_keys=n_keys, **repeated)
    least = simulate(name, machine, workload, n_keys=n_keys, without_lookup=True, **repeated)
    rows.append(micro_row(name, warm, there, least))
html_table(
    ("design", "warm ns", "in packets ns", "of it lookup", "warm cycles", "cycles", "adds most"),
    [row.cells for row in rows],
)

# %%
answer(micro_sentence(rows))

# %% [markdown]
# ## Named situations

# %%
situations = []
for preset_name in networks:
    known = load_workload(preset_name)
    for name in ("list", "direct"):
        frame = simulate(name, machine, preset_name, **options).mean(numeric_only=True)
        situations.append((known.title, name, plain(frame["event_ns"]), plain(frame["p99_ns"])))
html_table(("situation", "design", "ns a packet", "p99 ns a lookup"), situations)

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

manifest_table(
    run_facts({name: globals()[name] for name in spec}, replicates=options["replicates"], seed=seed)
)
