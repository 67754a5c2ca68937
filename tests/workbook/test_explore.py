"""Explorers without a front end, and with an event loop in place of one."""

import asyncio
import base64
import contextlib
import io
import itertools
import shlex
import threading
import time

import ipywidgets as widgets
import numpy as np
import pytest
from PIL import Image

from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.cancellation import check_cancelled
from leptonfit.inference.identifiability import assess_multistart, assess_profile
from leptonfit.inference.limits import find_limits
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.solve import solve
from leptonfit.neutrino.experiments import MEASURED, SPECTRA
from leptonfit.neutrino.likelihood import load_likelihood, to_moment
from leptonfit.vortex.c_mu import feasible_c_mu
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import BOUNDS, VortexModel
from leptonfit.workbook import run
from leptonfit.workbook.explore import MultistartExplorer, NeutrinoExplorer, ProfileExplorer, VortexExplorer
from leptonfit.workbook.explore.controls import slider
from leptonfit.workbook.explore.explorer import Explorer

pytestmark = pytest.mark.slow

TIGHT = {"sigma_m_model": 1e-6, "sigma_g_model": 2e-8}


def pixels(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.picture)).convert("RGB"))


@pytest.fixture(scope="module")
def profile():
    return ProfileExplorer()


@pytest.fixture(scope="module")
def neutrinos():
    return NeutrinoExplorer()


def test_the_verdict_follows_the_scan_and_the_picture_the_state(profile):
    before = pixels(profile)
    profile.put(scan=(0.8, 1.4))
    assert profile.code == profile.verdict.code == "not_identified"
    assert profile._marker.get_xdata()[0] == 1.4, "as near as the scan comes"
    (low, high), *_ = profile.profile.identified_set["0.95"].intervals
    assert low == pytest.approx(1.1148, abs=1e-3)
    assert f"[{low:.8g}" in profile.sentence
    assert high == pytest.approx(1.97664e8, rel=1e-4)
    feasible = feasible_c_mu(VortexModel(load_measurements("report_2025"), **TIGHT), np.array([1.4]))
    assert f"{feasible.joint[0, 0]:.5g}" in profile.sentence
    assert (pixels(profile) != before).any()
    profile.put(scan=(2.85, 3.25))
    assert (pixels(profile) == before).all(), "the same state is the same picture, whatever came between"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            {"closure": "reported", "r_max": 20.0},
            "r_max = 20.0: must satisfy r_max == 10 or closure != 'reported', with closure = reported, "
            "in 02_profile_scan",
        ),
        (
            {"scan": (3.0, 3.0)},
            "beta_min = 3.0: must satisfy beta_min < beta_max, with beta_max = 3.0, in 02_profile_scan",
        ),
    ],
)
def test_a_state_that_is_not_allowed_is_refused_in_one_line(profile, state, said):
    before = {name: profile.controls[name].value for name in state}
    drawn = pixels(profile)
    profile.put(**state)
    assert (profile.code, profile.sentence) == ("refused", said)
    assert (pixels(profile) == drawn).all()
    profile.put(**before)
    assert profile.code == "not_identified"


