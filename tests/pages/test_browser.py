"""Pages and notebooks as a person meets them: in a real browser, without a network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from cgsim.report.html import PAGE_LIMIT_BYTES
from cgsim.report.notebooks import write_ipynb
from cgsim.resources import notebooks_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
# Without these the browser itself asks outside hosts for news of its own.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"

pytestmark = pytest.mark.skipif(
    not os.access(CHROMIUM, os.X_OK),
    reason="chromium is not installed (Debian: apt-get install chromium fonts-dejavu-core)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def visit(browser: Browser, path: Path) -> tuple[Page, list[str], list[str]]:
    """Open a file; returns the page, the URLs asked for, and what the console said."""
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri(), wait_until="networkidle")
    return page, asked, said


def outside(urls: list[str]) -> list[str]:
    """The URLs that are neither files nor data."""
    return [url for url in urls if not url.startswith(("file:", "data:"))]


@pytest.mark.parametrize("name", ["10_tiny.html", "index.html"])
def test_pages_open_offline(browser: Browser, tiny_report: Path, name: str) -> None:
    """A page of a report asks nobody for anything, and says nothing on the console."""
    check_page(browser, tiny_report / name)


def check_page(browser: Browser, path: Path) -> None:
    """What holds for every page."""
    assert path.stat().st_size < PAGE_LIMIT_BYTES
    page, asked, said = visit(browser, path)
    assert asked[0] == path.as_uri()
    assert outside(asked) == []
    assert said == []
    assert page.locator("h1").count() >= 1
    for image in page.locator("img").all():
        assert (image.get_attribute("alt") or "").strip()
        assert image.evaluate("image => image.naturalWidth") > 1
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, "the page scrolls sideways"
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 within its margins
    cut = page.evaluate(
        """() => [...document.querySelectorAll("main table, main svg, main pre")]
          .filter((node) => node.getBoundingClientRect().right > innerWidth + 1).length"""
    )
    assert cut == 0, "the printer would cut something at the right"
    page.close()


@pytest.mark.parametrize("name", ["10_tiny.html", "index.html"])
def test_print_loses_no_column(
    browser: Browser, tiny_report: Path, name: str, tmp_path: Path
) -> None:
    """Each cell of each table is on the paper."""
    assert lost_on_paper(browser, tiny_report / name, tmp_path) == []


def test_a_lost_column_is_seen(browser: Browser, tiny_report: Path, tmp_path: Path) -> None:
    """A table that is wider than the paper loses what lies beyond it."""
    page = (tiny_report / "10_tiny.html").read_text()
    wide = page.replace("<th>", '<th style="min-width: 120mm">')
    (tmp_path / "wide.html").write_text(wide)
    assert lost_on_paper(browser, tmp_path / "wide.html", tmp_path) != []


def lost_on_paper(browser: Browser, path: Path, directory: Path) -> list[str]:
    """The tables' cells that a page printed to PDF does not show, read by poppler's pdftotext."""
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext is not installed (Debian: apt-get install poppler-utils)")
    page = browser.new_page()
    page.goto(path.as_uri())
    cells = page.evaluate(
        """() => [...document.querySelectorAll("main table")].flatMap((table) =>
          [...table.querySelectorAll("th, td")].map((cell) => cell.textContent))"""
    )
    pdf = directory / f"{path.stem}.pdf"
    page.pdf(path=pdf, prefer_css_page_size=True, print_background=True)
    page.close()
    read = subprocess.run(["pdftotext", "-raw", pdf, "-"], capture_output=True, check=True)
    # where a cell's line is broken is no matter
    shown = re.sub(r"\s", "", read.stdout.decode())
    wanted = Counter("".join(cell.split()) for cell in cells)
    return [cell for cell, times in wanted.items() if shown.count(cell) < times]


# From a key to the picture: the page's own clock, from the key to the frame after the last change.
WATCH = """(selector) => {
  window.moves = [];
  window.changed = 0;
  let pressed = 0;
  document.addEventListener("keydown", () => { pressed = performance.now(); }, true);
  new MutationObserver((changes) => {
    const seen = changes.some((change) =>
      (change.target.closest ? change.target : change.target.parentElement)?.closest(selector));
    if (seen) window.changed = performance.now();
    if (!seen || !pressed) return;
    const began = pressed;
    pressed = 0;
    requestAnimationFrame(() => setTimeout(() => moves.push(performance.now() - began)));
  }).observe(document.body, { subtree: true, childList: true, characterData: true,
                              attributes: true, attributeFilter: ["style"] });
}"""
MOVES = 40


def record_latency(page: Page, what: str, slider: Locator, picture: str, directory: Path) -> None:
    """Move a slider to and fro; leave the percentiles of key to picture, and check them.

    In CGSIM_SCREENSHOTS where that is set. On a host with more to do than CPUs they are recorded
    only.
    """
    page.evaluate(WATCH, picture)
    slider.press("ArrowLeft")  # so that there is a place to the right
    page.wait_for_timeout(2000)
    page.evaluate("moves.length = 0")
    for move in range(MOVES):
        slider.press("ArrowLeft" if move % 2 else "ArrowRight")
        # a late part of this move's picture must not be taken for the next one's
        done = "(n) => moves.length > n && performance.now() - changed > 200"
        page.wait_for_function(done, arg=move, timeout=60_000)
    times = sorted(page.evaluate("moves"))
    load = os.getloadavg()[0]
    found = {
        "moves": MOVES,
        "median_ms": round(times[MOVES // 2], 1),
        "p95_ms": round(times[-(-95 * MOVES // 100) - 1], 1),
        "load": round(load, 1),
        "cpus": os.cpu_count(),
    }
    folder = Path(os.environ.get("CGSIM_SCREENSHOTS", directory))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"latency-{what}.json").write_text(json.dumps(found, indent=2) + "\n")
    print(what, found)
    if load <= (os.cpu_count() or 1):
        assert found["p95_ms"] <= 150


def test_the_counter_counts(browser: Browser, tmp_path: Path) -> None:
    """A page that asks for something outside is seen to do so."""
    path = tmp_path / "asks.html"
    path.write_text('<h1>x</h1><img alt="x" src="http://127.0.0.1:9/x.png">')
    _, asked, _ = visit(browser, path)
    assert outside(asked) == ["http://127.0.0.1:9/x.png"]


def test_links_between_pages(browser: Browser, tiny_report: Path) -> None:
    """The front page leads to the notebook's page and back."""
    page, _, _ = visit(browser, tiny_report / "index.html")
    page.locator(".cards a").first.click()
    expect(page.locator("h1")).to_have_text("A tiny notebook")
    page.locator("nav a.home").click()
    expect(page).to_have_url((tiny_report / "index.html").as_uri())
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser: Browser, tiny_report: Path, scheme: str) -> None:
    """Text stands out from the paper, by light and by dark."""
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((tiny_report / "10_tiny.html").as_uri())
    ratio = page.evaluate(
        """() => {
          const light = (text) => {
            const c = text.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255)
              .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
          };
          const style = getComputedStyle(document.body);
          const [a, b] = [light(style.color), light(style.backgroundColor)].sort();
          return (b + 0.05) / (a + 0.05);
        }"""
    )
    assert ratio >= 7
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(253, 252, 250)"
    assert dark == (scheme == "dark")
    context.close()


