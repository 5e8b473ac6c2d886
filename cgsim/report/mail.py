"""The answer to the thread as a plain-text reply: written to a file or returned, never sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cgsim.errors import UserError, unknown_name
from cgsim.experiments.paired import BEFORE
from cgsim.experiments.recommend import OTHER_SERVERS, SERVER
from cgsim.files import write_atomically
from cgsim.report import advice, text
from cgsim.report.envelope import Answered, with_headers
from cgsim.report.sentences import join_names
from cgsim.report.thread import ARCHIVE, thread_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from cgsim.experiments.recommend import Study

MACHINE, KERNEL = SERVER, "7.3.4"
PRESETS = {"quick": None, "full": 16}
"""Seeds of each preset; None: as many as decide."""

SHOWN = {
    "driver": ("hash-rcu", "list", "table", "hash", "idr"),
    "packet-hook": ("direct", "direct-inlined", "hash-rcu", "table", "list"),
    "counter": ("direct", "hash-rcu", "table"),
    "bpf-map": ("array", "storage", "htab"),
}  # fmt: skip
"""Rows of each user's table: those of the thread and what became of them; all are compared."""

CONTENDED = ("table", "hash-rcu", "hash", "v4", "dmem")
UPDATED = ("hash-rcu", "table", "idr", "direct")
SECTIONS = ("contention", "updates", "interface", "elsewhere")
"""Parts of the mail that may be left out."""
OPERATIONS = ("install", "remove", "drop key")
_CPUS = (1, 8, 28, 64)
_SAMPLES = 16
_HASH, _GUESS = "hash-rcu", "table"
_TEJUN = ("* Lookup must be really cheap.", "table per cgroup?")
_ALEXEI = ("from bpf side there should be", "do a lookup")


@dataclass(frozen=True)
class Results:
    """What the mail speaks of.

    studies, answers : by user. contention, updates : replicates of `cgsim.contention`, one per
    design and number of CPUs, and of `cgsim.upkeep`.
    """

    studies: dict[str, Study]
    answers: dict[str, dict[str, Any]]
    contention: pd.DataFrame
    updates: pd.DataFrame


@dataclass(frozen=True)
class Facts:
    """What identifies the run."""

    machine: str
    machine_title: str
    kernel: str
    seed: int
    version: str
    commit: str
    command: str


class Reply(NamedTuple):
    """The mail, and what the index takes of it."""

    text: str
    verdicts: tuple[str, ...]
    answers: dict[str, dict[str, Any]]


def write_mail(out: str | Path, preset: str = "quick", **options: Any) -> Reply:
    """Write `mail.txt` into the directory `out`; arguments as `reply`, which is returned."""
    written = reply(preset, **options)
    write_atomically(Path(out) / "mail.txt", written.text)
    return written


def mail_text(preset: str = "quick", **options: Any) -> str:
    """Simulate and write the reply: ASCII, at most 75 columns; options as of `reply`."""
    return reply(preset, **options).text


