"""Random effects, against published numbers and statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from leptonfit.inference.meta import combine_estimates

BCG = np.array([
    (-0.889311, 0.3255848), (-1.585389, 0.1945811), (-1.348073, 0.4153680), (-1.441551, 0.0200100),
    (-0.217547, 0.0512102), (-0.786116, 0.0069056), (-1.620898, 0.2230172), (0.011952, 0.0039616),
    (-0.469418, 0.0564342), (-1.371345, 0.0730248), (-0.339359, 0.0124122), (0.445913, 0.5325058),
    (-0.017314, 0.0714047),
])  # fmt: skip
"""Log risk ratios of thirteen trials of the BCG vaccine, and their variances (metafor's dat.bcg)."""


@pytest.mark.parametrize(
    ("estimator", "tau2", "mean", "error"),
    [("FE", 0.0, -0.4303, 0.0405), ("DL", 0.3088, -0.7141, 0.1787), ("REML", 0.3132, -0.7145, 0.1798),
     ("PM", 0.3181, -0.7150, 0.1809)],
)  # fmt: skip
def test_the_bcg_trials(estimator, tau2, mean, error):
    found = combine_estimates(*BCG.T, estimator=estimator)
    assert (found.tau2, found.mean, found.error) == pytest.approx((tau2, mean, error), abs=6e-5)
    assert found.q == pytest.approx(152.233, abs=1e-3)
    assert found.i2 == pytest.approx(1 - 12 / 152.233, abs=1e-5)
    assert found.tau2_interval == pytest.approx([0.1197, 1.1115], abs=1e-4)  # metafor's confint


@pytest.mark.parametrize(("estimator", "method"), [("DL", "chi2"), ("PM", "iterated")])
@pytest.mark.parametrize("seed", range(4))
def test_statsmodels_agrees(estimator, method, seed):
    rng = np.random.default_rng(seed)
    y, v = rng.normal(0, 0.6, 9), rng.uniform(0.01, 0.5, 9)
    found, peer = combine_estimates(y, v, estimator=estimator), combine_effects(y, v, method_re=method)
    assert found.q == pytest.approx(peer.q)
    if peer.tau2 < 0:  # not cut off there
        assert found.tau2 == 0
        return
    assert found.tau2 == pytest.approx(peer.tau2, abs=2e-5)
    assert found.mean == pytest.approx(peer.mean_effect_re, abs=1e-4)


def test_restricted_likelihood_is_at_its_maximum():
    y, v = BCG.T
    best = combine_estimates(y, v).tau2

    def restricted(tau2):
        w = 1 / (v + tau2)
        mean = w @ y / w.sum()
        return -0.5 * (np.sum(np.log(v + tau2)) + np.log(w.sum()) + w @ (y - mean) ** 2)

    assert restricted(best) > max(restricted(best * 0.999), restricted(best * 1.001))


def test_estimates_that_agree_have_no_variance_between_them():
    found = combine_estimates(np.array([1.0, 1.01, 0.99]), np.full(3, 0.1))
    assert found.tau2 == 0
    assert found.i2 == 0
    assert found.tau2_interval[0] == 0


def test_intervals_of_the_bcg_trials():
    """t_11 and Gaussian quantiles 2.200985 and 1.959964."""
    found = combine_estimates(*BCG.T)
    reach = 2.200985 * np.sqrt(0.3132433 + 0.1797815**2)
    assert found.prediction == pytest.approx([-0.7145325 - reach, -0.7145325 + reach], abs=1e-5)
    assert found.interval == pytest.approx(
        [-0.7145325 - 1.959964 * 0.1797815, -0.7145325 + 1.959964 * 0.1797815], abs=1e-5
    )
    few = combine_estimates(np.array([0.0, 1.0]), np.array([0.25, 0.25]))
    assert few.q == pytest.approx(2.0)
    assert few.p_value == pytest.approx(0.157299, abs=1e-6)  # χ² with one degree of freedom


def test_two_estimates_predict_nothing():
    assert np.isnan(combine_estimates(np.array([1.0, 2.0]), np.ones(2)).prediction).all()


@pytest.mark.parametrize(
    ("y", "v", "options", "said"),
    [([1.0], [1.0], {}, "must be at least two"), ([1, 2], [1, 0], {}, "variances above 0"),
     ([1, 2], [1, 1], {"estimator": "HS"}, "estimator = 'HS': must be one of REML, PM, DL, FE")],
)  # fmt: skip
def test_what_cannot_be_combined_is_refused(y, v, options, said):
    with pytest.raises(ValueError, match=said):
        combine_estimates(np.array(y, dtype=float), np.array(v, dtype=float), **options)
