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
# # The question, and how to read the answers
#
# Which way from a cgroup to a driver's or a program's private data is cheap enough, for whom, and
# at what memory? The designs of the thread, drawn from what a lookup really touches.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full; the drawings are the same
machine: str = "zen5-vm"  # the machine whose facts are explained
kernel: str = "7.3.4"  # whose struct offsets and code: 7.3.4 or 6.12.117
seed: int = 1  # decides the order of installs and the place of objects
n_keys: int = 4  # data in the cgroup that is drawn
designs: list = []  # which are drawn; none: those of the thread

# %%
from cgsim.kernel import kernel_versions
from cgsim.machines import list_machines
from cgsim.report.parameters import Choice, Integer, ListOf, check
from cgsim.studies.sweeps import DESIGNS, design_names

check(
    globals(),
    {
        "preset": Choice("quick", "full"),
        "machine": Choice(*list_machines()),
        "kernel": Choice(*kernel_versions()),
        "seed": Integer(0, 2**32 - 1),
        "n_keys": Integer(1, 14),
        "designs": ListOf(Choice(*design_names()), shortest=0),
    },
)
chosen = designs or list(DESIGNS)

# %% [markdown]
# ## The question
#
# In 2018 Matt Roper proposed that any kernel subsystem may attach private data to a cgroup: an
# entry with a `key` and a `free`, kept in a small hash table in each cgroup and looked up under a
# mutex. Tejun Heo answered:

# %%
from cgsim.report.thread import quote_html

quote_html("* Lookup must be really cheap.", "error-prone.")

# %% [markdown]
# And Alexei Starovoitov, for BPF:

# %%
quote_html("from bpf side there should be", "at attach time.")

# %% [markdown]
# So a maintainer has to choose a design by what a lookup costs **when its data is warm and when
# it is not**, by the memory it takes per cgroup, and by what it cannot do.

# %% [markdown]
# ## The designs
#
# Each is written once, as the structure it is, with the kernel's own struct offsets. The load
# chain is what a lookup must follow from the cgroup's address to the datum.

# %%
from cgsim.report.tables import designs_table

designs_table(chosen)

# %% [markdown]
# ## What one lookup touches
#
# Recorded, not drawn by hand: each lookup was played once and every access noted. A box is an
# object, a strip is one cache line of 64 bytes of it (grey: bytes that belong to the object).
# Numbers are accesses in program order; the hatched bytes are the datum. An arrow leads from a
# loaded address to the access that had to wait for it.

# %%
from IPython.display import display

from cgsim.experiments.anatomy import anatomy
from cgsim.report.captions import caption
from cgsim.report.drawing import alt_text, chain_words, draw
from cgsim.report.figure import show
from cgsim.report.sentences import answer, heading

facts = {"machine": "accesses on any machine", "kernel": kernel, "keys": n_keys, "seeds": seed}
drawn = [anatomy(name, n_keys=n_keys, kernel=kernel, seed=seed) for name in chosen]
for lookup in drawn:
    display(heading(f"{lookup.design.name} - {lookup.design.title}", chain_words(lookup)))
    show(draw(lookup), alt_text(lookup), caption(**facts))

# %%
from cgsim.report.sentences import anatomy_sentences

answer(*anatomy_sentences(drawn))

# %% [markdown]
# ## How to read what follows
#
# **Simulated, not measured.** Every access above drives a described machine: caches, TLB, a
# window of instructions in flight, a branch predictor. No cost is a formula typed in by hand.
#
# | word | meaning |
# | --- | :--- |
# | dependent | the next lookup's cgroup comes out of this one: the whole chain is waited for |
# | throughput | lookups do not wait for each other, so that their loads overlap |
# | isolated | a lookup alone, after other code used the caches: little (*warm*), much (*cold*) |
# | network, gpu | from packet or task to cgroup, lookup, one update; other code between |
# | CPI stack | where the cycles of a lookup went: work, L1, L2, L3, memory, TLB, branch, lock |
# | use of the datum | none in *dependent*, *throughput* and *isolated*: the lookup alone |
# | interval | 95 %, over seeds: how much placement and order matter, not how good the model is |
# | user | who looks up: a *driver*, a *packet-hook*, a *counter* that each CPU bumps, a *bpf-map* |
# | place of use | where: in the kernel (driver), or behind BPF's dispatcher (the other three) |
# | before, behind | cheaper, dearer by more than the errors of seeds and model |
# | level | the model itself makes next to no difference between the two |
# | undecided | neither: the difference is smaller than those errors |
# | waiting | bytes that are freed only after a grace period |
# | named situation | a workload with a name: `cgsim workloads` |
# | sustained/s | packets a second of which 99.9 % are done within 100 us |
# | adds most | the cause of cycles that grows most from warm lookups to those in packets |
# | host, scale | measured: lookups on a calibrated host; kernel functions over many cgroups |
# | kernel-cycles, published | cycles of single kernel functions; tables that others published |

# %% [markdown]
# ## The machine
#
# What a level costs when it hits, from the address being ready to the value being ready.

# %%
from cgsim.report.tables import machine_table

machine_table(machine)

# %%
from cgsim.report.sentences import profile_sentence

answer(profile_sentence(machine))

# %% [markdown]
# ## What the model does not know
#
# - **Instructions**: their cache, their fetch and their decoding. A design with more code looks
#   better here than in a kernel whose hot code does not fit.
# - **The machine's own predictors and prefetchers**: simple ones stand in for them.
# - **Other CPUs**: on the pages 01, 02, 05, 07 and 09 one CPU runs, so nobody else writes the
#   lines that a lookup reads, and no lock is contended. Several run on 03, in parts of 04 and 08,
#   and in the mail's lines on contention.
# - **Interrupts, other hardware threads, virtualisation.**
# - **Whether your cgroups look like these**: numbers of cgroups and keys, and what lies between two
#   lookups, are parameters. Vary them.

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

names = ("preset", "machine", "kernel", "seed", "n_keys", "designs")
parameters = {name: globals()[name] for name in names}
manifest_table(run_facts(parameters, replicates=1, seed=seed, designs=chosen))
