"""The problems of Moré, Garbow and Hillstrom: no solver of SciPy reaches more minima.

`benchmarks/public_sets.py` computes the same numbers, for the peers as well.
"""

import numpy as np
import pytest
from more_garbow_hillstrom import CASES, FACTORS, tally

from leptonfit.inference.solve import solve

pytestmark = pytest.mark.slow

PEERS = {"trf": ([43, 35, 34], [0, 5, 6]), "lm": ([43, 34, 32], [0, 4, 8]), "dogbox": ([43, 36, 32], [0, 6, 8])}
"""Minima reached and false claims from 1, 10 and 100 times the start: SciPy 1.17 `least_squares`, tolerances 1e-15."""
BUDGETS = (30, 250, 1000)


@pytest.fixture(scope="module")
def ends():
    """End points by budget, then by (name, factor)."""
    problems = {(case.name, factor): case.problem(factor) for case in CASES for factor in FACTORS}
    return {
        budget: {key: solve(problem, problem.start, max_iter=budget) for key, problem in problems.items()}
        for budget in BUDGETS
    }


def test_the_set_is_complete():
    assert len(CASES) == len({case.name for case in CASES}) == 46
    assert {case.number for case in CASES} == set(range(1, 36))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_derivatives_are_those_of_the_residuals(case):
    x = case.start + 0.01 * np.cos(np.arange(len(case.start)))
    step = 1e-6 * np.maximum(np.abs(x), 1e-3) * np.eye(len(x))
    difference = (case.residuals(x + step) - case.residuals(x - step)) / (2 * step.sum(axis=0)[:, None])
    jacobian = case.jacobian(x)
    np.testing.assert_allclose(difference.T, jacobian, rtol=1e-5, atol=1e-5 * np.abs(jacobian).max())


def test_no_peer_reaches_more_minima(ends):
    ours = tally({key: (float(fit.chi2), bool(fit.converged)) for key, fit in ends[BUDGETS[-1]].items()})
    best = np.max([reached for reached, _ in PEERS.values()], axis=0)
    worst = np.maximum(PEERS["trf"][1], PEERS["lm"][1])
    assert (np.array(ours[0]) >= best).all(), ours
    assert (np.array(ours[1]) <= worst).all(), ours


@pytest.mark.parametrize("factor", FACTORS)
def test_long_descents_arrive_or_say_that_they_did_not(ends, factor):
    """Meyer's from ten times the start goes on for longer than these steps."""
    for name in ("Penalty II, 4", "Penalty II, 10", "Meyer"):
        case = next(case for case in CASES if case.name == name)
        fit = ends[BUDGETS[-1]][name, factor]
        assert case.is_reached(float(fit.chi2)) == bool(fit.converged)
        assert fit.converged or name == "Meyer"


@pytest.mark.parametrize(("few", "more"), [BUDGETS[:2], BUDGETS[1:]])
def test_more_steps_never_end_worse(ends, few, more):
    for key, fit in ends[few].items():
        assert np.isnan(fit.chi2) or ends[more][key].chi2 <= fit.chi2, key
