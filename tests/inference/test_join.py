"""Several data sets that share parameters, and the robust loss."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import join, soften
from leptonfit.inference.profile import SetOptions, scan_profile
from leptonfit.inference.solve import solve

X = np.arange(6.0)
FIRST = problem_from_model(lambda x, a, b: a + b * x, X, 1 + 2 * X, 0.5, {"a": (-50, 50), "b": (-50, 50)})
SECOND = problem_from_model(lambda x, b, c: b * x**2 + c, X, 2 * X**2 - 1, 0.7, {"b": (-50, 50), "c": (-50, 50)})


def test_shared_parameters_are_fitted_to_all_data():
    both = join([FIRST, SECOND])
    both.check()
    assert both.names == ("a", "b", "c")
    point = np.array([0.3, 1.7, -0.4])
    chi2 = np.sum(FIRST.residuals(point[:2]) ** 2) + np.sum(SECOND.residuals(point[1:]) ** 2)
    assert np.sum(both.residuals(point) ** 2) == pytest.approx(chi2, rel=1e-14)
    assert solve(both, both.start).x == pytest.approx([1, 2, -1], abs=1e-6)
    alone, together = (scan_profile(problem, "b").released_set["0.95"].intervals[0] for problem in (FIRST, both))
    assert together[1] - together[0] < alone[1] - alone[0]


def test_what_cannot_be_joined_is_refused():
    other = problem_from_model(lambda x, b: b * x, X, X, 0.5, {"b": (-9, 9)})
    with pytest.raises(ValueError, match="parameter 'b': start, bounds and labels must be the same in all problems"):
        join([FIRST, other])
    estimated = problem_from_model(lambda x, k: k * x, X, X + np.sin(7 * X), None, {"k": (-9, 9)})
    with pytest.raises(ValueError, match="σ must be known"):
        join([FIRST, estimated])
    with pytest.raises(ValueError, match="at least one must be given"):
        join([])


def test_the_robust_loss_is_that_of_scipy_and_says_what_it_is():
    y = 1 + 2 * X + np.array([0.1, -0.2, 9.0, 0.2, -0.1, 0.1])
    problem = problem_from_model(lambda x, a, b: a + b * x, X, y, 0.5, {"a": (-50, 50), "b": (-50, 50)})
    soft = soften(problem)
    soft.check()
    found = solve(soft, soft.start)
    peer = least_squares(problem.residuals, problem.start, problem.jacobian, loss="soft_l1", xtol=1e-15, ftol=1e-15)
    assert found.x == pytest.approx(peer.x, rel=1e-6)
    assert found.chi2 == pytest.approx(2 * peer.cost, rel=1e-9)
    assert "no confidence level holds" in soft.notes[-1]
    few = scan_profile(soft, "b", np.array([1.5, 2.5]), effort=Effort(2, 1), sets=SetOptions(release=False))
    verdict = assess_profile(soft, few)
    assert verdict.p_value is None
