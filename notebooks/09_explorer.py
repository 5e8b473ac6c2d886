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
# # Explore
#
# One point at a time: who looks up, where, among how much. Only what was simulated is drawn, and
# nothing between two points; a point can be taken away as text and opened again.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many points are computed beforehand
user: str = "packet-hook"  # who looks up: packet-hook, driver, counter or bpf-map
machine: str = "zen5-vm"  # a name of `cgsim machines`, or the file of your own profile
mode: str = "dependent"  # the first shown: dependent, throughput or isolated
footprint_bytes: int = 0  # that other code walks through before each isolated lookup
n_cgroups: int = 1000  # cgroups of the point shown first
n_keys: int = 8  # keys of each cgroup there
designs: list = []  # which designs; none: those of the thread that the user can have
kernel: str = "7.3.4"  # whose struct offsets and code: 7.3.4 or 6.12.117
lookups: int = 300  # measured per point and replicate
replicates: int = 2  # per point
seed: int = 1  # of the first replicate; the others take the following ones

# %%
from cgsim.experiments.places_of_use import USERS, able
from cgsim.kernel import kernel_versions
from cgsim.machines import load_machine
from cgsim.report.explorer import MODES
from cgsim.report.manifest import usable_cores
from cgsim.report.parameters import Choice, Integer, ListOf, ParameterError, Text, check
from cgsim.studies.sweeps import DESIGNS, design_names

spec = {
    "preset": Choice("quick", "full"),
    "user": Choice(*USERS),
    "machine": Text(),
    "mode": Choice(*MODES),
    "footprint_bytes": Integer(0, 1 << 28),
    "n_cgroups": Integer(1, 100_000),
    "n_keys": Integer(1, 16_000),
    "designs": ListOf(Choice(*design_names()), shortest=0),
    "kernel": Choice(*kernel_versions()),
    "lookups": Integer(1, 100_000),
    "replicates": Integer(1, 100),
    "seed": Integer(0, 2**32 - 1),
}
check(globals(), spec)
load_machine(machine)
shown = able(user, n_keys, designs or DESIGNS)[0]
if not shown:
    raise ParameterError(f"parameter n_keys = {n_keys}: none of the designs can be used so")

# %% [markdown]
# ## The points
#
# *dependent*: the next lookup waits for this one. *throughput*: they overlap. *isolated*: alone,
# after other code has walked through some memory. Contention between CPUs is in the mail and the
# page of percpu data, not here.

# %%
from dataclasses import replace

from cgsim.report.explorer import Place, Points

start = Place(
    user, machine, mode, footprint_bytes, n_cgroups, n_keys, tuple(shown), kernel, lookups,
    replicates, seed,
)  # fmt: skip
keys, cgroups, walks = {
    "quick": ((1, 8), (10, 1000), (0, 1 << 18)),
    "full": ((1, 2, 4, 8, 16, 32, 64), (10, 100, 1000, 10_000), (0, 1 << 14, 1 << 18, 1 << 22)),
}[preset]
others = {"quick": [], "full": ["zen4-genoa", "skylake-sp"]}[preset]
places = [
    replace(start, machine=name, mode=kind, footprint_bytes=walk, n_cgroups=many, n_keys=few)
    for name in dict.fromkeys([machine, *others])
    for kind in MODES
    for walk in (sorted({*walks, footprint_bytes}) if kind == "isolated" else (0,))
    for many in sorted({*cgroups, n_cgroups})
    for few in sorted({*keys, n_keys})
]
points = Points([*places, start], usable_cores())

# %% tags=["interactive"]
from cgsim.report.explorer import explore

explore(points, start, shown)

# %% [markdown]
# ## The same as pictures

# %%
from cgsim.report.captions import caption
from cgsim.report.figure import show
from cgsim.report.plot import cost_curves, curves_alt

frame = points.frame()
here = frame[(frame["machine"] == machine) & (frame["n_cgroups"] == n_cgroups)]
titles = {"dependent": "dependent: one after the other", "throughput": "throughput: overlapping"}
show(
    cost_curves(here, "n_keys", titles), curves_alt(here, "n_keys", titles), caption(here)
)  # fmt: skip

# %%
from cgsim.report.plot import cpi_stacks, memory_alt, memory_bars, stacks_alt

one = points.rows[start.key]
show(
    cpi_stacks(one, {mode: mode}, by="mode"),
    stacks_alt(one, {mode: mode}, by="mode"),
    caption(one),
)

# %%
show(memory_bars(one, n_keys), memory_alt(one, n_keys), caption(one))

# %% [markdown]
# ## This point again

# %%
from cgsim.report.explorer import texts
from cgsim.report.tables import html_table

html_table(("as", "text"), list(texts(start).items()), texts=True)

# %% [markdown]
# ## What was learned, how sure it is, and what would change it

# %%
from cgsim.report.sentences import answer, leaders_sentence

answer(
    leaders_sentence(one, "At this point", load_machine(machine)),
    "The intervals say how much hangs on the seed; how far the model is off, the first notebook "
    "and cgsim recommend say. Other keys, cgroups or other code before the lookup can change "
    "the order: move the sliders.",
)

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

parameters = {name: globals()[name] for name in spec}
manifest_table(run_facts(parameters, replicates=replicates, seed=seed, designs=shown))
