"""The report's pages as a reader has them: from a file, by keyboard or ear, on paper, in the dark."""

import base64
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest

from leptonfit.workbook import notebook_page, page, records, store

HOSTILE = "<script>alert(1)</script> and <b>bold</b> & more"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """A page as its elements (tag, attributes, names of those around it) and its text."""

    def __init__(self, path):
        super().__init__()
        self.path, self.open, self.elements, self.text, self.heard = path, [], [], "", {}
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), [name for name, _ in self.open]))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()[0] == tag, f"{self.path.name}: </{tag}> out of place"

    def handle_data(self, data):
        data = data.replace("\xa0", " ")  # as MathML has it
        self.text += data
        for tag, _ in self.open:
            self.heard[tag] = self.heard.get(tag, "") + data

    def all(self, *tags):
        return [attributes for tag, attributes, _ in self.elements if tag in tags]


def check(path):
    """What holds for every page of the site."""
    found = Page(path)
    levels = [int(tag[1]) for tag, _, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1, "the first heading is not the page's"
    assert levels.count(1) == 1, "more than one h1"
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels)), f"heading levels jump: {levels}"
    assert found.heard["title"].strip(), "no title"
    assert len(found.all("main")) == 1, "not one main"
    assert all(image.get("alt", "").strip() for image in found.all("img")), "a picture without a description"
    ids = [attributes["id"] for _, attributes, _ in found.elements if attributes.get("id")]
    assert len(ids) == len(set(ids)), "an id is given twice"
    assert not found.all("script", "link", "iframe", "object"), "something to load or run"
    assert all(image["src"].startswith("data:") for image in found.all("img")), "a picture that is not in the page"
    assert not re.search(r"@import|url\(", found.heard["style"]), "a style that loads something"
    assert all(cell.get("scope") for cell in found.all("th")), "a header cell of nothing"
    for label in (
        attributes["aria-labelledby"] for _, attributes, _ in found.elements if "aria-labelledby" in attributes
    ):
        assert label in ids, f"{label} labels and is not there"
    for link in found.all("a"):
        if not re.match(r"https?:|#harmful-link$", link["href"]):  # the latter is what is left of javascript:
            file, _, anchor = link["href"].partition("#")
            target = path.parent / unquote(file) if file else path
            assert target.is_file(), f"{path.name} links to {link['href']}"
            assert not anchor or f'id="{anchor}"' in target.read_text(), f"{path.name} links to {link['href']}"
    return found


def write_executed(folder, name, *cells):
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), folder / f"{name}.ipynb")


def code(source, *outputs, tags=()):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def text(source, tags=()):
    return nbformat.v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def picture():
    return nbformat.v4.new_output("display_data", data={"image/png": PNG})


def write_result(folder, name, **changed):
    origin = {
        "git_commit": "c0ffee",
        "git_dirty": False,
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "library_checksum": "1" * 64,
        "data_checksums": {"a.csv": "2" * 64},
        "data_folder": None,
        "seed": 1,
        "seconds": 1.5,
        "finished": "2026-01-01T00:00:00Z",
        "machine": "Linux",
        **changed.pop("provenance", {}),
    }
    document = {
        "schema_version": store.SCHEMA_VERSION,
        "parameters": {"seed": 1},
        "results": {},
        "verdict": "It does not.",
        "verdict_code": "not_identified",
        "mark": "proven",
        "provenance": origin,
        **changed,
    }
    document["provenance"]["content_checksum"] = store.content_checksum(document)
    (folder / "results" / f"{name}.json").write_text(json.dumps(document))


