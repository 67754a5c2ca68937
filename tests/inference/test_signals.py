"""Problems of several signals, against the fit of one signal, difference quotients and linear least squares."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

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
    np.testing.assert_allclose(np.sum(residuals**2, axis=-1), before.value, rtol=1e-9)
    np.testing.assert_allclose(2 * np.vecdot(residuals, slopes[..., 0]), before.slope, rtol=1e-6, atol=1e-7)
    if lowest is not None:
        assert (before.pulls[:, 1] < -0.199).any()


@pytest.mark.parametrize(
    ("sigma", "lowest"), [(None, None), (np.full(N_BINS, 5.0), None), (None, np.array([-10.0, -0.2, -np.inf]))]
)
def test_slopes_of_residuals_are_their_difference_quotients(sigma, lowest):
    first = make_model(sigma=sigma, lowest=lowest)
    second = replace(first, signal=np.linspace(0, 4, N_BINS), signal_shifts=-0.5 * first.signal_shifts)
    data = draw(first) - (8 * (lowest is not None)) * (first.shifts[1] > 1)
    one = SignalSet(data, (first, second))
    at, step = np.array([[0.7, 1.2], [3.0, 0.0]]), 1e-5
    residuals, slopes = one.expand(at)
    assert residuals.shape == (2, N_BINS + 2)
    for k in range(2):
        moved = step * np.eye(2)[k]
        quotient = (one.expand(at + moved)[0] - one.expand(at - moved)[0]) / (2 * step)
        np.testing.assert_allclose(slopes[..., k], quotient, rtol=1e-6, atol=1e-8 if lowest is None else 1e-5)
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
    is_fixed = np.arange(N_BINS) == 3
    fixed = replace(
        model, shifts=np.where(is_fixed, 0.0, model.shifts), signal_shifts=np.where(is_fixed, 0.0, model.signal_shifts)
    )
    residuals, slopes = SignalSet(draw(model), (fixed,)).expand(np.array([[-1e4], [1.0]]))
    for array in (residuals, slopes):
        assert np.isnan(array[0]).all()
        assert np.isfinite(array[1]).all()


def test_pulls_are_fitted_where_those_without_signal_are_impossible():
    model = replace(make_model(), is_free=np.array([True, False, True]))
    data, strength = model.expected(0.0, np.array([0.0, 0.0, -40.0])).round(), 5.0
    without_signal = model.fit(data, theta=0.0).pulls
    assert (model.expected(strength, without_signal) < 0).any()

    def minus_two_log_likelihood(pulls):
        expected = model.expected(strength, pulls)
        if (expected <= 0).any():
            return np.inf
        terms = expected - data + data * np.log(data / expected)
        return 2 * terms.sum() + pulls[1] ** 2

    peer = minimize(minus_two_log_likelihood, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-9})
    residuals, slopes = SignalSet(data, (model,)).expand(np.array([strength]))
    assert np.sum(residuals**2) == pytest.approx(peer.fun, rel=1e-7)
    assert np.isfinite(slopes).all()


def test_the_edge_of_an_empty_bin_is_reached():
    """Closed form: the pull moves only the empty bin, whose expectation falls to 0 and stays there."""
    model = BinnedModel(
        ("background",),
        base=np.array([1.0, 20.0]),
        shifts=np.array([[1.0, 0.0]]),
        signal=np.array([0.25, 2.0]),
        signal_shifts=np.zeros((1, 2)),
        is_free=np.array([False]),
    )
    data, theta = np.array([0.0, 23.0]), 0.5  # 2 (1 + θ/4 + a) + a² has its minimum at a = −1, inside the domain
    inside, _ = SignalSet(data, (model,)).expand(np.array([theta]))
    assert inside[-1] == pytest.approx(-1.0, abs=1e-6)
    steep = replace(model, shifts=np.array([[2.0, 0.0]]))  # the minimum would be at a = −2, beyond a = −(1 + θ/4)/2
    residuals, slopes = SignalSet(data, (steep,)).expand(np.array([theta]))
    assert residuals[-1] == pytest.approx(-(1 + theta / 4) / 2, abs=1e-6)
    assert slopes[-1, 0] == pytest.approx(-1 / 8, abs=1e-6)


def test_models_that_differ_in_more_than_the_signal_are_refused():
    model = make_model()
    with pytest.raises(ValueError, match="base must be the same for all signals"):
        SignalSet(draw(model), (model, replace(model, base=2 * model.base)))
    with pytest.raises(ValueError, match="counts not negative"):
        SignalSet(-draw(model), (model,))
