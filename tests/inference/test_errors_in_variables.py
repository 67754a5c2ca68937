"""Errors in both variables, against York's equations and weighted least squares."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from leptonfit.inference.errors_in_variables import OrthogonalFitResult, fit_orthogonal

X = np.array([0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
X_ERROR = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1]) ** -0.5
Y_ERROR = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500]) ** -0.5
"""K. Pearson's points with the weights of D. York, Can. J. Phys. 44, 1079 (1966)."""
VALUES, ERRORS, CHI2 = (5.47991022, -0.480533407), (0.2949707, 0.0579850), 11.8663532
"""Of D. York et al., Am. J. Phys. 72, 367 (2004)."""


def line(x, beta):
    return beta[0] + beta[1] * x


def york(x, y, x_error, y_error, slope=-0.5):
    """Intercept and slope, their standard errors, by equations 13 of York et al. (2004)."""
    wx, wy = x_error**-2, y_error**-2
    for _ in range(200):
        w = wx * wy / (wx + slope**2 * wy)
        mean_x, mean_y = w @ x / w.sum(), w @ y / w.sum()
        beta = w * ((x - mean_x) / wy + slope * (y - mean_y) / wx)
        slope = (w @ (beta * (y - mean_y))) / (w @ (beta * (x - mean_x)))
    adjusted = mean_x + beta
    centre = w @ adjusted / w.sum()
    slope_variance = 1 / (w @ (adjusted - centre) ** 2)
    return (mean_y - slope * mean_x, slope), np.sqrt([1 / w.sum() + centre**2 * slope_variance, slope_variance])


@pytest.mark.parametrize("start", [(5, -0.5), (0, 0), (5, 0), (0, -0.5), (100, 10)])
@pytest.mark.parametrize("first", [0.0, 1e-9, -1e-300])
def test_yorks_line_and_errors_from_any_start(start, first):
    found = fit_orthogonal(line, np.append(first, X[1:]), Y, X_ERROR, Y_ERROR, start)
    assert_allclose(found.values, VALUES, rtol=1e-8)
    assert_allclose(found.errors, ERRORS, rtol=2e-7)
    assert found.chi2 == pytest.approx(CHI2, rel=1e-8)
    assert_allclose(found.errors, york(X, Y, X_ERROR, Y_ERROR)[1], rtol=1e-7)


@pytest.mark.parametrize("start", [(0, 0), (0, 1), (1e-9, -0.5)])
def test_an_intercept_of_zero_is_as_good_as_any(start):
    found = fit_orthogonal(line, X, Y - VALUES[0], X_ERROR, Y_ERROR, start)
    assert_allclose(found.values, [0, VALUES[1]], atol=2e-8)
    assert_allclose(found.errors, ERRORS, rtol=2e-7)


@pytest.mark.parametrize("y_unit", [1e-24, 1e-12, 1e3, 1e24])
@pytest.mark.parametrize("x_unit", [1e-24, 1e-12, 1e3, 1e24])
@pytest.mark.parametrize("start", [(0.0, 0.0), (5.0, -0.5)])
def test_the_line_scales_with_the_units(x_unit, y_unit, start):
    units = np.array([y_unit, y_unit / x_unit])
    found = fit_orthogonal(line, X * x_unit, Y * y_unit, X_ERROR * x_unit, Y_ERROR * y_unit, start * units)
    assert_allclose(found.values / units, VALUES, rtol=1e-7)
    assert_allclose(found.errors / units, ERRORS, rtol=1e-6)
    assert found.chi2 == pytest.approx(CHI2, rel=1e-8)


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_a_curve_scales_with_the_units(unit):
    x, y = np.linspace(0, 4, 9), 2 * np.exp(-0.7 * np.linspace(0, 4, 9)) + 0.05 * np.cos(7 * np.arange(9))
    error = np.full(9, 0.05)

    def decay(x, beta):
        return beta[0] * np.exp(beta[1] * x)

    plain = fit_orthogonal(decay, x, y, error, error, [1, 0])
    scaled = fit_orthogonal(decay, x * unit, y, error * unit, error, [1, 0])
    assert_allclose(scaled.values * [1, unit], plain.values, rtol=1e-7)
    assert_allclose(scaled.errors * [1, unit], plain.errors, rtol=1e-6)


