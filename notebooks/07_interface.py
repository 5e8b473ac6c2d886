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
# # The interface
#
# Five candidates as a driver's author would use them, every interleaving of their actors, twenty
# mistakes with each, and what safety costs.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many lookups are measured
machine: str = "zen4-genoa"  # a name of `cgsim machines`
states: int = 2_000_000  # most states of one search
cpus: int = 8  # that look up at once
seed: int = 1  # of the measurement

# %%
from cgsim.machines import list_machines
from cgsim.report.parameters import Choice, Integer, check

spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "states": Integer(1, 20_000_000),
    "cpus": Integer(1, 64),
    "seed": Integer(0, 2**32 - 1),
}
check(globals(), spec)

# %% [markdown]
# ## What to argue for

# %%
from cgsim.interface.recommendation import recommendation
from cgsim.report.interface_page import advice
from cgsim.report.sentences import answer

answer(*(advice(recommendation(user)) for user in ("driver", "packet-hook")))

# %% [markdown]
# ## Twenty mistakes
#
# Each mistake is made with each interface, and searched in the same way. *prevented*: no schedule
# goes wrong. *at load*: the build or the verifier refuses it. *caught*: an error that names it, or
# what any kernel reports (an oops, a refcount's warning, an RCU stall, a hung task). *debug only*:
# a kernel built with PROVE_LOCKING or DEBUG_ATOMIC_SLEEP reports it, one as distributions build it
# does not. *silent*: some schedule corrupts, and nobody says so. KASAN, kmemleak, PROVE_RCU and
# DEBUG_PREEMPT, which may see some of the silent ones, are not played.

# %%
from cgsim.interface.catalogue import catalogue
from cgsim.report.figure import show
from cgsim.report.interface_page import matrix_alt, matrix_figure

cells = catalogue()
of = f"no machine, no seed: {len(cells)} searches of all interleavings"
show(matrix_figure(cells), matrix_alt(cells), of, light=True)

# %%
from cgsim.report.interface_page import cell_table

cell_table(cells)

# %% [markdown]
# ## Safety beside cost
#
# "unnoticed": mistakes that pass unnoticed, + those that take a kernel with debug options. Then the
# cost of a lookup with each interface's structure, from the simulation. "lookup" is a user's turn
# with its use of the datum, each waiting for the one before; "cold" the same alone, after other
# code has read 1 MiB in between. A driver has the cgroup in hand; the others come by the
# dispatcher's way from the packet to the cgroup, which is in their figures. Locked instructions,
# a lookup while other CPUs look up in the same cgroup, and bytes of a datum of 16, + what each
# cgroup has besides.

# %%
from cgsim.interface.price import interface_cost
from cgsim.report.interface_page import cost_table

lookups = {"quick": 300, "full": 5000}[preset]
costs = interface_cost(machine, cpus=cpus, lookups=lookups, seed=seed)
cost_table(costs, cells)

# %% [markdown]
# ## Every interleaving
#
# Readers in a task and in softirq, installers, removers, a driver that unloads, a cgroup that is
# removed, a task that migrates, and RCU's callbacks, two to four at a time: all interleavings of
# their steps, nearest first, so that the first violation found has the shortest schedule. Steps are
# single accesses and operations in sequentially consistent memory: a missing barrier is not found.

# %%
from cgsim.interface import explore
from cgsim.report.interface_page import explored_table

explored = {found.name: found for found in explore(states=states)}
explored_table(list(explored.values()))

# %% [markdown]
# ## Three schedules
#
# The mutex in softirq: five steps, one actor.

# %%
from cgsim.report.interface_page import show_schedule

show_schedule(explored["cgroup-priv-as-posted"], "read in softirq", "no sleeping in atomic context")

# %% [markdown]
# i915's list of a device's data, written under each cgroup's own mutex: two locks, one list.

# %%
show_schedule(explored["cgroup-priv-as-posted"], "two cgroups", "no list corrupted by two locks")

# %% [markdown]
# The getter of v4: the count is 0 already when it takes its reference.

# %%
show_schedule(explored["cgroup-priv-kref-as-posted"], "removed in use", "no use after free")

# %% [markdown]
# ## One user, five times
#
# i915's priority offset: an ioctl sets it for a cgroup, each submission adds it, the device can be
# unplugged. These are programs: they run on the simulated structures, and a misuse is refused. The
# second user, a packet counter, is in `cgsim/interface/users.py`. Below, the offset of `web` is set
# to -5, that of `batch` is not, and six packets arrive for `web` on all CPUs in turn.

# %%
import inspect

from cgsim.interface.users import COUNTERS, OFFSETS
from cgsim.report.interface_page import folded_code

folded_code("the five as code", "\n\n".join(inspect.getsource(user) for user in OFFSETS))

# %%
from cgsim.interface.world import Core
from cgsim.report.tables import html_table

rows = []
for offset_user, counter_user in zip(OFFSETS, COUNTERS, strict=True):
    core = Core()
    web, batch = core.mkdir("web"), core.mkdir("batch")
    offset, counter = offset_user(core), counter_user(core)
    offset.setparam(web, -5)
    counter.watch(web)
    for packet in range(6):
        core.migrate(packet % core.cpus)
        counter.packet(web)
    found = (offset.at_submission(web), offset.at_submission(batch), counter.total(web))
    core.rmdir(web)
    rows.append((offset_user.interface, *found, core.freed))
html_table(
    (
        "interface",
        "priority offset of web",
        "of batch",
        "packets of web",
        "data freed by rmdir of web",
    ),
    rows,
    texts=True,
)

# %% [markdown]
# ## What it rests on
#
# The protocols are our reading of the posted code (`cgsim/interface/protocols`),
# two cgroups and two keys, up to four actors; what the core does when a cgroup is released was not
# read, and is taken to be the free of what is left. A larger world may hold more.

# %%
from cgsim.report.tables import manifest_table, run_facts

manifest_table(run_facts({name: globals()[name] for name in spec}, replicates=1, seed=seed))
