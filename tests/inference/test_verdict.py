"""Only data and physical limits close a set, and a rejected model identifies nothing: closed forms and refits."""

from dataclasses import replace

import numpy as np
import pytest
from numpy import exp, inf, sqrt
from numpy.testing import assert_allclose
from scipy.optimize import brentq, least_squares, minimize_scalar
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.active_bounds import find_active_bounds
from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import Parameter
from leptonfit.inference.profile import SetOptions, scan_profile

ROOT = sqrt(chi2_distribution.ppf(0.95, 1))


def scan(problem, name="t", low=-3.0, high=3.0, **options):
    return scan_profile(problem, name, np.linspace(low, high, 25), effort=Effort(6, 1), **options)


def shared(build, upper=1.0, *, physical=inf):
    """t + n measured as 0 ± 1, n as 3 ± 1, and n ≤ u: χ²_best = (3 − u)² at t = −u, where n = u.

    The profile is (t + u)² + (3 − u)² where n is held, and (t + 3)²/2 from t = 3 − 2u on, where it is not.
    """
    return build(lambda t, n: (t + n, n - 3), t=(-90, 90), n=(-50, upper), physical={"n": (-inf, physical)})


def decay(build, top, **physical):
    """a exp(−b t) + c on twelve points of half a decay time: a, b and c make up for one another."""
    times = np.linspace(0, 0.5, 12)
    data = 5 * exp(-0.7 * times) + 1 + 0.1 * np.cos(3 * np.arange(12))
    return build(
        lambda a, b, c: (a * exp(-b * times) + c - data) / 0.15,
        a=(-top, top),
        b=(0, 10),
        c=(-top, top),
        physical=physical,
    )


def names(bounds):
    return [str(bound) for bound in bounds]


# Bounds of parameters


def test_a_bound_is_physical_only_where_it_is_the_limit():
    given = {"physical": (0, 1), "start": 0.5}
    assert_allclose([Parameter(name="a", lower=0.1, upper=1, **given).physical], [(0, 1)])
    with pytest.raises(ValueError, match=r"a: bounds \[-0.1, 1\] must lie in the physical range \[0, 1\]"):
        Parameter(name="a", lower=-0.1, upper=1, **given)
    with pytest.raises(ValueError, match="must lie in the physical range"):
        Parameter(name="a", lower=0.1, upper=1, start=0.5, physical=(float("nan"), 1))


def test_which_bounds_are_physical(build):
    problem = build(lambda a, b: (a, b), a=(0.1, 1), b=(0, inf), physical={"a": (0, 1), "b": (0, inf)})
    assert problem.is_physical.tolist() == [[False, True], [True, False]]


def test_a_bound_that_is_merely_touched_holds_nothing(build):
    problem = build(lambda t, n: (t + n - 1, n), t=(-9, 9), n=(0, 9))
    profile = scan(problem)
    assert profile.on_bounds.any()
    assert find_active_bounds(problem, np.array([1.0, 0.0])) == ()
    assert assess_profile(problem, profile).reference_held_by == ()


# Ends held by another parameter's bound


def test_ends_that_a_box_makes_are_released(build):
    """Within n ≤ 1 t is −1 ± 1.96; what the data say is −3 ± 1.96·√2."""
    problem = shared(build)
    profile = scan(problem, low=-8, high=4)
    found = profile.identified_set["0.95"]
    assert_allclose(found.intervals, [[-1 - ROOT, -1 + ROOT]], atol=1e-7)
    assert (found.reason_below, found.reason_above) == ("box", "box")
    assert names(profile.reference_held_by) == ["n ≤ 1"]
    assert_allclose(profile.released_set["0.95"].intervals, [[-3 - ROOT * sqrt(2), -3 + ROOT * sqrt(2)]], atol=1e-6)
    verdict = assess_profile(problem, profile)
    assert verdict.code == "identified"
    assert verdict.sentence.startswith("The data determine t: the 95 % set is [-5.7718076, ")
    assert "Within the bounds given it is [-2.959964, 0.95996398]" in verdict.sentence
    assert "The best fit itself is held by n ≤ 1 (search)." in verdict.sentence


