"""The explorer of a fit of one's own, without a front end, and with an event loop in place of one."""

import asyncio
import io
from dataclasses import replace

import ipywidgets as widgets
import numpy as np
import pytest
from PIL import Image

import leptonfit
from leptonfit.inference.cancellation import check_cancelled
from leptonfit.workbook.explore import FitExplorer
from leptonfit.workbook.explore.fit import DATA, PROFILED

pytestmark = pytest.mark.slow

BOUNDS = {"a": (0, 20), "b": (0, 5), "c": (-3, 3)}
FEW = leptonfit.Effort(4, 1)


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


def make(end, bounds=BOUNDS):
    t = np.linspace(0, end, 12)
    noise = 0.1 * np.array([0.4, -1.1, 0.9, 0.2, -0.6, 1.2, -0.1, 0.3, -0.8, 0.5, -0.4, 0.7])
    return leptonfit.problem_from_model(decay, t, decay(t, 5, 0.8, 0.2) + noise, 0.1, bounds)


@pytest.fixture(scope="module")
def problems():
    return {"short": make(0.5), "long": make(6)}


@pytest.fixture
def explorer(problems):
    return FitExplorer(problems, dataset="long", profiled="b", effort=FEW)


def pixels(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.picture)).convert("RGB"))


def test_every_free_parameter_has_a_slider_over_its_bounds():
    rate = leptonfit.Parameter(name="b", start=1, lower=0, unit="1/s", symbol="β")
    shown = FitExplorer(make(6, {"a": (0.01, 100), "b": rate, "c": 0.2}), effort=FEW)
    assert list(shown.controls) == [DATA, PROFILED, "a", "b"]
    a, b = shown.controls["a"], shown.controls["b"]
    assert isinstance(a, widgets.FloatLogSlider)
    assert (10**a.min, 10**a.max) == pytest.approx((0.01, 100))
    assert isinstance(b, widgets.FloatSlider)
    assert b.description == "β (1/s)"
    assert b.min == 0
    assert 0.8 < b.max < np.inf
    assert shown.read("b") == shown.profile.best_x[1]


def test_the_picture_holds_what_the_library_computes(explorer, problems):
    problem = problems["long"]
    explorer.put(a=4.0, b=1.0, c=0.5)
    x = np.array([4, 1, 0.5])
    chi2 = np.sum(problem.residuals(x) ** 2)
    assert explorer.chi2 == pytest.approx(chi2)
    curve, model = explorer._model.get_data()
    np.testing.assert_allclose(model, decay(curve, *x))
    np.testing.assert_allclose(explorer._residuals.get_ydata(), -problem.residuals(x))
    profile = leptonfit.scan_profile(problem, "b", effort=FEW, sets=leptonfit.SetOptions(levels=(0.95,)))
    np.testing.assert_allclose(explorer._curve.get_ydata(), profile.chi2_min - profile.best_chi2, atol=1e-9)
    assert explorer._here.get_xdata() == [1.0]
    assert explorer._here.get_ydata() == [0.97 * 3 * 3.841458820694124], "as high as the axis goes"
    verdict = leptonfit.assess_profile(problem, profile)
    assert explorer.code == verdict.code == "identified"
    above = f"{chi2 - profile.best_chi2:.4g} above the best fit's {profile.best_chi2:.5g}."
    assert explorer.sentence == f"χ² = {chi2:.5g} at the sliders, {above} {verdict.sentence}"


def test_buttons_go_to_the_best_fit_and_onto_the_profile(explorer, problems):
    explorer.put(a=4.0, b=0.9, c=0.5)
    explorer.refit_button.click()
    fit = leptonfit.solve(problems["long"], np.array([4, 0.9, 0.5]), fixed=("b",))
    assert [explorer.read(name) for name in "abc"] == pytest.approx(fit.x)
    assert explorer.read("b") == 0.9
    assert explorer._here.get_ydata()[0] == pytest.approx(fit.chi2 - explorer.profile.best_chi2)
    explorer.best_button.click()
    assert [explorer.read(name) for name in "abc"] == explorer.profile.best_x.tolist()
    assert "which are at the best fit" in explorer.sentence
    explorer.controls["b"].value = round(explorer.read("b") / 0.01) * 0.01
    assert "which are at the best fit" in explorer.sentence, "a browser rounds a slider to its step"


def test_another_data_set_or_parameter_has_its_own_profile_computed_once(explorer, problems):
    drawn = explorer.n_drawn
    explorer.put(**{DATA: "short"})
    assert explorer.n_drawn == drawn + 2, "the model first, then the profile"
    assessed = leptonfit.assess(problems["short"], effort=FEW)
    assert explorer.code == assessed.verdicts["b"].code == "open_below"
    shown = {name: {one.get_visible() for one in artists} for name, artists in explorer._points.items()}
    assert shown == {"short": {True}, "long": {False}}
    explorer.put(**{PROFILED: "c"})
    assert (explorer.profile.parameter, explorer.code) == ("c", assessed.verdicts["c"].code)
    assert explorer.n_drawn == drawn + 4
    explorer.put(**{DATA: "long", PROFILED: "b"})
    assert explorer.n_drawn == drawn + 5