def reply(
    preset: str = "quick",
    *,
    machine: str = MACHINE,
    second_machine: str | None = None,
    kernel: str = KERNEL,
    seed: int = 1,
    replicates: int | None = None,
    n_keys: int | None = None,
    n_cgroups: int | None = None,
    users: Sequence[str] = (),
    sections: Sequence[str] = (),
    answered: Answered | None = None,
) -> Reply:
    """Simulate the answer for all four users, or those given.

    second_machine : looked at before the others for another answer. replicates : seeds; None: as
    the preset says. n_keys, n_cgroups : None: each workload's own. sections : of `SECTIONS`; none
    given: all. answered : the mail that is quoted and answered; None: the thread's.

    Raises UserError for an unknown preset, machine, kernel, user or section, and where both
    machines are one.
    """
    from cgsim.experiments.places_of_use import USERS
    from cgsim.machines import load_machine
    from cgsim.report.manifest import git_state, short_commit, version

    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if machine == second_machine:
        raise UserError(f"second_machine = {machine!r} is the first one; give another")
    chosen = [name for name in USERS if name in users] if users else list(USERS)
    for name, known in (*((n, USERS) for n in users), *((n, SECTIONS) for n in sections)):
        if name not in known:
            raise unknown_name("user" if known is USERS else "section", name, known)
    model = load_machine(machine)
    others = [OTHER_SERVERS[0] if second_machine is None else second_machine, *OTHER_SERVERS]
    others = [load_machine(name).name for name in dict.fromkeys(others)]
    given = {"n_keys": n_keys, "n_cgroups": n_cgroups, "replicates": replicates}
    command = f"cgsim mail --preset {preset} --machine {machine} --seed {seed}"
    if second_machine is not None:
        command += f" --second-machine {second_machine}"
    if kernel != KERNEL:
        command += f" --kernel {kernel}"
    for name, option in (
        ("n_keys", "keys"),
        ("n_cgroups", "cgroups"),
        ("replicates", "replicates"),
    ):
        if given[name] is not None:
            command += f" --{option} {given[name]}"
    command += "".join(f" --user {name}" for name in users)
    command += "".join(f" --section {name}" for name in sections)
    given["replicates"] = replicates or PRESETS[preset]
    results = run(machine, kernel, seed, others, given, chosen, sections or SECTIONS)
    facts = Facts(machine, model.title, kernel, seed, version(), short_commit(git_state()), command)
    verdicts = tuple(advice.verdict(answer) for answer in results.answers.values())
    letter = compose(facts, results, sections or SECTIONS, answered or Answered())
    return Reply(letter, verdicts, results.answers)


def run(
    machine: str,
    kernel: str,
    seed: int,
    others: Sequence[str],
    given: Mapping[str, int | None],
    users: Sequence[str],
    sections: Sequence[str] = SECTIONS,
) -> Results:
    """Simulate what the mail speaks of; frames of sections left out are empty."""
    import pandas as pd

    from cgsim.experiments.contention import contention
    from cgsim.experiments.recommend import answer_of, elsewhere, study_user
    from cgsim.experiments.upkeep import upkeep
    from cgsim.machines import load_machine

    studies = {
        user: study_user(user, machine=machine, kernel=kernel, seed=seed, **given)  # type: ignore[arg-type]
        for user in users
    }
    answers = {user: answer_of(each, elsewhere(each, others)) for user, each in studies.items()}
    contended = updated = pd.DataFrame()
    if "contention" in sections:
        cpus = [n for n in _CPUS if n <= load_machine(machine).n_cpus]
        contended = contention(machine, CONTENDED, cpus=cpus, uses=("read",), seed=seed)
    if "updates" in sections:
        updates = [
            upkeep(
                name, machine, n_cgroups=200, n_keys=4, samples=_SAMPLES, replicates=1, seed=seed,
                kernel=kernel,
            )
            for name in UPDATED
        ]  # fmt: skip
        updated = pd.concat(updates, ignore_index=True)
    return Results(studies, answers, contended, updated)


def compose(
    facts: Facts,
    results: Results,
    sections: Sequence[str] = SECTIONS,
    answered: Answered = Answered(),  # noqa: B008 (frozen)
) -> str:
    """The mail, its headers first, from results alone."""
    answers = results.answers
    short: dict[str, list[str]] = {}
    for user, answer in answers.items():
        short.setdefault(advice.choice(answer), []).append(user)
    parts = [
        answered.quoted or _quoted(),
        *_opening(facts, answers),
        _listed("In short:", short),
        _guess(results.studies),
        *_users(answers),
        _contention(results.contention) if "contention" in sections else "",
        _updates(results.updates) if "updates" in sections else "",
        _interface(answers) if "interface" in sections else "",
        _elsewhere(answers) if "elsewhere" in sections else "",
        text.wrap(
            "Not modelled: the instruction cache and fetch (orders by a few ns rest on warm code), "
            "the machine's own branch predictor and prefetchers (simple ones stand in), "
            "interrupts, SMT."
        ),
        _reproduce(facts, answers),
    ]
    body = text.check_plain("\n\n".join(part for part in parts if part) + "\n")
    return with_headers(body, answered)


