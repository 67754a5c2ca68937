"""Closures compared: against closed forms, and by the rules that are stated."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from leptonfit.claims.claim import Claim
from leptonfit.claims.december_2025.claims import answer_options, find_standing
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import Effort
from leptonfit.vortex import comparison, sigma_model
from leptonfit.vortex.choices import Choice, build_choice
from leptonfit.vortex.comparison import (
    ComparedResult,
    compare_choice,
    compare_choices,
    describe_boxes,
    describe_comparison,
    select_shown,
)
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import VortexModel
from leptonfit.vortex.sigma_model import estimate_sigma_model

pytestmark = pytest.mark.slow

REPORT = load_measurements("report_2025")
MODEL = VortexModel(REPORT, sigma_m_model=1e-6, sigma_g_model=2e-8)
HOW = {"reference": 3.043233053, "effort": Effort(8, 5)}
GRID = np.geomspace(0.05, 50, 9)
DETERMINED = Choice(moment="spin_half", amplitude="saturated", radius="free", bounds="wide")


@pytest.fixture(scope="module")
def determined():
    return compare_choice(DETERMINED, MODEL, GRID, **HOW)


@pytest.fixture(scope="module")
def report():
    return compare_choice(Choice(), MODEL, GRID, **HOW)


def test_three_additions_together_determine_beta(determined):
    """By hand: g gives R U, the mass of the μ its U, m R_rms of the e that of the μ; then the e's mass gives β."""
    r_max, static, g = 10.0, 32 * np.pi / 105, REPORT.values[3:]

    def flow(radius):
        return np.pi * (2 / 3 * r_max**3 + radius**3 * (2 / 21 - 6 / 35) - radius**6 / (3 * r_max**3))

    moment = g / (4 * REPORT.values[:2] / 5)  # R U of e and μ

    def beta_for(ratio):
        """With m_e R_e = ratio · m_μ R_μ."""
        low, high = 0.01, 0.1
        beta = 0.3
        for _ in range(200):
            for _ in range(200):
                middle = (low + high) / 2
                energy = (moment[1] / middle) ** 2 * flow(middle) - beta * static * middle**3
                low, high = (middle, high) if energy > REPORT.values[1] else (low, middle)
            r_mu = (low + high) / 2
            r_e = ratio * REPORT.values[1] * r_mu
            new = ((moment[0] / r_e) ** 2 * flow(r_e) - 1) / (static * r_e**3)
            if abs(new - beta) < 1e-13:
                break
            beta, low, high = new, 0.01, 0.1
        return beta

    best = beta_for(1.0)
    (low, high) = determined.identified_set["0.95"].intervals[0]
    # a solution is stationary, and at 1e-5 of β's error from the minimum χ² is only 1e-10 higher
    assert determined.best_x[0] == pytest.approx(best, abs=1e-5 * (high - low) / 4)
    # κ free: with a = m_e R_e/κ, b = m_μ R_μ/κ the price is ((a−1)² + (b−1)²)/0.03², least for a given a/b
    for end in (low, high):
        ratios = np.linspace(0.8, 1.25, 9001)
        betas = np.array([beta_for(ratio) for ratio in ratios[::300]])
        ratio = np.interp(end, betas[np.argsort(betas)], ratios[::300][np.argsort(betas)])
        price = (ratio - 1) ** 2 / (1 + ratio**2) / 0.03**2
        assert price == pytest.approx(3.841, rel=0.02)
    assert determined.contains_reference is False
    assert determined.determines
    assert determined.is_confirmed
    assert np.isnan(determined.c_mu_best) or determined.c_mu_best == 4.0


def test_the_reports_closure_is_what_the_profile_says(report):
    found = report
    assert (found.n_constraints, found.n_parameters, found.rank) == (5, 11, 5)
    assert found.identified_set["0.95"].intervals[0, 0] == pytest.approx(1.1148662, abs=1e-6)
    assert found.fits
    assert not found.determines
    assert (found.p_value, found.in_tension) == (None, None)
    assert found.c_mu.intervals[0] == pytest.approx([231.58, 318.63], abs=0.02)
    assert found.is_confirmed