def test_what_is_drawn_onto_a_frame_is_what_is_drawn_anew(explorer):
    first = pixels(explorer)
    for state in ({"b": 0.85}, {"b": 3.0}, {"c": -3.0}, {DATA: "short"}, {PROFILED: "a"}):
        explorer.put(**state)
        updated = pixels(explorer)
        explorer._layers = {}
        explorer.draw()
        assert (pixels(explorer) == updated).all(), state
    explorer.put(**{DATA: "long", PROFILED: "b"})
    explorer.fit()
    assert (pixels(explorer) == first).all(), "the same state is the same picture, whatever came between"


def test_a_dragged_slider_is_drawn_once_for_the_events_at_hand(problems):
    async def drag():
        explorer = FitExplorer(problems, dataset="long", profiled="b", effort=FEW)
        drawn = explorer.n_drawn
        for value in np.linspace(0.8, 0.9, 30):
            explorer.controls["b"].value = value
        while explorer.is_drawing:
            await asyncio.sleep(0)
        assert explorer.n_drawn == drawn + 1
        assert explorer._here.get_xdata() == [0.9]

    asyncio.run(drag())


def test_its_lines_compute_the_chi2_on_screen(explorer, problems):
    explorer.put(a=4.3)
    point, chi2 = explorer.commands()
    namespace = {"np": np, "problem": problems["long"]}
    exec(point, namespace)
    assert eval(chi2, namespace) == explorer.chi2


def test_where_a_bound_narrows_a_profile_both_are_shown(explorer):
    assert np.isnan(explorer._within.get_ydata()).all(), "the long data determine b without any bound"
    explorer.put(**{DATA: "short"})
    alone, within = explorer._curve.get_data(), explorer._within.get_data()
    np.testing.assert_array_equal(alone[0], explorer.released.grid)
    assert np.max(within[1] - np.interp(within[0], *alone)) > 1, "the bounds of c add to χ²"


def test_a_point_below_the_best_fit_is_said(explorer):
    profile, verdict, released = explorer._find("long", "b")
    explorer._found["long", "b"] = replace(profile, best_chi2=profile.best_chi2 + 1), verdict, released
    explorer.draw()
    assert explorer.code == "unreliable"
    assert "1 below the best fit's" in explorer.sentence
    assert "the profile needs more starts" in explorer.sentence


def test_a_model_that_is_not_finite_is_said():
    t = np.arange(1.0, 9)
    problem = leptonfit.problem_from_model(
        lambda t, p, q: 1 / (p - 1) * t**q, t, t**0.5, 0.1, {"p": (0, 3), "q": (0, 1)}
    )
    shown = FitExplorer(problem, effort=FEW)
    shown.put(p=1.0)
    assert shown.sentence.startswith("The model is not finite at the sliders.")


@pytest.mark.parametrize("sigma", [None, "poisson"])
def test_unknown_errors_and_counts_have_it_too(sigma):
    t = np.arange(8.0)
    problem = leptonfit.problem_from_model(
        lambda t, a, b: a * np.exp(-b * t),
        t,
        np.array([40.0, 22, 15, 6, 5, 2, 0, 1]),
        sigma,
        {"a": (1, 99), "b": (0, 2)},
    )
    assert FitExplorer(problem, effort=FEW).code == "identified"


def test_what_cannot_be_shown_is_refused(problems):
    other = make(6, {"a": (0, 30), "b": (0, 5), "c": (-3, 3)})
    plane = leptonfit.problem_from_model(
        lambda x, a: a * x[0] + x[1], np.arange(8.0).reshape(2, 4), np.arange(4.0), 0.1, {"a": (-2, 2)}
    )
    for given, options, message in (
        ({"one": problems["long"], "other": other}, {}, "problems: must have the same parameters"),
        (plane, {}, "x: must be one array, to be drawn"),
        (problems, {"dataset": "none"}, "data set 'none': must be one of short, long"),
        (problems, {"profiled": "z"}, "z"),
    ):
        with pytest.raises(ValueError, match=message):
            FitExplorer(given, **options)


def test_a_profile_is_shown_while_it_is_computed(problems, explorer, monkeypatch):
    monkeypatch.setattr("leptonfit.workbook.explore.explorer._SLICE", 0.0)
    pictures = []

    class Watched(FitExplorer):
        def refine(self, so_far):
            super().refine(so_far)
            pictures.append((self.code, self.sentence, *self._curve.get_data()))

        def report(self, *so_far):
            super().report(*so_far)
            while not pictures:  # one picture at least
                check_cancelled()

    async def move():
        shown = Watched(problems, dataset="long", profiled="b", effort=FEW)
        shown.controls[PROFILED].value = "a"
        async with asyncio.timeout(120):
            while shown.is_drawing:
                await asyncio.sleep(0.001)
        return shown

    shown = asyncio.run(move())
    explorer.put(**{PROFILED: "a"})
    for code, sentence, values, rises in pictures:
        assert code == "computing"
        assert f" of {len(values)} points of the profile of a can be trusted so far." in sentence
        assert rises.min() >= 0
    for ours, alone in zip(shown._curve.get_data(), explorer._curve.get_data(), strict=True):
        np.testing.assert_array_equal(ours, alone)
    assert shown.sentence == explorer.sentence
