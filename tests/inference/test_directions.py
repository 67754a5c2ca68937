"""Null directions, covariance and determined combinations, against closed forms."""

import json

import numpy as np
import pytest
from numpy import inf, nan, sqrt
from numpy.testing import assert_allclose, assert_array_equal

from leptonfit.inference.combinations import CombinationsResult, determined_combinations
from leptonfit.inference.directions import CovarianceResult, covariance, jacobian_spectrum, null_directions

T = np.linspace(0, 10, 21)


def cascade(build, **more):
    """A → B → C with B(0) = 0 seen at t = 0: a residual that no parameter touches (A. Raue et al. 2009)."""
    bounds = {"k1": (0.01, 5), "k2": (0.01, 5), "a0": (0.1, 10), "s": (0.1, 10)} | more

    def residuals(k1, k2, a0, s, *rest):
        seen = s * a0 * k1 / (k1 - k2) * (np.exp(-k2 * T) - np.exp(-k1 * T))
        return (seen - 1) / 0.05 + sum(0 * other for other in rest)

    return build(residuals, **bounds)


# Null directions


def test_a_residual_that_no_parameter_touches_does_no_harm(build):
    problem, x = cascade(build), np.array([0.6, 0.2, 1.0, 2.0])
    assert not problem.jacobian(x)[0].any()
    found = null_directions(problem, x)
    assert (found.free, found.dependent, found.at_zero) == (("a0",), ("k1", "k2", "s"), ())
    assert_allclose(found.response, [[0, 0, -1]], atol=1e-10)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_parameter_without_effect_is_free_and_nothing_follows_it(build, value):
    problem = cascade(build, idle=(-5, 5))
    found = null_directions(problem, np.array([0.6, 0.2, 1.0, 2.0, value]))
    assert found.free == ("a0", "idle")
    assert_allclose(found.response, [[0, 0, -1], [0, 0, 0]], atol=1e-10)
    assert found.at_zero == (("idle",) if value == 0 else ())


def test_a_parameter_at_zero_moves_in_its_own_standard_errors(build):
    """(a + b)/0.1 at a = 2, b = 0: d ln a = −0.1/2 for a step of 0.1 in b."""
    problem = build(lambda a, b: (a + b - 2) / 0.1, a=(-5, 5), b=(-5, 5))
    found = null_directions(problem, np.array([2.0, 0.0]))
    assert (found.free, found.dependent, found.at_zero) == (("b",), ("a",), ("b",))
    assert_allclose(found.response, [[-0.05]], rtol=1e-12)
    both = null_directions(problem, np.zeros(2))
    assert both.at_zero == ("a", "b")
    assert_allclose(both.response, [[-1.0]], rtol=1e-12)


def test_nothing_left_to_see_leaves_all_free(build):
    found = null_directions(build(lambda a, b: 0 * (a + b) + 1, a=(-5, 5), b=(-5, 5)), np.array([1.0, 0.0]))
    assert (found.free, found.dependent, found.response.shape) == (("a", "b"), (), (2, 0))


def three_by_three(build, unit):
    """Measured: a + b, a − b and b + c, with a in any unit; of full rank."""
    return build(lambda a, b, c: (a / unit + b, a / unit - b, b + c), a=(-inf, inf), b=(-9, 9), c=(-9, 9))


@pytest.mark.parametrize("unit", [1e-14, 1e-7, 1.0, 1e14])
def test_the_rank_does_not_depend_on_units(build, unit):
    """With rows scaled before columns, `a` in a small unit would hide b from the first two rows."""
    problem, x = three_by_three(build, unit), np.array([unit, 1.0, 1.0])
    assert jacobian_spectrum(problem, x).rank == 3
    assert null_directions(problem, x).free == ()
    # a + b and a − b give var a = var b = 1/2, and c = r − b has 1 + 1/2
    assert_allclose(covariance(problem, x).standard_errors, [unit * sqrt(0.5), sqrt(0.5), sqrt(1.5)], rtol=1e-12)


@pytest.mark.parametrize("judge", [jacobian_spectrum, null_directions, covariance, determined_combinations])
def test_a_derivative_that_is_not_finite_is_named(build, judge):
    problem = build(lambda a, b: (a - 1, np.sqrt(b)), a=(-9, 9), b=(-9, 9))
    with pytest.raises(ValueError, match=r"∂\(r2\)/∂\(a\) = nan: must be finite"), np.errstate(all="ignore"):
        judge(problem, np.array([1.0, -1.0]))