def _listed(head: str, said: Mapping[str, Sequence[str]]) -> str:
    """A head, and a line for each sentence with the users that it is said of."""
    lines = [f"- {join_names(users)}: {sentence}" for sentence, users in said.items()]
    return "\n".join([head, *(text.wrap(line, indent="  ") for line in lines)])


def _quoted() -> str:
    """What was asked, in their words."""
    tejun = text.quote("\n".join(["> Tejun Heo wrote:", *thread_lines(*_TEJUN)]))
    alexei = text.quote("\n".join(thread_lines(*_ALEXEI)))
    return f"On Tue, 13 Mar 2018, Alexei Starovoitov wrote:\n{tejun}\n{alexei}"


def _opening(facts: Facts, answers: Mapping[str, dict[str, Any]]) -> list[str]:
    """What is simulated, and how far such figures were off."""
    hook = answers[_first(answers)]["error"]
    said = (
        "The question was [0] how cheap a lookup of per-cgroup private data can be. All figures "
        "here are simulated, not measured: cgsim plays each design's loads, stores and branches "
        f"with the struct offsets of Linux {facts.kernel} on a model of {facts.machine_title} "
        f"(profile {facts.machine}). {advice.error_sentence(hook)} The intervals hold that error"
    )
    if facts.machine != hook["measured_on"]:
        return [text.wrap(f"{said}; on {facts.machine} nothing was measured.")]
    return [text.wrap(f"{said}.")]


def _first(answers: Mapping[str, dict[str, Any]]) -> str:
    """The user whose error and command stand for all: the thread's own, where it is among them."""
    return "packet-hook" if "packet-hook" in answers else next(iter(answers))


def _guess(studies: Mapping[str, Study]) -> str:
    """How the thread's guess stands against the pointer hash that it doubts; "" if nowhere."""
    found: dict[str, list[str]] = {}
    for user, study in studies.items():
        if {_GUESS, _HASH} <= study.costs.added.keys():
            apart = study.costs.compare(_HASH, _GUESS)
            who, verdict = user, apart.verdict
            if verdict == BEFORE:
                verdict = "before it" if apart.first == _HASH else "behind it"
                who += f" ({apart.ns:.1f} +- {apart.error_ns:.1f} ns)"
            found.setdefault(verdict, []).append(who)
    if not found:
        return ""
    said = "; ".join(f"{what} for {join_names(who)}" for what, who in found.items())
    return text.wrap(
        f"The guess in the thread, an RCU-protected index table, is '{_GUESS}' here. A pointer "
        f"hash read under RCU ({_HASH}) is {said}."
    )


def _users(answers: Mapping[str, dict[str, Any]]) -> list[str]:
    """One table per user, then what stands in them."""
    shown = {user: _shown(answer) for user, answer in answers.items()}
    letters = advice.letters_of(list(answers.values()), shown)
    tables = []
    for user, answer in answers.items():
        head = f"{user}: {advice.place(answer)}; {advice.ns(answer['place_ns'])} ns before "
        head += f"a lookup. {advice.budget(answer)}"
        table = text.table(
            advice.rows(answer, shown[user], letters), advice.HEADERS, columns=text.MAIL_COLUMNS
        )
        tables.append(f"{text.wrap(head)}\n{table}")
    limits = "; ".join(f"{letter}: {limit}" for limit, letter in letters.items())
    return [*tables, text.wrap(f"{advice.LEGEND}. Limits: {limits}.")]


def _shown(answer: Mapping[str, Any]) -> list[str]:
    """The designs in a user's table, the cheapest first."""
    wanted = {*SHOWN[answer["user"]], answer["recommended"], *advice.tied(answer)}
    return [row["design"] for row in advice.usable(answer) if row["design"] in wanted]


