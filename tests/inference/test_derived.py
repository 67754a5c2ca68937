"""Profiles of derived quantities, against transformed intervals and Fieller's theorem."""

import json

import numpy as np
import pytest
from numpy import inf
from numpy.testing import assert_allclose
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.derived import DerivedResult, add_derived, profile_derived
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import scan_profile

LEVEL = chi2_distribution.ppf(0.95, 1)
T = np.linspace(0, 4, 12)
SEEN = 2 * np.exp(-0.6 * T) + 0.1 * np.random.default_rng(1).normal(size=12)


def decay(build, unit=1.0):
    return build(lambda a, b: (a * np.exp(-b * T * unit) - SEEN) / 0.1, a=(0.01, 100), b=(1e-3 / unit, 50 / unit))


def half_life(values):
    return np.log(2) / values["b"]


def interval(profile):
    return profile.identified_set["0.95"].intervals


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, 1e6])
@pytest.mark.parametrize("gradient", [None, lambda values: {"b": -np.log(2) / values["b"] ** 2}])
def test_a_half_life_has_the_transformed_interval_of_the_rate(build, gradient, unit):
    found = profile_derived(decay(build, unit), "half_life", half_life, gradient, effort=Effort(4, 1))
    rate = scan_profile(decay(build), "b", np.linspace(0.3, 1.1, 41), effort=Effort(4, 1))
    assert found.verdict.code == "identified"
    assert_allclose(interval(found.profile) / unit, np.log(2) / interval(rate)[:, ::-1], rtol=1e-7)
    assert found.value / unit == pytest.approx(np.log(2) / rate.best_x[1], rel=1e-6)
    assert found.verdict.degrees_of_freedom == 10
    low, high = interval(found.profile)[0]
    assert high - found.value > 1.1 * (found.value - low)  # which the delta method cannot show


def ratio(build, mean, sigma):
    problem = build(lambda m, n: ((m - mean[0]) / sigma[0], (n - mean[1]) / sigma[1]), m=(-50, 50), n=(-50, 50))
    return profile_derived(
        problem, "ratio", lambda values: values["m"] / values["n"], effort=Effort(4, 1), grid=np.linspace(-12, 20, 65)
    )


def fieller(mean, sigma):
    """Ends of (m − ρn)² ≤ z² (σ_m² + ρ²σ_n²), the coefficient of ρ², and the discriminant."""
    square, cross, constant = (
        mean[1] ** 2 - LEVEL * sigma[1] ** 2,
        mean[0] * mean[1],
        mean[0] ** 2 - LEVEL * sigma[0] ** 2,
    )
    discriminant = cross**2 - square * constant
    ends = (cross + np.sqrt(max(discriminant, 0)) * np.array([-1, 1])) / square
    return np.sort(ends), square, discriminant


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "sigma"), [((3, 2), (0.3, 0.2)), ((3, 2), (0.3, 0.8))])
def test_a_ratio_of_means_has_fiellers_interval(build, mean, sigma):
    ends, square, _ = fieller(mean, sigma)
    assert square > 0
    found = ratio(build, mean, sigma)
    assert found.verdict.code == "identified"
    assert_allclose(interval(found.profile), [ends], rtol=1e-6)
    assert found.delta_error == pytest.approx(np.hypot(sigma[0] / mean[1], mean[0] * sigma[1] / mean[1] ** 2), rel=1e-6)


@pytest.mark.slow
def test_a_ratio_over_an_uncertain_mean_is_all_but_an_interval(build):
    ends, square, discriminant = fieller((3, 1), (0.3, 0.8))
    assert square < 0 < discriminant
    found = ratio(build, (3, 1), (0.3, 0.8))
    assert found.verdict.code == "not_identified"
    assert_allclose(interval(found.profile), [[-inf, ends[0]], [ends[1], inf]], rtol=1e-6)


@pytest.mark.slow
def test_a_ratio_of_two_uncertain_means_is_anything(build):
    _, square, discriminant = fieller((0.2, 1), (0.5, 0.8))
    assert square < 0
    assert discriminant < 0
    found = ratio(build, (0.2, 1), (0.5, 0.8))
    assert found.verdict.code == "not_identified"
    assert_allclose(interval(found.profile), [[-inf, inf]])


