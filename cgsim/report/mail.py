"""The answer to the thread as a plain-text reply: written to a file or returned, never sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cgsim.errors import UserError, unknown_name
from cgsim.files import write_atomically
from cgsim.report import compare, sentences, text
from cgsim.report.tables import cost_rows
from cgsim.report.thread import ARCHIVE, thread_lines
from cgsim.studies.sweeps import (
    FOOTPRINT_BYTES,
    N_CGROUPS,
    N_KEYS,
    SIZES,
    Setting,
    in_workloads,
    over_footprint,
    over_keys,
    setting_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MACHINE, SECOND_MACHINE, KERNEL = "zen5-vm", "skylake-sp", "7.3.4"
_QUICK_KEYS, _FULL_KEYS = (1, 16, 64), (1, 2, 4, 8, 16, 32, 64, 256, 1024)
_TEJUN = ("* Lookup must be really cheap.", "table per cgroup?")
_ALEXEI = ("from bpf side there should be", "at attach time.")


@dataclass(frozen=True)
class Results:
    """What the mail speaks of: summary frames of one machine, and of a second one."""

    keys: pd.DataFrame
    isolated: pd.DataFrame
    workloads: pd.DataFrame
    second: pd.DataFrame


@dataclass(frozen=True)
class Facts:
    """What identifies the run."""

    setting: Setting
    machine_title: str
    second_machine: str
    second_title: str
    version: str
    commit: str
    command: str


def write_mail(out: str | Path, preset: str = "quick", **options: object) -> Path:
    """Write `mail.txt` into the directory `out`; arguments as `mail_text`. Returns its path."""
    return write_atomically(Path(out) / "mail.txt", mail_text(preset, **options))  # type: ignore[arg-type]


def mail_text(
    preset: str = "quick",
    *,
    machine: str = MACHINE,
    second_machine: str = SECOND_MACHINE,
    kernel: str = KERNEL,
    seed: int = 1,
    replicates: int | None = None,
) -> str:
    """Simulate and write the reply: ASCII, at most 75 columns.

    Raises UserError for an unknown preset, machine or kernel, and where both machines are one.
    """
    from cgsim.machines import load_machine
    from cgsim.report.manifest import git_state, short_commit, usable_cores, version

    if preset not in SIZES:
        raise unknown_name("preset", preset, SIZES)
    if machine == second_machine:
        raise UserError(f"second_machine = {machine!r} is the first one; give another")
    values = {"kernel": kernel, "seed": seed, "threads": usable_cores()}
    if replicates is not None:
        values["replicates"] = replicates
    setting = setting_of(preset, machine, **values)
    titles = [load_machine(name).title for name in (machine, second_machine)]
    command = f"cgsim mail --preset {preset} --machine {machine} --seed {seed}"
    if second_machine != SECOND_MACHINE:
        command += f" --second-machine {second_machine}"
    if kernel != KERNEL:
        command += f" --kernel {kernel}"
    if replicates is not None:
        command += f" --replicates {replicates}"
    facts = Facts(
        setting, titles[0], second_machine, titles[1], version(), short_commit(git_state()), command
    )
    return compose(
        facts, run(setting, second_machine, _FULL_KEYS if preset == "full" else _QUICK_KEYS)
    )


def run(setting: Setting, second_machine: str, keys: Sequence[int]) -> Results:
    """Simulate what the mail speaks of."""
    swept = sorted({*keys, N_KEYS})
    return Results(
        keys=over_keys(setting, swept),
        isolated=over_footprint(setting, [FOOTPRINT_BYTES]),
        workloads=in_workloads(setting, n_keys=N_KEYS),
        second=in_workloads(setting.on(second_machine), ["network"], n_keys=N_KEYS),
    )


def compose(facts: Facts, results: Results) -> str:
    """The mail's text, from frames alone."""
    at = results.keys[(results.keys["n_keys"] == N_KEYS)]
    columns = {
        "dependent": at[at["mode"] == "dependent"],
        "isolated": results.isolated,
        "network": _workload(results, "network"),
        "gpu": _workload(results, "gpu"),
    }
    parts = [
        _head(),
        _opening(facts),
        "On Tue, 13 Mar 2018, Alexei Starovoitov wrote:\n" + _quoted_tejun(),
        _quoted_alexei(),
        _table(facts, columns, results.isolated),
        _plot(results.keys),
        *_what_we_see(columns),
        *map(text.wrap, sentences.conclusion(columns, results.keys, columns["network"], N_KEYS)),
        *_how_sure(facts, columns["network"], results.second),
        _reproduce(facts),
        f"[0] {ARCHIVE}",
    ]
    return text.check_plain("\n\n".join(parts) + "\n")


def _workload(results: Results, name: str) -> pd.DataFrame:
    return results.workloads[results.workloads["workload"] == name]


