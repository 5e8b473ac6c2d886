"""Anchors, contents, and pictures as part of a page."""

from __future__ import annotations

from cgsim.report.anchors import inline_svg, with_anchors


def test_headings_have_places() -> None:
    """Each heading has an id of its own and a link; the contents list them, nested."""
    page = with_anchors(
        "<section><h1>T</h1></section><h2>A <i>b</i></h2><h3 class='x'>A b</h3><h2>A b</h2>"
        "<pre><h2>no</h2></pre>"
    )
    assert page.count('class="anchor"') == 3
    for name in ("a-b", "a-b-2", "a-b-3"):
        assert page.count(f'id="{name}"') == 1
        assert page.count(f'href="#{name}"') == 2
    assert "<li><ul>\n<li>" in page
    assert "<pre><h2>no</h2></pre>" in page
    assert page.index("Contents") > page.index("</h1>")


def test_few_headings_need_no_contents() -> None:
    """Two sections are seen at once."""
    assert "Contents" not in with_anchors("<section></section><h2>a</h2><h2>b</h2>")


def test_pictures_do_not_share_ids() -> None:
    """What refers to a mark finds that of its own picture."""
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg><svg ><metadata>x</metadata><style>*{}</style>'
        '<path id="m1"/><use xlink:href="#m1" clip-path="url(#c1)"/></svg>'
    )
    assert inline_svg(svg, 3) == (
        '<svg ><path id="p3-m1"/><use xlink:href="#p3-m1" clip-path="url(#p3-c1)"/></svg>'
    )