@pytest.mark.parametrize(
    ("explorer", "state", "said"),
    [
        (
            ProfileExplorer,
            {"sigma_m_model": 1.1e-6, "sigma_g_model": 3e-7, "closure": "lab_quartic", "scan": (2.0, 3.0)},
            {
                "sigma_m_model": 1.1e-6,
                "sigma_g_model": 3e-7,
                "closure": "lab_quartic",
                "beta_min": 2.0,
                "beta_max": 3.0,
            },
        ),
        (ProfileExplorer, {"bounds": "wide", "r_max": 10.6}, {"bounds": "wide", "r_max": 10.6}),
        (VortexExplorer, {"lepton": "mu", "R": 0.5, "beta": 2.0}, {"lepton": "mu", "radius": 0.5, "beta": 2.0}),
        (MultistartExplorer, {"n_starts": 3, "seed": 77}, {"n_starts": 3, "seed": 77}),
        (
            NeutrinoExplorer,
            {"dataset": "superk_1to4", "mu_nu": 25.0, "confidence": 0.68, "limit_method": "fc"},
            {"datasets": "superk_1to4", "mu_nu": 2.5e-10, "confidence_levels": "0.68", "limit_method": "fc"},
        ),
        (
            NeutrinoExplorer,
            {"threshold": 3, "limit_method": "pinned"},
            {"datasets": "xenonnt", "limit_method": "pinned", "n_thresholds": 28},
        ),
    ],
)
def test_its_commands_run_the_state_on_screen(explorer, state, said, root, monkeypatch):
    monkeypatch.setattr(explorer, "advance", lambda shown: (part for part in ()))  # commands need no computation
    shown = explorer()
    shown.put(**state)
    first, *others = shown.commands()
    words = shlex.split(first)
    assert words[:2] == ["leptonfit", "run"]
    given = [word for before, word in itertools.pairwise(words) if before == "-p"]
    request = run.check_request(list(shown.notebooks), given, root=root)
    assert {name: request.overrides[name] for name in said} == said
    for notebook, line in zip(shown.notebooks, others, strict=True):
        program, path, output, *rest = shlex.split(line)
        assert (program, path, output) == ("papermill", f"notebooks/{notebook}.ipynb", "out.ipynb")
        assert rest[::3] == ["-p"] * (len(rest) // 3)
        assert dict(zip(rest[1::3], rest[2::3], strict=True)) == {
            name: text for name, text in (word.split("=") for word in given) if name in request.parameters(notebook)
        }


def test_every_assumption_of_the_profile_reaches_the_fit(profile):
    """Marks on the picture are the library's values."""
    profile.put(closure="lab_linear", sigma_g_model=1e-3, scan=(1.0, 2.0), beta=1.5)
    measured, grid = load_measurements("report_2025"), np.linspace(1.0, 2.0, 41)
    problem = VortexModel(measured, sigma_m_model=1e-6, sigma_g_model=1e-3, closure="lab_linear").problem
    scan = scan_profile(problem, "beta", grid, effort=Effort(16, 1))
    np.testing.assert_allclose(profile.profile.chi2_min, scan.chi2_min, rtol=1e-5, atol=1e-6)
    start = scan.x[20].copy()
    start[problem.index("beta")] = 1.5
    fit = solve(problem, start, fixed=("beta",))
    assert profile._marker.get_ydata()[0] == pytest.approx(max(float(fit.chi2), 1e-6), rel=1e-5)
    profile.put(closure="stream", sigma_g_model=2e-8, scan=(2.85, 3.25), beta=3.05, r_max=20.0)
    band = feasible_c_mu(VortexModel(measured, **TIGHT, r_max=20.0), profile.profile.grid[::5])
    drawn = profile._band.get_paths()[0].vertices[:, 1]
    assert drawn.max() == pytest.approx(band.joint[:, 1].max())
    assert drawn.min() == pytest.approx(band.joint[:, 0].min())
    profile.put(r_max=10.0)


def test_a_verdict_that_few_starts_leave_open_is_the_notebook_s(profile):
    profile.put(closure="lab")
    reference = load_claims()["golden_loop"]["beta"]
    problem = VortexModel(load_measurements("report_2025"), **TIGHT, closure="lab").problem
    scan = scan_profile(
        problem, "beta", np.linspace(2.85, 3.25, 41), effort=Effort(16, 20251223), references=(reference,)
    )
    assert profile.code == assess_profile(problem, scan, reference=reference).code == "rejected"
    profile.put(closure="stream")


def test_what_has_no_control_is_refused():
    with pytest.raises(TypeError, match="measurements: must be one of sigma_m_model, "):
        ProfileExplorer(measurements="codata_2022")


def test_masses_and_g_stay_put_along_the_degeneracy():
    vortex = VortexExplorer()
    for lepton in ("e", "mu", "tau"):
        vortex.put(lepton=lepton)
        beta, amplitude = vortex.controls["beta"].value, vortex.controls["A"].value
        assert all(vortex.walk() for _ in range(5))
        assert vortex.code == "fits"
        assert vortex.controls["beta"].value == pytest.approx(beta * 1.01**5)
        assert vortex.controls["A"].value != amplitude
    vortex.put(lepton="e")
    vortex.controls["R"].value *= 0.9
    assert vortex.code == "misses"
    assert vortex.walk(), "the first step is the fit"
    assert vortex.code == "fits"
    radius, velocity, c_mu = (vortex.controls[name].value for name in ("R", "U", "c_mu"))
    assert vortex._g.get_xdata()[0] == pytest.approx(0.2 * c_mu * radius * velocity, rel=1e-3)
    vortex.put(beta=9.95)
    while vortex.walk():
        pass
    assert "The slider ends here; the fit goes on beyond it." in vortex.sentence
    vortex.put(lepton="mu", c_mu=1500.0)
    assert not vortex.walk()
    assert "one step on, nothing within the bounds fits" in vortex.sentence


def test_a_button_pressed_twice_is_one_walk():
    async def press():
        vortex = VortexExplorer()
        for _ in range(4):
            vortex.walk_button.value = True
            vortex.walk_button.value = False
        vortex.walk_button.value = True
        await asyncio.sleep(0)
        before, began = vortex.n_drawn, time.monotonic()
        await asyncio.sleep(0.5)
        vortex.walk_button.value = False
        drawn, seconds = vortex.n_drawn - before, time.monotonic() - began
        await asyncio.sleep(0.2)
        assert vortex.n_drawn - before - drawn <= 1, "it stops"
        return drawn / (seconds / 0.03 + 1)  # a busy machine sleeps longer

    assert asyncio.run(press()) <= 1


def test_a_walk_survives_the_rounding_of_a_slider():
    """A browser gives back what it was set to, rounded to the slider's step."""
    vortex = VortexExplorer()
    vortex.walk()
    for name in ("R", "U", "A", "beta"):
        control = vortex.controls[name]
        control.value = round(control.value / control.step) * control.step
    assert vortex.code == "fits"


def test_a_browser_that_rounds_a_slider_changes_nothing(profile):
    control = profile.controls["sigma_g_model"]
    before = profile.commands()
    control.value = 10 ** round(np.log10(control.value), 1)
    assert control.value != 2e-8
    assert profile.commands() == before
    control.value = 10**-7.6
    assert "sigma_g_model=2.51189e-08" in profile.commands()[0]
    control.value = 2e-8


def test_a_multistart_ends_as_the_library_does():
    shown = MultistartExplorer(n_starts=20, seed=5)
    claims = load_claims()
    box = {**BOUNDS["report"], "beta": tuple(claims["multi_start"]["beta_box"])}
    problem = VortexModel(load_measurements("report_2025"), sigma_m_model=1e-6, sigma_g_model=2e-8, bounds=box).problem
    result = run_multistart(problem, effort=Effort(20, 5))
    assert shown.sentence == f"{result.summary()}. {assess_multistart(problem, result, 'beta').sentence}"
    assert shown.n_drawn == 3, "a picture every eight starts"
    shown.put(n_starts=4, optimiser="the report's")
    assert shown.n_drawn == 3 + 4
    assert shown.code == "reported"
    assert "at 0 of 4 starts" in shown.sentence


@pytest.mark.parametrize("threshold", [1, 4])
@pytest.mark.parametrize("method", ["cls", "pinned"])
def test_neutrino_limits_are_the_library_s(neutrinos, threshold, method):
    neutrinos.put(dataset="xenonnt", threshold=threshold, limit_method=method, mu_nu=2.0)
    likelihood = load_likelihood("xenonnt")
    used = likelihood.above(threshold - 1)
    limits = find_limits(likelihood.model, likelihood.data, confidence=(0.9,), used=used)
    assert f"{1e11 * to_moment(limits.observed[method][0]):.3g}e-11 μ_B at 90 %" in neutrinos.sentence
    assert neutrinos.code == "excluded"
    rise = likelihood.model.fit(likelihood.data, theta=4.0, used=used).value - limits.chi2_zero
    assert f"Δχ²(2e-11 μ_B) = {rise:.3g}" in neutrinos.sentence
    assert ("13_threshold_scan" if threshold > 1 else "12_recoil_spectra") in neutrinos.commands()[0]
    found = {name: 1e11 * float(to_moment(one[0])) for name, one in limits.observed.items()}
    between = (found["pinned"] + found["cls"]) / 2
    neutrinos.put(mu_nu=between)
    assert neutrinos.code == ("excluded" if found[method] < between else "allowed"), (
        "by the construction that is chosen"
    )
    neutrinos.put(limit_method="q_tilde")
    assert bool(neutrinos.commands()) == (threshold == 1), "no notebook takes it above a threshold"


def test_every_measured_data_set_is_shown(neutrinos):
    """A data set that shares events with one of the notebooks has no command."""
    assert {slug for _, slug in neutrinos.controls["dataset"].options} == set(MEASURED)
    for title, slug in neutrinos.controls["dataset"].options:
        neutrinos.put(dataset=slug)
        assert neutrinos.code in ("allowed", "excluded")
        assert neutrinos.sentence.startswith(f"{title}, ")
        assert bool(neutrinos.commands()) == (slug in SPECTRA)
        assert ("shares events" in neutrinos.remark) == (slug not in SPECTRA)


class Slow(Explorer):
    """Three parts a drawing."""

    def __init__(self):
        self.shown = []
        super().__init__({"a": slider("a", 0.0, 0.0, 100.0, 1.0)}, size=(1, 1))

    def set_up(self) -> None:
        self.figure.subplots()

    def parameters(self):
        return {}

    def advance(self):
        for part in range(3):
            self.shown.append((self.controls["a"].value, part))
            self.say("<b>code</b>", f"<script>alert({self.controls['a'].value})</script>")
            yield None


async def settle(explorer):
    async with asyncio.timeout(120):
        while explorer.is_drawing:
            await asyncio.sleep(0.001)


def test_events_at_hand_are_one_drawing_and_a_newer_state_ends_an_older():
    async def drag():
        slow = Slow()
        slow.shown.clear()
        for value in range(1, 31):
            slow.controls["a"].value = value
        await settle(slow)
        slow.controls["a"].value = 50
        while (50, 0) not in slow.shown:
            await asyncio.sleep(0)
        slow.controls["a"].value = 60
        await settle(slow)
        slow.controls["a"].value = 70
        while (70, 0) not in slow.shown:
            await asyncio.sleep(0)
        slow.put(a=80)
        await settle(slow)
        return slow

    slow = asyncio.run(drag())
    drawn = [value for value, _ in slow.shown]
    assert drawn[:3] == [30, 30, 30], "the newest of those at hand, to its end"
    assert drawn[3:].count(50) < 3, "an older drawing goes on while a newer state waits"
    assert slow.shown.count((60, 2)) == 1
    assert slow.shown[-3:] == [(80, 0), (80, 1), (80, 2)], "what is put is drawn last, and to its end"


def test_a_picture_of_an_older_state_is_marked_until_the_new_one_is_there():
    marked = []

    async def move():
        slow = Slow()
        slow.observe(lambda change: marked.append("leptonfit-stale" in change["new"]), "_dom_classes")
        slow.controls["a"].value = 2.0
        assert marked == [True]
        await settle(slow)

    asyncio.run(move())
    assert marked == [True, False]


def test_all_is_drawn_in_one_thread_whichever_thread_an_event_comes_from():
    """JupyterLab sends events of widgets to threads of their own, and matplotlib must not be used in two."""
    drawn = set()

    class Watched(Slow):
        def advance(self):
            for _ in super().advance():
                drawn.add(threading.get_ident())
                yield None

    async def move():
        watched = Watched()

        def drag():
            for value in range(1, 20):
                watched.controls["a"].value = value

        others = [threading.Thread(target=drag) for _ in range(4)]
        for one in others:
            one.start()
        while any(one.is_alive() for one in others):
            await asyncio.sleep(0.001)
        await settle(watched)
        assert watched.shown[-1] == (watched.controls["a"].value, 2)

    asyncio.run(move())
    assert drawn == {threading.get_ident()}


def test_work_blocks_no_event_and_ends_for_a_newer_state():
    begun, ended = [], []

    class Working(Slow):
        def advance(self):
            self.say("computing", "")
            yield None
            found = yield lambda value=self.controls["a"].value: self.compute(value)
            self.say("done", f"{found}")
            yield None

        def compute(self, value):
            begun.append(value)
            try:
                while value == 1:
                    check_cancelled()
            finally:
                ended.append(value)
            if value == 3:
                raise ValueError("a = 3: must not be 3")
            return value

    async def move():
        working = Working()
        working.controls["a"].value = 1
        async with asyncio.timeout(120):
            while 1 not in begun:  # the work of this state never ends by itself
                await asyncio.sleep(0.001)
        working.controls["a"].value = 2
        await settle(working)
        assert (working.code, working.sentence) == ("done", "2.0")
        working.controls["a"].value = 3
        await settle(working)
        assert (working.code, working.sentence) == ("refused", "a = 3: must not be 3")

    asyncio.run(move())
    assert ended == [0, 1, 2, 3]


def test_work_is_shown_in_slices_that_a_newer_state_ends(monkeypatch):
    monkeypatch.setattr("leptonfit.workbook.explore.explorer._SLICE", 0.0)
    refined = []

    class Sliced(Slow):
        def advance(self):
            found = yield lambda value=self.controls["a"].value: self.compute(value)
            self.say("done", f"{found}")
            yield None

        def refine(self, so_far):
            refined.append(so_far[0].tolist())
            self.say("computing", f"{refined[-1]}")

        def compute(self, value):
            for n in (1, 2, 2, 3) if value else ():
                before = self.n_drawn
                is_new = not refined or refined[-1] != [value, n]
                self.report(np.array([value, n]))
                while is_new and self.n_drawn == before:
                    check_cancelled()
                for _ in range(5):  # turns of the event loop, in which nothing more is drawn
                    turned = threading.Event()
                    self.loop.call_soon_threadsafe(turned.set)
                    turned.wait()
            while value == 1:
                check_cancelled()
            return value

    async def move():
        sliced = Sliced()
        sliced.controls["a"].value = 1
        async with asyncio.timeout(120):
            while [1, 3] not in refined:  # the work of this state never ends by itself
                await asyncio.sleep(0.001)
        sliced.controls["a"].value = 2
        await settle(sliced)
        return sliced

    sliced = asyncio.run(move())
    assert refined == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]], "each once, and none of the older state later"
    assert (sliced.code, sliced.sentence, sliced.n_drawn) == ("done", "2.0", 8)


