"""Pages: executed notebooks as single HTML files that ask nothing of any network.

The template `cgsim` builds on nbconvert's plain one, so there are no fonts, style sheets or scripts
to fetch. One small script of our own is in the page; the page's content policy knows its hash, and
forbids all else. What it brings to life stands there without it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError
from cgsim.files import write_atomically
from cgsim.report.anchors import inline_svg, with_anchors
from cgsim.report.imports import skip_address_grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPLATES = Path(__file__).parent / "templates"
PAGE_LIMIT_BYTES = 1_000_000
_INTERACTIVE_NOTE = (
    "*Here the notebook has sliders. They need a running kernel: open it with `make lab`.*"
)
EXPLORER = "application/vnd.cgsim.explorer+json"
"""Of an output that a page's script draws: `cgsim.report.widgets`."""
_FOLD = re.compile(r'<h3 class="fold">(.*?)</h3>')
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
    machine: str = ""
    """Which machine the page simulates, and which others do."""


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
            **script(),
        }
    }
    with warnings.catch_warnings():
        # nbconvert warns of images in its own templates that it cannot see the text of.
        warnings.simplefilter("ignore")
        text, _ = exporter.from_notebook_node(notebook, resources=resources)
    pages = [name for name, _ in job.pages]
    return with_anchors(_to_pages(str(text), pages))


def _to_pages(text: str, pages: Sequence[str]) -> str:
    """Links between notebooks as links between their pages; where there is no page, as words."""

    def linked(match: re.Match[str]) -> str:
        page = f"{match[1]}.html"
        return f'<a href="{page}">{match[2]}</a>' if page in pages else match[2]

    return re.sub(r'<a href="([\w-]+)\.ipynb"[^>]*>(.*?)</a>', linked, text, flags=re.DOTALL)


def script() -> dict[str, str]:
    """The pages' script, and the content policy that lets it run, and nothing else."""
    text = (TEMPLATES / "page.js").read_text().strip()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    return {"script": text, "policy": policy}


def embedded(data: Any) -> str:
    """Data as JSON that may stand in a page's element `script`."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


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
    """Drop widgets and their random ids; put code at the next output, pictures into the page."""
    notebook.metadata.pop("widgets", None)
    cells, code, number = [], [], 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if cell.cell_type == "code":
            code.append(cell.source.strip())
        if "interactive" in tags and not _draws(cell):
            cell.cell_type = "markdown"
            cell.source = _INTERACTIVE_NOTE
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
        elif cell.cell_type == "code" and not cell.outputs:
            continue
        elif cell.cell_type == "code":
            cell.metadata["code"] = "\n\n".join(code)
            code = []
            for output in cell.outputs:
                number = _prepare(output, number)
            _fold(cell.outputs)
        cells.append(cell)
    notebook.cells = cells


def _fold(outputs: list[Any]) -> None:
    """Mark outputs that begin (with their title) and end what a page folds: the first is open."""
    last: Any = None
    for output in outputs:
        text = output.get("data", {}).get("text/html", "")
        title = _FOLD.match(text)
        if title:
            if last is not None:
                last["unfold"] = True
            output["fold"], output["open"] = title[1], last is None
            output["data"]["text/html"] = text[title.end() :]
        if title or last is not None:
            last = output
    if last is not None:
        last["unfold"] = True


def _draws(cell: Any) -> bool:
    """Whether a page can show what the cell displays, though it has no kernel."""
    return any(EXPLORER in output.get("data", {}) for output in cell.get("outputs", ()))


def _prepare(output: Any, number: int) -> int:
    """Make an output's picture and data a page's; returns the number of pictures so far."""
    data, metadata = output.get("data", {}), output.get("metadata", {})
    if EXPLORER in data:
        text, table = embedded(data[EXPLORER]), data.get("text/html", "")
        data.clear()
        data["text/html"] = (
            f'<div class="explorer">{table}</div>'
            f'<script class="explorer" type="application/json">{text}</script>'
        )
    number += any(kind in data for kind in _FIGURES)
    if "image/svg+xml" in data:
        data["image/svg+xml"] = inline_svg("".join(data["image/svg+xml"]), number)
        own = metadata.get("image/svg+xml", {})
        if own.get("points"):
            own["embedded"] = embedded(own["points"])
    for kind in _FIGURES:
        if kind in data:
            output.setdefault("metadata", {}).setdefault(kind, {})["number"] = number
    return number
