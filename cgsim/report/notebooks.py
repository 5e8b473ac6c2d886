"""Notebooks: from their text sources to executed files, in parallel processes.

The sources are Python files in jupytext's percent format. Each is run by papermill in a kernel of
its own; a pool of spawned processes runs several at a time.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError, unknown_name
from cgsim.files import write_atomically
from cgsim.processes import environment, worker_pool
from cgsim.report.imports import skip_address_grammar
from cgsim.report.notebook_kernel import kernel_manager
from cgsim.report.parameters import Declared, check_cell, declared_parameters
from cgsim.report.publish import checksum
from cgsim.studies import leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.queues import SimpleQueue
    from pathlib import Path

    from cgsim.report.progress import Progress

_CELL_TIMEOUT_S = 3600
_POLL_S = 0.2


@dataclass(frozen=True)
class Notebook:
    """One notebook source: its title and one-line description are its first markdown cell's.

    check : the source of the cell that checks its parameters.
    """

    name: str
    source: Path
    title: str
    description: str
    parameters: tuple[Declared, ...]
    cells: int
    check: str = ""


@dataclass(frozen=True)
class Job:
    """One run: `source` and `output` are .ipynb files, `log` takes what the kernel prints.

    leaves : the directory for the notebook's frames and figures.
    """

    name: str
    source: Path
    output: Path
    log: Path
    leaves: Path
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `failure` is empty if it ended well."""

    name: str
    seconds: float
    failure: str = ""


def find_notebooks(directory: Path, only: Sequence[str] = ()) -> list[Notebook]:
    """The notebooks whose sources lie in `directory`, in the order of their names.

    `only` picks some of them by name. Raises UserError if there is none, for a name in `only`
    that does not exist, and for a source whose parameters cell is malformed.
    """
    sources = {path.stem: path for path in sorted(directory.glob("*.py"))}
    if not sources:
        raise UserError(f"{directory}: no notebook sources (*.py) here")
    for name in only:
        if name not in sources:
            raise unknown_name("notebook", name, sources)
    return [_describe(path) for name, path in sources.items() if not only or name in only]


def read_source(path: Path) -> Any:
    """The notebook (an nbformat node) of a percent-format source.

    Cell ids follow from the cells' positions, so that the same source gives the same bytes.
    """
    skip_address_grammar()
    import jupytext

    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    # JupyterLab then saves edits to the source too.
    notebook.metadata.setdefault("jupytext", {})["formats"] = "ipynb,py:percent"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def write_ipynb(source: Path, target: Path) -> Path:
    """Write the .ipynb of a percent-format source; returns `target`."""
    skip_address_grammar()
    import nbformat

    notebook = read_source(source)
    notebook.metadata["cgsim"] = {"checksum": checksum(notebook)}
    return write_atomically(target, nbformat.writes(notebook) + "\n")


def is_as_written(path: Path) -> bool:
    """Whether an .ipynb is as `write_ipynb` wrote it: neither edited nor run."""
    try:
        notebook = json.loads(path.read_bytes())
        claimed = notebook["metadata"].pop("cgsim")["checksum"]
        # files hold a text as its lines
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"])
        return not path.is_symlink() and bool(claimed == checksum(notebook))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def refresh(
    notebooks: Iterable[Notebook],
    directory: Path,
    warn: Callable[[str], object] = lambda message: None,
) -> list[Path]:
    """Write the .ipynb files that `directory` lacks or that are older than their sources.

    One that was edited or run is left alone, and `warn` is called with a line if it is older.
    Returns all paths.
    """
    paths = []
    for notebook in notebooks:
        target = directory / f"{notebook.name}.ipynb"
        if not target.exists() or target.stat().st_mtime < notebook.source.stat().st_mtime:
            if target.exists() and not is_as_written(target):
                warn(f"{target}: edited or run, and older than {notebook.source}; left alone")
            else:
                write_ipynb(notebook.source, target)
        paths.append(target)
    return paths