@pytest.fixture
def report(tmp_path):
    """A checkout whose report has text with HTML in it, a failed and an unfinished notebook, and a sweep."""
    folder = tmp_path / "reports" / "latest"
    names = ["01_hostile", "02_failed", "03_begun", "11_other"]
    for place in (folder, folder / "sweep" / "1 & <b>"):
        (place / "results").mkdir(parents=True)
        write_executed(
            place,
            "01_hostile",
            text(f"# Is {HOSTILE} text?\n\nA question with {HOSTILE}, $\\chi^2 < 1$ and $\\text{{{HOSTILE}}}$."),
            code("seed = 1", tags=["parameters"]),
            text("## Limits of $\\mu$\n\nSome *prose* about `limits`, $\\chi^2$, [here](javascript:alert(1))."),
            code("# NBVAL_CHECK_OUTPUT\n# Draw the limits\nfigures.plot_limits(ax, a)", picture(), tags=["key-figure"]),
            code("import x", nbformat.v4.new_output("stream", name="stderr", text=f"a warning: {HOSTILE}")),
            code(
                "show()",
                nbformat.v4.new_output(
                    "display_data", data={"text/html": pd.DataFrame([[HOSTILE] * 4], columns=list("abcd")).to_html()}
                ),
            ),
            code(
                "widget",
                nbformat.v4.new_output(
                    "display_data",
                    data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "W"},
                ),
            ),
        )
        write_result(place, "01_hostile", verdict=HOSTILE, parameters={"seed": 1, "closure": HOSTILE})
    pd.DataFrame({f"column {HOSTILE}": [HOSTILE], "claimed": [1]}).to_csv(
        folder / "results" / "01_hostile.claimed_computed.shown.csv", index=False
    )
    pd.DataFrame([range(8)] * 2, columns=[f"c{k}" for k in range(8)]).to_csv(
        folder / "results" / "01_hostile.limits.shown.csv", index=False
    )
    write_executed(
        folder,
        "02_failed",
        text("<span>An Exception was encountered</span>", tags=["papermill-error-cell-tag"]),
        text("# Does it fail?\n\nYes."),
        code("raise", nbformat.v4.new_output("error", ename="E", evalue="", traceback=[f"\x1b[38;5;28mE: {HOSTILE}"])),
    )
    (folder / ".03_begun.ipynb").touch()
    write_executed(folder, "11_other", text("# What else?\n\nThis."), code("figures.plot_limits()", picture()))
    write_result(folder, "11_other", provenance={"versions": {"python": "3.11.7", "numpy": "9.9.9"}})
    (tmp_path / "notebooks").mkdir()
    for name in names:
        (tmp_path / "notebooks" / f"{name}.py").write_text("")
    sweep = folder / "sweep"
    rows = [{"closure": "1 & <b>", "01_hostile": HOSTILE}, {"closure": "None", "01_hostile": "did not finish"}]
    pd.DataFrame(rows).to_csv(sweep / "comparison.csv", index=False)
    (sweep / "comparison.png").write_bytes(base64.b64decode(PNG))
    for notebook in folder.glob("**/[0-9]*.ipynb"):
        notebook_page.write_notebook(notebook, notebook.with_suffix(".html"))
        place, name = notebook.parent, notebook.stem
        fingerprint = "x" if (place / "results" / f"{name}.json").is_file() else None
        records.write_record(records.record_path(place, name), fingerprint, records.list_outputs(place, name))
    page.write_index(sweep / "1 & <b>", tmp_path)
    page.write_comparison(sweep)
    page.write_index(folder, tmp_path)
    return folder


def test_every_page_can_be_read_by_ear_and_keyboard_and_loads_nothing(report):
    pages = [check(path) for path in sorted(report.glob("**/*.html"))]
    assert len(pages) == 7
    for one in pages:
        (skip, *_) = one.all("a")
        assert (skip["class"], skip["href"]) == ("skip", "#main")


