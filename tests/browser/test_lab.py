"""JupyterLab as a user has it: the explorers, the paired notebooks, the token."""

import ast
import base64
import io
import itertools
import shlex
import urllib.error
import urllib.request

import jupytext
import nbformat
import numpy as np
import pytest
from PIL import Image

from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import scan_profile
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import VortexModel
from leptonfit.workbook.explore import ProfileExplorer
from leptonfit.workbook.explore.profile import N_STARTS

pytestmark = pytest.mark.slow

RUN_ALL = """async () => {
  const notebook = jupyterapp.shell.currentWidget;
  await notebook.context.ready; await notebook.sessionContext.ready;
  await notebook.sessionContext.session.kernel.info;
  await jupyterapp.commands.execute('notebook:run-all-cells');
}"""
TIMED = """async ([image, handle, n]) => {
  const times = [];
  for (let i = 0; i < n; i++) {
    const begun = performance.now();
    const shown = new Promise(done => image.addEventListener('load', () => done(performance.now()), {once: true}));
    const key = i % 2 ? 'ArrowLeft' : 'ArrowRight';
    handle.dispatchEvent(new KeyboardEvent('keydown', {key: key, bubbles: true, cancelable: true}));
    times.push(await shown - begun);
    await new Promise(done => setTimeout(done, 150));
  }
  return times;
}"""
ASK = """async expression => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const asked = kernel.requestExecute({code: '', silent: true, user_expressions: {answer: expression}});
  return (await asked.done).content.user_expressions.answer.data['text/plain'];
}"""
STATE = """[
    (one.is_drawing, one.n_drawn)
    for one in list(__import__("ipywidgets").widgets.widget._instances.values())
    if hasattr(one, "n_drawn")
]"""
PIXELS = """async image => {
  const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
  return btoa(Array.from(bytes, one => String.fromCharCode(one)).join(''));
}"""


def open_notebook(lab, page, name):
    page.goto(lab.url(f"lab/tree/{name}"))
    page.wait_for_selector(".jp-Notebook .jp-Cell")


class Shown:
    """One explorer on the page."""

    def __init__(self, page, number):
        self.output = page.locator(".jp-OutputArea-output .widget-vbox").nth(number)
        self.status = self.output.locator("p[role=status]")
        self.image = self.output.locator("img.widget-image")
        self.page = page
        self.status.wait_for()

    def slider(self, name):
        """The handle of the slider so described."""
        control = self.output.locator(".widget-inline-hbox", has=self.page.get_by_text(name, exact=True))
        return control.locator(".noUi-handle")

    def value(self, name):
        """An attribute of the status line."""
        return self.status.get_attribute(f"data-{name}")

    def settle(self):
        """Wait until the kernel has drawn all that was asked of it, and the page shows its last drawing.

        The front end holds an event back until the kernel has answered the one before, and sends it before it
        answers us; so three equal answers in a row leave nothing held back.
        """
        answers = []
        while True:
            answers.append(ast.literal_eval(self.page.evaluate(ASK, STATE)))
            assert self.value("code") != "failed", self.status.inner_text()
            drawn = [n_drawn for _, n_drawn in answers[-1]]
            is_quiet = not any(is_drawing for is_drawing, _ in answers[-1])
            if is_quiet and answers[-3:] == 3 * answers[-1:] and int(self.value("drawn")) in drawn:
                return

    def pixels(self):
        """The picture, decoded."""
        data = base64.b64decode(self.image.evaluate(PIXELS))
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    def given(self):
        """Parameters in the command below the picture."""
        first, *_ = self.output.locator("pre").inner_text().splitlines()
        words = shlex.split(first)
        return dict(word.split("=") for before, word in itertools.pairwise(words) if before == "-p")


def drag(page, handle, dx):
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y, steps=30)
    page.mouse.up()


