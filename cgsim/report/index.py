"""The front page of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cgsim.report.html import TEMPLATES, Heading

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class PageLink:
    """A notebook's page, as the front page lists it."""

    file: str
    title: str
    description: str


def render_index(
    heading: Heading,
    pages: Sequence[PageLink],
    mail: str,
    facts: Sequence[tuple[str, str]],
    command: str,
) -> str:
    """The HTML of the front page.

    `mail` is the text of the mail ("" for none), `facts` are (name, value) pairs of this run, and
    `command` is the command line that reproduces it. All texts are escaped.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, keep_trailing_newline=True
    )
    return environment.get_template("index.html.j2").render(
        style=(TEMPLATES / "style.css").read_text(),
        preset=heading.preset,
        commit=heading.commit,
        date=heading.date,
        version=heading.version,
        pages=pages,
        mail=mail,
        facts=facts,
        command=command,
    )
