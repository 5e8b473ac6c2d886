"""A whole report: notebooks run, pages exported, mail and manifest written, then put in place."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError, out_of_range, unknown_name
from cgsim.files import write_atomically
from cgsim.processes import environment, guarded, worker_pool
from cgsim.report import html, kept_pages, manifest, publish
from cgsim.report import notebooks as nb
from cgsim.report.index import PageLink, render_index
from cgsim.report.parameters import check_declared, check_values
from cgsim.report.progress import StageClock
from cgsim.resources import checkout_directory, notebooks_directory
from cgsim.studies import own_store, tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cgsim.report.mail import Reply

PRESETS = ("quick", "full")
_TALLY = ".points"
MAIL_PARAMETERS = (
    "machine", "second_machine", "kernel", "seed", "replicates", "n_keys", "n_cgroups",
)  # fmt: skip
"""Parameters of the notebooks that reach the mail and the front page too."""


class ReportFailure(Exception):
    """A report that could not be finished; the message names what failed and where to look."""


@dataclass(frozen=True)
class Report:
    """A finished report: its directory, the seconds that each stage took, the mail's verdicts."""

    directory: Path
    seconds: dict[str, float]
    verdicts: tuple[str, ...] = ()


def build_report(
    out: str | Path = "reports",
    preset: str = "quick",
    *,
    parameters: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    notebooks: str | Path | None = None,
    workers: int | None = None,
    warm: bool = True,
    mail: bool = True,
) -> Report:
    """Run the notebooks and write a report into the directory `out`.

    A page of the report that lies there is kept if nothing that it is made from has changed:
    `cgsim.report.kept_pages`.

    Parameters
    ----------
    out
        Written to when everything has succeeded. Only files that a report has written there, and
        that are as they were, are replaced or removed: `cgsim.report.publish`.
    preset
        One of `PRESETS`; given to every notebook that declares a parameter `preset`.
    parameters
        Values for the notebooks that declare a parameter of that name; `NOTEBOOK.NAME` (or the
        notebook's number, `01.NAME`) sets it in one notebook alone.
    only
        Names of the notebooks to run; all if empty.
    notebooks
        Directory of the sources; the package's own if None.
    workers
        Notebooks that run at a time; one a core if None.
    warm, mail
        Whether to compile the engine once before the notebooks start, and to write mail.txt.

    Raises
    ------
    UserError
        Before anything runs: an unknown preset, notebook or parameter, a value of a wrong type, a
        directory that holds something else than a report, or a changed file of one.
    ReportFailure
        A notebook failed or a page was refused. `out` is as it was; the executed notebooks lie in
        `<out>.failed`. Or the package's files changed meanwhile, so that its parts may be of two
        states.
    """
    check_options(out, preset, workers)
    # a symbolic link stays one: the report goes where it leads
    target = Path(out).resolve()
    directory = Path(notebooks) if notebooks else notebooks_directory()
    clock = StageClock()
    state, package = manifest.git_state(), manifest.package_hash()
    with clock.stage("prepare"):
        found = nb.find_notebooks(directory, only)
        check_target(target, found, mail=mail)
        given = distribute(found, dict(parameters or {}), preset)
        inputs = manifest.inputs()
        pages = tuple((f"{notebook.name}.html", notebook.title) for notebook in found)
        machines = machine_of_pages(found, given)
        shared = kept_pages.shared(state, package, inputs, pages, machines)
        wanted = {
            notebook.name: kept_pages.made_from(notebook, given[notebook.name], shared)
            for notebook in found
            if directory.resolve() == notebooks_directory().resolve()
        }
        root = checkout_directory()
        if root and directory.resolve() == (root / "notebooks").resolve():
            nb.refresh(found, directory)
    if warm:
        with clock.stage("compile"):
            compile_first(clock, workers or manifest.usable_cores())
    # the mail is simulated beside the notebooks, in a process of its own
    with (
        publish.unfinished(target) as aside,
        guarded(aside),
        environment({**_jupyter_folders(aside), tally.TALLY: os.fspath(aside / _TALLY)}),
        worker_pool(1) as mailer,
    ):
        options = of_mail(dict(parameters or {}))
        written = mailer.submit(_write_mail, aside, preset, options) if mail else None
        work = aside / "executed"
        with clock.stage("notebooks"):
            kept = kept_pages.keep(target, aside, wanted)
            for name in kept:
                clock.say(f"  {name:<24}   kept: made from the same as before")
            run = [notebook for notebook in found if notebook.name not in kept]
            jobs = _jobs(run, given, work, aside)
            count = workers or manifest.usable_cores()
            cells = sum(notebook.cells + bool(given[notebook.name]) for notebook in run)
            outcomes = nb.run_all(jobs, count, clock.progress(), cells)
        _stop_on_failures(outcomes, work, target)
        content = _manifest(preset, found, given, inputs) | {"git": state}
        heading = _heading(preset, content)
        content["notebooks"] |= kept
        for outcome in outcomes:
            content["notebooks"][outcome.name] |= {
                "seconds": outcome.seconds,
                "date": content["date"],
                "made_from": wanted.get(outcome.name, ""),
            }
        try:
            with clock.stage("pages"):
                _export_pages(run, given, heading, work, aside, count, pages, machines)
        except UserError as error:
            raise ReportFailure(_keep(work, target, [str(error)])) from None
        shutil.rmtree(work, ignore_errors=not run)
        answer = None
        if written is not None:
            with clock.stage("mail"):
                answer = written.result()
        content["points"] = tally.read_tally(aside / _TALLY)
        own_store.tidy_store()
        content["seconds"] = {**clock.seconds, "total": clock.total()}
        _write_index(aside, heading, found, answer, content)
        if manifest.package_hash() != package:
            raise ReportFailure(
                "the files of cgsim changed while the report was made, so that its pages may be of "
                "two states; the old report stays: make it again"
            )
        try:
            publish.place(aside, content, target)
        except publish.Foreign as error:
            raise ReportFailure(str(error)) from None
    print(f"{'total':<12}{clock.total():7.1f} s", file=sys.stderr)
    verdicts = answer.verdicts if answer else ()
    return Report(Path(out).absolute(), content["seconds"], verdicts)


