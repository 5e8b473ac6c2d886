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
# # What a lookup costs
#
# From the cgroup to the datum, design by design: against the number of keys, of cgroups, and of
# what other code does to the caches; in a network and a GPU workload; with the memory beside it.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many points, lookups and replicates
machine: str = "zen5-vm"  # a name of `cgsim machines`
second_machine: str = ""  # another one, to see what hangs on it; none: one of two servers
kernel: str = "7.3.4"  # whose struct offsets and code: 7.3.4 or 6.12.117
seed: int = 1  # of the first replicate; the others take the following ones
replicates: int = 0  # 0: as the preset says
lookups: int = 0  # measured per point and replicate; 0: as the preset says
user: str = "packet-hook"  # who looks up: packet-hook, driver, counter or bpf-map
n_keys: int = 0  # keys of each cgroup; 0: 8 where they do not vary, in workloads their own
n_cgroups: int = 0  # cgroups; 0: 1000 where they do not vary, in workloads their own
keys: list = []  # numbers of keys to sweep; none: as the preset says
cgroups: list = []  # numbers of cgroups to sweep; none: as the preset says
footprints_kib: list = []  # memory walked through (KiB) to sweep; none: as the preset says
designs: list = []  # which designs; none: those of the thread

# %%
from cgsim.experiments.places_of_use import USERS
from cgsim.kernel import kernel_versions
from cgsim.machines import list_machines
from cgsim.report.manifest import usable_cores
from cgsim.report.parameters import Choice, Integer, ListOf, ParameterError, check
from cgsim.studies.sweeps import DESIGNS, N_CGROUPS, N_KEYS, SIZES, design_names, setting_of

spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "second_machine": Choice("", *list_machines()),
    "kernel": Choice(*kernel_versions()),
    "seed": Integer(0, 2**32 - 1),
    "replicates": Integer(0, 100),
    "lookups": Integer(0, 1_000_000),
    "user": Choice(*USERS),
    "n_keys": Integer(0, 16_000),
    "n_cgroups": Integer(0, 100_000),
    "keys": ListOf(Integer(1, 16_000), shortest=0),
    "cgroups": ListOf(Integer(1, 200_000), shortest=0),
    "footprints_kib": ListOf(Integer(0, 1 << 18), shortest=0),
    "designs": ListOf(Choice(*design_names()), shortest=0),
}
check(globals(), spec)
second_machine = second_machine or next(n for n in ("skylake-sp", "zen4-genoa") if n != machine)
if second_machine == machine:
    raise ParameterError(f"parameter second_machine = {machine!r} is the first machine too")

size = SIZES[preset]
given = {name: value for name in ("replicates", "lookups") if (value := globals()[name])}
setting = setting_of(
    preset,
    machine,
    kernel=kernel,
    seed=seed,
    designs=tuple(designs) or DESIGNS,
    threads=usable_cores(),
    user=user,
    **given,
)
own_sizes = {name: value for name in ("n_keys", "n_cgroups") if (value := globals()[name])}
n_keys, n_cgroups = n_keys or N_KEYS, n_cgroups or N_CGROUPS
if not setting.able(n_keys):
    raise ParameterError(f"parameter n_keys = {n_keys}: none of the designs can hold so many")

# %% [markdown]
# ## Against the number of keys
#
# Each lookup is made by the caller of one place of use (`user`), which all designs pay for: a
# packet hook's is the dispatcher that comes from the packet to the cgroup and calls the program, a
# driver's fetches a cgroup and a key. A design that cannot be used there is not shown.
#
# A cgroup has a datum for every key. Left: each lookup waits for the one before. Right: they
# overlap. Lines end where a design can hold no more keys; bands are 95 % intervals over seeds.

# %%
from cgsim.report.captions import caption
from cgsim.report.figure import show
from cgsim.report.plot import cost_curves, curves_alt
from cgsim.studies.sweeps import over_cgroups, over_footprint, over_keys

