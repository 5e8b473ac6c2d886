"""Places in a page: an anchor at each heading, a table of contents, pictures with ids apart."""

from __future__ import annotations

import re
from html import unescape

_HEADING = re.compile(r"<h([1-4])([^>]*)>(.*?)</h\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_CODE = re.compile(r"<(pre|script|style|svg)\b.*?</\1>", re.DOTALL)
_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]+)')
_DROPPED = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<style\b.*?</style>", re.DOTALL
)


def with_anchors(page: str) -> str:
    """The page with an id and a link at each heading, and its contents after its first section."""
    used: set[str] = set()
    entries: list[tuple[int, str, str]] = []
    kept = {match.start(): match.end() for match in _CODE.finditer(page)}

    def anchored(match: re.Match[str]) -> str:
        if any(start < match.start() < end for start, end in kept.items()):
            return match.group()
        level, attributes, inner = int(match[1]), match[2], match[3]
        name = _unused(_slug(unescape(_TAG.sub("", inner))), used)
        attributes = _ID.sub("", attributes).rstrip()
        if level == 1:
            return f'<h1{attributes} id="{name}">{inner}</h1>'
        if level <= 3:
            entries.append((level, name, _TAG.sub("", inner)))
        if 'class="fold"' in attributes:  # in a summary, where a link has no place
            return f'<h{level}{attributes} id="{name}">{inner}</h{level}>'
        link = f'<a class="anchor" href="#{name}" aria-label="Link to this section">#</a>'
        return f'<h{level}{attributes} id="{name}">{inner} {link}</h{level}>'

    page = _HEADING.sub(anchored, page)
    return page.replace("</section>", f"</section>\n{_contents(entries)}", 1)


def _contents(entries: list[tuple[int, str, str]]) -> str:
    """The list of sections, subsections within them."""
    if len(entries) < 3:
        return ""
    lines = ['<details class="contents" open><summary>Contents</summary><ul>']
    depth = 2
    for level, name, text in entries:
        if level > depth:
            lines.append("<li><ul>")
        elif level < depth:
            lines.append("</ul></li>")
        depth = level
        lines.append(f'<li><a href="#{name}">{text}</a></li>')
    lines.append("</ul></li>" * (depth - 2) + "</ul></details>")
    return "\n".join(lines)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"


def _unused(name: str, used: set[str]) -> str:
    found, number = name, 2
    while found in used:
        found, number = f"{name}-{number}", number + 1
    used.add(found)
    return found


def inline_svg(svg: str, number: int) -> str:
    """An SVG as part of a page: without what only files need, its ids apart from other pictures'.

    number : of the picture in its page.
    """
    svg = _DROPPED.sub("", svg).strip()
    svg = _ID.sub(rf'id="p{number}-\1"', svg)
    return _REFERENCE.sub(rf"\1p{number}-\2", svg)