# Covariance


def test_covariance_of_a_straight_line(build):
    x, sigma = np.arange(5.0), 0.3
    problem = build(lambda a, b: (a + b * x - 1) / sigma, a=(-9, 9), b=(-9, 9))
    found = covariance(problem, np.array([1.0, 0.5]))
    expected = sigma**2 / 50 * np.array([[30.0, -10.0], [-10.0, 5.0]])  # n Σx² − (Σx)² = 50
    assert_allclose(found.covariance, expected, rtol=1e-12)
    assert_allclose(found.standard_errors, sqrt(np.diag(expected)), rtol=1e-12)
    assert_allclose(found.correlation, [[1, -10 / sqrt(150)], [-10 / sqrt(150), 1]], rtol=1e-12)
    assert (found.held, found.undetermined) == ((), ())


def test_what_is_not_determined_is_infinite_and_spoils_nothing(build):
    problem = build(
        lambda a, b, c, d: ((a * b - 6) / 0.1, (c - 1) / 0.2, (c - d) / 0.3, 0 * a),
        a=(0, 9),
        b=(0, 9),
        c=(-9, 9),
        d=(-9, 9),
    )
    found = covariance(problem, np.array([2.0, 3.0, 1.0, 1.0]))
    assert_allclose(found.standard_errors, [inf, inf, 0.2, sqrt(0.13)], rtol=1e-12)
    assert found.undetermined == ("a", "b")
    assert_allclose(found.covariance[2:, 2:], [[0.04, 0.04], [0.04, 0.13]], rtol=1e-12)
    assert_array_equal(found.correlation[0], nan)
    again = CovarianceResult.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert_array_equal(again.standard_errors, found.standard_errors)
    assert_array_equal(again.covariance, found.covariance)


def test_errors_are_conditional_on_bounds_and_say_so(build):
    x = np.arange(5.0)
    problem = build(lambda a, b: (a + b * x - 1) / 0.3, a=(1.0, 9), b=(-9, 9))
    found = covariance(problem, np.array([1.0, 0.5]))
    assert found.held == ("a",)
    assert_allclose(found.standard_errors, [nan, 0.3 / sqrt(30)], rtol=1e-12)
    assert_array_equal(found.covariance[0], nan)


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_covariance_scales_with_units(build, unit):
    problem = build(lambda a, b: ((a / unit + b - 1) / 0.1, (a / unit - b) / 0.2, 0 * b), a=(-inf, inf), b=(-9, 9))
    found = covariance(problem, np.array([unit, 1.0]))
    assert_allclose(found.standard_errors, sqrt(0.05 / 4) * np.array([unit, 1]), rtol=1e-12)


def test_a_residual_a_trillion_times_more_precise_leaves_the_others_their_digits(build):
    """a + b known to 1e-12, a to 0.1, so b to 0.1 as well."""
    problem = build(
        lambda a, b, c: ((a + b - 1) / 1e-12, (a - 0.3) / 0.1, (a + c) / 0.2), a=(-9, 9), b=(-9, 9), c=(-9, 9)
    )
    found = covariance(problem, np.array([0.3, 0.7, -0.3]))
    assert_allclose(found.standard_errors, [0.1, 0.1, sqrt(0.05)], rtol=1e-10)


# Determined combinations


def michaelis_menten(build, constant, sigma, unit=1.0):
    s = np.linspace(0.1, 1, 8)
    at = np.array([0.5 * constant * unit, constant])
    problem = build(
        lambda v, k: (v / unit * s / (k + s) - 0.5 * constant * s / (constant + s)) / sigma, V=(0, inf), K=(0, inf)
    )
    return problem, at


@pytest.mark.parametrize("unit", [1e-12, 1.0])
@pytest.mark.parametrize("constant", [30.0, 1e3, 1e12])
def test_the_slope_of_michaelis_and_menten_is_determined_in_the_linear_regime(build, constant, unit):
    """At s ≪ K only V/K is: its error is that of a slope, σ/√Σs², plus what the curvature leaves open."""
    problem, x = michaelis_menten(build, constant, 0.01, unit)
    assert (covariance(problem, x).standard_errors > x).all()
    found = determined_combinations(problem, x)
    assert (found.names, found.labels) == (("V", "K"), ("V/K",))
    assert_array_equal(found.exponents, [[1, -1]])
    assert_allclose(found.values, [0.5 * unit], rtol=1e-12)
    if constant > 1e11:
        slope = 0.01 / np.linalg.norm(np.linspace(0.1, 1, 8))
        assert_allclose(found.relative_errors, [slope / 0.5], rtol=1e-9)
        assert found.sentences == (f"V/K = {'5.000e-13 ± 5.7e-15' if unit < 1 else '0.5000 ± 0.0057'}",)
    assert found.relative_errors[0] < 0.1


