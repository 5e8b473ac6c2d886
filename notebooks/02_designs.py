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
# # Each design by itself
#
# Structure, accesses beside the kernel's recorded ones, cost, memory, and what its users pay at
# install, remove and teardown; then BPF's buffer, and what goes wrong with each interface.

# %% tags=["parameters"]
preset: str = "quick"  # quick or full: how many points and replicates
machine: str = "zen5-vm"  # a name of `cgsim machines`
kernel: str = "7.3.4"  # whose struct offsets and code: 7.3.4 or 6.12.117
seed: int = 1  # of the first replicate; the others take the following ones
replicates: int = 0  # 0: as the preset says
n_keys: int = 4  # keys of each cgroup, where they do not vary
n_cgroups: int = 1000  # cgroups, where they do not vary
possible_cpus: int = 128  # for percpu data: CPUs the kernel reserves for
grace_ms: int = 20  # length of a grace period (ms), assumed
removals: int = 1000  # removals a second, assumed
designs: list = []  # which designs; none: all

# %%
from cgsim.kernel import kernel_versions
from cgsim.machines import list_machines
from cgsim.report.manifest import usable_cores
from cgsim.report.parameters import Choice, Integer, ListOf, ParameterError, check
from cgsim.studies.sweeps import design_names, setting_of

spec = {
    "preset": Choice("quick", "full"),
    "machine": Choice(*list_machines()),
    "kernel": Choice(*kernel_versions()),
    "seed": Integer(0, 2**32 - 1),
    "replicates": Integer(0, 100),
    "n_keys": Integer(2, 64),
    "n_cgroups": Integer(10, 10_000),
    "possible_cpus": Integer(1, 8192),
    "grace_ms": Integer(1, 10_000),
    "removals": Integer(1, 10_000_000),
    "designs": ListOf(Choice(*design_names()), shortest=0),
}
check(globals(), spec)

given = {"replicates": replicates or {"quick": 1, "full": 5}[preset]}
lookups = {"quick": 300, "full": 5000}[preset]
setting = setting_of(
    preset,
    machine,
    kernel=kernel,
    seed=seed,
    lookups=lookups,
    designs=tuple(designs) or tuple(design_names()),
    threads=usable_cores(),
    user=None,
    **given,
)
shown = setting.able(n_keys)
if not shown:
    raise ParameterError(f"parameter n_keys = {n_keys}: none of the designs holds so many")

# %% [markdown]
# ## The designs
#
# Each section says what a design mirrors and then shows:
#
# - one lookup, drawn: a box is an object, a strip one of its cache lines (64 bytes), a dark mark an
#   access with its number, hatched the datum; arrows lead from a loaded address to its use;
# - its accesses in program order beside those recorded of the kernel's machine code, where the
#   kernel has such code;
# - its cost (black) among others of the same caller (grey), a driver's or else a packet hook's
#   (`cgsim.stage.callers`), of lookups that wait for each other (*dependent*), or
#   overlap (*throughput*) where the address does not come from the cgroup;
# - what its users pay: *ns* with little in between, *cold* after other code has walked through
#   256 KiB; locked instructions and whose words they lock; bytes allocated, copied, freed at once,
#   and waiting for a grace period. *create* and *teardown* include struct cgroup itself, *drop key*
#   is one key removed from all cgroups.

# %%
from cgsim.report.design_study import study_designs

study = study_designs(setting, shown, preset, n_keys, n_cgroups, possible_cpus)

# %%
from cgsim.report.design_study import show_design

for name in shown:
    show_design(study, name)

# %% [markdown]
# ## Updates side by side
#
# ns per operation with little in between, in brackets where the operation's code is not recorded;
# *waiting*: bytes that one removal leaves for a grace period. Counted are the allocator's fast
# path, locks, and the structure itself; what BPF maps check and charge besides is not counted.

# %%
from cgsim.report.design_page import side_by_side

side_by_side(study.warm, ("create", "first install", "install", "remove", "teardown", "drop key"))

# %%
from cgsim.report.design_page import drop_sentences, upkeep_sentences
from cgsim.report.sentences import answer

answer(*drop_sentences(study.warm), *upkeep_sentences(study.warm, grace_ms, removals))

# %% [markdown]
# ## Memory, regular and percpu
#
# Bytes as slab rounds them, for data of 16 bytes. *field*: inside struct cgroup itself, free while
# its slab object has room. *cgroup*, *entry*: what a cgroup takes more, and each of its data.
# *copies*: a percpu datum is a pointer in the datum's place and a copy for every possible CPU.
# *key*, *fixed*: once per key, and for the system. *total*: one cgroup with all its data.

# %%
from cgsim.report.design_page import memory_table

memory_table(study.memory)

# %% [markdown]
# ## BPF's buffer
#
# The thread's `bpf_get_cgroup_buf(skb, sizeof(struct my_data))`. The verifier knows the size and
# checks every access when the program is loaded:

# %%
from cgsim.interface import COUNTER, Add, GetBuffer, Load, Program, Store, verify

careless = Program("careless", (GetBuffer(12), Load(0, 8), Add(1), Store(0, 8), Load(8, 8)))
answer(str(verify(COUNTER)), str(verify(careless)))

# %% [markdown]
# Attach makes room in the buffer of every cgroup that the program runs for. A packet then pays, on
# top of what finding and calling its programs takes (*no buffer*):

# %%
from cgsim.report.design_page import packet_table
from cgsim.studies.kept import packet_cost
from cgsim.studies.sweeps import FOOTPRINT_BYTES

options = {"n_cgroups": n_cgroups, "seed": seed, "kernel": kernel, **given}
packets = packet_cost(machine, packets={"quick": 500, "full": 10_000}[preset], **options)
cold = packet_cost(machine, packets=50, footprint_bytes=FOOTPRINT_BYTES, **options)
packet_table(
    packets.groupby("way", sort=False).mean(numeric_only=True).reset_index(),
    cold.groupby("way", sort=False).mean(numeric_only=True).reset_index(),
)

# %% [markdown]
# An address can be inlined only where a program runs for one cgroup, so every cgroup needs a
# program of its own, and their structs take the cache's room. (Their texts would, too: the
# instruction cache is not simulated.)

# %% [markdown]
# ## What goes wrong
#
# The same mistakes made with every design, and with the 2018 code as it was posted. What came of
# them was read off the answers and the memory.

# %%
from cgsim.interface import misuse
from cgsim.report.design_page import misuse_table

misuse_table(misuse(["hash-as-posted", *shown]))

# %% [markdown]
# ## This run

# %%
from cgsim.report.tables import manifest_table, run_facts

parameters = {name: globals()[name] for name in spec}
manifest_table(run_facts(parameters, replicates=setting.replicates, seed=seed, designs=shown))