def test_a_physical_limit_is_not_released(build):
    problem = shared(build, physical=1.0)
    profile = scan(problem, low=-8, high=4)
    found = profile.identified_set["0.95"]
    assert (found.reason_below, found.reason_above) == ("physical_other", "physical_other")
    assert profile.release is None
    verdict = assess_profile(problem, profile)
    assert verdict.code == "bound_limited"
    assert_allclose(verdict.interval, (-1 - ROOT, -1 + ROOT), atol=1e-7)
    assert "n ≤ 1 (physical)" in verdict.sentence


def test_a_search_bound_is_released_to_its_physical_limit(build):
    problem = shared(build, physical=2.0)
    profile = scan(problem, low=-8, high=4)
    assert profile.release.boxes["n"].tolist() == [[-50, 1], [-50, 2]]
    found = profile.released_set["0.95"]  # χ²_best = 1; above t = -1 n is free again, and χ² = (t + 3)²/2
    assert_allclose(found.intervals, [[-2 - ROOT, -3 + sqrt(2 * (1 + ROOT**2))]], atol=1e-6)
    assert (found.reason_below, found.reason_above) == ("physical_other", "crossing")
    assert assess_profile(problem, profile).code == "bound_limited"


@pytest.mark.parametrize(("level", "reasons"), [(0.95, ("box", "box")), (0.99, ("box", "crossing"))])
def test_how_far_an_end_moves_with_a_bound(build, level, reasons):
    """At 99 % the upper end lies where n is free, and moves all the same: the best fit does."""
    u, step = 1.0, 1e-4
    profile = scan(shared(build, u), low=-8, high=4, sets=SetOptions(levels=(level,)))
    (found,) = profile.identified_set.values()
    assert (found.reason_below, found.reason_above) == reasons
    moved = []
    for value in (u - step, u + step):
        (again,) = scan(shared(build, value), low=-8, high=4, sets=SetOptions(levels=(level,))).identified_set.values()
        moved.append(again.intervals[0])
    found_shifts = [end.held_by[0].shift for end in (found.below[0], found.above[0])]
    assert_allclose(found_shifts, (moved[1] - moved[0]) / (2 * step), rtol=1e-4)
    assert found_shifts[0] == pytest.approx(-1, rel=1e-9)


@pytest.mark.slow
def test_a_set_whose_box_widens_without_end_is_open(build):
    """Half a decay time does not determine a rate from below: b → 0 with a b kept is a straight line."""
    for top in (20, 200, 4e4):  # at 4e4 a is almost made up for by c, and its bound pushes nevertheless
        problem = decay(build, top)
        profile = scan_profile(problem, "b", effort=Effort(8, 1))
        assert profile.identified_set["0.95"].reason_below == "box"
        verdict = assess_profile(problem, profile)
        assert verdict.code == "open_below"
        assert f"a ≤ {top:g} (search)" in verdict.sentence
        assert verdict.interval[0] == -inf


@pytest.mark.slow
def test_the_released_end_agrees_with_a_second_solver(build):
    """The upper end of b by SciPy, a and c without any bound: with b held the model is linear in them."""
    problem = decay(build, 20)
    end = assess_profile(problem, scan_profile(problem, "b", effort=Effort(8, 1))).interval[1]
    times = np.linspace(0, 0.5, 12)
    data = problem.residuals(np.zeros(3)) * -0.15

    def lowest(b):
        design = np.stack([exp(-b * times), np.ones(12)], axis=1) / 0.15
        return np.linalg.lstsq(design, data / 0.15, rcond=None)[1][0]

    fits = [
        least_squares(lambda p: (p[0] * exp(-p[1] * times) + p[2] - data) / 0.15, start, x_scale=(1, 0.1, 1))
        for start in ((5, 0.7, 1), (50, 0.05, -45))
    ]
    best = min(2 * fit.cost for fit in fits)
    assert lowest(end) - min(best, lowest(1e-6)) == pytest.approx(ROOT**2, abs=1e-3)


