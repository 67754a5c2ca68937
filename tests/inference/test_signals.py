"""Problems of several signals, against the fit of one signal, difference quotients and linear least squares."""

from dataclasses import replace

import numpy as np
import pytest

from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.problem import Parameter
from leptonfit.inference.signals import SignalSet, combine_signals, scale_linearly

N_BINS = 12


def make_model(*, sigma=None, lowest=None):
    """Counts on a falling background, with a bounded rate, a free rate and an energy scale that moves the signal."""
    x = np.linspace(0, 1, N_BINS)
    line = np.exp(-(((x - 0.4) / 0.1) ** 2))
    return BinnedModel(
        nuisances=("rate", "line", "scale"),
        base=60 * np.exp(-x) + 4 * line,
        shifts=np.stack([6 * np.exp(-x), 4 * line, 0.5 * np.sin(3 * x)]),
        signal=3 / (0.2 + x),
        signal_shifts=np.stack([0 * x, 0 * x, 0.3 / (0.2 + x) * np.cos(2 * x)]),
        is_free=np.array([True, False, False]),
        sigma=sigma,
        lowest_pulls=lowest,
    )


def draw(model, seed=3):
    return np.random.default_rng(seed).poisson(model.expected(0.5)).astype(float)


@pytest.mark.parametrize(
    ("sigma", "lowest"),
    [
        (None, None),
        (np.full(N_BINS, 5.0), None),
        (np.where(np.arange(N_BINS) % 2, 5.0, np.nan), None),
        (None, np.array([-10.0, -0.2, -np.inf])),
    ],
)
def test_one_signal_is_fitted_as_before(sigma, lowest):
    model = make_model(sigma=sigma, lowest=lowest)
    data = draw(model) - (8 * (lowest is not None)) * (model.shifts[1] > 1)  # so that the bounded pull is on its bound
    theta = np.array([-0.5, 0.0, 1.0, 4.0])
    residuals, slopes = SignalSet(data, (model,)).expand(theta[:, None])
    before = model.fit(data, theta=theta)
    np.testing.assert_allclose(np.sum(residuals**2, axis=-1), before.value, rtol=1e-7)
    np.testing.assert_allclose(2 * np.vecdot(residuals, slopes[..., 0]), before.slope, rtol=1e-5, atol=1e-6)
    if lowest is not None:
        assert (before.pulls[:, 1] < -0.199).any()


@pytest.mark.parametrize("sigma", [None, np.full(N_BINS, 5.0)])
def test_slopes_of_residuals_are_their_difference_quotients(sigma):
    first = make_model(sigma=sigma)
    second = replace(first, signal=np.linspace(0, 4, N_BINS), signal_shifts=-0.5 * first.signal_shifts)
    one = SignalSet(draw(first), (first, second))
    at, step = np.array([[0.7, 1.2], [3.0, 0.0]]), 1e-5
    residuals, slopes = one.expand(at)
    assert residuals.shape == (2, N_BINS + 2)
    for k in range(2):
        moved = step * np.eye(2)[k]
        quotient = (one.expand(at + moved)[0] - one.expand(at - moved)[0]) / (2 * step)
        np.testing.assert_allclose(slopes[..., k], quotient, rtol=1e-6, atol=1e-8)
    again, _ = one.expand(np.stack([at, at[::-1]]))
    np.testing.assert_allclose(again[1, 1], residuals[0], rtol=1e-12)
    assert one.expand(np.empty((0, 2)))[1].shape == (0, N_BINS + 2, 2)


def test_profile_of_gaussian_data_is_that_of_linear_least_squares():
    rng = np.random.default_rng(5)
    model = replace(make_model(sigma=np.full(N_BINS, 2.0)), signal_shifts=np.zeros((3, N_BINS)))
    other = replace(model, signal=rng.normal(size=N_BINS))
    data = model.expected(1.0) + rng.normal(size=N_BINS)
    weights = np.array([[1.0, 0.5], [0.0, 2.0]])
    parameters = [Parameter(name=name, start=0.0) for name in ("a", "b")]
    problem = combine_signals([SignalSet(data, (model, other))] * 2, parameters, [scale_linearly(weights)] * 2)
    problem.check()
    x = np.array([0.8, -0.3])
    design = np.concatenate([model.shifts.T / 2, np.diag([0.0, 1.0, 1.0])])
    rest = (data - model.base - weights @ x @ np.stack([model.signal, other.signal])) / 2
    lowest = np.linalg.lstsq(design, np.append(rest, np.zeros(3)), rcond=None)[1][0]
    assert np.sum(problem.residuals(x) ** 2) == pytest.approx(2 * lowest)
    assert problem.n_res == 2 * (N_BINS + 2)


def test_an_impossible_expectation_is_undefined():
    model = make_model()
    assert np.isnan(SignalSet(draw(model), (model,)).expand(np.array([-1e4]))[0]).all()


def test_models_that_differ_in_more_than_the_signal_are_refused():
    model = make_model()
    with pytest.raises(ValueError, match="base must be the same for all signals"):
        SignalSet(draw(model), (model, replace(model, base=2 * model.base)))
    with pytest.raises(ValueError, match="counts not negative"):
        SignalSet(-draw(model), (model,))