def test_single_parameters_that_are_determined_need_no_combination(build):
    problem, x = michaelis_menten(build, 1.0, 0.01)
    found = determined_combinations(problem, x)
    assert (found.names, found.sentences, found.exponents.shape) == ((), (), (0, 0))


@pytest.mark.parametrize(
    ("residuals", "x", "sentences"),
    [
        (lambda a, b, c: ((a * b - 6) / 0.1, (c - 1) / 0.2), (2, 3, 1), ("a·b = 6.00 ± 0.10",)),
        (lambda a, b, c: ((a**2 * b - 3) / 0.1, (c - 1) / 0.2), (-1, 3, 1), ("a^2·b = 3.00 ± 0.10",)),
        (lambda a, b, c: ((a * b / c - 3) / 0.1,), (2, 3, 2), ("a·b/c = 3.00 ± 0.10",)),
        (lambda a, b, c: ((a / (b * c) - 3) / 0.1,), (18, 3, 2), ("a/(b·c) = 3.00 ± 0.10",)),
        (lambda a, b, c: ((np.sqrt(a**3 / b) * c - 2) / 0.1, (c - 1) / 0.01), (4, 16, 1), ("a^3/b = 4.00 ± 0.41",)),
        (lambda a, b, c: ((a * b - 1) / 0.1, (b * c - 2) / 0.05), (0.4, 2.5, 0.8), 2),
        (lambda a, b, c: ((a + b - 3) / 0.1, (c - 1) / 0.2), (1, 2, 1), ()),  # a sum is no product
        (lambda a, b, c: ((a * b - 6) / 6, (c - 1) / 0.2), (2, 3, 1), ()),
    ],  # not determined: an error of 100 %
)
def test_determined_products_are_named(build, residuals, x, sentences):
    problem, x = build(residuals, a=(-inf, inf), b=(0, inf), c=(0, inf)), np.array(x, dtype=float)
    found = determined_combinations(problem, x)
    if sentences == 2:
        assert len(found.values) == 2
        generator = np.array([1, -1, 1])  # a → λa, b → b/λ, c → λc
        assert_allclose(found.exponents @ generator, 0, atol=1e-12)
    else:
        assert found.sentences == sentences
    again = CombinationsResult.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert_array_equal(again.exponents, found.exponents)


def test_other_parameters_are_fitted_along(build):
    """Amplitude q·e of a decay over a background; its error includes those of rate and background."""
    t = np.linspace(0, 3, 9)
    problem = build(
        lambda q, e, k, c: (q * e * np.exp(-k * t) + c - 1) / 0.01, q=(0, inf), e=(0, inf), k=(0, inf), c=(-inf, inf)
    )
    plain = build(lambda a, k, c: (a * np.exp(-k * t) + c - 1) / 0.01, a=(0, inf), k=(0, inf), c=(-inf, inf))
    found = determined_combinations(problem, np.array([2.0, 3.0, 1.0, 1.0]))
    assert found.labels == ("q·e",)
    amplitude = covariance(plain, np.array([6.0, 1.0, 1.0])).standard_errors[0]
    assert_allclose(found.values * found.relative_errors, amplitude, rtol=1e-9)


def test_the_initial_slope_of_a_slow_decay_is_determined(build):
    """A e^(−kt) + B up to kt = 0.015: A, k and B are known to 450 %, the slope A k to 4 %; A + B is no product."""
    t = np.linspace(0.05, 0.3, 10)
    problem = build(
        lambda a, k, b: (a * np.exp(-k * t) + b - 3 + 0.5 * t) / 1e-3, A=(0, inf), k=(0, inf), B=(-inf, inf)
    )
    x = np.array([10.0, 0.05, -7.0])
    assert (covariance(problem, x).standard_errors > 4 * np.abs(x)).all()
    assert determined_combinations(problem, x).sentences == ("A·k = 0.500 ± 0.020",)