def test_the_same_on_one_core_or_two():
    choices = [Choice(), Choice(moment="none")]
    one, two = (compare_choices(choices, MODEL, GRID, jobs=jobs, **HOW) for jobs in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert {**a.to_dict(), "seconds": 0} == {**b.to_dict(), "seconds": 0}


def test_the_set_is_checked_at_beta_of_its_own(determined):
    low, high = determined.identified_set["0.95"].intervals[0]
    assert determined.is_inside.tolist() == [False, True, False]
    assert determined.checked == pytest.approx([0.99 * low, np.sqrt(low * high), 1.01 * high])
    assert determined.multistart_chi2[[0, 2]] == pytest.approx([3.97, 3.97], abs=0.15)  # just beyond the level
    others = [compare_choice(Choice(moment="none"), MODEL, GRID, name=name, **HOW).checked for name in "ab"]
    assert others[0].tolist() != others[1].tolist()


def test_a_set_that_fresh_starts_contradict_is_not_reliable(determined, monkeypatch):
    for row, value in ((0, 3.0), (2, 3.0), (1, 4.0), (1, -1.0)):
        chi2 = determined.multistart_chi2.copy()
        chi2[row] = value
        assert not replace(determined, multistart_chi2=chi2).is_confirmed, (row, value)
    original = comparison.scan_profile

    def wrong(*arguments, **options):
        found = original(*arguments, **options)
        sets = {level: replace(one, intervals=one.intervals * 1.1) for level, one in found.identified_set.items()}
        return replace(found, identified_set=sets)

    monkeypatch.setattr(comparison, "scan_profile", wrong)
    assert compare_choice(DETERMINED, MODEL, GRID, **HOW).verdict_code == "unreliable"


def test_what_is_in_tension_does_not_fit_and_determines_nothing(determined):
    assert not replace(determined, best_chi2=50.0, in_tension=True).determines
    assert replace(determined, best_chi2=1.0, in_tension=False).determines
    assert not replace(determined, best_chi2=1.0, in_tension=None).fits
    assert not replace(determined, verdict_code="unreliable").fits


def test_the_sentence_counts_and_names(determined, report):
    quartic = compare_choice(Choice(shape="quartic"), MODEL, GRID, **HOW)
    code, said = describe_comparison([report, quartic, determined], 0.05, 50.0, reference=3.043233053)
    assert code == "determined"
    assert said.startswith(
        "Of 3 closures, 3 fit at some β, 0 are rejected within the bounds given, and 0 are unreliable."
    )
    assert "1 determine β at 95 %" in said
    assert "from 0.1999 to 0.5659 (amplitude saturated, bounds wide, moment spin_half, radius free)" in said
    assert "0 of these sets contain β = 3.043233053" in said
    assert (
        "The single change that restricts β most is stream quartic, which leaves 45 % of the scan in ln β; none" in said
    )
    single = replace(determined, choice=replace(Choice(), moment="spin_half"))
    code, said = describe_comparison([replace(report, verdict_code="unreliable")], 0.05, 50.0, reference=3.0)
    assert code == "unreliable"
    assert said.endswith("1 are unreliable. Nothing can be said on β.")
    assert describe_boxes({}) == describe_boxes({10.0: determined}) == ""
    assert "none determines β" not in describe_comparison([report, single], 0.05, 50.0, reference=3.0)[1]
    shown = select_shown([report, determined, replace(quartic, choice=replace(quartic.choice, bounds="wide"))])
    assert shown == [report, determined]
    rejected = replace(quartic, best_chi2=1e9, in_tension=True, choice=replace(Choice(), gradient="on"))
    assert (
        "restricts β most is stream parabolic"
        not in describe_comparison([report, rejected], 0.05, 50.0, reference=3.0)[1]
    )
    assert describe_comparison([report], 0.05, 50.0, reference=3.0)[0] == "not_determined"


def test_the_box_sets_the_scale_of_what_is_determined(determined):
    low, high = (compare_choice(DETERMINED, replace(MODEL, r_max=r_max), GRID, **HOW) for r_max in (9.0, 11.0))
    boxes = {9.0: low, 10.0: determined, 11.0: high}
    best = [one.best_x[0] for one in boxes.values()]
    assert best[0] > best[1] > best[2]
    power = np.log(best[2] / best[0]) / np.log(11 / 9)
    assert f"to the power {power:.1f}" in describe_boxes(boxes)
    assert describe_boxes({9.0: replace(boxes[9.0], verdict_code="open_above")}) == ""


def test_a_claim_stands_under_the_closures_that_carry_it(determined, report):
    claims = load_claims()
    standing = find_standing(claims, [report, determined])
    assert standing["compatible"] == [report.name]
    assert standing["moderate, 3.1 ± 0.1"] == standing["evidence"] == standing["null"] == []
    found = replace(determined.released_set, intervals=np.array([[3.02, 3.1]]))
    moved = replace(determined, released_set=found, contains_reference=True, in_tension=False)
    standing = find_standing(claims, [moved, replace(moved, verdict_code="unreliable")])
    assert standing["moderate, 3.1 ± 0.1"] == standing["evidence"] == [determined.name]


def test_the_options_follow_their_rules(determined):
    claims = load_claims()
    judged = [Claim(claim["name"], "", "", "", "", "does not stand", "numerical") for claim in claims["claims"]]
    options = {one.name: one for one in answer_options(claims, judged, [determined])}
    assert [options[name].stands for name in "ABCD"] == [False, False, False, False]
    assert "B and C together can" in options["B"].computed
    alone = replace(determined, choice=replace(DETERMINED, radius="none"))
    assert {one.name: one.stands for one in answer_options(claims, judged, [alone])}["B"] is True
    shared = replace(determined, choice=replace(DETERMINED, moment="universal"))
    assert {one.name: one.stands for one in answer_options(claims, judged, [shared])}["C"] is True


def test_round_trip(determined):
    again = ComparedResult.from_dict(determined.to_dict())
    assert again.to_dict() == determined.to_dict()
    assert isinstance(again.identified_set["0.68"], IntervalSet)


def test_the_model_error_of_a_closure_that_misses_is_its_residuals():
    """For n residuals scaled alike, −2 ln L = χ²/f² + n ln f² has its minimum at f² = χ²/n."""
    build = partial(build_choice, Choice(frame="lab", moment="spin_half"))
    found = estimate_sigma_model(build, MODEL, beta_range=(0.05, 50.0), effort=Effort(4, 1))
    assert found.chi2 == pytest.approx(5.0, rel=1e-3)
    assert found.low < found.factor < found.high
    far = found.factors[0]
    assert found.deviance[0] == pytest.approx(5 * (found.factor / far) ** 2 + 10 * np.log(far), rel=2e-3)
    assert "times as large" in found.describe()
    # −2 ln L rises by 1 where S/f² + n ln f² does, with S/f² = n at the minimum
    for end in (found.low, found.high):
        ratio = (end / found.factor) ** 2
        assert 5 / ratio + 5 * np.log(ratio) - 5 == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("choice", [Choice(), Choice(radius="mean")])
def test_where_the_measured_values_are_met_exactly_no_error_can_be_set(choice, monkeypatch):
    monkeypatch.setattr(sigma_model, "FACTORS", sigma_model.FACTORS[::4])
    build = partial(build_choice, choice)
    found = estimate_sigma_model(build, MODEL, beta_range=(0.05, 50.0), effort=Effort(4, 1))
    assert found.factor is None
    assert "cannot be set" in found.describe()
    assert ("is in the radii" in found.describe()) is (choice.radius == "mean")
    assert np.diff(found.deviance[:2]) == pytest.approx(10 * np.diff(np.log(found.factors[:2])), rel=1e-3)