@pytest.mark.parametrize("in_loop", [True, False])
@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ValueError("a = 1: must not be 1"), "refused", "a = 1: must not be 1"),
        (RuntimeError("a fit did not converge"), "failed", "a fit did not converge"),
    ],
)
def test_work_that_fails_says_so_with_and_without_an_event_loop(in_loop, raised, code, said):
    class Failing(Slow):
        def advance(self):
            self.say("computing", "")
            yield None
            yield self.compute
            self.say("done", "")
            yield None

        def compute(self):
            if self.controls["a"].value:
                raise raised

    async def move():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        failing = Failing()
        failing.controls["a"].value = 1
        await settle(failing)
        return failing

    if in_loop:
        failing = asyncio.run(move())
    else:
        failing = Failing()
        with pytest.raises(RuntimeError) if code == "failed" else contextlib.nullcontext():
            failing.controls["a"].value = 1
    assert (failing.code, failing.sentence) == (code, said)


def test_an_explorer_that_is_closed_draws_no_more():
    async def move():
        slow = Slow()
        slow.controls["a"].value = 1
        slow.close()
        drawn = slow.n_drawn
        slow.controls["a"].value = 2
        await asyncio.sleep(0.1)
        assert (slow.n_drawn, slow.is_drawing) == (drawn, False)

    asyncio.run(move())


