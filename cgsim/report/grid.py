"""Reports over a grid of parameters: one of each combination, in a folder each, and an index.

Sets of parameters run in processes of their own, some at a time. One that fails does not stop the
others; what its notebooks came to is kept beside its folder, as of a single report.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError, shown
from cgsim.files import write_atomically
from cgsim.processes import guarded, worker_pool
from cgsim.report import build, manifest, publish
from cgsim.report import notebooks as nb
from cgsim.report.index import render_grid
from cgsim.report.progress import StageClock
from cgsim.resources import notebooks_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_SETS = 1000
_LONGEST_NAME = 120
_TIDY_S = 1.5


@dataclass(frozen=True)
class Outcome:
    """How the report of one set ended; `failure` is empty if it ended well.

    name : of its folder. parameters : its own values, those that the grid varies.
    """

    name: str
    parameters: dict[str, Any]
    seconds: float
    failure: str
    verdicts: tuple[str, ...] = ()


def build_grid(
    grid: Mapping[str, Sequence[Any]],
    out: str | Path = "reports",
    preset: str = "quick",
    *,
    parameters: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
    notebooks: str | Path | None = None,
    workers: int | None = None,
    warm: bool = True,
    mail: bool = True,
) -> list[Outcome]:
    """Build a report of each combination of the grid's values into a folder of `out`.

    Parameters
    ----------
    grid
        Several values for each name of a parameter, named as in `build_report`.
    workers
        Reports that run at a time, and if there are fewer, notebooks of each; one a core if None.
    out, preset, parameters, only, notebooks, warm, mail
        As of `build_report`, for all reports.

    Raises
    ------
    UserError
        Before anything runs, as `build_report` does, for any of the sets.
    """
    build.check_options(out, preset, workers)
    fixed = dict(parameters or {})
    sets = _sets(grid, fixed)
    target = Path(out).resolve()
    clock = StageClock()
    clock.say(f"{len(sets)} set{'s' if len(sets) > 1 else ''} of parameters")
    with clock.stage("prepare"):
        found = nb.find_notebooks(Path(notebooks) if notebooks else notebooks_directory(), only)
        publish.check_free(target, ["index.html"])
        for name, values in sets.items():
            build.check_target(target / name, found, mail=mail)
            build.distribute(found, fixed | values, preset)
    count = workers or manifest.usable_cores()
    if warm:
        with clock.stage("compile"):
            build.compile_first(clock, count)
    at_once = min(count, len(sets))
    options = {
        "preset": preset, "only": tuple(only), "notebooks": notebooks, "warm": False, "mail": mail,
        "workers": max(1, count // at_once),
    }  # fmt: skip
    with publish.unfinished(target) as aside, guarded(aside):
        with clock.stage("reports"):
            outcomes = _build_all(clock, sets, fixed, options, (target, aside), at_once)
        facts = {
            "tool": "cgsim", "schema": manifest.SCHEMA, "version": manifest.version(),
            "preset": preset, "git": manifest.git_state(), "host": manifest.host(),
            "grid": {name: list(values) for name, values in grid.items()},
            "sets": [asdict(outcome) for outcome in outcomes],
        }  # fmt: skip
        write_atomically(aside / "index.html", render_grid(facts))
        publish.place(aside, facts, target)
    return outcomes


def _sets(grid: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Folder -> the values of each set; raises UserError for a grid that has none, or too many."""
    for name, values in grid.items():
        if name in fixed:
            raise UserError(f"--grid {name}: parameter {name} is given by -p too")
        if not values:
            raise UserError(f"--grid {name}: no values; allowed: one or more")
    sets: dict[str, dict[str, Any]] = {}
    for values in itertools.product(*grid.values()):
        own = dict(zip(grid, values, strict=True))
        name = ",".join(f"{key}={_plain(value)}" for key, value in own.items())[:_LONGEST_NAME]
        if name in sets:
            name = f"{name}+{len(sets)}"
        sets[name] = own
        if len(sets) > MOST_SETS:
            raise UserError(f"--grid: more than {MOST_SETS} sets; allowed: fewer values")
    return sets


def _plain(value: Any) -> str:
    """A value as part of a file's name."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^\w.+-]+", "-", text, flags=re.ASCII).strip("-.") or "none"


def _build_all(
    clock: StageClock,
    sets: Mapping[str, dict[str, Any]],
    fixed: Mapping[str, Any],
    options: Mapping[str, Any],
    folders: tuple[Path, Path],
    at_once: int,
) -> list[Outcome]:
    """Build all, `at_once` at a time; folders : for reports, and for what they say meanwhile."""
    target, aside = folders
    progress = clock.progress("reports")
    progress.start(len(sets))
    done: dict[str, Outcome] = {}
    try:
        with worker_pool(at_once) as pool:
            pending = [
                pool.submit(
                    _build, name, values, dict(fixed), dict(options), target / name,
                    aside / f"{number}.log",
                )
                for number, (name, values) in enumerate(sets.items())
            ]  # fmt: skip
            for future in as_completed(pending):
                outcome = future.result()
                done[outcome.name] = outcome
                progress.step(outcome.name)
                progress.finished(
                    outcome.name + (" failed" if outcome.failure else ""), outcome.seconds
                )
    except BaseException:
        _remove_empty([target / name for name in sets if name not in done])
        raise
    finally:
        progress.close()
    for log in aside.glob("*.log"):
        log.unlink()
    return [done[name] for name in sets]


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove what reports that were broken off have made, once their guardians have emptied it."""
    end = time.monotonic() + _TIDY_S
    while folders and time.monotonic() < end:
        for folder in folders:
            with contextlib.suppress(OSError):
                folder.rmdir()
        folders = [folder for folder in folders if folder.exists()]
        time.sleep(0.05)


def _build(
    name: str,
    values: dict[str, Any],
    fixed: dict[str, Any],
    options: dict[str, Any],
    folder: Path,
    log: Path,
) -> Outcome:
    """Build the report of one set in this process."""
    start = time.perf_counter()
    failure = ""
    verdicts: tuple[str, ...] = ()
    try:
        with nb.output_to(log):
            verdicts = build.build_report(folder, parameters=fixed | values, **options).verdicts
    except (build.ReportFailure, UserError) as error:
        failure = str(error)
    except Exception as error:  # the others go on
        failure = f"{type(error).__name__}: {shown(str(error))}"
    return Outcome(name, values, round(time.perf_counter() - start, 3), failure, verdicts)
