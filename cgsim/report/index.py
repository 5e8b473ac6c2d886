"""The front page of a report."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from cgsim.report import manifest
from cgsim.report.figure import to_svg
from cgsim.report.headline import headline, headline_alt, headline_caption
from cgsim.report.html import TEMPLATES, Heading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

    from cgsim.report.mail import Reply

_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class PageLink:
    """A notebook's page, as the front page lists it."""

    file: str
    title: str
    description: str


def render_index(
    heading: Heading,
    pages: Sequence[PageLink],
    answer: Reply | None,
    facts: Sequence[tuple[str, str]],
    command: str,
) -> str:
    """The HTML of the front page.

    `answer` is the mail with its verdicts, which the page begins with (None: neither); `facts` are
    (name, value) pairs of this run, and `command` is the command line that reproduces it. All texts
    are escaped.
    """
    return _template("index.html.j2").render(
        style=(TEMPLATES / "style.css").read_text(),
        preset=heading.preset,
        commit=heading.commit,
        date=heading.date,
        version=heading.version,
        pages=pages,
        mail=answer.text if answer else "",
        verdicts=answer.verdicts if answer else (),
        picture=_picture(answer.answers) if answer else "",
        alt=headline_alt(answer.answers) if answer else "",
        caption=headline_caption(answer.answers) if answer else "",
        facts=facts,
        command=command,
    )


def render_grid(facts: Mapping[str, Any]) -> str:
    """The HTML of the page over the reports of a grid; `facts` as in its manifest."""
    rows = [
        {
            "name": each["name"],
            "values": [str(value) for value in each["parameters"].values()],
            "failure": each["failure"],
            "verdicts": each["verdicts"],
            "seconds": "" if manifest.is_reproducible() else f"{each['seconds']:.1f}",
        }
        for each in facts["sets"]
    ]
    return _template("grid.html.j2").render(
        style=(TEMPLATES / "style.css").read_text(),
        names=list(facts["grid"]),
        rows=rows,
        preset=facts["preset"],
        commit=manifest.short_commit(facts["git"]),
        version=facts["version"],
    )


def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, keep_trailing_newline=True
    )
    environment.filters["code"] = _with_code
    return environment.get_template(name)


def _with_code(text: str) -> str:
    """HTML of a text in which what stands in backticks is code, as a notebook's page shows it."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _picture(answers: Mapping[str, dict[str, Any]]) -> str:
    """The headline picture as a data URI."""
    return "data:image/svg+xml;base64," + b64encode(to_svg(headline(answers)).encode()).decode()