def test_explorers_show_what_the_library_computes(lab, page, record_property, shoot):
    open_notebook(lab, page, "07_explore.ipynb")
    page.evaluate(RUN_ALL)
    profile, vortex = Shown(page, 0), Shown(page, 1)
    for shown, slider, name in (
        (profile, "sigma_m_model", "profile"),
        (profile, "vortices at β", "vortices at β"),
        (vortex, "R", "vortex"),
    ):
        shown.settle()
        handle = shown.slider(slider).element_handle()
        times = page.evaluate(TIMED, [shown.image.element_handle(), handle, 10])
        record_property(
            f"slider to picture, {name}",
            f"median {np.median(times):.0f} ms, computing {float(shown.value('computed')):.0f} ms",
        )
    profile.settle()
    drawn = int(profile.value("drawn"))
    drag(page, profile.slider("sigma_m_model"), 40)
    profile.settle()
    assert drawn < int(profile.value("drawn")) <= drawn + 62, "two drawings an event at most"
    drag(page, profile.slider("scan of β").first, -60)
    profile.settle()
    given = {name: float(value) for name, value in profile.given().items()}
    assert given["sigma_m_model"] != 1e-6
    assert given["beta_min"] < 2.85

    reference = load_claims()["golden_loop"]["beta"]
    problem = VortexModel(
        load_measurements("report_2025"), sigma_m_model=given["sigma_m_model"], sigma_g_model=2e-8
    ).problem
    grid = np.linspace(given["beta_min"], 3.25, 41)
    scan = scan_profile(problem, "beta", grid, effort=Effort(N_STARTS, 20251223), references=(reference,))
    verdict = assess_profile(problem, scan, reference=reference)
    assert profile.value("code") == verdict.code
    assert verdict.sentence in profile.status.inner_text()

    same = ProfileExplorer(**given)
    same.put(beta=3.05)
    drawing = np.asarray(Image.open(io.BytesIO(same.picture)).convert("RGB")).astype(int)
    assert np.abs(profile.pixels() - drawing).max() <= 2

    shoot(profile.output, "explore_profile")

    vortex.output.get_by_role("button", name="walk along the degeneracy").click()
    page.wait_for_function("() => document.querySelectorAll('p[role=status]')[1].dataset.drawn > 20")
    vortex.output.get_by_role("button", name="walk along the degeneracy").click()
    vortex.settle()
    assert vortex.value("code") == "fits"
    shoot(vortex.output, "explore_vortex")

    waterfall = Shown(page, 2)
    before = int(waterfall.value("drawn"))
    waterfall.output.locator("select").select_option("the report's")
    waterfall.settle()
    assert int(waterfall.value("drawn")) >= before + 16, "a picture a start"
    assert waterfall.value("code") == "reported"
    shoot(waterfall.output, "explore_multistart")


def test_a_stale_picture_is_greyed_and_says_so(lab, page):
    """The class that marks it is put on by hand: what a computation lasts is not tested."""
    open_notebook(lab, page, "07_explore.ipynb")
    page.evaluate(RUN_ALL)
    shown = Shown(page, 0)
    shown.settle()
    picture, status = shown.image.element_handle(), shown.status.element_handle()
    look = "([one, two]) => [getComputedStyle(one).opacity, getComputedStyle(two, '::before').fontSize]"
    assert page.evaluate(look, [picture, status]) == ["1", page.evaluate(look, [picture, status])[1]]
    mark = (
        "(one) => one.closest('.jp-OutputArea-output').querySelector('.widget-vbox').classList.add('leptonfit-stale')"
    )
    page.evaluate(mark, picture)
    page.wait_for_function(f"(given) => ({look})(given)[0] === '0.35'", arg=[picture, status])
    page.wait_for_function(f"(given) => parseFloat(({look})(given)[1]) > 8", arg=[picture, status])


