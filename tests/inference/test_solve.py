"""The batched solver: against closed forms, two other solvers, and starts it must refuse or give up."""

from dataclasses import replace

import numpy as np
import pytest
from numpy import exp, inf, log, sqrt
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import lsq_linear

from leptonfit.inference.norms import norms
from leptonfit.inference.solve import solve
from leptonfit.inference.stationarity import KKT_TOLERANCE, column_lengths, kkt_residual

TIMES = np.linspace(0.0, 4.0, 9)
ROUNDING = 1e-7
"""χ² is flat to rounding within some 1e-8 of its minimum, so its argument is known no better."""
NOISE = 0.05 * np.sin(7 * np.arange(9))


def decay(build):
    """Decay to a background of −0.3 that may not be negative: the bound on c is active."""
    data = 2 * exp(-0.8 * TIMES) - 0.3 + NOISE
    return build(lambda a, k, c: (a * exp(-k * TIMES) + c - data) / 0.05, a=(0, 10), k=(0.1, 5), c=(0, 1))


def product(build):
    """Two measurements, 2 and 3, of abc: χ² = 1/2 wherever abc = 2.5."""
    return build(lambda a, b, c: (a * b * c - 2, a * b * c - 3), a=(0.1, 5), b=(0.1, 5), c=(0.1, 5))


def valley(build):
    """Rosenbrock's valley, and a weak pull off its bottom."""
    return build(lambda a, b: (10 * (b - a * a), 1 - a, 0.3 * (a + b)), a=(-inf, inf), b=(-inf, inf))


def linear(build, limit):
    rng = np.random.default_rng(5)
    matrix, data = rng.normal(size=(12, 5)), rng.normal(size=12)
    limits = dict.fromkeys("abcde", (-limit, limit))
    return matrix, data, build(lambda *x: np.concatenate(x, axis=-1) @ matrix.T - data, **limits)


def random_starts(problem, n, seed=1):
    low, high = np.maximum(problem.lower, -3), np.minimum(problem.upper, 3)
    return np.random.default_rng(seed).uniform(low, high, size=(n, problem.n_par))


# Against other solvers and closed forms


@pytest.mark.parametrize("make", [decay, product, valley])
@pytest.mark.parametrize(("method", "excess"), [("scipy", 1e-9), ("iminuit", 2e-4)])  # MIGRAD's goal for χ² is 2e-4
def test_agrees_with_the_outside_solvers(build, make, method, excess):
    problem = make(build)
    starts = random_starts(problem, 6)
    mine, other = solve(problem, starts), solve(problem, starts, method=method, max_iter=5000)
    assert mine.converged.all()
    assert_allclose(mine.chi2, mine.chi2[0], rtol=1e-12)
    assert_allclose(other.chi2, mine.chi2, rtol=0, atol=excess)
    if make is not product:  # whose minimum is a surface
        assert_allclose(mine.x, np.tile(mine.x[0], (6, 1)), rtol=ROUNDING)
        assert_allclose(other.x, mine.x, rtol=ROUNDING if method == "scipy" else 0.03, atol=ROUNDING)


def test_the_active_bound_is_touched_exactly(build):
    fit = solve(decay(build), random_starts(decay(build), 6))
    assert_array_equal(fit.x[:, 2], 0.0)


def test_underdetermined_minimum_in_closed_form(build):
    fit = solve(product(build), random_starts(product(build), 20))
    assert_allclose(fit.chi2, 0.5, rtol=1e-12)
    assert_allclose(fit.x.prod(axis=1), 2.5, rtol=1e-6)


def test_linear_least_squares_in_closed_form(build):
    matrix, data, problem = linear(build, inf)
    expected, (chi2,), *_ = np.linalg.lstsq(matrix, data)
    fit = solve(problem, random_starts(problem, 4))
    assert fit.converged.all()
    assert_allclose(fit.x, np.tile(expected, (4, 1)), rtol=ROUNDING)
    assert_allclose(fit.chi2, chi2, rtol=1e-13)


def test_bounded_linear_least_squares(build):
    matrix, data, problem = linear(build, 0.2)
    expected = lsq_linear(matrix, data, bounds=(-0.2, 0.2), method="bvls", tol=1e-15)
    assert 0 < np.count_nonzero(expected.active_mask) < 5
    fit = solve(problem, random_starts(problem, 20))
    assert fit.converged.all()
    assert_array_equal(problem.on_bounds(fit.x), np.tile(expected.active_mask != 0, (20, 1)))
    assert_allclose(fit.x, np.tile(expected.x, (20, 1)), rtol=ROUNDING)