by_keys = over_keys(setting, sorted({*(keys or size.keys), n_keys}), n_cgroups)
titles = {"dependent": "dependent: one after the other", "throughput": "throughput: overlapping"}
show(
    cost_curves(by_keys, "n_keys", titles),
    curves_alt(by_keys, "n_keys", titles),
    caption(by_keys),
)

# %%
from cgsim.report.sentences import answer, flips, growth_sentence

dependent = by_keys[by_keys["mode"] == "dependent"]
answer(growth_sentence(dependent, "n_keys", "keys"), flips(dependent, "n_keys", "keys"))

# %% [markdown]
# ## Against the number of cgroups
#
# More cgroups are more memory: the caches hold less of it, and every load of a chain may miss.

# %%
by_cgroups = over_cgroups(setting, sorted({*(cgroups or size.cgroups)}), n_keys)
show(
    cost_curves(by_cgroups, "n_cgroups", titles),
    curves_alt(by_cgroups, "n_cgroups", titles),
    caption(by_cgroups),
)

# %%
dependent = by_cgroups[by_cgroups["mode"] == "dependent"]
answer(growth_sentence(dependent, "n_cgroups", "cgroups"), flips(dependent, "n_cgroups", "cgroups"))

# %% [markdown]
# ## Against cache pressure
#
# Between two lookups the kernel does other things. Here it walks through some memory before each
# lookup, which then stands alone: this is nearer to what a packet or an ioctl pays than any loop
# of lookups.

# %%
from cgsim.studies.sweeps import FOOTPRINT_BYTES

walked = [kib * 1024 for kib in footprints_kib] or list(size.footprints)
by_footprint = over_footprint(setting, sorted({*walked, FOOTPRINT_BYTES}), n_keys, n_cgroups)
alone = {"isolated": "isolated lookups, after other code"}
show(
    cost_curves(by_footprint, "footprint_bytes", alone),
    curves_alt(by_footprint, "footprint_bytes", alone),
    caption(by_footprint),
)

# %%
from cgsim.report.sentences import pollution_sentence

answer(
    growth_sentence(by_footprint, "footprint_bytes", "KiB"),
    flips(by_footprint, "footprint_bytes", "KiB"),
    pollution_sentence(machine),
)

# %% [markdown]
# ## In a workload
#
# **network**, a packet hook's: packets of many flows, in batches; from the packet through its
# socket and the dispatcher into the program, the lookup, an update. **gpu**, a driver's:
# submissions of processes, with long pauses and driver work between them; from the running task to
# its cgroup, the lookup, a read. The two are different users with different designs: compare
# within one only. Bars are means with their intervals, p99 is the 99th percentile. An order
# is claimed where the difference, seed by seed, is larger than the error of seeds and model. Every
# default of a workload has a source or is marked as an assumption (`data/workloads/`).

# %%
from cgsim.report.plot import cpi_stacks, stacks_alt, workload_alt, workload_bars
from cgsim.studies.sweeps import in_workloads

workloads = in_workloads(setting, **own_sizes)
places = {
    name: f"{name}: {rows['user'].iloc[0]}, {rows['n_keys'].iloc[0]:g} keys, "
    f"{rows['n_cgroups'].iloc[0]:g} cgroups"
    for name, rows in workloads.groupby("workload", sort=False)
}
show(workload_bars(workloads, places), workload_alt(workloads, places), caption(workloads))

# %%
from cgsim.report.sentences import leaders_sentence

network = workloads[workloads["workload"] == "network"]
gpu = workloads[workloads["workload"] == "gpu"]
answer(leaders_sentence(network, "Network"), leaders_sentence(gpu, "GPU"))

# %% [markdown]
# ## Where the cycles went
#
# Every cycle belongs to a cause. `work` is what the instructions would take if every load hit the
# first level at once; L1, L2, L3 and memory are waits for a line from there.

# %%
show(cpi_stacks(workloads, places), stacks_alt(workloads, places), caption(workloads))