def test_words_at_the_pointer(browser: Browser, tiny_report: Path) -> None:
    """Hover, arrow keys and a link show a point's value with its interval."""
    page, _, said = visit(browser, tiny_report / "10_tiny.html")
    figure = page.locator("#fig-2")
    tip = page.locator(".tip")
    expect(tip).to_be_hidden()
    points = json.loads(figure.locator("script.points").inner_text())
    number = next(i for i, item in enumerate(points) if item[3].startswith("idr, 4 keys"))
    svg = figure.locator(".picture svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    assert box
    scale = box["width"] / 576
    page.mouse.move(box["x"] + points[number][0] * scale, box["y"] + points[number][1] * scale)
    expect(tip).to_have_text("idr, 4 keys: 12 ns, 95 % interval 11 to 13")
    page.mouse.down()
    page.mouse.up()
    assert page.evaluate("location.hash") == f"#fig-2.{number}"
    page.mouse.move(2, 2)
    expect(tip).to_be_hidden()
    figure.locator(".picture").focus()
    page.keyboard.press("ArrowRight")
    expect(tip).to_be_visible()
    linked = browser.new_page()
    linked.goto(f"{(tiny_report / '10_tiny.html').as_uri()}#fig-2.{number}")
    expect(linked.locator(".tip")).to_have_text(points[number][3])
    assert said == []
    linked.close()
    page.close()


def test_designs_can_be_hidden(browser: Browser, tiny_report: Path) -> None:
    """A design's button hides its marks, and shows them again."""
    page, _, _ = visit(browser, tiny_report / "10_tiny.html")
    button = page.get_by_role("button", name="idr")
    expect(button.locator("svg.sample path")).to_have_count(1)
    mark = page.locator('#fig-2 [data-design="idr"]').first
    shown = page.locator("#fig-2 .picture svg").screenshot()
    expect(button).to_have_attribute("aria-pressed", "true")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(mark).to_be_hidden()
    assert page.locator("#fig-2 .picture svg").screenshot() != shown
    button.click()
    expect(mark).to_be_visible()
    page.close()


def test_sliders_without_a_kernel(browser: Browser, tiny_report: Path) -> None:
    """The page's own slider moves over the points that the page holds."""
    page, _, _ = visit(browser, tiny_report / "10_tiny.html")
    bars = page.locator(".explorer .bars > div")
    expect(bars.first).to_contain_text("idr")
    expect(bars.first).to_contain_text("12.00 ns (11.00 to 13.00)")
    page.locator(".explorer input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    expect(bars.first).to_contain_text("18.00 ns (17.00 to 19.00)")
    page.close()


def test_a_page_answers_a_slider_at_once(
    browser: Browser, tiny_report: Path, tmp_path: Path
) -> None:
    """Of the page's own slider, without a kernel."""
    page, _, _ = visit(browser, tiny_report / "10_tiny.html")
    slider = page.locator(".explorer input[type=range]")
    record_latency(page, "page", slider, ".explorer .bars", tmp_path)
    page.close()


def test_without_script(browser: Browser, tiny_report: Path) -> None:
    """Figures, tables and the explorer's first answer stand there without the script."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tiny_report / "10_tiny.html").as_uri())
    expect(page.locator("#fig-2 .picture svg")).to_be_visible()
    expect(page.locator(".explorer table")).to_be_visible()
    expect(page.locator(".chips")).to_have_count(0)
    context.close()


def test_letters_on_a_phone(browser: Browser, tiny_report: Path) -> None:
    """A figure keeps its size on a phone: a letter of 7 points stays above 9 px."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto((tiny_report / "10_tiny.html").as_uri())
    width = page.locator("#fig-2 .picture svg").evaluate(
        "node => node.getBoundingClientRect().width"
    )
    assert 7 * width / 576 >= 9
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    context.close()


def test_figures_are_dark_on_dark_pages(browser: Browser, tiny_report: Path) -> None:
    """A figure's paper is dark where the page's is."""
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto((tiny_report / "10_tiny.html").as_uri())
    svg = page.locator("#fig-2 .picture svg")
    assert "invert" in svg.evaluate("node => getComputedStyle(node).filter")
    page.emulate_media(media="print", color_scheme="dark")
    assert svg.evaluate("node => getComputedStyle(node).filter") == "none"
    context.close()


AXE = Path(os.environ.get("CGSIM_AXE", "node_modules/axe-core/axe.min.js"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["10_tiny.html", "index.html"])
def test_accessible(browser: Browser, tiny_report: Path, name: str, scheme: str) -> None:
    """axe finds nothing serious."""
    if not AXE.is_file():
        pytest.skip("axe-core is not there: npm install axe-core, or CGSIM_AXE=its axe.min.js")
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((tiny_report / name).as_uri())
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    context.close()
    bad = [
        (v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert bad == []


def photograph(browser: Browser, path: Path) -> None:
    """A page at two widths: nothing is wider; a picture of each where CGSIM_SCREENSHOTS says."""
    for device, width in (("desktop", 1280), ("phone", 390)):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        if target := os.environ.get("CGSIM_SCREENSHOTS"):
            page.screenshot(path=Path(target) / f"{path.stem}-{device}.png", full_page=True)
        page.close()


def test_screenshots(browser: Browser, tiny_report: Path) -> None:
    """Pages fit a desktop and a phone."""
    for path in sorted(tiny_report.glob("*.html")):
        photograph(browser, path)


@pytest.mark.slow
def test_pages_of_the_last_report(browser: Browser, root: Path, tmp_path: Path) -> None:
    """Each page of the report that `make report` wrote opens offline."""
    pages = sorted((root / "reports").glob("*.html"))
    if not pages:
        pytest.skip("there is no reports/ yet: make report")
    assert len(pages) == len(list(notebooks_directory().glob("*.py"))) + 1
    for path in pages:
        check_page(browser, path)
        photograph(browser, path)
        assert lost_on_paper(browser, path, tmp_path) == []


@contextlib.contextmanager
def jupyter_lab(directory: Path) -> Iterator[str]:
    """JupyterLab on a directory, with settings of its own; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = directory / ".jupyter"
    (config / "labconfig").mkdir(parents=True)
    disabled = {"disabledExtensions": {ANNOUNCEMENTS: True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
    environment = {
        **{key: value for key, value in os.environ.items() if key != "MPLBACKEND"},
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(config / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(config / "workspaces"),
        "IPYTHONDIR": str(config / "ipython"),
    }
    arguments = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        # Bound to this host, for the time of a test.
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        f"--ServerApp.root_dir={directory}",
        "--LabApp.news_url=",
    ]
    with (directory / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *arguments],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{address}/api/status", server)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    for _ in range(300):
        assert server.poll() is None, "JupyterLab ended; see lab.log"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


def run_all_cells(page: Page, address: str, name: str, patience_ms: int) -> None:
    """Open a notebook, run all its cells, wait until the kernel is idle."""
    page.goto(f"{address}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first
    expect(idle).to_be_visible(timeout=60_000)
    # A click on the menu is swallowed, and a run is dropped, while the page still connects to the
    # kernel, whatever the page says; so ask again until a cell has started.
    started = page.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[(\*|\d+)\]"))
    for _ in range(20):
        page.wait_for_timeout(1000)
        # asked for a kernel where it has not connected yet: the notebook's own is chosen already
        for button in page.locator("dialog.jp-Dialog .jp-mod-accept").all():
            button.click()
        page.locator(".lm-MenuBar-item").filter(has_text="Run").first.click()
        page.locator('.lm-Menu li[data-command="runmenu:run-all"]').click()
        with contextlib.suppress(AssertionError):
            expect(started.first).to_be_visible(timeout=3000)
            break
    page.wait_for_selector(".jupyter-widgets .noUi-handle:visible", timeout=patience_ms)
    expect(idle).to_be_visible(timeout=patience_ms)


@pytest.mark.slow
def test_slider_in_jupyterlab(browser: Browser, tiny_notebooks: Path, tmp_path: Path) -> None:
    """Moving a slider makes the kernel compute the new answer."""
    write_ipynb(tiny_notebooks / "10_tiny.py", tmp_path / "tiny.ipynb")
    with jupyter_lab(tmp_path) as address:
        page = browser.new_page()
        run_all_cells(page, address, "tiny.ipynb", 60_000)
        expect(page.locator('.widget-label:has-text("latency = 7.25 cycles")')).to_be_visible()
        handle = page.locator(".noUi-handle:visible").last  # behind the explorer's
        handle.focus()
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        expect(page.locator('.widget-label:has-text("latency = 9.50 cycles")')).to_be_visible()
        page.close()


def interactive_notebooks() -> list[Path]:
    """The package's notebooks that have a cell of sliders."""
    sources = sorted(notebooks_directory().glob("*.py"))
    return [path for path in sources if '"interactive"' in path.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("source", interactive_notebooks(), ids=lambda path: path.stem)
def test_notebooks_in_jupyterlab(browser: Browser, source: Path, tmp_path: Path) -> None:
    """Each notebook with sliders runs in JupyterLab, and a moved slider raises no error."""
    write_ipynb(source, tmp_path / "n.ipynb")
    with jupyter_lab(tmp_path) as address:
        page = browser.new_page()
        run_all_cells(page, address, "n.ipynb", 300_000)
        handle = page.locator(".noUi-handle:visible").first
        before = handle.get_attribute("aria-valuetext")
        ends = [handle.get_attribute(f"aria-value{what}") for what in ("now", "max")]
        handle.press("ArrowLeft" if ends[0] == ends[1] else "ArrowRight")
        page.wait_for_timeout(1000)
        assert handle.get_attribute("aria-valuetext") != before
        if source.stem == "09_explorer":
            slider = page.locator(".noUi-handle:visible").last  # of keys
            record_latency(page, "explorer", slider, ".widget-html", tmp_path)
        errors = page.locator('.jp-OutputArea-output[data-mime-type*="error"]')
        assert errors.count() == 0, errors.first.inner_text()
        page.close()
