"""The report pipeline, on a tiny notebook: what it writes, refuses and leaves alone."""

from __future__ import annotations

import hashlib
import html
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import sample_answers

from cgsim import provenance
from cgsim.errors import UserError
from cgsim.report import advice, build, manifest, progress, publish
from cgsim.report.build import ReportFailure, build_report
from cgsim.report.html import PAGE_LIMIT_BYTES, Heading, PageJob, check_figures, export, render
from cgsim.report.index import PageLink, render_index
from cgsim.report.mail import Reply
from cgsim.report.notebooks import find_notebooks, is_as_written, read_source, refresh
from cgsim.report.progress import Bar, Lines, StageClock, progress_for

# A grey pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
QUICK_SOURCE = """\
# %% [markdown]
# # Quick
#
# One cell.

# %% tags=["parameters"]
divisor: int = 1  # what to divide by

# %%
1 / divisor
"""


@pytest.fixture
def quick_notebooks(tmp_path: Path) -> Path:
    """A directory of one notebook that can be made to fail."""
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "01_quick.py").write_text(QUICK_SOURCE)
    return directory


@pytest.fixture
def old_report(tmp_path: Path) -> Path:
    """A report from before, with a file of the user's own in it."""
    out = tmp_path / "out"
    with publish.unfinished(out) as aside:
        (aside / "index.html").write_text("old")
        (aside / "gone.html").write_text("old")
        publish.place(aside, {"tool": "cgsim"}, out)
    (out / "notes.txt").write_text("mine")
    return out


def tree(directory: Path) -> dict[str, str]:
    """The files below a directory and their checksums."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_report_is_complete(tiny_report: Path) -> None:
    """A page a notebook, its figures, the front page and the manifest; nothing aside is left."""
    names = [f"10_tiny.{kind}" for kind in ("figure.pdf", "figure.svg", "html")]
    names += ["index.html", "manifest.json"]
    assert sorted(path.name for path in tiny_report.iterdir()) == names
    assert [path.name for path in tiny_report.parent.iterdir()] == [tiny_report.name]


def test_page(tiny_report: Path) -> None:
    """The page has text, table, figure and folded code, but no widgets."""
    page = (tiny_report / "10_tiny.html").read_text()
    assert "<title>A tiny notebook - cgsim</title>" in page
    assert "working set leaves the first level" in page
    assert "<td>10.6</td>" in page
    assert 'alt="Latency grows from 5 to 12 cycles."' in page
    assert "sliders" in page
    assert page.count("<script>") == 1
    assert '<details class="code"><summary>code</summary>' in page
    for absent in ("widget-view", 'src="http', 'href="http'):
        assert absent not in page
    assert "preset <b>quick</b>" in page
    assert 'href="index.html"' in page
    assert len(page) < 100_000


def test_front_page(tiny_report: Path) -> None:
    """The front page lists the notebook with the description of its first cell."""
    page = (tiny_report / "index.html").read_text()
    assert 'href="10_tiny.html"' in page
    assert "closed form: small enough to test the pipeline with." in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")


def test_manifest(tiny_report: Path, root: Path) -> None:
    """The manifest records versions, machine, parameters, seeds and inputs."""
    content = json.loads((tiny_report / "manifest.json").read_text())
    digests = tree(tiny_report)
    assert content["files"] == {n: d for n, d in digests.items() if n != "manifest.json"}
    assert content["versions"]["numba"][0].isdigit()
    assert content["host"]["cores"] >= 1
    assert content["host"]["cpu"]
    assert content["notebooks"]["10_tiny"]["parameters"]["sizes"] == [16, 32, 64, 128]
    assert content["notebooks"]["10_tiny"]["parameters"]["preset"] == "quick"
    assert content["seeds"] == {"10_tiny": {"seed": 1}}
    assert {"prepare", "notebooks", "pages", "total"} <= content["seconds"].keys()
    inputs = {item["path"]: item for item in content["inputs"]}
    files = {p.relative_to(root / "data").as_posix() for p in (root / "data").rglob("*.*")}
    assert files <= inputs.keys()
    published = inputs["published/published.csv"]
    data = (root / "data" / "published" / "published.csv").read_bytes()
    assert published["sha256"] == hashlib.sha256(data).hexdigest()
    assert published["sources"]


def test_every_input_has_a_source() -> None:
    """Each file of data/ names its sources, or the README.md beside it does."""
    lacking = [item["path"] for item in manifest.inputs() if not item["sources"]]
    assert all(path.endswith("README.md") for path in lacking), lacking


def test_sources_of_inputs(tmp_path: Path) -> None:
    """Sources are found in YAML, JSON and CSV; a file without any is reported."""
    (tmp_path / "a.yml").write_text("x: {value: 1, source: one}\nsources: [two, one]\n")
    (tmp_path / "b.csv").write_text("x,source\n1,three\n2,three\n")
    (tmp_path / "c.json").write_text('{"sources": {"k": "four"}}')
    (tmp_path / "d.jsonl").write_text("{}\n")
    found = {item["path"]: item["sources"] for item in manifest.inputs(tmp_path)}
    assert found == {"a.yml": ["one", "two"], "b.csv": ["three"], "c.json": ["four"], "d.jsonl": []}
    (tmp_path / "e.yml").write_text("a: {b: [1}")
    with pytest.raises(UserError, match=r"e\.yml:1:10: not valid YAML"):
        manifest.inputs(tmp_path)


def test_outside_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Outside a git checkout the commit is unknown."""
    monkeypatch.setattr(provenance, "checkout_directory", lambda: tmp_path)
    assert manifest.git_state() == {"commit": "unknown", "dirty": None}
    assert manifest.short_commit(manifest.git_state()) == "unknown"
    assert manifest.short_commit({"commit": "0123456789abcdef", "dirty": True}) == "0123456789ab+"


