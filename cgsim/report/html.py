"""Pages: executed notebooks as single HTML files that ask nothing of any network.

The template `cgsim` builds on nbconvert's plain one, so there are no scripts, no fonts and no
style sheets to fetch; the pages' own content policy forbids them too.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError
from cgsim.files import write_atomically
from cgsim.report.imports import skip_address_grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPLATES = Path(__file__).parent / "templates"
PAGE_LIMIT_BYTES = 1_000_000
_INTERACTIVE_NOTE = (
    "*Here the notebook has sliders. They need a running kernel: open it with `make lab`.*"
)
_FIGURES = ("image/png", "image/jpeg", "image/svg+xml")


@dataclass(frozen=True)
class Heading:
    """What a page's first lines say, beside its title."""

    title: str
    preset: str
    commit: str
    date: str
    version: str
    source: str


@dataclass(frozen=True)
class PageJob:
    """One page: the executed notebook, its heading, and the (name, value) pairs it ran with."""

    executed: Path
    page: Path
    heading: Heading
    parameters: tuple[tuple[str, str], ...]
    pages: tuple[tuple[str, str], ...]


def export(job: PageJob) -> int:
    """Write the page of an executed notebook; returns its size in bytes.

    Raises UserError for a figure without alternative text, and for a page above the limit.
    """
    skip_address_grammar()
    import nbformat

    notebook = nbformat.read(job.executed, as_version=4)
    data = render(notebook, job).encode()
    if len(data) > PAGE_LIMIT_BYTES:
        raise UserError(
            f"{job.page.name}: {len(data)} bytes; allowed: {PAGE_LIMIT_BYTES} "
            f"(fewer or smaller figures)"
        )
    write_atomically(job.page, data)
    return len(data)


def render(notebook: Any, job: PageJob) -> str:
    """The HTML of an executed notebook (an nbformat node, which is changed)."""
    from nbconvert import HTMLExporter

    check_figures(notebook, job.executed.stem)
    _strip(notebook)
    exporter = HTMLExporter(
        template_name="cgsim",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    resources = {
        "cgsim": {
            "heading": job.heading,
            "parameters": job.parameters,
            "pages": job.pages,
            "style": (TEMPLATES / "style.css").read_text(),
            "this": job.page.name,
        }
    }
    with warnings.catch_warnings():
        # nbconvert warns of images in its own templates that it cannot see the text of.
        warnings.simplefilter("ignore")
        text, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(text)


def check_figures(notebook: Any, name: str) -> None:
    """Refuse (UserError) a figure that lacks alternative text.

    The text is the figure's own (`display(figure, metadata={"image/png": {"alt": ...}})`) or the
    cell's (`# %% alt="..."`).
    """
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()):
            for kind in _FIGURES:
                if kind not in output.get("data", {}):
                    continue
                own = output.get("metadata", {}).get(kind, {}).get("alt")
                if not str(own or cell.metadata.get("alt") or "").strip():
                    raise UserError(
                        f"{name}: the figure of cell {number} has no alternative text; "
                        f"give it in the output's metadata or as the cell's `alt`"
                    )


def parameter_pairs(declared: Sequence[Any], given: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The (name, value) pairs of a run, from declared defaults and what was given."""
    return tuple((p.name, repr(given.get(p.name, p.default))) for p in declared)


def _strip(notebook: Any) -> None:
    """Drop what a page cannot show: widgets, their random ids, code cells without output."""
    notebook.metadata.pop("widgets", None)
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "interactive" in tags:
            cell.cell_type = "markdown"
            cell.source = _INTERACTIVE_NOTE
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
        elif cell.cell_type == "code" and not cell.outputs:
            continue
        cells.append(cell)
    notebook.cells = cells