def run_all(jobs: Sequence[Job], workers: int, progress: Progress, cells: int) -> list[Outcome]:
    """Run every job, `workers` at a time; returns their outcomes in the order of the jobs.

    A job that fails does not stop the others. `cells` is the number of cells of all together,
    which `progress` counts.
    """
    if not jobs:
        return []
    ticks = multiprocessing.get_context("spawn").SimpleQueue()
    progress.start(cells)
    outcomes: dict[str, Outcome] = {}
    try:
        with worker_pool(min(workers, len(jobs)), _share, (ticks,)) as pool:
            pending: set[Future[Outcome]] = {pool.submit(_run, job) for job in jobs}
            while pending:
                done, pending = wait(pending, _POLL_S, FIRST_COMPLETED)
                while not ticks.empty():
                    progress.step(ticks.get())
                for future in done:
                    outcome = future.result()
                    outcomes[outcome.name] = outcome
                    progress.finished(outcome.name, outcome.seconds)
    finally:
        progress.close()
    return [outcomes[job.name] for job in jobs]


_ticks: SimpleQueue[str] | None = None


def _share(ticks: SimpleQueue[str]) -> None:
    """Give a worker process the queue that it reports executed cells to."""
    global _ticks
    _ticks = ticks
    # Kernels show figures in the notebook, whatever the user's own setting is.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"


def _run(job: Job) -> Outcome:
    """Run one job in this process."""
    start = time.perf_counter()
    with output_to(job.log):
        failure = _execute(job)
    return Outcome(job.name, round(time.perf_counter() - start, 3), failure)


def _execute(job: Job) -> str:
    """Execute a notebook; returns what failed, or an empty text."""
    skip_address_grammar()
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    def tick(**_: object) -> None:
        if _ticks is not None:
            _ticks.put(job.name)

    left = {leave.DIRECTORY: os.fspath(job.leaves), leave.OWNER: job.name}
    try:
        with environment(left):
            papermill.execute_notebook(
                _literal(job.source),
                _literal(job.output),
                parameters=job.parameters,
                kernel_name="python3",
                kernel_manager_class=kernel_manager(),
                cwd=os.fspath(job.output.parent),
                progress_bar=False,
                execution_timeout=_CELL_TIMEOUT_S,
                on_cell_executed=tick,
            )
    except PapermillExecutionError as error:
        cells = nbformat.read(job.output, as_version=4).cells
        # papermill puts a cell with a banner at the top and one with an anchor before the culprit.
        added = ("papermill-error-cell-tag", "injected-parameters")
        own = [c for c in cells if not set(added) & set(c.metadata.get("tags", ()))]
        number = next((i for i, c in enumerate(own) if c.source == error.source), -1)
        first_line = next((line for line in error.source.splitlines() if line.strip()), "")
        return f"cell {number + 1} ({first_line.strip()[:60]}): {error.ename}: {error.evalue}"
    except Exception as error:  # a dead kernel, a time-out, an unreadable file: all are reported
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return ""


def _literal(path: Path) -> str:
    """A path for papermill, which takes `{name}` in one for the value of a parameter."""
    return os.fspath(path).replace("{", "{{").replace("}", "}}")


def _describe(path: Path) -> Notebook:
    """What a source says of itself."""
    notebook = read_source(path)
    title, description = path.stem, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading, _, rest = cell.source.strip().partition("\n")
            title = heading.lstrip("# ").strip() or title
            description = " ".join(rest.strip().partition("\n\n")[0].split())
            break
    try:
        parameters = tuple(declared_parameters(notebook))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    check = check_cell(notebook.cells)
    return Notebook(path.stem, path, title, description, parameters, len(notebook.cells), check)


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Send this process' output, and that of the kernels it starts, to a file.

    Kernels write warnings of no concern (and their real last words) to the inherited descriptors.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])