def _head() -> str:
    return (
        "Subject: Re: [Intel-gfx] [PATCH v3 1/6] cgroup: Allow registration and\n"
        " lookup of cgroup private data"
    )


def _opening(facts: Facts) -> str:
    return text.wrap(
        "All figures in this mail are simulated, not measured: cgsim plays the loads and stores of "
        f"each lookup, at the offsets of Linux {facts.setting.kernel}, on a model of this machine: "
        f"{facts.machine_title} (profile {facts.setting.machine}). It replies to the mail of "
        "March 2018 [0], which asked how cheap a lookup of per-cgroup private data can be."
    )


def _quoted_tejun() -> str:
    wrote = thread_lines("Tejun Heo wrote:", "Tejun Heo wrote:")
    return text.quote("\n".join([*wrote, *thread_lines(*_TEJUN)]))


def _quoted_alexei() -> str:
    return text.quote("\n".join(thread_lines(*_ALEXEI)))


def _table(facts: Facts, columns: dict[str, pd.DataFrame], memory: pd.DataFrame) -> str:
    rows = cost_rows(columns, memory, N_KEYS)
    head = text.wrap(
        f"Cost of one lookup in ns, and bytes per cgroup as slab rounds them, with {N_KEYS} keys "
        f"in each of {N_CGROUPS} cgroups (the workloads have their own number of cgroups):"
    )
    body = text.table(rows, ["design", *columns, "bytes"])
    half = FOOTPRINT_BYTES // 1024
    note = text.wrap(
        "dependent: the next lookup waits for this one, caches warm. isolated: alone, after other "
        f"code has walked through {half} KiB. Both without a use of the datum. network, gpu: from "
        "the packet or the task to the cgroup, the lookup and one update of the datum, between "
        f"the workload's other code. +-: 95 % interval over {facts.setting.replicates} seeds. A "
        "'-' under dependent: the address does not come from the cgroup pointer, so nothing waits "
        f"for it. {sentences.field_sentence(memory)}"
    )
    return f"{head}\n\n{body}\n\n{note}"


def _plot(keys: pd.DataFrame) -> str:
    rows = keys[keys["mode"] == "dependent"]
    lines = {
        str(design): dict(zip(group["n_keys"].astype(float), group["ns"], strict=True))
        for design, group in rows.groupby("design", sort=False)
    }
    return text.curves(
        lines, ylabel="ns per dependent lookup (log)", xlabel="keys", columns=48, rows=13
    )


def _what_we_see(columns: dict[str, pd.DataFrame]) -> list[str]:
    what = {
        "dependent": "Dependent and warm",
        "isolated": "Isolated",
        "network": "In the network workload",
        "gpu": "In the GPU workload",
    }
    said = [sentences.leaders_sentence(rows, what[name]) for name, rows in columns.items()]
    return ["What the figures say:", *(text.wrap("- " + line, indent="  ") for line in said)]


def _how_sure(facts: Facts, network: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    rank, turned = compare.agreement(network, second)
    pairs = [f"{a} and {b}" for a, b in turned]
    other = compare.standing(second).leaders
    on_second = (
        f"On {facts.second_title} the order in the network workload has rank correlation "
        f"{rank:.2f} with the above; cheapest there: {sentences.join_names(other)}."
    )
    on_second += (
        f" Pairs that change places: {', '.join(pairs)}."
        if pairs
        else " No pair clearly changes places."
    )
    interval = (
        "How sure: the intervals tell how much hangs on the seed (placement, order, popularity), "
        "not how well the model fits a real machine. Differences within them, or below 5 % or "
        "0.2 ns, count as level. Not modelled: the instruction cache and fetch, the machine's own "
        "branch predictor and prefetchers (simple ones stand in), other cores (nobody else writes "
        "these lines here), interrupts, SMT."
    )
    return [text.wrap(interval), text.wrap(on_second)]


def _reproduce(facts: Facts) -> str:
    setting = facts.setting
    seeds = f"{setting.seed}..{setting.seed + setting.replicates - 1}"
    # a wheel knows its version alone, and has no Makefile
    known = facts.commit != "unknown"
    commit = f", commit {facts.commit}" if known else ""
    report = "make report" if known else "cgsim report"
    return (
        text.wrap(
            f"cgsim {facts.version}{commit}; kernel {setting.kernel}; machines "
            f"{setting.machine}, {facts.second_machine}; seeds {seeds}. This mail again, and all "
            "figures behind it:"
        )
        + f"\n\n{_shell(facts.command)}\n  $ {report}"
    )


def _shell(command: str) -> str:
    """A command line, continued over several lines where it is long."""
    lines = text.wrap(command, columns=text.PROSE_COLUMNS - 8).split("\n")
    return "  $ " + " \\\n      ".join(lines)