def test_a_first_picture_has_the_new_curve_and_no_verdict():
    async def move():
        shown, codes = ProfileExplorer(), []
        shown._said.observe(lambda change: codes.append(shown.code), "value")
        shown.controls["scan"].value = (0.8, 1.4)
        while not codes:
            await asyncio.sleep(0)
        sketched = shown._curve.trusted.get_xydata().copy()
        assert not shown._curve.spans
        await settle(shown)
        assert set(codes[:-1]) == {"computing"}
        assert codes[-1] == "not_identified"
        np.testing.assert_allclose(sketched[:, 0], shown.profile.grid)
        np.testing.assert_allclose(sketched[:, 1], np.maximum(shown.profile.chi2_min, 1e-6), rtol=1e-3)

    asyncio.run(move())


def test_a_scan_is_shown_while_it_is_computed_and_ends_as_in_one_piece(profile, monkeypatch):
    monkeypatch.setattr("leptonfit.workbook.explore.explorer._SLICE", 0.0)
    said, heights = [], []

    class Watched(ProfileExplorer):
        def refine(self, so_far):
            super().refine(so_far)
            said.append(self.sentence)
            heights.append(self._curve.trusted.get_ydata())

        def report(self, *so_far):
            super().report(*so_far)
            while self.is_drawing and not said:  # one picture at least
                check_cancelled()

    async def move():
        shown = Watched()
        shown.controls["scan"].value = (0.8, 1.2)
        await settle(shown)
        return shown

    shown = asyncio.run(move())
    profile.put(scan=(0.8, 1.2), beta=shown.controls["beta"].value)
    assert all(" of 41 points can be trusted so far. " in sentence for sentence in said)
    np.testing.assert_allclose(heights[-1], np.maximum(profile.profile.chi2_min, 1e-6), rtol=1e-3)
    np.testing.assert_array_equal(shown.profile.chi2_min, profile.profile.chi2_min)
    assert (shown.code, shown.sentence) == (profile.code, profile.sentence)
    assert (pixels(shown) == pixels(profile)).all()