def test_replaces_old_report(quick_notebooks: Path, old_report: Path) -> None:
    """A new report takes the place of the old one; the user's own file stays."""
    build_report(old_report, notebooks=quick_notebooks, warm=False, mail=False)
    names = ["01_quick.html", "index.html", "manifest.json", "notes.txt"]
    assert sorted(path.name for path in old_report.iterdir()) == names
    assert (old_report / "index.html").read_text() != "old"
    assert [path.name for path in old_report.parent.iterdir() if path.name[0] == "."] == []


def test_failure_leaves_old_report(
    quick_notebooks: Path, old_report: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failing cell and its error are named; what was executed can be read."""
    before = tree(old_report)
    with pytest.raises(ReportFailure) as caught:
        build_report(
            old_report, notebooks=quick_notebooks, parameters={"divisor": 0}, warm=False, mail=False
        )
    message = str(caught.value)
    assert "notebook 01_quick, cell 3 (1 / divisor): ZeroDivisionError" in message
    assert tree(old_report) == before
    kept = old_report.with_name("out.failed")
    assert str(kept) in message
    executed = nbformat.read(kept / "01_quick.ipynb", as_version=4)
    assert executed.metadata.papermill.exception
    assert [path.name for path in old_report.parent.iterdir() if path.name[0] == "."] == []
    assert "Traceback" not in capfd.readouterr().err


def test_figure_without_text_fails_the_report(tmp_path: Path, old_report: Path) -> None:
    """A figure without alternative text is an error of the report."""
    before = tree(old_report)
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "02_figure.py").write_text(
        "# %%\nfrom IPython.display import Image, display\nimport base64\n"
        f"display(Image(base64.b64decode({PNG!r})))\n"
    )
    with pytest.raises(ReportFailure, match="02_figure: the figure of cell 1 has no alternative"):
        build_report(old_report, notebooks=directory, warm=False, mail=False)
    assert tree(old_report) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "fast"}, "unknown preset 'fast'"),
        ({"workers": 0}, "workers = 0"),
        ({"parameters": {"diviser": 1}}, "did you mean 'divisor'"),
        ({"parameters": {"divisor": "1e3"}}, "write 1000"),
        ({"parameters": {"divisor": 1e3}}, "write 1000"),
        ({"parameters": {"preset": "full"}}, "give it as --preset"),
        ({"parameters": {"02.divisor": 1}}, "unknown parameter '02.divisor'"),
        ({"parameters": {"01.seed": 1}}, "notebook 01_quick: unknown parameter 'seed'"),
        ({"only": ["01_quik"]}, "did you mean '01_quick'"),
        ({"notebooks": "."}, "no notebook sources"),
    ],
)
def test_refused_before_running(
    arguments: dict[str, object],
    message: str,
    quick_notebooks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mistakes are refused before anything runs or is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        build_report("new", **{"notebooks": quick_notebooks, "mail": False, **arguments})  # type: ignore[arg-type]
    assert not Path("new").exists()


@pytest.mark.parametrize("name", ["index.html", "manifest.json"])
def test_refuses_a_directory_of_something_else(name: str, tmp_path: Path) -> None:
    """A directory that holds no report is not replaced."""
    (tmp_path / name).write_text('{"files": "mine"}')
    with pytest.raises(UserError, match="holds files but no report"):
        build_report(tmp_path)
    with pytest.raises(UserError, match="is not a directory"):
        build_report(tmp_path / name)


def test_sources_are_deterministic(tiny_notebooks: Path) -> None:
    """The same source gives the same notebook, ids included, for the kernel `python3`."""
    source = tiny_notebooks / "10_tiny.py"
    first, second = (nbformat.writes(read_source(source)) for _ in range(2))
    assert first == second
    assert json.loads(first)["metadata"]["kernelspec"]["name"] == "python3"


def test_describe(tiny_notebooks: Path) -> None:
    """Title, description and parameters come from the source."""
    (notebook,) = find_notebooks(tiny_notebooks)
    assert notebook.title == "A tiny notebook"
    assert notebook.description.startswith("What a working set costs")
    assert [p.name for p in notebook.parameters] == ["preset", "seed", "sizes", "level_1_kib"]
    assert notebook.parameters[1].help == "names the run"


def test_refresh_keeps_newer(quick_notebooks: Path) -> None:
    """An .ipynb is written if it is missing or older; one that was edited is left alone."""
    found = find_notebooks(quick_notebooks)
    (path,) = refresh(found, quick_notebooks)
    assert is_as_written(path)
    later = path.stat().st_mtime + 10
    os.utime(found[0].source, (later, later))
    refresh(found, quick_notebooks)
    assert path.stat().st_mtime > later - 10
    edited = path.read_text().replace("One cell", "My cell")
    path.write_text(edited)
    os.utime(path, (later - 10, later - 10))
    said: list[str] = []
    refresh(found, quick_notebooks, said.append)
    assert path.read_text() == edited
    assert not is_as_written(path)
    assert "left alone" in said[0]


def page_job(tmp_path: Path) -> PageJob:
    """A page to render."""
    heading = Heading("<T> & co", "quick", "abc+", "2026-01-01", "0.1.0", "notebooks/x.py")
    return PageJob(
        tmp_path / "x.ipynb", tmp_path / "x.html", heading, (("a", "'<b>'"),), (("x.html", "X"),)
    )


def figure_notebook(kind: str, data: str, alt: str | None) -> nbformat.NotebookNode:
    """A notebook whose one cell shows one figure."""
    metadata = {} if alt is None else {kind: {"alt": alt}}
    output = nbformat.v4.new_output("display_data", {kind: data}, metadata=metadata)
    cell = nbformat.v4.new_code_cell("secret_code()", outputs=[output], id="a")
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.mark.parametrize(
    ("kind", "data"), [("image/png", PNG), ("image/jpeg", PNG), ("image/svg+xml", "<svg ></svg>")]
)
def test_figures_carry_their_text(kind: str, data: str, tmp_path: Path) -> None:
    """The alternative text of each kind of figure reaches the page, escaped."""
    page = render(figure_notebook(kind, data, 'a "b" <c>'), page_job(tmp_path))
    if "svg" in kind:
        assert """aria-label='a "b" &lt;c&gt;'""" in page
    else:
        assert """alt='a "b" &lt;c&gt;'""" in page
        assert f"data:{kind};base64," in page
    assert '<figure id="fig-1">' in page
    assert '<pre tabindex="0">secret_code()</pre></details>' in page
    with pytest.raises(UserError, match="no alternative text"):
        check_figures(figure_notebook(kind, data, None), "x")
    with pytest.raises(UserError, match="no alternative text"):
        check_figures(figure_notebook(kind, data, "  "), "x")


def test_alternative_text_of_the_cell(tmp_path: Path) -> None:
    """A cell's own `alt` serves its figure."""
    notebook = figure_notebook("image/png", PNG, None)
    notebook.cells[0].metadata["alt"] = "from the cell"
    assert 'alt="from the cell"' in render(notebook, page_job(tmp_path))


def test_page_escapes_and_repeats(tmp_path: Path) -> None:
    """Titles and values are escaped; the same notebook gives the same bytes."""
    pages = [
        render(figure_notebook("image/png", PNG, "x"), page_job(tmp_path)).replace("\n", "")
        for _ in range(2)
    ]
    assert pages[0] == pages[1]
    assert "<title>&lt;T&gt; &amp; co - cgsim</title>" in pages[0]
    assert "&lt;b&gt;" in pages[0]


def test_page_has_a_limit(tmp_path: Path) -> None:
    """A page above a megabyte is refused and not written."""
    job = page_job(tmp_path)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("x" * PAGE_LIMIT_BYTES)]
    )
    nbformat.write(notebook, job.executed)
    with pytest.raises(UserError, match=r"x\.html: \d+ bytes; allowed: 1000000"):
        export(job)
    assert not job.page.exists()