@pytest.fixture(scope="module")
def committed(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("committed")
    (folder / "index.html").touch()
    paths = sorted((root / "notebooks").glob("[0-9]*.ipynb"))
    for path in paths:
        notebook_page.write_notebook(path, folder / f"{path.stem}.html")
    return [folder / f"{path.stem}.html" for path in paths]


@pytest.mark.slow
def test_the_workbook_s_own_notebooks_make_good_pages(committed):
    assert len(committed) > 10
    for path in committed:
        found = check(path)
        for image in found.all("img"):
            assert re.match(r"[^:]+: [^ ]+ \w+", image["alt"]), f"{path.name}: {image['alt']} says nothing"
            assert not re.search(r"[$\\`]|\*\*", image["alt"]), f"{path.name}: {image['alt']} holds marks"


def test_html_in_text_is_text(report):
    index = Page(report / "index.html")
    notebook = Page(report / "01_hostile.html")
    for one in map(Page, report.glob("**/*.html")):
        assert not one.all("script", "b"), f"{one.path} runs or shows HTML that was text"
        assert not [link for link in one.all("a") if "javascript" in link["href"]]
    # title (summary, card), question with its formula, verdict, parameter, table's head and cell, sweep's table
    assert index.text.count(HOSTILE) == 9
    assert "column " + HOSTILE in index.text
    assert notebook.heard["title"] == notebook.heard["h1"] == f"Is {HOSTILE} text?"
    assert HOSTILE in notebook.heard["math"]
    assert notebook.heard["td"].count(HOSTILE) == 4
    assert f"a warning: {HOSTILE}" in notebook.text
    (figure,) = [image for image in index.all("img") if HOSTILE in image["alt"]]
    assert figure["alt"].startswith("Is <script>")


def test_code_is_folded_and_what_it_put_out_is_not(report):
    found = Page(report / "01_hostile.html")
    folded = [attributes for attributes in found.all("details") if attributes.get("class") == "source"]
    assert len(folded) == 5
    assert not any("open" in attributes for attributes in found.all("details"))
    assert "alert(1)" not in found.heard["details"]
    assert "Parameters, defaults" in found.heard["summary"]
    assert "Draw the limits" in found.heard["summary"]
    assert "NBVAL" not in found.heard["summary"]
    for tag, _, around in found.elements:
        assert tag not in ("img", "table") or "details" not in around
    assert "open the notebook in JupyterLab" in found.text
    (image,) = found.all("img")
    drawn = "Limits by construction, with the expected CLs band and the published limit, one row for each data set."
    assert image["alt"] == f"Limits of μ: {drawn} Some prose about limits, χ2, here."
    (region,) = [attributes for attributes in found.all("div") if attributes.get("role") == "region"]
    assert (region["tabindex"], region["aria-label"]) == ("0", "Table: Limits of μ")


def test_a_notebook_that_failed_says_so(report):
    found = Page(report / "02_failed.html")
    assert found.heard["h1"] == "Does it fail?"
    assert "A cell of this notebook failed" in found.text
    assert f"E: {HOSTILE}" in found.text
    index = Page(report / "index.html")
    assert "The last execution of 02_failed did not finish" in index.text
    assert "The last execution of 03_begun did not finish" in index.text
    assert index.heard["td"].count("did not finish") == 3  # two in the summary, one in the sweep


def test_the_summary_comes_first_and_marks_are_words_and_shapes(report):
    assert set(page.MARKS) == set(store.MARKS)
    assert len({shape for shape, _ in page.MARKS.values()}) == len(page.MARKS)
    index = Page(report / "index.html")
    rows = re.sub(r"\s+", " ", index.text)
    first = rows.index("Summary")
    assert rows.index("Charged leptons", first) < rows.index("Neutrino magnetic moments", first)
    assert "What else? not identified■ proven" in rows
    for name, (shape, meaning) in page.MARKS.items():
        assert f"{shape} {name}: {meaning}" in rows


def test_provenance_stands_once_and_a_card_has_what_differs(report):
    index = (report / "index.html").read_text()
    assert index.count("c0ffee") == 1
    assert index.count("2" * 64) == 1
    assert index.count("9.9.9") == 1
    assert index.count("differs from the rest of this report") == 1
    assert index.index("9.9.9") < index.index('id="provenance"')


def test_tables_have_captions_scopes_and_regions_and_few_wide_rows_are_turned(report):
    index = Page(report / "index.html")
    assert len(index.all("caption")) == len(index.all("table"))
    assert "c0c1" not in index.text
    assert re.search(r"c0\s*0\s*0\s*c1\s*1\s*1", index.text)  # a column became a row
    regions = [attributes for attributes in index.all("div") if attributes.get("role") == "region"]
    assert regions
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_the_sweep_is_in_the_index_and_leads_there_and_back(report):
    index, sweep = Page(report / "index.html"), Page(report / "sweep" / "index.html")
    link = "1%20%26%20%3Cb%3E/index.html"
    assert f"sweep/{link}" in [a["href"] for a in index.all("a")]
    assert [a["href"] for a in sweep.all("a")][1:] == ["../index.html", link]
    assert "None" in sweep.heard["th"]
    value = Page(report / "sweep" / "1 & <b>" / "index.html")
    assert [a["href"] for a in value.all("a")][1] == "../index.html"
    assert "latest, at the sweep’s value 1 & <b>" in value.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("01_hostile.ipynb", b""),
        ("01_hostile.html", b"cut"),
        ("results/01_hostile.json", b"{}"),
        ("results/01_hostile.limits.shown.csv", b"\xff"),
        ("results/.01_hostile.inputs", b"[1"),
        ("02_failed.ipynb", b"\0"),
        ("sweep/comparison.csv", b""),
        ("sweep/comparison.png", b"x"),
    ],
)
def test_a_damaged_file_is_named_and_what_it_says_is_not_shown(report, tmp_path, name, content):
    (report / name).write_bytes(content)
    page.write_index(report, tmp_path)
    said = Page(report / "index.html").text
    assert f"{Path(name).name}: not as" in said
    assert "It does not." in said  # the verdict of a notebook whose files are whole
    assert Page(report / "index.html").heard["td"].count("damaged") == (not name.startswith("sweep"))