def test_narrow_valley_that_leads_into_a_bound(build):
    """Condition 10⁸ with b ≤ 1 active: clipping a finished step would crawl along the valley."""
    problem = build(lambda a, b: (1e4 * (a - b), a + b - 4), a=(-inf, inf), b=(-inf, 1))
    fit = solve(problem, np.array([-50.0, -50.001]))
    assert fit.converged
    assert_allclose(fit.x, [1 + 2 / (1e8 + 1), 1], rtol=1e-10)
    assert fit.n_iter <= 12


def test_a_column_of_the_jacobian_that_vanishes_at_the_minimum(build):
    """t² + 1 + n misses zero, so t = 0 and its column with it; n = −0.64 is not to be frozen by the damping of t."""
    problem = build(lambda t, n: ((t * t + 1 + n) / 0.06, n / 0.08), t=(-10, 10), n=(-30, 30))
    fit = solve(problem, np.array([[0.3, 0.0], [2.0, 1.0], [-1.0, 3.0], [0.01, -20.0]]))
    assert_allclose(fit.chi2, 100.0, rtol=1e-9)
    assert_allclose(fit.x, np.tile([0.0, -0.64], (4, 1)), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("x_limits", "y_limits", "expected"),
    [
        ((-inf, 2), (-1, inf), (2, -1)),
        ((-inf, 2), (-inf, inf), (2, -1.5)),
        ((-1, 40), (-inf, inf), (5, -3)),
        ((-0.5, 90), (-2, 0.1), (4, -2)),
        ((7, inf), (-inf, inf), (7, -4)),
    ],
)
def test_one_sided_and_asymmetric_bounds(build, x_limits, y_limits, expected):
    """χ² = (x − 5)² + (x + 2y + 1)²: y = −(1 + x)/2 for x held, x = 2 − y for y held."""
    problem = build(lambda x, y: (x - 5, x + 2 * y + 1), x=x_limits, y=y_limits)
    low, high = np.maximum(problem.lower, -9), np.minimum(problem.upper, 9)
    fit = solve(problem, np.random.default_rng(2).uniform(low, high, size=(10, 2)))
    assert fit.converged.all()
    assert_allclose(fit.x, np.tile(expected, (10, 1)), rtol=ROUNDING)


def test_bounds_are_reached_exactly_from_afar(build):
    """Here + (bound − here) is not the bound, in floating point."""
    problem = build(lambda x, y: (x + y - 2000, x - y), x=(-1000.3, 0.1), y=(-1e4, 1e4))
    fit = solve(problem, np.random.default_rng(4).uniform((-1000, -1e4), (0, 1e4), size=(300, 2)), max_iter=1)
    assert (fit.x[:, 0] == 0.1).sum() > 200
    assert_array_equal(np.isclose(fit.x[:, 0], 0.1, rtol=1e-9), fit.x[:, 0] == 0.1)


# Stationarity


def test_kkt_by_hand():
    x, jacobian = np.array([0.5, 0.0]), np.array([[1.0, 0.0], [0.0, 2.0]])
    lower, upper = np.zeros(2), np.ones(2)

    def kkt(residuals, x=x, **floor):
        return kkt_residual(x, np.array(residuals), jacobian, lower, upper, **floor)

    # g = (3, ±8), ‖J‖ = (1, 2), ‖r‖ = 5
    assert kkt([3.0, 4.0]) == pytest.approx(3 / 5), "descent pushes y into its lower bound: dropped"
    assert kkt([3.0, -4.0]) == pytest.approx(4 / 5), "descent takes y off its lower bound: kept"
    top = np.array([0.5, 1.0])
    assert kkt([3.0, -4.0], top) == pytest.approx(3 / 5), "descent pushes y into its upper bound: dropped"
    assert kkt([3.0, 4.0], top) == pytest.approx(4 / 5), "descent takes y off its upper bound: kept"
    assert kkt([3.0, 4.0], np.array([0.5, 1e-300])) == pytest.approx(4 / 5), "a bound not touched blocks nothing"
    assert kkt([0.03e-9, -0.04e-9]) == pytest.approx(4 / 5), "the size of the residuals plays no part"
    assert kkt([0.03, -0.04], floor=1.0) == pytest.approx(0.04), "unless it is below the floor"


def test_kkt_is_scale_free_and_batched():
    rng = np.random.default_rng(0)
    x, residuals, jacobian = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 4, 3))
    far, scale = np.full(3, inf), np.array([1e-6, 1.0, 1e9])
    plain = kkt_residual(x, residuals, jacobian, -far, far)
    assert_allclose(kkt_residual(x / scale, residuals, jacobian * scale, -far, far), plain, rtol=1e-12)
    alone = [kkt_residual(x[i], residuals[i], jacobian[i], -far, far) for i in range(2)]
    assert_allclose(plain, alone, rtol=1e-14)


