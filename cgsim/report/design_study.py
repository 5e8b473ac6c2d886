"""The study behind the page of designs, and the section that shows one of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd

from cgsim.designs import get_design
from cgsim.experiments.anatomy import anatomy
from cgsim.experiments.footprint import memory_cost, ways
from cgsim.experiments.summary import summarise
from cgsim.report.captions import caption
from cgsim.report.design_page import (
    access_table,
    curves_alt,
    design_curves,
    memory_line,
    recording_of,
    recording_sentence,
    shown_mode,
    upkeep_table,
)
from cgsim.report.drawing import alt_text, chain_words, draw
from cgsim.report.figure import show
from cgsim.report.sentences import answer, heading
from cgsim.studies.kept import upkeep
from cgsim.studies.leave import leave
from cgsim.studies.sweeps import FOOTPRINT_BYTES, over_cgroups, over_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.studies.sweeps import Setting

_KEYS = {"quick": (1, 4, 16), "full": (1, 4, 16, 64, 256, 1024)}
_CGROUPS = {"quick": (10, 100, 1000), "full": (10, 100, 1000, 10_000)}


@dataclass(frozen=True)
class Study:
    """What was simulated of all designs; frames are summaries."""

    setting: Setting
    n_keys: int
    by_keys: pd.DataFrame
    by_cgroups: pd.DataFrame
    warm: pd.DataFrame
    """`cgsim.upkeep` with little in between."""
    cold: pd.DataFrame
    """The same after other code has walked through `FOOTPRINT_BYTES`."""
    memory: pd.DataFrame


def study_designs(
    setting: Setting,
    names: Sequence[str],
    preset: str,
    n_keys: int,
    n_cgroups: int,
    possible_cpus: int,
) -> Study:
    """Simulate lookups, updates and memory of some designs."""
    keys = sorted({*_KEYS[preset], n_keys})
    cgroups = sorted({*_CGROUPS[preset], n_cgroups})

    def updates(footprint_bytes: int) -> pd.DataFrame:
        frames = [
            upkeep(
                name,
                setting.machine,
                n_cgroups=n_cgroups,
                n_keys=n_keys,
                data=ways(get_design(name))[0],
                footprint_bytes=footprint_bytes,
                replicates=setting.replicates,
                seed=setting.seed,
                kernel=setting.kernel,
                threads=setting.threads,
            )
            for name in names
        ]
        frame = summarise(pd.concat(frames, ignore_index=True))
        return leave(frame, f"upkeep {footprint_bytes}", **asdict(setting))

    return Study(
        setting,
        n_keys,
        over_keys(setting, keys, n_cgroups),
        over_cgroups(setting, cgroups, n_keys),
        updates(0),
        updates(FOOTPRINT_BYTES),
        memory_cost(names, possible_cpus=possible_cpus, n_keys=n_keys, kernel=setting.kernel),
    )


def show_design(study: Study, name: str) -> None:
    """Display the section of one design."""
    from IPython.display import display

    design = get_design(name)
    setting = study.setting
    drawn = anatomy(design, n_keys=study.n_keys, kernel=setting.kernel, seed=setting.seed)
    text = f"Mirrors {design.mirrors}. {chain_words(drawn)}."
    display(heading(f"{name}: {design.title}", text, folds=True))
    of = caption(
        machine="accesses on any machine", kernel=setting.kernel, keys=study.n_keys,
        seeds=setting.seed,
    )  # fmt: skip
    show(draw(drawn), alt_text(drawn), of, light=True)
    found = recording_of(design, setting.kernel)
    if found is None:
        display(answer("No recorded function of the kernel corresponds to it."))
    else:
        display(answer(recording_sentence(found)), access_table(found))
    modes = (shown_mode(name), "throughput")
    panels = (
        (f"{modes[0]}, by keys", study.by_keys, "n_keys", "keys per cgroup"),
        (f"{modes[0]}, by cgroups", study.by_cgroups, "n_cgroups", "cgroups"),
    )
    curves = design_curves(panels, name, modes)
    of = caption(study.by_keys, study.by_cgroups)
    show(curves, curves_alt(panels, name, modes), of, light=True)
    warm, cold = (frame[frame["design"] == name] for frame in (study.warm, study.cold))
    display(upkeep_table(warm, cold), answer(memory_line(study.memory, name)))
