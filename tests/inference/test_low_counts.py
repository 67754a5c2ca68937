"""Fits to a handful of counts, where the minimum may lie on the edge of the domain, against an independent solver."""

import numpy as np
import pytest
from scipy.optimize import minimize

from leptonfit.inference.binned import BinnedModel

N_MODELS = 1200


def draw_model(rng):
    """One to six bins that expect 0.05 to 5 counts, up to three nuisances, pulled or free, and data."""
    n_bins, n_nuisances = rng.integers(1, 7), rng.integers(0, 4)
    base = np.exp(rng.uniform(np.log(0.05), np.log(5), n_bins))
    shifts = base * rng.uniform(-0.6, 0.6, (n_nuisances, n_bins))
    signal = rng.uniform(0, 2, n_bins)
    is_free = rng.random(n_nuisances) < 0.3
    names = tuple(f"a{k}" for k in range(n_nuisances))
    model = BinnedModel(names, base, shifts, signal, np.zeros((n_nuisances, n_bins)), is_free)
    return model, rng.poisson(base + rng.choice([0.0, 1.0]) * signal).astype(float)


def minus_two_log_likelihood(model, data, p):
    expected = model.expected(p[0], p[1:])
    seen = data > 0
    if (expected[seen] <= 0).any() or (expected < -1e-9).any():
        return np.inf
    terms = 2 * (expected - data)
    terms[seen] += 2 * data[seen] * np.log(data[seen] / expected[seen])
    return terms.sum() + np.sum(p[1:][~model.is_free] ** 2)


def minimise(model, data, theta, lowest):
    """Minimum by sequential quadratic programming, in shifted bins so that it starts inside, from several starts.

    The problem is convex here (no nuisance acts on the signal): each start that ends inside bounds the minimum.
    """
    slopes = np.vstack([model.signal, model.shifts])
    free = np.arange(slopes.shape[0]) >= (theta is not None)
    fixed = np.zeros(len(free))
    if theta is not None:
        fixed[0] = theta

    def at(p):
        full = fixed.copy()
        full[free] = p
        return full

    def cost(p):
        full = at(p)
        expected = np.maximum(model.base + full @ slopes, 1e-14)
        seen = data > 0
        terms = 2 * (expected - data)
        terms[seen] += 2 * data[seen] * np.log(data[seen] / expected[seen])
        return terms.sum() + np.sum(full[1:][~model.is_free] ** 2)

    def gradient(p):
        full = at(p)
        expected = np.maximum(model.base + full @ slopes, 1e-14)
        found = slopes @ (2 - 2 * data / expected)
        found[1:] += np.where(model.is_free, 0.0, 2 * full[1:])
        return found[free]

    if not free.any():
        return minus_two_log_likelihood(model, data, fixed)
    bounds = [(lowest, None) if i == 0 and theta is None else (None, None) for i in np.flatnonzero(free)]
    inside = {"type": "ineq", "fun": lambda p: model.base + at(p) @ slopes, "jac": lambda p: slopes[free].T}
    values = []
    for start in (0.0, 0.3):
        begin = np.full(free.sum(), start)
        for _ in range(3):
            found = minimize(
                cost,
                begin,
                jac=gradient,
                bounds=bounds,
                constraints=[inside],
                method="SLSQP",
                options={"ftol": 1e-13, "maxiter": 500},
            )
            begin = found.x
            values.append(minus_two_log_likelihood(model, data, at(found.x)))
    return min(values)


@pytest.mark.slow
def test_every_minimum_is_that_of_an_independent_solver():
    """Those on the edge of the domain as well; θ is held, fitted in its domain, or fitted above 0."""
    rng = np.random.default_rng(7)
    missed, edges = [], 0
    for i in range(N_MODELS):
        model, data = draw_model(rng)
        theta, lowest = [(None, None), (None, 0.0), (float(rng.uniform(0, 3)), None)][i % 3]
        fit = model.fit(data, theta=theta, lowest=lowest)
        edges += bool((model.expected(fit.theta, fit.pulls) < 1e-6).any())
        known = minimise(model, data, theta, lowest)
        if not fit.converged or not abs(fit.value - known) <= 1e-6 * max(1.0, known):
            missed.append((i, bool(fit.converged), float(fit.value), known))
    assert edges > 150
    assert not missed, missed


@pytest.mark.parametrize(("background", "error"), [(3.0, 0.6), (0.5, 0.2), (10.0, 4.0), (1.0, 2.0)])
@pytest.mark.parametrize("theta", [0.0, 1.0, 4.0])
def test_no_count_over_an_uncertain_background_has_its_closed_form(background, error, theta):
    """2 (b + a error + θ) + a² is least at a = −error, or where the expectation is zero."""
    model = BinnedModel(
        ("b",), np.array([background]), np.array([[error]]), np.array([1.0]), np.zeros((1, 1)), np.array([False])
    )
    fit = model.fit(np.array([0.0]), theta=theta)
    pull = max(-error, -(background + theta) / error)
    assert fit.converged
    assert fit.pulls[0] == pytest.approx(pull, abs=1e-6)
    assert fit.value == pytest.approx(2 * (background + pull * error + theta) + pull**2, abs=1e-8)
    free = model.fit(np.array([0.0]))
    assert free.converged
    assert free.theta == pytest.approx(-background, abs=1e-6)
    assert free.value == pytest.approx(0.0, abs=1e-8)