@pytest.mark.slow
def test_a_model_that_is_undefined_behind_a_bound_leaves_the_set_open(build):
    """n = 0 is where √n ends, and no limit was declared: whether the data close t is not known."""
    problem = build(lambda t, n: (t - sqrt(n) + 0 * t, 0 * t), t=(-90, 90), n=(0.25, 9))
    profile = scan(problem, low=-2, high=2)
    assert profile.identified_set["0.95"].reason_below == "box"
    verdict = assess_profile(problem, profile)
    assert verdict.code in ("not_identified", "open_below")
    assert not profile.release.is_decided
    assert "it is not known whether the data alone close it" in verdict.sentence


def test_an_open_end_stays_open_behind_the_box(build):
    """a ≤ 2 holds b below, and nothing above: b ≥ 0 is left when a is released."""
    problem = build(lambda a, b: (a * b - 1) / 0.1, a=(0, 2), b=(0, inf), physical={"a": (0, inf), "b": (0, inf)})
    profile = scan(problem, "b", 0.2, 5)
    verdict = assess_profile(problem, profile)
    assert verdict.code == "not_identified"
    assert_allclose(profile.identified_set["0.95"].intervals, [[(1 - 0.1 * ROOT) / 2, inf]], rtol=1e-8)
    assert verdict.interval[1] == inf
    assert names(verdict.held_by[0]) == ["b ≥ 0"]  # the end goes with 1/a, to the parameter's own limit


@pytest.mark.parametrize("upper", [1, inf])
def test_flat_over_its_own_physical_range_is_not_identified(build, upper):
    problem = build(lambda t, n: (n, 1 + 0 * t), t=(0, upper), n=(-9, 9), physical={"t": (0, upper)})
    profile = scan(problem, low=0.2, high=0.8)
    verdict = assess_profile(problem, profile)
    assert verdict.code == "not_identified"
    assert verdict.minimum is None
    assert verdict.interval == (0, upper)
    assert "lowest" not in verdict.sentence


def test_a_gap_made_by_a_box_is_none(build):
    """t² = 1 is met at ±1 only while n cannot make up for it; n's range is a box."""

    def twins(n):
        return build(lambda t, n: ((t * t - 1 + n) / 0.1, 0 * t), t=(-3, 3), n=(-n, n), physical={"t": (-3, 3)})

    problem = twins(0.2)
    profile = scan(problem)
    assert len(profile.identified_set["0.95"].intervals) == 2
    assert assess_profile(problem, profile).code == "not_identified"
    real = build(lambda t, n: ((t * t - 1 + n) / 0.1, n / 0.1), t=(-3, 3), n=(-9, 9))
    assert assess_profile(real, scan(real)).code == "disjoint"


# Models that do not fit


def constant(build, misfit, **physical):
    """t measured as 0, and two residuals that nothing changes."""
    return build(lambda t: (t, misfit + 0 * t, 0 * t), t=(-9, 9), **physical)


@pytest.mark.parametrize(
    ("p", "code", "word"),
    [(0.2, "identified", "compatible"), (0.01, "identified", "in tension"), (2e-3, "rejected", "")],
)
def test_a_rejected_model_identifies_nothing(build, p, code, word):
    problem = constant(build, sqrt(chi2_distribution.isf(p, 2)))
    verdict = assess_profile(problem, scan(problem))
    assert verdict.code == code
    assert verdict.p_value == pytest.approx(p, rel=1e-6)
    assert word in verdict.sentence
    assert f"p = {p:g}" in verdict.sentence
    assert (verdict.interval is None) == (code == "rejected")
    if code == "rejected":
        assert not len(verdict.allowed.intervals)
        assert verdict.sentence.startswith("The model is rejected")