def test_the_mail_gets_the_reports_parameters() -> None:
    """Those it has too; 0 and nothing stand for its own defaults."""
    given = {"machine": "zen5-vm", "n_cgroups": 40, "n_keys": 0, "keys": [1], "01.seed": 3}
    assert build.of_mail(given) == {"machine": "zen5-vm", "n_cgroups": 40}


def test_folds_and_links_between_pages(tmp_path: Path) -> None:
    """Outputs from one such heading to the next fold, the first open; links lead to pages."""
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": text})
        for text in ('<h3 class="fold">a</h3>', "one", '<h3 class="fold">b</h3>', "two")
    ]
    cell = nbformat.v4.new_code_cell("code()", outputs=outputs, id="a")
    text = nbformat.v4.new_markdown_cell("[x](x.ipynb), [gone](y.ipynb)", id="b")
    page = render(nbformat.v4.new_notebook(cells=[cell, text]), page_job(tmp_path))
    assert page.count('<details class="fold"') == page.count('<h3 class="fold"') == 2
    assert page.count('<details class="fold" open') == 1
    assert page.index("one") < page.index("</details>") < page.index("two")
    assert '<a href="x.html">x</a>, gone' in page


def test_front_page_shows_the_mail() -> None:
    """It begins with the mail's verdicts and the headline picture; the mail is quoted, escaped."""
    heading = Heading("", "full", "unknown", "2026-01-01", "0.1.0", "")
    answers = sample_answers.results().answers
    verdicts = tuple(advice.verdict(answer) for answer in answers.values())
    reply = Reply("> a <b>\n", verdicts, answers)
    page = render_index(heading, [PageLink("a.html", "A", "b < c")], reply, [], "cgsim report")
    assert "&gt; a &lt;b&gt;" in page
    first = page.index("<h2>The answer</h2>")
    assert first < page.index('src="data:image/svg+xml;base64,') < page.index("<h2>Notebooks</h2>")
    for verdict in verdicts:
        assert f"<li>{verdict}</li>" in page
    assert "What a lookup adds on zen4-genoa, driver: " in page
    assert "b &lt; c" in page
    assert 'href="mail.txt"' in page
    assert "mail.txt" not in render_index(heading, [], None, [], "cgsim report")


