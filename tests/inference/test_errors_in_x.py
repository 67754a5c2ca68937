"""Errors in x on the problem of a model, against York's equations, orthogonal regression and a closed form."""

import math

import numpy as np
import pytest

from leptonfit.inference.assess import assess_problem
from leptonfit.inference.errors_in_variables import fit_orthogonal
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.multistart import Effort, run_multistart

X = np.array([0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
X_SIGMA = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1]) ** -0.5
SIGMA = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500]) ** -0.5
"""K. Pearson's points with the weights of D. York, Can. J. Phys. 44, 1079 (1966)."""


def line(x, a, b):
    return a + b * x


def decay(x, a, b):
    return a * np.exp(-b * x)


LINE = problem_from_model(line, X, Y, SIGMA, {"a": (-20, 20), "b": (-5, 5)}, x_sigma=X_SIGMA)


def test_a_line_is_that_of_york():
    """Values and χ² of D. York et al., Am. J. Phys. 72, 367 (2004)."""
    LINE.check()
    fit = run_multistart(LINE, effort=Effort(4, 1))
    assert fit.x[0] == pytest.approx([5.47991022, -0.480533407], rel=1e-7)
    assert fit.chi2[0] == pytest.approx(11.8663532, rel=1e-8)
    x = np.array([[5.0, -0.4], [3.0, 1.0]])
    effective = np.hypot(SIGMA, x[:, 1:] * X_SIGMA)
    assert LINE.residuals(x) == pytest.approx((x[:, :1] + x[:, 1:] * X - Y) / effective, rel=1e-9)


def test_intervals_of_a_line_are_those_of_the_effective_variance():
    """Ends of the slope: χ²(b) minimised over a in closed form, at the lowest χ² plus 3.84."""
    low, high = assess_problem(LINE, ["b"]).verdicts["b"].interval
    for b in (low, high):
        weight = 1 / (SIGMA**2 + b**2 * X_SIGMA**2)
        a = weight @ (Y - b * X) / weight.sum()
        assert weight @ (Y - a - b * X) ** 2 - 11.8663532 == pytest.approx(3.841458820694124, rel=1e-6)


@pytest.mark.parametrize("model", [decay, lambda x, a, b: np.array([a * math.exp(-b * float(one)) for one in x])])
def test_a_curve_is_that_of_orthogonal_regression(model):
    rng = np.random.default_rng(4)
    true = np.linspace(0.2, 4, 12)
    x, y = true + 0.1 * rng.standard_normal(12), decay(true, 3.0, 0.8) + 0.05 * rng.standard_normal(12)
    problem = problem_from_model(model, x, y, 0.05, {"a": (0.1, 10), "b": (0.01, 5)}, x_sigma=0.1)
    problem.check()
    assert "x has errors" in " ".join(problem.notes)
    fit = run_multistart(problem, effort=Effort(2, 1))
    other = fit_orthogonal(lambda at, p: decay(at, *p), x, y, np.full(12, 0.1), np.full(12, 0.05), [2.0, 1.0])
    assert fit.x[0] == pytest.approx(other.values, rel=1e-6)
    assert fit.chi2[0] == pytest.approx(other.chi2, rel=1e-8)


def test_exact_x_and_missing_values_change_nothing():
    exact = problem_from_model(decay, X, Y, SIGMA, {"a": (0.1, 10), "b": (0.01, 5)}, x_sigma=0.0)
    usual = problem_from_model(decay, X, Y, SIGMA, {"a": (0.1, 10), "b": (0.01, 5)})
    z = np.array([5.0, 0.2])
    assert exact.residuals(z) == pytest.approx(usual.residuals(z), rel=1e-12)
    assert exact.jacobian(z) == pytest.approx(usual.jacobian(z), rel=1e-8, abs=1e-8)
    gone = problem_from_model(
        line,
        np.append(X, np.nan),
        np.append(Y, 1),
        np.append(SIGMA, 1),
        {"a": (-20, 20), "b": (-5, 5)},
        x_sigma=np.append(X_SIGMA, 1),
    )
    assert gone.residuals(z) == pytest.approx(LINE.residuals(z))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_sigma": -0.1}, "x_sigma = -0.1: must be finite and 0 or more"),
        ({"x_sigma": [0.1, 0.2]}, r"x_sigma of shape \(2,\): must be a number or 10 numbers"),
        ({"sigma": "poisson"}, "x_sigma: needs standard errors of y"),
        ({"sigma": None}, "x_sigma: needs standard errors of y"),
        ({"x": (X, X), "model": lambda x, a, b: a + b * x[0]}, "x_sigma: needs x to be one array"),
        ({"jacobian": lambda x, a, b: np.stack([1 + 0 * x, x], axis=-1)}, "cannot be given together with x_sigma"),
    ],
)
def test_what_has_no_errors_in_x_is_refused(change, message):
    given = {"model": line, "x": X, "y": Y, "sigma": SIGMA, "x_sigma": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        problem_from_model(parameters={"a": (0, 20), "b": (0, 5)}, **given)