def _contention(frame: pd.DataFrame) -> str:
    """Lookups on many CPUs, and who suffers."""
    costs = contended_ns(frame)
    cpus = sorted(next(iter(costs.values())))
    rows = [(name, *(advice.ns(each[n]) for n in cpus)) for name, each in costs.items()]
    head = "Contention: CPUs look up and read one cgroup's datum back to back, ns:"
    table = text.table(rows, ("design", *(f"{n} CPU{'s' if n > 1 else ''}" for n in cpus)))
    grown = [
        f"{name} {each[cpus[-1]] / each[cpus[0]]:.0f} times"
        for name, each in costs.items()
        if each[cpus[-1]] > 2 * each[cpus[0]]
    ]
    said = (
        f"Between {cpus[0]} and {cpus[-1]} CPUs a lookup grows with {join_names(grown)}; "
        "the others stay within twice."
        if grown
        else f"Between {cpus[0]} and {cpus[-1]} CPUs no design's lookup grows to more than twice."
    )
    return f"{head}\n{table}\n{text.wrap(said)}"


def contended_ns(frame: pd.DataFrame) -> dict[str, dict[int, float]]:
    """Design -> CPUs -> mean ns over replicates, of designs with figures."""
    known = frame[frame["ns"].notna()]
    means = known.groupby(["design", "cpus"], sort=False)["ns"].mean()
    return {
        name: {int(n): float(means[name, n]) for n in sorted(known["cpus"].unique())}
        for name in dict.fromkeys(known["design"])
    }


def _updates(frame: pd.DataFrame) -> str:
    """The update side, effects first."""
    rows = []
    for name in dict.fromkeys(frame["design"]):
        own = frame[frame["design"] == name].set_index("operation")
        install, remove, drop = (own.loc[operation] for operation in OPERATIONS)
        rows.append(
            (name, f"{install['locked']:.1f}", f"{install['allocated_bytes']:.0f}",
             f"{remove['locked']:.1f}", f"{remove['waiting_bytes']:.0f}",
             f"{drop['locked']:.0f}", f"{install['ns']:.0f}")
        )  # fmt: skip
    first = frame.iloc[0]
    head = text.wrap(
        f"Updates ({first['n_keys']} keys, {first['n_cgroups']} cgroups): locked instructions and "
        "bytes of an install, of a remove and what waits for a grace period, of dropping a key; "
        f"ns of an install ({int(first['operations'])} timed, nothing in between):"
    )
    headers = ("design", "install", "bytes", "remove", "waiting", "drop key", "ns")
    return f"{head}\n{text.table(rows, headers)}"


def _interface(answers: Mapping[str, dict[str, Any]]) -> str:
    """The thread's other half: which interface is not error-prone."""
    posted = answers[_first(answers)]["interface"]["posted"]
    broken = [f"{name.removesuffix('-as-posted')} {len(what)}" for name, what in posted.items()]
    head = (
        "Interface (cgsim explore: all schedules): properties broken as posted: "
        f"{', '.join(broken)}; mended or proposed: 0."
    )
    said: dict[str, list[str]] = {}
    for user, answer in answers.items():
        said.setdefault(advice.interface_sentence(answer), []).append(user)
    return _listed(text.wrap(head), said)


def _elsewhere(answers: Mapping[str, dict[str, Any]]) -> str:
    """Where the answers flip."""
    lines, nowhere = [], []
    for user, answer in answers.items():
        if found := advice.flips(answer):
            lines.append(f"- {user}: {'; '.join(found)}")
        else:
            nowhere.append(user)
    if nowhere:
        lines.append(f"- {join_names(nowhere)}: nowhere")
    return "Where another design is before (one number changed at a time):\n" + "\n".join(
        text.wrap(line, indent="  ") for line in lines
    )


def _reproduce(facts: Facts, answers: Mapping[str, dict[str, Any]]) -> str:
    seeds = max(answer["seeds"] for answer in answers.values())
    said = (
        f"cgsim {facts.version}, commit {facts.commit}; kernel {facts.kernel}; machine "
        f"{facts.machine}; seeds {facts.seed}..{facts.seed + seeds - 1}. This mail again, one "
        "user's numbers, all figures:"
    )
    command = "  $ " + " \\\n      ".join(
        text.wrap(facts.command, columns=text.PROSE_COLUMNS - 8).split("\n")
    )
    return (
        f"{text.wrap(said)}\n\n{command}\n  $ cgsim recommend --user {_first(answers)} --machine "
        f"{facts.machine}\n  $ make report\n\n[0] {ARCHIVE}"
    )