@pytest.mark.parametrize("size", [1e-200, 1e-9, 1.0, 1e200])
def test_lengths_neither_overflow_nor_underflow(size):
    assert_allclose(norms(size * np.array([[3.0, 4.0], [0.0, 0.0]])), [5 * size, 0.0], rtol=1e-15)
    assert_allclose(column_lengths(size * np.array([[3.0, 1.0], [4.0, 0.0]])), [5 * size, size], rtol=1e-15)
    jacobian = np.array([[3.0, 0.0], [4.0, 1.0]]) * [size, 1.0]
    kkt = kkt_residual(np.zeros(2), np.array([1.0, 0.0]), jacobian, np.full(2, -inf), np.full(2, inf))
    assert_allclose(kkt, 0.6, rtol=1e-12)


def test_a_column_of_infinite_length_is_no_convergence(build):
    """At x = 0 the first residual is 1 and its derivative infinite."""
    plain = build(lambda x, y: (x + 1, y), x=(0, 10), y=(-1, 1))
    problem = replace(plain, jacobian=lambda x: np.where(x[..., None, :1] > 0, plain.jacobian(x), inf))
    fit = solve(problem, np.array([0.0, 0.5]))
    assert fit.chi2 == 1.25
    assert fit.kkt == 1.0
    assert not fit.converged
    assert solve(problem, np.array([3.0, 0.5])).chi2 < 1.1  # steps onto such a point are taken back


def scaled(problem, factor):
    return replace(
        problem, residuals=lambda x: factor * problem.residuals(x), jacobian=lambda x: factor * problem.jacobian(x)
    )


def exact_decay(build):
    return build(lambda a, k: a * exp(-k * TIMES) - 2e-8 * exp(-1.3 * TIMES), a=(0, 1), k=(0.1, 10))


@pytest.mark.parametrize("factor", [1e-9, 1e9])
@pytest.mark.parametrize("make", [decay, product, valley, exact_decay])
def test_a_common_factor_changes_nothing(build, make, factor):
    problem = make(build)
    starts = random_starts(problem, 6)
    plain, other = solve(problem, starts), solve(scaled(problem, factor), starts)
    assert plain.converged.all()
    assert_array_equal(other.converged, plain.converged)
    assert_allclose(other.x, plain.x, rtol=1e-6, atol=1e-12)
    assert_allclose(other.chi2, factor**2 * plain.chi2, rtol=1e-9, atol=1e-25 * factor**2)


def test_residuals_of_a_billionth_are_fitted(build):
    fit = solve(exact_decay(build), np.array([1e-7, 0.3]))
    assert fit.converged
    assert_allclose(fit.x, [2e-8, 1.3], rtol=1e-9)


def test_the_scale_of_a_problem(build):
    """r = (3 − 4, 40) and J = ((1, 0), (0, 1e200)) at x = 3, y = 1e-180."""
    problem = build(lambda x, y: (x - 4, 40 + 1e200 * y), x=(3, 5), y=(1e-180, 1))
    assert problem.scale == pytest.approx(1e20)
    assert build(lambda x: log(x), x=(-2, -1)).scale == 0.0


def test_a_point_that_is_not_stationary_is_not_converged(build):
    problem = valley(build)
    x = np.array([-1.2, 1.0])
    fit = solve(problem, x, max_iter=0)
    # r = (−4.4, 2.2, −0.06), J = ((24, 10), (−1, 0), (0.3, 0.3))
    by_hand = abs(-4.4 * 24 - 2.2 - 0.018) / sqrt(24**2 + 1 + 0.09), abs(-44 - 0.018) / sqrt(100.09)
    assert_allclose(fit.kkt, max(by_hand) / sqrt(4.4**2 + 2.2**2 + 0.06**2), rtol=1e-12)
    assert not fit.converged
    assert fit.n_iter == 0
    assert_array_equal(fit.x, x)
    assert not solve(problem, x, max_iter=2).converged
    assert not solve(problem, x, max_iter=2, method="scipy").converged


@pytest.mark.parametrize("x", [4.9, 4.95, 4.97, 5.05])
def test_the_foot_of_a_step_is_not_a_minimum(build, x):
    """The slope is small, for the step is far, and yet all of χ² lies ahead of it."""
    problem = build(lambda x: np.tanh((x - 5) / 0.01), x=(0, 10))
    fit = solve(problem, np.array([x]), max_iter=0)
    assert fit.chi2 > 0.98
    assert not fit.converged


def test_a_stationary_start_stays(build):
    problem = decay(build)
    there = solve(problem, random_starts(problem, 1)[0]).x
    again = solve(problem, there, max_iter=0)
    assert again.converged
    assert again.kkt <= KKT_TOLERANCE


# Refusals


