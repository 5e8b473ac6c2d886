# %% [markdown]
# # A tiny notebook
#
# What a working set costs on a machine of two levels, in closed form:
# small enough to test the pipeline with.
#
# ## Question
#
# How does the mean latency grow when the working set leaves the first level?

# %% tags=["parameters"]
preset: str = "quick"  # quick or full
seed: int = 1  # names the run
sizes: list = [16, 32, 64, 128]  # working sets (KiB)
level_1_kib: float = 48.0  # capacity of the first level

# %%
from cgsim.report.parameters import Choice, Integer, ListOf, Number, check

check(
    globals(),
    {
        "preset": Choice("quick", "full"),
        "seed": Integer(0, 2**32 - 1),
        "sizes": ListOf(Integer(1, 65536)),
        "level_1_kib": Number(1, 1024),
    },
)

# %%
import pandas as pd

# A random walk over `size` hits the first level with probability capacity / size.
hits = [min(1.0, level_1_kib / size) for size in sizes]
frame = pd.DataFrame(
    {"size [KiB]": sizes, "latency [cycles]": [5 * h + 14 * (1 - h) for h in hits]}
)
frame.round(1)

# %% [markdown]
# ## Picture

# %%
import matplotlib.pyplot as plt
from IPython.display import display

figure, axes = plt.subplots(figsize=(5, 3))
axes.plot(frame["size [KiB]"], frame["latency [cycles]"], marker="o")
axes.set(xscale="log", xlabel="working set (KiB)", ylabel="latency (cycles)")
plt.close(figure)
display(figure, metadata={"image/png": {"alt": "Latency grows from 5 to 12 cycles."}})

# %%
from cgsim.report.figure import show
from cgsim.report.plot import cost_curves, curves_alt

points = pd.DataFrame(
    [
        {"design": name, "mode": "dependent", "n_keys": n, "ns": 10 + slope * n}
        for name, slope in (("list", 2.0), ("idr", 0.5))
        for n in (1, 4, 16)
    ]
)
points = points.assign(ns_low=points["ns"] - 1, ns_high=points["ns"] + 1)
panels = {"dependent": "dependent"}
show(cost_curves(points, "n_keys", panels), curves_alt(points, "n_keys", panels))

# %% tags=["interactive"]
from cgsim.report.widgets import explorer

explorer({"keys": (points, "n_keys")})

# %% tags=["interactive"]
import ipywidgets as widgets

size = widgets.IntSlider(
    value=64, min=16, max=128, step=16, description="size", continuous_update=False
)
label = widgets.Label()


def _update(_=None):
    hit = min(1.0, level_1_kib / size.value)
    label.value = f"latency = {5 * hit + 14 * (1 - hit):.2f} cycles"


size.observe(_update, "value")
_update()
widgets.VBox([size, label])

# %% [markdown]
# The mean latency leaves 5 cycles where the working set leaves the first level.