# %%
from cgsim.report.sentences import stack_sentence

answer(stack_sentence(network, "Network"), stack_sentence(gpu, "GPU"))

# %% [markdown]
# ## At what memory

# %%
alone = by_keys[(by_keys["mode"] == "throughput") & (by_keys["n_keys"] == n_keys)]
from cgsim.report.plot import memory_alt, memory_bars

show(memory_bars(alone, n_keys), memory_alt(alone, n_keys), caption(alone))

# %%
from cgsim.report.sentences import field_sentence, memory_sentence, per_cgroup_bytes

answer(memory_sentence(per_cgroup_bytes(alone, n_keys), n_keys), field_sentence(alone))

# %% [markdown]
# ## All side by side
#
# Mean ns with half the 95 % interval, and bytes per cgroup. A `-` under *dependent*: the datum's
# address does not come from the cgroup, so nothing waits for it.

# %%
from cgsim.report.tables import cost_rows, html_table

at_point = by_keys[(by_keys["mode"] == "dependent") & (by_keys["n_keys"] == n_keys)]
isolated = by_footprint[by_footprint["footprint_bytes"] == FOOTPRINT_BYTES]
columns = {"dependent": at_point, f"isolated, {FOOTPRINT_BYTES >> 10} KiB": isolated}
columns |= {name: rows for name, rows in workloads.groupby("workload", sort=False)
            if rows["user"].iloc[0] == user}  # fmt: skip
html_table(("design", *columns, "bytes"), cost_rows(columns, alone, n_keys))

# %% [markdown]
# ## Try it
#
# The points above, one at a time.

# %% tags=["interactive"]
from cgsim.report.widgets import explorer

explorer(
    {
        "number of keys": (by_keys, "n_keys"),
        "number of cgroups": (by_cgroups, "n_cgroups"),
        "bytes walked through": (by_footprint, "footprint_bytes"),
    }
)

# %% [markdown]
# ## Does it hang on the machine?

# %%
from IPython.display import display

from cgsim.report.sentences import agreement_sentence

second = in_workloads(setting.on(second_machine), **own_sizes)
for name, title in places.items():
    both = [frame[frame["workload"] == name] for frame in (workloads, second)]
    names = (f"{title}, {machine}", second_machine)
    rows = cost_rows(dict(zip(names, both, strict=True)), both[0], int(both[0]["n_keys"].iloc[0]))
    display(html_table(("design", *names, "bytes"), rows))

# %%
answer(
    *(
        agreement_sentence(
            workloads[workloads["workload"] == name],
            second[second["workload"] == name],
            f"the {name} workload",
            second_machine,
        )
        for name in places
    )
)

# %% [markdown]
# ## The answer so far

# %%
import cgsim
from cgsim.report import advice
from cgsim.report.sentences import answer

advised = cgsim.recommend(
    user, machine=machine, kernel=kernel, seed=seed, borders=False, **own_sizes
)

answer(advice.verdict(advised), advice.budget(advised), advice.error_sentence(advised["error"]))

# %% [markdown]
# The intervals in the figures say how much hangs on the seed (placement, order, popularity); in
# this answer they hold the model's own error too. What the model leaves out stands in [the first
# notebook](00_thread.ipynb). `cgsim recommend` gives the answer for your own numbers.

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

ran = {name: getattr(setting, name) for name in ("replicates", "lookups", "designs")}
ran["second_machine"] = second_machine
ran |= {
    name: [f"{value:g}" for value in sorted(frame[column].unique())]
    for name, frame, column in (
        ("keys", by_keys, "n_keys"),
        ("cgroups", by_cgroups, "n_cgroups"),
        ("footprints_kib", by_footprint.assign(kib=by_footprint["footprint_bytes"] / 1024), "kib"),
    )
}
parameters = {name: globals()[name] for name in spec}
manifest_table(run_facts(parameters, seed=seed, **ran))