def test_refuses_starts_of_the_wrong_length(build):
    with pytest.raises(ValueError, match=r"\(4, 2\).*3 parameters"):
        solve(decay(build), np.ones((4, 2)))


@pytest.mark.parametrize("value", [5.5, 0.01, np.nan])
def test_refuses_a_start_outside_the_bounds(build, value):
    starts = np.tile([1.0, 1.0, 0.5], (3, 1))
    starts[2, 1] = value
    with pytest.raises(ValueError, match=rf"k = {value:g}.*\[0\.1, 5\]"):
        solve(decay(build), starts)


def test_refuses_an_unknown_method(build):
    with pytest.raises(ValueError, match=r"'newton'.*lm, scipy, iminuit"):
        solve(decay(build), np.ones(3), method="newton")


def test_refuses_an_unknown_fixed_parameter(build):
    with pytest.raises(ValueError, match=r"'q'.*a, k, c"):
        solve(decay(build), np.ones(3), fixed=("q",))


# Regions where the model is undefined (warnings are errors, so none may leak)


@pytest.mark.parametrize("method", ["lm", "scipy"])
def test_undefined_region_is_left_alone(build, method):
    problem = build(lambda x: log(x) - 1, x=(-4, 10))
    fit = solve(problem, np.array([[-1.0], [0.0], [0.01], [2.0], [10.0]]), method=method)
    assert_array_equal(np.isnan(fit.chi2), [True, True, False, False, False])
    assert_array_equal(np.isnan(fit.kkt), np.isnan(fit.chi2))
    assert_array_equal(fit.converged, ~np.isnan(fit.chi2))
    assert_array_equal(fit.x[:2, 0], [-1, 0])
    assert_allclose(fit.x[2:, 0], np.e, rtol=1e-6)


def test_steps_into_an_undefined_region_are_taken_back(build):
    """From x = 9 the first step for √x = 0.01 lands near −9."""
    problem = build(lambda x, y: (sqrt(x) - 0.01, y - x), x=(-20, 10), y=(-20, 20))
    fit = solve(problem, np.array([[9.0, 0.0], [-9.0, 0.0], [1e-6, -3.0]]))
    assert_array_equal(fit.converged, [True, False, True])
    assert_allclose(fit.x[[0, 2]], 1e-4, rtol=1e-4)


# Batches


def test_leading_axes_are_kept(build):
    problem = decay(build)
    starts = random_starts(problem, 12)
    flat, shaped = solve(problem, starts), solve(problem, starts.reshape(3, 4, 3))
    assert shaped.x.shape == (3, 4, 3)
    for name in ("x", "chi2", "kkt", "converged", "n_iter"):
        assert_array_equal(getattr(shaped, name).reshape(getattr(flat, name).shape), getattr(flat, name))
    assert shaped.chi2.shape == shaped.kkt.shape == shaped.converged.shape == shaped.n_iter.shape == (3, 4)
    assert solve(problem, starts[0]).chi2.shape == ()
    assert solve(problem, np.empty((0, 3))).chi2.shape == (0,)


@pytest.mark.parametrize("make", [decay, product, valley])
def test_a_start_does_not_depend_on_its_company(build, make):
    problem = make(build)
    starts = random_starts(problem, 9)
    together = solve(problem, starts)
    alone = [solve(problem, start) for start in starts]
    assert_allclose(together.x, [fit.x for fit in alone], rtol=1e-9)
    assert_allclose(together.chi2, [fit.chi2 for fit in alone], rtol=1e-9)


@pytest.mark.parametrize("method", ["lm", "scipy", "iminuit"])
def test_fixed_parameters_are_held_exactly(build, method):
    problem = decay(build)
    starts = random_starts(problem, 5)
    fit = solve(problem, starts, fixed=("k",), method=method)
    assert_array_equal(fit.x[:, 1], starts[:, 1])
    # with k held the rest is linear
    basis = exp(-starts[:, [1]] * TIMES)
    data = 2 * exp(-0.8 * TIMES) - 0.3 + NOISE
    bounded = [lsq_linear(np.stack([b, np.ones(9)], axis=1), data, bounds=((0, 0), (10, 1))) for b in basis]
    assert_allclose(fit.chi2, [2 * b.cost / 0.05**2 for b in bounded], rtol=1e-4 if method == "iminuit" else 1e-8)


@pytest.mark.parametrize("method", ["lm", "scipy", "iminuit"])
def test_all_parameters_fixed_is_one_evaluation(build, method):
    starts = np.array([[1.0, 2.0, 1.0], [1.0, 3.0, 1.0]])
    fit = solve(product(build), starts, fixed=("a", "b", "c"), method=method)
    assert_array_equal(fit.x, starts)
    assert_allclose(fit.chi2, [1.0, 1.0])
    assert fit.converged.all()