def test_exact_points_have_the_errors_that_were_given():
    """(XᵀX)⁻¹ (σ_y² + slope² σ_x²), as χ² is 0."""
    x, error = np.linspace(0, 5, 6), np.full(6, 0.1)
    found = fit_orthogonal(line, x, 1 + 2 * x, error, error, [0, 1])
    design = np.stack([np.ones(6), x], axis=1)
    assert_allclose(found.covariance, np.linalg.inv(design.T @ design / 0.05), rtol=1e-8)
    assert_allclose(found.errors, [0.16183472, 0.05345225], rtol=1e-7)
    assert found.chi2 < 1e-20


def test_as_many_points_as_parameters_have_finite_errors():
    """Two points a distance 1 apart: σ² = 0.05 at the intercept, twice that for the slope."""
    found = fit_orthogonal(line, [0, 1], [1, 3], [0.1, 0.1], [0.1, 0.1], [0, 1])
    assert_allclose(found.errors, np.sqrt([0.05, 0.1]), rtol=1e-8)


def test_an_x_without_error_is_exact():
    found = fit_orthogonal(line, X, Y, np.zeros(10), Y_ERROR, [0, 0])
    design = np.stack([np.ones(10), X], axis=1) / Y_ERROR[:, None]
    assert_allclose(found.covariance, np.linalg.inv(design.T @ design), rtol=1e-8)
    assert_allclose(found.values, np.linalg.lstsq(design, Y / Y_ERROR)[0], rtol=1e-8)
    some = X_ERROR.copy()
    some[[0, 3]] = 0
    found = fit_orthogonal(line, X, Y, some, Y_ERROR, [0, 0])
    values, errors = york(X, Y, np.where(some == 0, 1e-12, some), Y_ERROR)
    assert_allclose(found.values, values, rtol=1e-8)
    assert_allclose(found.errors, errors, rtol=1e-7)


def test_a_parameter_that_is_not_determined_has_an_infinite_error_and_spoils_no_other():
    found = fit_orthogonal(lambda x, b: b[0] + (b[1] + b[2]) * x, X, Y, X_ERROR, Y_ERROR, [0, 0, 0])
    assert found.values[0] == pytest.approx(VALUES[0], rel=1e-7)
    assert_allclose(found.errors, [ERRORS[0], np.inf, np.inf], rtol=1e-6)
    again = OrthogonalFitResult.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert_array_equal(again.errors, found.errors)
    assert_array_equal(again.covariance, found.covariance)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_error": [0.1, 0, 0.1]}, r"y_error\[1\] = 0: must be finite and above 0"),
        ({"x_error": [0.1, 0.1, -2]}, r"x_error\[2\] = -2: must be finite and at least 0"),
        ({"x_error": [np.nan, 0.1, 0.1]}, r"x_error\[0\] = nan"),
        ({"y_error": [np.inf, 1, 1]}, r"y_error\[0\] = inf"),
        ({"x": [0, 1, np.inf]}, r"x\[2\] = inf: must be finite"),
        ({"start": [0, np.nan]}, r"start\[1\] = nan"),
        ({"y": [1, 2]}, r"y of shape \(2,\): must be one number for each of 3 points"),
        ({"start": [0, 0, 0, 0]}, "3 points for 4 parameters: must be at least as many"),
    ],
)
def test_numbers_that_cannot_be_fitted_are_named(change, said):
    given = {"x": [0, 1, 2], "y": [1, 3, 5.1], "x_error": [0.1] * 3, "y_error": [0.1] * 3, "start": [0, 1]} | change
    with pytest.raises(ValueError, match=said):
        fit_orthogonal(line, *given.values())