def test_parameters_without_bounds_are_given_ranges(build):
    problem = build(lambda m, n: ((m - 3) / 0.3, (n - 2) / 0.2), m=(-inf, inf), n=(-inf, inf))
    found = profile_derived(
        problem, "sum", lambda values: values["m"] + 2 * values["n"], effort=Effort(4, 1, {"m": (-9, 9), "n": (-9, 9)})
    )
    assert_allclose(interval(found.profile), [7 + 0.5 * np.sqrt(LEVEL) * np.array([-1, 1])], rtol=1e-7)


@pytest.mark.slow
def test_a_product_is_determined_where_its_factors_are_not(build):
    problem = build(lambda a, b: ((a * b - 6) / 0.1, 1 + 0 * a), a=(0.1, 100), b=(0.1, 100))
    found = profile_derived(problem, "product", lambda values: values["a"] * values["b"], effort=Effort(4, 1))
    assert found.verdict.code == "identified"
    assert found.delta_error == pytest.approx(0.1, rel=1e-6)
    assert_allclose(interval(found.profile), [6 + 0.1 * np.sqrt(LEVEL) * np.array([-1, 1])], rtol=1e-7)
    factor = profile_derived(problem, "factor", lambda values: values["a"], effort=Effort(4, 1))
    assert factor.delta_error == inf
    assert factor.verdict.code != "identified"
    again = DerivedResult.from_dict(json.loads(json.dumps(factor.to_dict(), allow_nan=False)))
    assert again.delta_error == inf


@pytest.mark.slow
def test_a_quantity_with_a_kink_is_profiled(build):
    """|a| with a = 3 ± 1: what the complex step gets silently wrong."""
    problem = build(lambda a, b: (a - 3, b, 1 + 0 * a), a=(-20, 20), b=(-20, 20))
    found = profile_derived(problem, "size", lambda values: np.abs(values["a"]), effort=Effort(4, 1))
    assert_allclose(interval(found.profile), [3 + np.sqrt(LEVEL) * np.array([-1, 1])], rtol=1e-6)


def test_a_quantity_without_slope_at_the_best_fit_still_has_a_scale(build):
    """a² with a = 0 ± 1: the delta method gives an error of 0, the profile a² ≤ 3.84."""
    problem = build(lambda a, b: (a, b - 1, 1 + 0 * a), a=(-20, 20), b=(-20, 20))
    found = profile_derived(
        problem, "square", lambda values: values["a"] ** 2, effort=Effort(4, 1), grid=np.linspace(0, 6, 25)
    )
    assert found.delta_error < 1e-3
    assert interval(found.profile)[-1, 1] == pytest.approx(LEVEL, rel=1e-4)


def test_the_problem_with_the_quantity_is_an_ordinary_problem(build):
    problem = decay(build)
    extended = add_derived(problem, np.array([2.0, 0.6]), "half_life", half_life)
    assert extended.names == ("a", "b", "half_life")
    assert extended.start[2] == pytest.approx(np.log(2) / 0.6)
    z = np.array([[2.0, 0.6, 1.0], [1.0, 0.7, 1.2]])
    assert extended.residuals(z).shape == (2, 13)
    step = 1e-6 * np.eye(3)
    quotient = (extended.residuals(z[:, None] + step) - extended.residuals(z[:, None] - step)) / 2e-6
    assert_allclose(extended.jacobian(z)[:, -1], quotient[:, :, -1], rtol=1e-7)


def test_a_quantity_that_cannot_be_computed_is_refused(build):
    with pytest.raises(ValueError, match="nothing = nan: it and its derivatives must be finite at the best fit"):
        profile_derived(decay(build), "nothing", lambda values: values["b"] * np.nan, effort=Effort(4, 1))
    with pytest.raises(ValueError, match="must differ"):
        profile_derived(decay(build), "b", half_life, effort=Effort(4, 1))
