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
# # Is it true?
#
# Every measurement that cgsim is compared with, beside its prediction: lookups on the host that
# was calibrated, recorded cycles of kernel functions, kernel functions over many cgroups, published
# tables. `docs/MODEL.md` says what is modelled, what is fitted to what, and when not to trust it.

# %% tags=["parameters"]
preset: str = "quick"  # quick: the stored rows; full: measure this host, too
designs: list = ["list", "idr"]  # that full measures on this host
machine: str = "host"  # that full predicts on: host, which is calibrated first, or a profile's name
seed: int = 1  # of the populations that full measures

# %%
from cgsim.machines import list_machines
from cgsim.report.parameters import Choice, Integer, ListOf, check
from cgsim.studies.sweeps import design_names

spec = {
    "preset": Choice("quick", "full"),
    "designs": ListOf(Choice(*design_names())),
    "machine": Choice("host", *list_machines()),
    "seed": Integer(0, 2**32 - 1),
}
check(globals(), spec)

# %%
from cgsim.report.figure import show
from cgsim.report.plot_validation import all_families, one_family, rows_caption, steps
from cgsim.report.tables import as_percent, html_table
from cgsim.validation.summary import BOUNDS, host_rows, load_rows, summary, worst

rows = load_rows()
families = summary(rows)
table = as_percent(families, "median", "ninetieth", "ordered")
html_table(
    ["family", "rows", "median error", "90th percentile", "in order", "bounds of these", "kept"],
    [
        [BOUNDS[row.family].title, row.n, row.median, row.ninetieth, row.ordered,
         str(BOUNDS[row.family]), "yes" if row.within else "no"]
        for row in table.itertuples()
    ],
)  # fmt: skip

# %%
from cgsim.report.sentences import answer
from cgsim.validation.summary import host_sentence, kept_sentence

answer(kept_sentence(families), host_sentence())

# %% [markdown]
# ## All families
#
# On the line a prediction is right; in the grey band it is within 25 %. Rows are in ns, cycles or
# lookups/ms, so their ratios are drawn.

# %%
show(
    all_families(rows),
    "Predicted / measured, a point per row, a strip per family: "
    + "; ".join(f"{row.family}: median error {row.median}" for row in table.itertuples()),
    rows_caption(rows),
)

# %% [markdown]
# ## One by one

# %%
for name, bound in BOUNDS.items():
    part = rows[rows["family"] == name]
    groups = summary(part, ["group"])
    show(
        one_family(part, bound.title[0].upper() + bound.title[1:]),
        f"Predicted against measured, {bound.title}: "
        + "; ".join(
            f"{g.group}: median error {g.median:.0%} of {g.n}" for g in groups.itertuples()
        ),
        rows_caption(part),
    )

# %% [markdown]
# ## Cliffs
#
# BPF local storage keeps 16 maps in its cache; with the 17th a get walks the list.

# %%
maps = rows[rows["group"].eq("local_storage") & rows["name"].str.startswith("local_storage")]
maps = maps.assign(maps=maps["conditions"].str.split(", ").str[-2].astype(int))
show(
    steps(maps, "maps", "Local storage by the number of maps", "maps"),
    "ns of a get by number of maps: "
    + "; ".join(f"{r.maps} maps: measured {r.measured:.3g}, predicted {r.predicted:.3g}"
                for r in maps.itertuples()),
    rows_caption(maps),
)  # fmt: skip

# %% [markdown]
# More cgroups leave the L2, the L3 and the TLB behind: lookups on the host, each waiting for the
# one before.

# %%
chain = rows[rows["family"].eq("host") & rows["conditions"].str.endswith("dependent, bare")]
chain = chain.assign(cgroups=chain["conditions"].str.split(" ").str[0].astype(int))
show(
    steps(chain, "cgroups", "Dependent lookups on the host by the number of cgroups", "cgroups"),
    "ns of a dependent lookup by number of cgroups: "
    + "; ".join(f"{r.name}, {r.cgroups}: measured {r.measured:.3g}, predicted {r.predicted:.3g}"
                for r in chain.rename(columns={"name": "design"}).rename(columns={"design": "name"})
                .itertuples(index=False)),
    rows_caption(chain),
)  # fmt: skip

# %% [markdown]
# ## Where it is farthest off, and what is missing there

# %%
far = as_percent(worst(rows), "error")
html_table(
    ["family", "row", "conditions", "measured", "predicted", "error", "what is missing"],
    [
        [r["family"], r["name"], r["conditions"], f"{r['measured']:.4g} {r['unit']}",
         f"{r['predicted']:.4g}", r["error"], r["cause"]]
        for r in far.to_dict("records")
    ],
)  # fmt: skip

# %% [markdown]
# ## This host, now

# %%
if preset == "full":
    from cgsim.machines import load_machine
    from cgsim.validation.host.calibrate import calibrate
    from cgsim.validation.measure import host_load, measure

    profile = calibrate().machine if machine == "host" else load_machine(machine)
    live = host_rows(measure(designs, n_cgroups=(1, 1000), n_keys=(8,), seed=seed, machine=profile))
    live = live.assign(error=live["predicted"] / live["measured"] - 1)
    show(
        one_family(live, f"This host ({host_load()})"),
        f"Predicted against measured on this host: median error {live['error'].abs().median():.0%}",
        rows_caption(live),
    )

# %% [markdown]
# With `-p preset=full` this notebook calibrates the host that it runs on, and lays native lookups
# beside their prediction; the quick one measures nothing.

# %%
from cgsim.report.tables import manifest_table, run_facts

manifest_table(run_facts({name: globals()[name] for name in spec}, replicates=1, seed=seed))