@pytest.mark.parametrize("p_value", [None, 0.4])
def test_chi2_may_be_no_test_of_the_model(build, p_value):
    """σ from the data or a robust loss: no p at all; counts: a p of their own."""
    problem = replace(constant(build, 9.0), p_value=lambda x: p_value)
    verdict = assess_profile(problem, scan(problem))
    assert verdict.code == "identified"
    assert verdict.p_value == p_value


def test_without_degrees_of_freedom_nothing_is_rejected(build):
    problem = build(lambda t, n: (t - 1, n - 50), t=(-9, 9), n=(-9, 9))
    verdict = assess_profile(problem, scan(problem))
    assert verdict.degrees_of_freedom == 1  # n ends on its bound
    problem = build(lambda t, n: (t - 1, n - 5), t=(-9, 9), n=(-9, 9))
    verdict = assess_profile(problem, scan(problem))
    assert (verdict.degrees_of_freedom, verdict.p_value, verdict.code) == (0, None, "identified")


def test_a_box_is_rejected_and_the_model_survives(build):
    """n measured as 50 ± 1 where n ≤ 9 was drawn."""
    problem = build(lambda t, n: (t - 1, n - 50, 0.1 + 0 * t), t=(-9, 9), n=(-9, 9))
    verdict = assess_profile(problem, scan(problem))
    assert verdict.code == "rejected"
    assert "rejected within the bounds given, held by n ≤ 9 (search)" in verdict.sentence
    assert "the model survives: χ² is 0.01, p = 0.92" in verdict.sentence


def test_a_model_that_is_rejected_in_any_box(build):
    problem = build(lambda t, n: (t - 1, n - 50, 7 + 0 * t), t=(-9, 9), n=(-9, 9))
    assert "the model is rejected as well: χ² is 49" in assess_profile(problem, scan(problem)).sentence


def test_a_physical_limit_rejects_the_model_itself(build):
    problem = build(lambda t, n: (t - 1, n - 50, 0.1 + 0 * t), t=(-9, 9), n=(-9, 9), physical={"n": (-inf, 9)})
    sentence = assess_profile(problem, scan(problem)).sentence
    assert sentence.startswith("The model is rejected: ")
    assert "within the bounds" not in sentence


# Found by strangers


@pytest.mark.parametrize("start", [1, 6, 8, 10])
def test_a_verdict_does_not_depend_on_a_wild_start(build, start):
    """From b = 10 the residuals at the start are 10²¹ times what they are at the best fit."""
    times = np.linspace(0, 5, 20)
    data = 2 * exp(0.5 * times) + 0.1 * np.sin(7 * times)
    problem = build(lambda a, b: (a * exp(b * times) - data) / 0.1, a=(-10, 1.98), b=(-10, 10))
    a, b = problem.parameters
    problem = replace(problem, parameters=(a, replace(b, start=float(start))))
    profile = scan_profile(problem, "b")
    assert profile.best_chi2 == pytest.approx(10.983292, rel=1e-6)
    assert profile.identified_set["0.95"].reason_below == "box"
    assert_allclose(assess_profile(problem, profile).interval, (0.4956981, 0.5041163), atol=1e-6)


@pytest.mark.parametrize("width", [10, 1e13, 1e15])
def test_a_verdict_does_not_depend_on_how_wide_a_box_is(build, width):
    x = np.linspace(0, 1, 20)
    data = 1 + 2 * x + 0.3 * np.sin(9 * x)
    problem = build(lambda a, b: (a + b * x - data) / 0.3, a=(-5, 1), b=(-width, width))
    assert_allclose(assess_profile(problem, scan_profile(problem, "b")).interval, (1.5846062, 2.4510534), atol=1e-5)


@pytest.mark.slow
def test_unbounded_parameters_are_looked_for_on_both_sides_of_zero(build):
    """The width of a peak has either sign, and a fit from the start finds one of them."""
    x = np.linspace(-5, 5, 40)
    data = 20 * exp(-0.5 * ((x - 0.7) / 0.8) ** 2) + np.sin(9 * x)
    problem = build(
        lambda a, m, w: a * exp(-0.5 * ((x - m) / w) ** 2) - data, a=(-inf, inf), m=(-inf, inf), w=(-inf, inf)
    )
    a, m, w = problem.parameters
    starts = (replace(a, start=10.0), m, replace(w, start=1.0))
    problem = replace(problem, parameters=starts)
    verdict = assess_profile(problem, scan_profile(problem, "w"))
    assert verdict.code == "disjoint"
    assert_allclose(verdict.allowed.intervals, [[-0.8486007, -0.7541828], [0.7541828, 0.8486007]], atol=1e-6)


