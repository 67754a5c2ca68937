"""Problems from curve_fit, lmfit and iminuit have the χ² and the best fit of the problem made directly."""

import lmfit
import numpy as np
import pytest
from iminuit import Minuit, cost
from scipy.optimize import curve_fit
from scipy.stats import expon

from leptonfit.inference.conversions import from_curve_fit, from_iminuit, from_lmfit
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.solve import solve

T = np.linspace(0, 6, 13)
Y = 5 * np.exp(-0.7 * T) + 0.3 + 0.1 * np.array([1, -1, 0.4, 0.2, -0.7, 1.3, -0.2, 0.5, -0.9, 0.1, 0.6, -1.2, 0.3])
SIGMA = np.linspace(0.1, 0.2, 13)
BOUNDS = {"a": (0, 20), "b": (0, 5), "c": (-3, 3)}


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


DIRECT = problem_from_model(decay, T, Y, SIGMA, BOUNDS)
POINTS = np.array([[4.0, 0.5, 0.1], [7.0, 1.5, -0.3]])


def test_curve_fit():
    best, _ = curve_fit(decay, T, Y, sigma=SIGMA, absolute_sigma=True)
    problem = from_curve_fit(decay, T, Y, sigma=SIGMA, bounds=([0, 0, -3], [20, 5, 3]))
    assert problem.residuals(POINTS) == pytest.approx(DIRECT.residuals(POINTS), rel=1e-14)
    assert problem.start == pytest.approx([10, 2.5, 0])
    assert solve(problem, problem.start).x == pytest.approx(best, rel=1e-6)
    free = from_curve_fit(decay, T, Y, sigma=SIGMA)
    assert free.start == pytest.approx([1, 1, 1])
    assert np.isinf(free.lower).all()
    assert from_curve_fit(decay, T, Y, [4, 1, 0]).sigma_degrees == 10
    with pytest.raises(ValueError, match="p0 has 2 values: must have 3, for a, b, c"):
        from_curve_fit(decay, T, Y, [1, 2])


def test_lmfit():
    model = lmfit.Model(decay)
    parameters = model.make_params(a={"value": 4, "min": 0, "max": 20}, b=1, c={"value": 0.3, "vary": False})
    result = model.fit(Y, parameters, t=T, weights=1 / SIGMA)
    problem = from_lmfit(result)
    assert problem.names == ("a", "b")
    assert (problem.lower[0], problem.upper[0]) == (0, 20)
    assert np.sum(problem.residuals(problem.start) ** 2) == pytest.approx(result.chisqr, rel=1e-9)
    assert solve(problem, np.array([4.0, 1.0])).x == pytest.approx([result.params[n].value for n in "ab"], rel=1e-5)
    assert from_lmfit(model.fit(Y, parameters, t=T)).sigma_degrees == 11
    parameters["b"].expr = "a / 5"
    with pytest.raises(ValueError, match="parameter 'b' = a / 5: an expression cannot be taken over"):
        from_lmfit(model.fit(Y, parameters, t=T))


def test_least_squares_of_iminuit():
    function = cost.LeastSquares(T, Y, SIGMA, decay)
    problem = from_iminuit(function, BOUNDS)
    for point in POINTS:
        assert np.sum(problem.residuals(point) ** 2) == pytest.approx(function(*point), rel=1e-12)
    fit = Minuit(function, a=4, b=1, c=0).migrad()
    assert solve(problem, problem.start).x == pytest.approx(list(fit.values), rel=1e-3)


def test_binned_counts_of_iminuit():
    edges = np.linspace(0, 5, 11)
    counts = np.array([40, 31, 22, 17, 9, 8, 0, 3, 2, 1])

    def scaled_cdf(x, n, tau):
        return n * expon.cdf(x, 0, tau)

    function = cost.ExtendedBinnedNLL(counts, edges, scaled_cdf)
    problem = from_iminuit(function, {"n": (1, 1000), "tau": (0.1, 10)})
    points = np.array([[130.0, 1.4], [100.0, 2.0]])
    change = np.diff(np.sum(problem.residuals(points) ** 2, axis=-1))[0]
    assert change == pytest.approx(function(*points[1]) - function(*points[0]), rel=1e-6)
    fit = Minuit(function, n=100, tau=1).migrad()
    assert solve(problem, problem.start).x == pytest.approx(list(fit.values), rel=1e-3)


def test_another_cost_function_is_refused():
    with pytest.raises(ValueError, match="cost function UnbinnedNLL: must be LeastSquares"):
        from_iminuit(cost.UnbinnedNLL(T, lambda x, tau: expon.pdf(x, 0, tau)), {"tau": (0.1, 10)})
