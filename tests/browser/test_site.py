"""The report in a real browser: links, console, network, accessibility, print."""

import pytest

from leptonfit.workbook import page as pages
from leptonfit.workbook import run, sweep

pytestmark = pytest.mark.slow

NOTEBOOKS = ("00_start_here", "02_profile_scan", "07_explore", "11_limits", "16_explore_neutrinos")


@pytest.fixture(scope="module")
def report(browser, root, tmp_path_factory):
    """A report with a sweep in it."""
    place = tmp_path_factory.mktemp("site")
    for name in ("notebooks", "data"):
        (place / name).symlink_to(root / name)
    few = ["n_beta=5", "n_starts=4"]  # the page is looked at, not its numbers
    assert run.execute(run.check_request(NOTEBOOKS, few, jobs=2, root=place)) == []
    parameter, requests = sweep.check_sweep(["11_limits"], ["estimator=REML,PM"], jobs=2, root=place)
    assert sweep.execute_sweep(parameter, requests, jobs=2) == []
    return place / "reports" / "latest"


def test_every_page_opens_and_every_link_leads_somewhere(report, page):
    todo, seen = [(report / "index.html").as_uri()], set()
    while todo:
        address = todo.pop()
        path, _, anchor = address.partition("#")
        if path not in seen:
            seen.add(path)
            answer = page.goto(path)
            assert answer.ok, path
            if path.endswith(".html"):
                todo += page.eval_on_selector_all("a[href]", "found => found.map(one => one.href)")
        if anchor:
            page.goto(address)
            assert page.locator(f'[id="{anchor}"]').count() == 1, address
    names = {path.rsplit("/", 1)[1] for path in seen}
    assert names >= {"index.html", *(f"{name}.html" for name in NOTEBOOKS), *(f"{name}.json" for name in NOTEBOOKS)}
    assert sum(path.endswith("index.html") for path in seen) == 4, "the report, its sweep, and two values"
    assert page.errors == []
    assert {address.split(":")[0] for address in page.requests} <= {"file", "data"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_violation_of_accessibility(report, page, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    for name in ("index.html", "02_profile_scan.html", "07_explore.html", "sweep/index.html"):
        page.goto((report / name).as_uri())
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        found = Axe().run(page).response
        serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        assert [(name, one["id"], one["nodes"][0]["html"]) for one in serious] == []
        assert len(found["passes"]) > 10


def test_the_page_works_by_keyboard(report, page):
    page.goto((report / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert "main" in page.evaluate("() => document.activeElement.getAttribute('href')")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.parentElement.open")


def test_nothing_is_wider_than_paper(report, page):
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 less its margins
    page.emulate_media(media="print")
    page.goto((report / "index.html").as_uri())
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    cut = page.eval_on_selector_all(
        "main *",
        "all => all.filter(one => one.scrollWidth > one.clientWidth + 2 && one.clientWidth > 0 && "
        "getComputedStyle(one).overflowX !== 'visible').map(one => one.outerHTML.slice(0, 200))",
    )
    assert cut == []


def test_pdf_holds_the_report(report):
    assert pages.write_pdf(report).startswith("PDF: ")
    content = (report / pages.PDF).read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") + content.count(b"/Type /Page/") >= 4
    assert content.count(b"/Subtype /Image") >= len(NOTEBOOKS)
