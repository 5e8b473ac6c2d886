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
# # Where the answer flips, and what decides it
#
# Winner maps over keys, cgroups, CPUs and cache pressure with ties shown as ties, the borders
# between winners, and which assumptions about machine and workload the answer depends on.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many points, lookups and replicates
machine: str = "zen5-vm"  # a name of `cgsim machines`
kernel: str = "7.3.4"  # whose struct offsets and code: 7.3.4 or 6.12.117
user: str = "packet-hook"  # who looks up: packet-hook, counter or bpf-map
seed: int = 1  # of the first replicate; the others take the following ones
designs: list = []  # to choose from; none: all that the user can use, of those of the thread

# %%
from cgsim.experiments.places_of_use import able
from cgsim.kernel import kernel_versions
from cgsim.machines import list_machines
from cgsim.report.parameters import Choice, Integer, ListOf, ParameterError, check
from cgsim.studies.sweeps import DESIGNS, design_names

spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "kernel": Choice(*kernel_versions()),
    "user": Choice("packet-hook", "counter", "bpf-map"),
    "seed": Integer(0, 2**32 - 1),
    "designs": ListOf(Choice(*design_names()), shortest=0),
}
check(globals(), spec)
full = preset == "full"
most_keys = 64
usable = able(user, most_keys, tuple(designs) or DESIGNS)[0]
if len(usable) < 2:
    raise ParameterError(f"parameter designs: {user} can use fewer than two with {most_keys} keys")
common = {
    "designs": usable,
    "workload": "network",
    "user": user,
    "machine": machine,
    "kernel": kernel,
    "seed": seed,
    "lookups": 2000 if full else 300,
    "replicates": 10 if full else 3,
}
options = {"workers": 1, "progress": False}

# %% [markdown]
# ## Who is cheapest
#
# Every design that this user can use at every point, on the same seeds. A design wins where every
# other one's difference from it, seed by seed, is larger than the errors of seeds and model, as in
# recommendation and mail; else those that cannot be told apart share the point.
# "Cache pressure" is memory that other code walks through before each packet, besides the
# workload's own.

# %%
import cgsim
from cgsim.report.captions import caption
from cgsim.report.figure import show
from cgsim.report.plot_studies import map_alt, winner_map
from cgsim.studies.leave import leave
from cgsim.studies.winners import winners

factors = {
    "n_keys": [1, 2, 4, 8, 16, 32, 64] if full else [1, 8, 64],
    "n_cgroups": [100, 1000, 10_000, 100_000] if full else [100, 4000],
    "footprint_bytes": [0, 1 << 18, 1 << 20] if full else [0, 1 << 20],
}
rows = cgsim.sweep({**common, "name": "winners", "factors": factors}, **options)
leave(rows, "winner rows", **rows.attrs["parameters"])
by_size = winners(rows, list(factors))
show(
    winner_map(by_size, "n_keys", "n_cgroups", "footprint_bytes"),
    map_alt(by_size, "n_keys", "n_cgroups", "footprint_bytes"),
    caption(rows),
)

# %% [markdown]
# With several CPUs that receive packets at once, of the same cgroups:

# %%
from cgsim.machines import load_machine

several = [1, 4, 16] if full else [1, 4]
cpus = sorted({min(number, load_machine(machine).n_cpus) for number in several})
crowd = {"n_keys": [1, 8, 64], "cpus": cpus}
crowded = cgsim.sweep(
    {**common, "name": "CPUs", "factors": crowd, "n_cgroups": 1000, "footprint_bytes": 0},
    **options,
)
by_cpus = winners(crowded, ["n_keys", "n_cgroups", "cpus"])
show(
    winner_map(by_cpus, "n_keys", "cpus", "n_cgroups"),
    map_alt(by_cpus, "n_keys", "cpus", "n_cgroups"),
    caption(crowded),
)

# %% [markdown]
# ## Where it flips
#
# A border is where no design that was cheapest (or tied with it) so far still is. The next point is
# asked for in its middle, until it is known to 10 %.

# %%
from cgsim.report.plot_studies import border_lines
from cgsim.report.sentences import answer
from cgsim.studies.flips import border_sentence, drop_sentence, find_flips

searched = {**common, "name": "borders", "factors": {"n_cgroups": factors["n_cgroups"]}}
borders = find_flips(searched, "n_keys", low=1, high=most_keys, start=4, **options)
leave(borders, "borders", **common)
if len(borders):
    said = border_sentence(borders, "keys", ["n_cgroups"])
    searched_with = {"keys": (1, most_keys), "cpus": 1, "seeds": rows["seed"].unique()}
    of = caption(borders, machine=machine, kernel=kernel, user=user, **searched_with)
    show(border_lines(borders, "n_keys", "n_cgroups"), said, of)

# %%
answer(
    border_sentence(borders, "keys", ["n_cgroups"]),
    drop_sentence(borders, "keys", "n_keys", ["n_cgroups"]),
)

# %% [markdown]
# ## What decides it
#
# Latencies of the machine and sizes of the workload vary over ranges that we take hosts to span.
# The answer is how many times the second design costs the first; Sobol's indices say how much of
# its variation each assumption explains, alone and with others.

# %%
from cgsim.report.plot_studies import index_alt, index_bars
from cgsim.studies.sensitivity import sensitivity

pair = (usable[0], usable[-1])
ranges = {
    "n_keys": {"low": 1, "high": most_keys, "scale": "log"},
    "n_cgroups": {"low": 100, "high": 10_000, "scale": "log"},
    "footprint_bytes": {"low": 1, "high": 1 << 20, "scale": "log"},
    "machine.memory.local_ns": {"low": 70.0, "high": 150.0},
    "machine.window.mispredict_cycles": {"low": 10.0, "high": 25.0},
}
asked = {**common, "name": "sensitivity", "factors": ranges, "replicates": 1}
indices = sensitivity(asked, pair, samples=256 if full else 32, seed=seed, **options)
leave(indices, "sobol indices", **common)
title = f"How many times {pair[1]} costs {pair[0]}"
sampled = caption(
    machine=f"{machine} with other latencies", kernel=kernel, user=user, seeds=seed, cpus=1,
    keys=(1, most_keys), cgroups=(100, 10_000),
)  # fmt: skip
show(index_bars(indices, title), index_alt(indices, title), sampled)

# %% [markdown]
# ## What a maintainer would take away

# %%
clear = by_size[by_size["winner"] != ""]
ties = len(by_size) - len(clear)
most = clear["winner"].value_counts()
decisive = indices.iloc[0]
leaders = ", ".join(f"{name} at {count}" for name, count in most.items()) or "none"
low, high = indices.attrs["low"], indices.attrs["high"]
answer(
    f"For a {user} on {machine}, simulated: of {len(by_size)} points, cheapest beyond the errors "
    f"of seeds and model are {leaders}; at {ties} two or more cannot be told apart, and there "
    f"memory and interface should decide. {border_sentence(borders, 'keys', ['n_cgroups'])} What "
    f"the comparison of {pair[1]} with {pair[0]} depends on most is {decisive['factor']} "
    f"({decisive['total']:.2f} of the variance, +- {decisive['total_half']:.2f}, from "
    f"{indices.attrs['points']} points); over all of them {pair[1]} costs {low:.2f} to {high:.2f} "
    f"times {pair[0]}."
)

# %% [markdown]
# Intervals are over seeds; who wins is decided with the model's own error too. The ranges of
# the last section are assumptions, and the indices hold for them alone.

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

manifest_table(
    run_facts({name: globals()[name] for name in spec}, replicates=common["replicates"], seed=seed)
)