def test_sources_that_change_meanwhile_refuse_the_report(
    quick_notebooks: Path, old_report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = iter(("one", "other"))
    monkeypatch.setattr(manifest, "package_hash", lambda: next(hashes))
    before = tree(old_report)
    with pytest.raises(ReportFailure, match="changed while the report was made"):
        build_report(old_report, notebooks=quick_notebooks, warm=False, mail=False)
    assert tree(old_report) == before


GOLDEN_INDEX = Path(__file__).parent.parent / "golden" / "index.txt"


def test_golden_index() -> None:
    """The front page's own text, to the letter; the mail in it has a golden text of its own.

    CGSIM_GOLDEN=1 writes it anew, to be read before it is kept.
    """
    heading = Heading("", "quick", "0123456789ab", "2026-01-01 00:00:00 UTC", "0.1.0", "")
    answers = sample_answers.results().answers
    verdicts = tuple(advice.verdict(answer) for answer in answers.values())
    pages = [PageLink("01_a.html", "A page", "What it says.")]
    facts = [("computed on", "a host of this test"), ("inputs", "3 files")]
    reply = Reply("the mail\n", verdicts, answers)
    page = render_index(heading, pages, reply, facts, "cgsim report")
    text = text_of(page)
    if os.environ.get("CGSIM_GOLDEN") == "1":
        GOLDEN_INDEX.write_text(text)
    assert text == GOLDEN_INDEX.read_text()


def text_of(page: str) -> str:
    """What a reader of a page sees, the pictures' alternative texts included, a block a line."""
    body = page.partition("<body>")[2]
    body = re.sub(r'<img [^>]*alt="([^"]*)"[^>]*>', r"[\1]", body)
    body = re.sub(r"</(p|h\d|li|tr|figcaption|summary|pre|a)>", "\n", body)
    lines = html.unescape(re.sub(r"<[^>]+>", " ", body)).splitlines()
    return "".join(f"{words}\n" for line in lines if (words := " ".join(line.split())))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_progress() -> None:
    """A bar on a terminal; elsewhere one line a finished notebook."""
    plain, terminal = io.StringIO(), Terminal()
    for stream, kind in ((plain, Lines), (terminal, Bar)):
        told = progress_for(stream)
        assert isinstance(told, kind)
        told.start(2)
        told.step("01_x")
        told.finished("01_x", 1.25)
        told.close()
    assert plain.getvalue() == "  01_x                        1.2 s\n"
    assert "1/2 cells" in terminal.getvalue()
    assert "01_x" in terminal.getvalue()


def test_stage_clock() -> None:
    """Each stage is said with its seconds; a failed one is not."""
    stream = io.StringIO()
    clock = StageClock(stream)
    with clock.stage("one"):
        pass
    with pytest.raises(ValueError, match="x"), clock.stage("two"):
        raise ValueError("x")
    assert list(clock.seconds) == ["one"]
    assert stream.getvalue().startswith("one ")
    assert clock.total() >= clock.seconds["one"]


def test_lines_while_a_stage_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a pipe a line comes in time, with how far it is; on a terminal none disturbs the bar."""
    assert progress.PERIOD_S < 10
    monkeypatch.setattr(progress, "PERIOD_S", 0.05)
    for stream in (io.StringIO(), Terminal()):
        clock = StageClock(stream)
        with clock.stage("slow"):
            told = clock.progress("pieces")
            told.start(7)
            told.step("x")
            time.sleep(0.3)
        lines = stream.getvalue().splitlines()
        counted = [line for line in lines if line.startswith("  slow: 1 of 7 pieces, 0 s so far")]
        assert (len(counted) >= 2) == (not stream.isatty())
        time.sleep(0.2)
        assert len(stream.getvalue().splitlines()) == len(lines)


@pytest.mark.slow
def test_the_first_line_comes_at_once(quick_notebooks: Path, tmp_path: Path) -> None:
    """Within a second of Enter, on a pipe; the best of three, since hosts are busy."""
    took = []
    for number in range(3):
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "cgsim", "report", "--notebooks", quick_notebooks, "--no-mail",
             "--out", tmp_path / str(number)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"report: preset quick")
        took.append(time.perf_counter() - start)
        process.communicate()
    assert min(took) < 1.0, took