def test_an_empty_report_says_so(tmp_path):
    page.write_index(tmp_path, tmp_path)
    assert "No notebook has finished" in check(tmp_path / "index.html").text


def luminance(colour):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_enough_light_and_dark():
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for outlines and borders that carry meaning (1.4.11)."""
    style = (notebook_page.TEMPLATES / "page.css").read_text()
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.split(r"prefers-color-scheme", style))
    assert light.keys() == dark.keys()
    assert not re.search(r"#[0-9a-f]{3,6}", re.sub(r"--\w+: #\w+;", "", style).replace("background: #fff", ""))
    for colours in (light, dark):
        for name in ("ink", "soft", "accent", "warn", "keyword", "string", "comment", "number"):
            for ground in ("paper", "tint"):
                low, high = sorted((luminance(colours[name]), luminance(colours[ground])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, f"{name} {colours[name]} on {ground} {colours[ground]}"


def put_on_path(folder, monkeypatch, script=None):
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if script else str(folder))
    if script:
        (folder / "chromium").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "chromium").chmod(0o755)


def test_no_browser_is_said_and_an_old_pdf_is_gone(report, tmp_path, monkeypatch):
    (report / page.PDF).write_text("old")
    put_on_path(tmp_path / "bin", monkeypatch)
    page.write_index(report, tmp_path)
    said = page.write_pdf(report)
    assert said.startswith("no report.pdf: it takes one of chromium, chromium-browser, google-chrome on the PATH")
    assert not (report / page.PDF).exists()


def test_a_browser_that_fails_is_said_in_one_line(report, tmp_path, monkeypatch):
    put_on_path(tmp_path / "bin", monkeypatch, "echo first >&2; echo no display >&2; exit 3")
    assert page.write_pdf(report) == f"no report.pdf: {tmp_path}/bin/chromium ended with 3: no display"
    (tmp_path / "bin" / "chromium").write_text("#!/bin/sh\nexit 0\n")  # says it did, and wrote nothing
    assert page.write_pdf(report).endswith("ended with 0: it said nothing")
    assert [path.name for path in report.iterdir() if "pdf" in path.name] == []


def test_a_page_is_printed_again_only_if_it_or_its_pdf_changed(report, tmp_path, monkeypatch):
    log, pdf, index = tmp_path / "log", report / page.PDF, report / "index.html"
    script = f'for a; do case $a in --print-to-pdf=*) echo "${{a#*=}}" >> {log}; echo pdf > "${{a#*=}}";; esac; done'
    put_on_path(tmp_path / "bin", monkeypatch, script)
    assert page.write_pdf(report).endswith("report.pdf")
    page.write_index(report, tmp_path)
    assert page.write_pdf(report).endswith("report.pdf, as it was")
    assert len(log.read_text().splitlines()) == 1
    for change in (lambda: index.write_text("another"), lambda: pdf.write_text("damaged"), pdf.unlink):
        log.unlink()
        change()
        assert page.write_pdf(report).endswith("report.pdf")
        assert len(log.read_text().splitlines()) == 1
        assert pdf.read_text() == "pdf\n"


def test_what_a_killed_print_left_goes_with_the_next(report, tmp_path, monkeypatch):
    (report / ".pdf-left" / "profile").mkdir(parents=True)
    put_on_path(tmp_path / "bin", monkeypatch, "exit 3")
    page.write_pdf(report)
    assert [path.name for path in report.iterdir() if "pdf" in path.name] == []


@pytest.mark.skipif(not any(map(shutil.which, page.BROWSERS)), reason="no Chromium")
def test_the_pdf_is_the_whole_page_and_names_no_file_of_this_machine(report, tmp_path):
    assert page.write_pdf(report).endswith("reports/latest/report.pdf")
    data = (report / page.PDF).read_bytes()
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", data)) > 1
    assert b"file:" not in data
    assert str(tmp_path).encode() not in data
    assert [path.name for path in report.iterdir() if "pdf" in path.name] == ["report.pdf"]