def test_a_bound_that_no_longer_moves_an_end_does_not_hold_it(build):
    """θ is measured by itself; a, which χ² pushes against its bound for ever, does not touch it."""
    problem = build(
        lambda t, a: ((t - 1) / 0.2, 1 + 1 / (1 + a) + 0 * t, 1 + 0 * t, 1 + 0 * t, 0 * t), t=(-10, 10), a=(0.1, 10)
    )
    verdict = assess_profile(problem, scan_profile(problem, "t"))
    assert verdict.code == "identified"
    assert_allclose(verdict.interval, (1 - 0.2 * ROOT, 1 + 0.2 * ROOT), atol=1e-7)


@pytest.mark.slow
def test_an_end_that_comes_to_rest_behind_the_box_is_closed(build):
    """y = A k t/(1 + k t) with k without limit: χ² goes to that of a constant, and A with it."""
    times = np.linspace(1, 10, 20)
    data = 5 + 0.05 * (times < 3) + 0.1 * np.sin(9 * times)
    problem = build(lambda a, k: (a * k * times / (1 + k * times) - data) / 0.1, a=(0, 20), k=(0, 100))
    verdict = assess_profile(problem, scan_profile(problem, "a"))
    assert verdict.code == "identified"
    mean, sigma = np.mean(data), 0.1 / sqrt(20)
    assert_allclose(verdict.interval[0], mean - ROOT * sigma, atol=2e-3 * sigma * ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_an_end_where_another_parameter_changes_its_sign_through_infinity(build, sign):
    """The set of b goes on below b = 0, where a < 0: a is infinite at b = 0, and its box has one sign only."""
    times = np.linspace(0, 0.5, 12)
    data = 5 * exp(-0.7 * times) + 1 + 0.1 * np.cos(3 * np.arange(12))
    problem = build(
        lambda a, b, c: (a * exp(-b * times) + c - sign * data) / 0.15,
        a=(0, 20) if sign > 0 else (-20, 0),
        b=(-9, 9),
        c=(-20, 20),
    )

    def lowest(b):
        design = np.stack([exp(-b * times), np.ones(12)], axis=1) / 0.15
        return np.linalg.lstsq(design, data / 0.15, rcond=None)[1][0]

    rates = np.linspace(-9, 9, 4000)  # an even number, so that b = 0 with its two equal columns is not among them
    best = rates[np.argmin([lowest(b) for b in rates])]
    best = minimize_scalar(lowest, bracket=(best - 0.01, best + 0.01), tol=1e-12)
    ends = [brentq(lambda b: lowest(b) - best.fun - ROOT**2, far, best.x) for far in (-9, 9)]
    verdict = assess_profile(problem, scan_profile(problem, "b", effort=Effort(8, 1)))
    assert ends[0] < -0.1
    assert verdict.code == "identified"
    assert_allclose(verdict.interval, ends, rtol=1e-5)


@pytest.mark.slow
def test_a_set_that_the_data_close_is_never_called_unknown(build):
    """Only the gap at b = 0, where a is infinite, cannot be followed; the outer ends are made by the data."""
    times = np.linspace(0, 0.5, 12)
    data = 5 * exp(-0.7 * times) + 1 + 0.1 * np.cos(3 * np.arange(12))
    problem = build(lambda a, b, c: (a * exp(-b * times) + c - data) / 0.15, a=(-1e4, 1e4), b=(-9, 9), c=(-1e4, 1e4))
    verdict = assess_profile(problem, scan_profile(problem, "b", effort=Effort(8, 1)))
    assert verdict.code == "identified"
    assert "not known" not in verdict.sentence


@pytest.mark.parametrize("start", [0, 1e-9, 1])
def test_a_half_infinite_bound_is_released_whatever_the_start(build, start):
    times = np.linspace(0, 5, 20)
    data = -0.05 + 2 * times + 0.1 * np.sin(9 * times)
    problem = build(lambda a, b: (a + b * times - data) / 0.1, a=(0, inf), b=(-inf, inf))
    a, b = problem.parameters
    problem = replace(problem, parameters=(replace(a, start=float(start)), b))
    design = np.stack([np.ones(20), times], axis=1)
    centre, sigma = np.linalg.lstsq(design, data)[0][1], 0.1 * sqrt(np.linalg.inv(design.T @ design)[1, 1])
    verdict = assess_profile(problem, scan_profile(problem, "b"))
    assert verdict.code == "identified"
    assert_allclose(verdict.interval, (centre - ROOT * sigma, centre + ROOT * sigma), atol=1e-6)


def test_minima_outside_the_scan_are_found_in_any_unit(build):
    for unit in (1, 1e-12, 1e12):
        problem = build(lambda q, u=unit: (3 * np.sin(np.pi * q / u), 0.02 * q / u), q=(-3.5 * unit, 3.5 * unit))
        found = scan_profile(problem, "q", np.linspace(-0.3, 0.3, 7) * unit).identified_set["0.95"].intervals
        assert len(found) == 7
        assert_allclose(found.mean(axis=1) / unit, np.arange(-3, 4), atol=2e-3)


def test_an_end_is_exact_however_far_the_best_fit_is(build):
    """y = A k t/(1 + k t) that has saturated: χ² is lowest where k is infinite, the end of its set is near 29."""
    times, data = np.array([1.0, 2, 4, 8, 16]), np.array([2.02, 1.97, 2.01, 2.03, 1.98])
    problem = build(
        lambda a, k: (a * k * times / (1 + k * times) - data) / 0.03,
        a=(-inf, inf),
        k=(0, inf),
        physical={"k": (0, inf)},
    )
    problem = replace(problem, parameters=tuple(replace(one, start=1.0) for one in problem.parameters))

    def excess(k):
        shape = k * times / (1 + k * times)
        level = np.sum(((data - data.mean()) / 0.03) ** 2) + ROOT**2
        return np.sum(((shape * (shape @ data) / (shape @ shape) - data) / 0.03) ** 2) - level

    verdict = assess_profile(problem, scan_profile(problem, "k"))
    assert verdict.code == "open_above"
    assert_allclose(verdict.interval[0], brentq(excess, 1, 1e3, xtol=1e-12), rtol=1e-6)


@pytest.mark.parametrize("slope", [1, 1e6])
def test_an_end_where_an_exact_fit_ends(build, slope):
    """χ² is zero up to t = 1, since n may follow t as far as its physical limit, and rises as steeply as you like."""
    problem = build(lambda t, n: slope * (t - n), t=(-3, 9), n=(-9, 1), physical={"n": (-inf, 1)})
    found = scan(problem, high=8.0).identified_set["0.95"]
    assert found.above[-1].reason == "physical_other"
    assert_allclose(found.intervals[-1, 1], 1 + ROOT / slope, rtol=1e-9)


def test_a_bound_behind_which_there_is_no_model_is_not_searched(build):
    """The model ends at n = 2: it is the box that makes the end there, and nothing lies behind it to be searched."""
    beyond = []

    def residuals(t, n):
        beyond.append(int(np.count_nonzero(n.real > 2)))
        return t + n, n - 3, np.where(n.real > 2, np.nan, 0 * n)

    profile = scan(build(residuals, t=(-90, 90), n=(-50, 2)))
    end = profile.identified_set["0.95"].below[0]
    assert (end.reason, names(end.held_by)) == ("box", ["n ≤ 2"])
    assert not profile.release.is_decided
    assert sum(beyond) <= len(profile.grid)
