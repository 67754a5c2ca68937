"""Columns of the Jacobian that vanish: fresh starts find the minimum, and what stays flat is named."""

from dataclasses import replace

import numpy as np
import pytest
from numpy import exp, inf, pi
from numpy.testing import assert_allclose, assert_array_equal

from leptonfit.inference.restart import sample_points, unseen_parameters
from leptonfit.inference.solve import solve

TIMES = np.linspace(0.0, 4.0, 9)
PLACES = np.linspace(0.0, 1.0, 11)


def starting_at(problem, **starts):
    """The same problem with other starts."""
    return replace(problem, parameters=tuple(replace(p, start=starts.get(p.name, p.start)) for p in problem.parameters))


def bump(build, data):
    """A bump above a background of at least 5."""

    def residuals(a, mu, w, b):
        return (a * exp(-((PLACES - mu) ** 2) / (2 * w * w)) + b - data) / 0.1

    return build(residuals, a=(0, 10), mu=(0, 1), w=(0.05, 0.5), b=(5, 10))


def test_a_maximum_at_the_start_is_left(build):
    problem = build(lambda x: x * x - 1, x=(-inf, inf))
    fit = solve(problem, np.array([0.0]))
    assert fit.converged
    assert_allclose(np.abs(fit.x), 1.0, rtol=1e-12)
    assert not fit.flat.any()


@pytest.mark.parametrize("k", [500.0, 2000.0, 5000.0])
@pytest.mark.parametrize("own", [0.3, None])
def test_an_exponential_that_has_decayed_comes_back(build, k, own):
    """Its column is zero to the last digit at the start of the fit, and of the problem as well where `own` is None."""
    data = 2 * exp(-0.8 * TIMES) + 0.3 + 0.01 * np.sin(7 * TIMES)
    problem = build(lambda a, k, c: a * exp(-k * TIMES) + c - data, a=(0, 10), k=(0, 1e4), c=(-5, 5))
    problem = starting_at(problem, a=1.0, k=own or k)
    expected = solve(problem, np.array([1.0, 1.0, 0.0]))
    fit = solve(problem, np.array([1.0, k, 0.0]))
    assert fit.converged
    assert not fit.flat.any()
    assert_allclose(fit.chi2, expected.chi2, rtol=1e-9)


def test_agreement_on_a_plateau_is_no_convergence(build):
    """For any t above some 700 the model is zero, and so is every column."""
    problem = build(lambda a, t: a * exp(-t * (TIMES + 1)) - 1, a=(-3, -1), t=(2000, 3000))
    fit = solve(problem, np.array([[-2.0, 2500.0], [-1.5, 2100.0]]))
    assert_allclose(fit.chi2, 9.0)
    assert fit.flat.all()
    assert not fit.converged.any()


def test_no_bump_leaves_place_and_width_flat(build):
    problem = bump(build, 5 - exp(-((PLACES - 0.5) ** 2) / 0.02))
    fit = solve(problem, np.array([[1.0, 0.3, 0.1, 6.0], [0.0, 0.8, 0.2, 5.0]]))
    assert fit.converged.all()
    assert_array_equal(fit.x[:, [0, 3]], [[0, 5], [0, 5]])
    assert_array_equal(fit.flat, np.tile([False, True, True, False], (2, 1)))
    assert solve(problem, np.array([0.0, 0.3, 0.1, 5.0]), fixed=("a",)).converged


def test_a_bump_is_found_from_a_height_of_zero(build):
    problem = bump(build, 5.5 + 3 * exp(-((PLACES - 0.6) ** 2) / 0.02))
    fit = solve(problem, np.array([0.0, 0.1, 0.05, 5.0]))
    assert fit.converged
    assert_allclose(fit.x, [3.0, 0.6, 0.1, 5.5], rtol=1e-6)


def test_a_parameter_that_nothing_depends_on_spoils_no_other(build):
    problem = build(lambda x, y: (x - 2, x - 3, 0 * y), x=(-5, 5), y=(-5, 5))
    assert_array_equal(unseen_parameters(problem), [False, True])
    fit = solve(problem, np.array([[0.0, 1.0], [4.0, -1.0]]))
    assert fit.converged.all()
    assert_allclose(fit.x, [[2.5, 1.0], [2.5, -1.0]])
    assert_array_equal(fit.flat, [[False, True]] * 2)


def test_a_parameter_seen_only_in_a_part_of_the_box_is_seen(build):
    problem = build(lambda a, k: a * exp(-k * TIMES[1:]) - 1, a=(0, 10), k=(0, 1e5))
    assert_array_equal(unseen_parameters(starting_at(problem, k=1e5)), [False, False])


def test_samples_lie_in_the_box_and_around_the_start(build):
    problem = build(lambda *x: x, a=(-1, 3), b=(2, inf), c=(-inf, -4), d=(-inf, inf))
    points = sample_points(starting_at(problem, d=pi))
    assert points.shape == (33, 4)
    assert np.isfinite(points).all()
    assert ((points >= problem.lower) & (points <= problem.upper)).all()
    assert np.ptp(points[:, 3]) > 10 * pi
    assert_array_equal(points, sample_points(starting_at(problem, d=pi)))


@pytest.mark.parametrize("factor", [1, 10])
def test_held_parameters_stay_held(build, factor):
    problem = bump(build, 5.5 + 3 * exp(-((PLACES - 0.6) ** 2) / 0.02))
    fit = solve(problem, np.array([0.0, 0.1 * factor, 0.05, 5.0]), fixed=("mu",))
    assert fit.x[1] == 0.1 * factor