def test_neutrino_explorer(lab, page, record_property, shoot):
    open_notebook(lab, page, "16_explore_neutrinos.ipynb")
    page.evaluate(RUN_ALL)
    shown = Shown(page, 0)
    shown.settle()
    assert shown.value("code") == "excluded"
    shoot(shown.output, "explore_neutrinos")
    times = page.evaluate(TIMED, [shown.image.element_handle(), shown.slider("μ_ν (1e-11 μ_B)").element_handle(), 10])
    record_property(
        "slider to picture, neutrinos",
        f"median {np.median(times):.0f} ms, computing {float(shown.value('computed')):.0f} ms",
    )
    drag(page, shown.slider("μ_ν (1e-11 μ_B)"), -200)
    shown.settle()
    assert shown.value("code") == "allowed"
    assert float(shown.given()["mu_nu"]) < 0.83e-11
    shown.output.locator("select").first.select_option("Borexino Phase II")
    shown.settle()
    assert "Borexino Phase II" in shown.status.inner_text()


def test_explorer_of_a_fit(lab, page, record_property, shoot):
    open_notebook(lab, page, "21_explore_your_fit.ipynb")
    page.evaluate(RUN_ALL)
    shown = Shown(page, 0)
    shown.settle()
    assert shown.value("code") == "open_below"
    assert "which are at the best fit" in shown.status.inner_text()
    times = page.evaluate(TIMED, [shown.image.element_handle(), shown.slider("b").element_handle(), 10])
    record_property(
        "slider to picture, a fit",
        f"median {np.median(times):.0f} ms, computing {float(shown.value('computed')):.0f} ms",
    )
    drag(page, shown.slider("b"), -20)
    shown.settle()
    assert "above the best fit's" in shown.status.inner_text()
    shoot(shown.output, "explore_fit")
    shown.output.get_by_role("button", name="put the sliders at the best fit").click()
    shown.settle()
    assert "which are at the best fit" in shown.status.inner_text()
    shown.output.locator("select").first.select_option("long")
    shown.settle()
    assert shown.value("code") == "identified"


EDIT_AND_SAVE = """async ([path, factory, text]) => {
  const notebook = await jupyterapp.commands.execute('docmanager:open', {path: path, factory: factory});
  await notebook.context.ready;
  notebook.content.activeCellIndex = 0;
  await jupyterapp.commands.execute('notebook:insert-cell-below');
  notebook.content.activeCell.model.sharedModel.setSource(text);
  await notebook.context.save();
}"""


@pytest.mark.parametrize(("suffix", "factory"), [("py", "Jupytext Notebook"), ("ipynb", "Notebook")])
def test_either_side_of_a_pair_saves_both(lab, page, suffix, factory):
    page.goto(lab.url("lab/tree/"))
    page.wait_for_selector(".jp-DirListing-item")
    name, added = "11_limits", f"edited = 'in the .{suffix}'"
    page.evaluate(EDIT_AND_SAVE, [f"{name}.{suffix}", factory, added])
    cells = {kind: jupytext.read(lab.folder / f"{name}.{kind}").cells for kind in ("py", "ipynb")}
    for kind, found in cells.items():
        assert added in [cell.source for cell in found], kind
    assert [cell.source for cell in cells["py"]] == [cell.source for cell in cells["ipynb"]]
    saved = nbformat.read(lab.folder / f"{name}.ipynb", as_version=4)
    assert any(cell.get("outputs") for cell in saved.cells), "outputs stay"


def test_a_request_without_the_token_is_refused(lab):
    for path in ("api/contents", "api/kernels"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(lab.url(path, token=False), timeout=60)
    for path in ("lab", "files/00_start_here.py"):
        with urllib.request.urlopen(lab.url(path, token=False), timeout=60) as answer:
            assert "/login" in answer.url
    with urllib.request.urlopen(lab.url("files/00_start_here.py"), timeout=10) as answer:
        assert answer.read() == (lab.folder / "00_start_here.py").read_bytes()


def test_make_lab_opens_the_first_notebook(lab, page):
    page.goto(lab.opened.read_text())
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context?.path === '00_start_here.ipynb'")