def check_options(out: str | Path, preset: str, workers: int | None) -> None:
    """Refuse (UserError) what a report cannot be built with."""
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if workers is not None and workers < 1:
        raise UserError(f"workers = {workers} is not allowed; allowed: 1 or more")
    if not isinstance(out, str | os.PathLike):
        raise out_of_range("report", "out", out, "the path of a directory")


def check_target(target: Path, found: Sequence[nb.Notebook], *, mail: bool) -> None:
    """Refuse (UserError) a directory in which files of others are in the way."""
    names = [f"{notebook.name}.html" for notebook in found]
    publish.check_free(target, [*names, "index.html", *(["mail.txt"] if mail else [])])


def distribute(
    notebooks: Sequence[nb.Notebook], parameters: dict[str, Any], preset: str
) -> dict[str, dict[str, Any]]:
    """The given parameters of each notebook.

    Raises UserError for one that none declares, and for a value that a notebook does not allow.
    """
    if "preset" in parameters:
        raise UserError("parameter preset: is the report's own; give it as --preset")
    given: dict[str, dict[str, Any]] = {}
    used = set()
    for notebook in notebooks:
        names = {p.name for p in notebook.parameters}
        values: dict[str, Any] = {"preset": preset} if "preset" in names else {}
        number = notebook.name.partition("_")[0]
        for key, value in parameters.items():
            owner, dot, name = key.rpartition(".")
            if (dot and owner in (notebook.name, number)) or (not dot and name in names):
                values[name] = value
                used.add(key)
        try:
            check_declared(notebook.parameters, values)
            if values.keys() - {"preset"}:
                check_values(notebook.check, notebook.parameters, values)
        except UserError as error:
            raise UserError(f"notebook {notebook.name}: {error}") from None
        given[notebook.name] = values
    for key in parameters:
        if key not in used:
            known = {p.name for notebook in notebooks for p in notebook.parameters}
            raise unknown_name("parameter", key, known)
    return given


def _jobs(
    notebooks: Sequence[nb.Notebook],
    given: Mapping[str, dict[str, Any]],
    work: Path,
    leaves: Path,
) -> list[nb.Job]:
    """One job a notebook, its .ipynb written into `work`; it leaves frames and figures apart."""
    jobs = []
    for notebook in notebooks:
        source = nb.write_ipynb(notebook.source, work / "sources" / f"{notebook.name}.ipynb")
        jobs.append(
            nb.Job(
                name=notebook.name,
                source=source,
                output=work / f"{notebook.name}.ipynb",
                log=work / f"{notebook.name}.log",
                leaves=leaves,
                parameters=given[notebook.name],
            )
        )
    return jobs


def _stop_on_failures(outcomes: Sequence[nb.Outcome], work: Path, target: Path) -> None:
    """Raise ReportFailure if a notebook failed."""
    lines = [f"notebook {o.name}, {o.failure}" for o in outcomes if o.failure]
    if lines:
        raise ReportFailure(_keep(work, target, lines))


def _keep(work: Path, target: Path, lines: list[str]) -> str:
    """Keep what was executed for reading; returns the message for a failure."""
    kept = target.with_name(f"{target.name}.failed")
    try:
        with publish.unfinished(kept) as aside:
            for path in work.iterdir():
                if path.is_file():
                    shutil.copy2(path, aside / path.name)
            publish.place(aside, {"tool": "cgsim", "schema": manifest.SCHEMA}, kept)
    except (publish.Foreign, OSError) as error:
        return "\n".join([*lines, f"the executed notebooks were not kept: {error}"])
    return "\n".join([*lines, f"the executed notebooks and their logs are in {kept}"])


