"""Hostile strings in notebooks and parameters, opened in a browser: how many are executed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from cgsim.report.build import build_report

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
STRINGS = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "</code><svg onload=window.ran=1>",
    "'\"><iframe srcdoc='<script>parent.ran=1</script>'>",
    "<a href='javascript:window.ran=1' id=click>x</a>",
    "{{ ''.__class__ }}<body onpageshow=window.ran=1>",
    "<meta http-equiv=refresh content='0;url=javascript:window.ran=1'>",
    "<details open ontoggle=window.ran=1>",
)


def measure(directory: Path) -> str:
    """A sentence with the number of strings, places and executions."""
    if not os.access(CHROMIUM, os.X_OK):
        return "Not checked here: chromium is not installed."
    sources = directory / "hostile-notebooks"
    sources.mkdir()
    for number, text in enumerate(STRINGS):
        (sources / f"{number:02d}_x.py").write_text(
            f"# %% [markdown]\n# # Title {text}\n#\n# Text {text}\n\n"
            f'# %% tags=["parameters"]\nword: str = "plain"  # {text}\n\n'
            "# %%\nfrom IPython.display import HTML, display\n"
            "print(word)\ndisplay(HTML(word))\nword\n"
        )
    out = directory / "hostile-report"
    parameters = {f"{number:02d}.word": text for number, text in enumerate(STRINGS)}
    build_report(out, notebooks=sources, parameters=parameters, warm=False, mail=False)
    pages = sorted(out.glob("*.html"))
    return (
        f"{len(STRINGS)} strings, each as title, text, comment, parameter, printed, shown as a "
        f"value and as HTML, on {len(pages)} pages opened in chromium: {_executed(pages)} executed."
    )


def _executed(pages: list[Path]) -> int:
    """On how many pages a string was run as code."""
    from playwright.sync_api import sync_playwright

    executed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-sync"]
        )
        for path in pages:
            page = browser.new_page()
            page.goto(path.resolve().as_uri())
            page.wait_for_timeout(300)
            for link in page.locator("a[id=click]").all():
                link.click(no_wait_after=True)
            executed += bool(page.evaluate("window.ran === 1"))
            page.close()
        browser.close()
    return executed