def test_text_is_shown_as_text():
    slow = Slow()
    shown = "".join(child.value for child in slow.children if isinstance(child, widgets.HTML))
    assert "&lt;script&gt;alert(0.0)&lt;/script&gt;" in shown
    assert "&lt;b&gt;code" in shown
    assert "<script>" not in shown


def test_a_failing_computation_is_said_and_raised():
    class Broken(Slow):
        def advance(self):
            if self.controls["a"].value:
                raise RuntimeError("a fit did not converge")
            yield None

    broken = Broken()
    with pytest.raises(RuntimeError, match="a fit did not converge"):
        broken.controls["a"].value = 3.0
    assert (broken.code, broken.sentence) == ("failed", "a fit did not converge")

    async def fail():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        broken = Broken()
        broken.controls["a"].value = 4.0
        await settle(broken)

    asyncio.run(fail())  # a failed drawing is over, so that nothing waits for it


@pytest.mark.parametrize(
    ("explorer", "states"),
    [
        (ProfileExplorer, [{"beta": 2.9}, {"sigma_m_model": 1e-2}, {"scan": (0.8, 1.4)}, {"beta": 1.2}]),
        (VortexExplorer, [{"R": 0.5}, {"A": 0.3}, {"lepton": "mu"}]),
        (NeutrinoExplorer, [{"mu_nu": 2.0}, {"limit_method": "fc"}, {"threshold": 5}, {"dataset": "superk_1to4"}]),
    ],
)
def test_what_is_drawn_onto_a_frame_is_what_is_drawn_anew(explorer, states):
    shown = explorer()
    for state in states:
        shown.put(**state)
        updated = pixels(shown)
        shown._layers = {}
        shown.draw()
        assert (pixels(shown) == updated).all(), state


def test_readers_without_widgets_get_the_picture(profile):
    data, _ = profile._repr_mimebundle_()
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size == (920, 450)
    assert "application/vnd.jupyter.widget-view+json" in data