def _manifest(
    preset: str,
    notebooks: Sequence[nb.Notebook],
    given: Mapping[str, dict[str, Any]],
    inputs: list[dict[str, Any]],
) -> dict[str, Any]:
    """The record of this run, but for its times and files."""
    ran = {
        notebook.name: {
            p.name: given[notebook.name].get(p.name, p.default) for p in notebook.parameters
        }
        for notebook in notebooks
    }
    now = manifest.now()
    return {
        "tool": "cgsim",
        "schema": manifest.SCHEMA,
        "version": manifest.version(),
        "date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "preset": preset,
        "host": manifest.host(),
        "versions": manifest.package_versions(),
        "notebooks": {n.name: {"title": n.title, "parameters": ran[n.name]} for n in notebooks},
        "seeds": manifest.seeds(ran),
        "inputs": inputs,
    }


def _heading(preset: str, content: Mapping[str, Any]) -> html.Heading:
    """The heading that all pages share; title and source are filled in by page."""
    return html.Heading(
        title="",
        preset=preset,
        commit=manifest.short_commit(content["git"]),
        date=content["date"].replace("T", " ").replace("Z", " UTC"),
        version=content["version"],
        source="",
    )


def _export_pages(
    notebooks: Sequence[nb.Notebook],
    given: Mapping[str, dict[str, Any]],
    heading: html.Heading,
    work: Path,
    aside: Path,
    workers: int,
    pages: tuple[tuple[str, str], ...],
    machines: Mapping[str, str],
) -> None:
    """Write one HTML page a notebook; `pages` and `machines` are those of the whole report."""
    jobs = [
        html.PageJob(
            executed=work / f"{notebook.name}.ipynb",
            page=aside / f"{notebook.name}.html",
            heading=html.Heading(
                **{
                    **asdict(heading),
                    "title": notebook.title,
                    "source": f"notebooks/{notebook.source.name}",
                    "machine": machine_line(notebook.name, machines),
                }
            ),
            parameters=html.parameter_pairs(notebook.parameters, given[notebook.name]),
            pages=pages,
        )
        for notebook in notebooks
    ]
    if len(jobs) <= 1:
        for job in jobs:
            html.export(job)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        list(pool.map(html.export, jobs))


def machine_of_pages(
    notebooks: Sequence[nb.Notebook], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The machine that each notebook simulates, of those that have such a parameter."""
    return {
        notebook.name: str(given[notebook.name].get(p.name, p.default))
        for notebook in notebooks
        for p in notebook.parameters
        if p.name == "machine"
    }


def machine_line(name: str, machines: Mapping[str, str]) -> str:
    """'Machine of this page: zen4-genoa; of others: zen5-vm (00, 01)'; "" if it has none."""
    if name not in machines:
        return ""
    others: dict[str, list[str]] = {}
    for page, machine in machines.items():
        if machine != machines[name]:
            others.setdefault(machine, []).append(page.partition("_")[0])
    text = f"Machine of this page: {machines[name]}"
    if others:
        said = [f"{machine} ({', '.join(pages)})" for machine, pages in others.items()]
        text += f"; of others: {', '.join(said)}"
    return text


def _write_index(
    aside: Path,
    heading: html.Heading,
    notebooks: Sequence[nb.Notebook],
    answer: Reply | None,
    content: Mapping[str, Any],
) -> None:
    """Write the front page."""
    machine = content["host"]
    facts = [
        ("computed on", f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}"),
        (
            "versions",
            ", ".join(f"{n} {content['versions'][n]}" for n in ("python", "numpy", "numba")),
        ),
        ("inputs", f"{len(content['inputs'])} files"),
    ]
    if not manifest.is_reproducible():
        seconds = content["seconds"].items()
        facts.append(("seconds", ", ".join(f"{name} {value:.1f}" for name, value in seconds)))
    pages = [PageLink(f"{n.name}.html", n.title, n.description) for n in notebooks]
    command = " ".join(content["command"])
    write_atomically(aside / "index.html", render_index(heading, pages, answer, facts, command))


def compile_first(clock: StageClock, workers: int) -> None:
    """Compile what the notebooks will call, once, so that parallel kernels find it cached."""
    from cgsim.report.warm import for_notebooks, warm

    warm(for_notebooks(), workers, clock.progress("pieces"))


def of_mail(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The report's parameters that the mail has too; 0 and "" stand for its own default."""
    return {name: parameters[name] for name in MAIL_PARAMETERS if parameters.get(name)}


def _write_mail(aside: Path, preset: str, options: Mapping[str, Any]) -> Reply:
    """Write mail.txt; returns what it says."""
    from cgsim.report.mail import write_mail

    return write_mail(aside, preset, **options)


def _jupyter_folders(aside: Path) -> dict[str, str]:
    """Where kernels keep what is theirs: not among the user's, who may have no home either."""
    return {
        "IPYTHONDIR": str(aside / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(aside / "runtime"),
    }
