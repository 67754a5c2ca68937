"""Random effects, against published numbers and statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from leptonfit.datafiles import read_csv
from leptonfit.inference.meta import ESTIMATORS, combine_estimates

TRIALS = read_csv("examples/bcg.csv")
BCG = np.array([TRIALS["log_risk_ratio"], TRIALS["variance"]]).T
"""Log risk ratios of thirteen trials of the BCG vaccine, and their variances."""


@pytest.mark.parametrize(
    ("estimator", "tau2", "mean", "error"),
    [
        ("FE", 0.0, -0.4303, 0.0405),
        ("DL", 0.3088, -0.7141, 0.1787),
        ("REML", 0.3132, -0.7145, 0.1798),
        ("PM", 0.3181, -0.7150, 0.1809),
    ],
)
def test_the_bcg_trials(estimator, tau2, mean, error):
    found = combine_estimates(*BCG.T, estimator=estimator)
    assert (found.tau2, found.mean, found.error) == pytest.approx((tau2, mean, error), abs=6e-5)
    assert found.q == pytest.approx(152.233, abs=1e-3)
    assert found.i2 == pytest.approx(1 - 12 / 152.233, abs=1e-5)
    interval = [np.nan, np.nan] if estimator == "FE" else [0.1197, 1.1115]  # metafor's confint
    assert found.tau2_interval == pytest.approx(interval, abs=1e-4, nan_ok=True)


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
    [
        ([1.0], [1.0], {}, "must be at least two"),
        ([1, 2], [1, 0], {}, r"variances\[1\] = 0: must be finite and above 0"),
        ([1, np.inf], [1, 1], {}, r"values\[1\] = inf: must be finite"),
        ([1, 2], [1, np.inf], {}, r"variances\[1\] = inf: must be finite and above 0"),
        ([1, 2], [1, 1], {"level": 95}, "level = 95: must be between 0 and 1"),
        ([1, 2], [1, 1], {"level": 0.0}, "level = 0: must be between 0 and 1"),
        ([1, 2], [1, 1], {"level": np.nan}, "level = nan: must be between 0 and 1"),
        ([1, 2], [1, 1], {"estimator": "HS"}, "estimator = 'HS': must be one of REML, PM, DL, FE"),
    ],
)
def test_what_cannot_be_combined_is_refused(y, v, options, said):
    with pytest.raises(ValueError, match=said):
        combine_estimates(np.array(y, dtype=float), np.array(v, dtype=float), **options)


# Units

POWERS = {
    "mean": 1,
    "error": 1,
    "interval": 1,
    "knapp_hartung_error": 1,
    "knapp_hartung_interval": 1,
    "prediction": 1,
    "tau2": 2,
    "tau2_interval": 2,
    "q": 0,
    "p_value": 0,
    "i2": 0,
}
"""Power of the unit that each field of the result carries."""


@pytest.mark.parametrize("factor", [1e-30, 1e-11, 3e-5, 1e4, 1e30])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("data", ["bcg", "mixed", "agreeing"])
def test_every_number_scales_with_the_unit(factor, estimator, data):
    rng = np.random.default_rng(3)
    y, v = {
        "bcg": BCG.T,
        "mixed": (rng.normal(size=7), 10.0 ** rng.uniform(-12, 2, 7)),
        "agreeing": (np.array([1.0, 1.01, 0.99]), np.full(3, 0.1)),
    }[data]
    plain = combine_estimates(y, v, estimator=estimator)
    scaled = combine_estimates(factor * y, factor**2 * v, estimator=estimator)
    for name, power in POWERS.items():
        np.testing.assert_allclose(
            getattr(scaled, name) / factor**power, getattr(plain, name), rtol=1e-9, atol=1e-13, err_msg=name
        )


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_common_offset_moves_the_mean_only(estimator):
    y, v = BCG.T
    plain, moved = combine_estimates(y, v, estimator=estimator), combine_estimates(y + 1024, v, estimator=estimator)
    assert moved.mean - 1024 == pytest.approx(plain.mean, abs=1e-10)
    assert moved.tau2 == pytest.approx(plain.tau2, rel=1e-9)


def test_a_small_variance_between_precise_estimates_is_found():
    """Equal variances v: PM, DL and REML are all s² − v, here 1e-18 − 1e-19."""
    y = np.array([0.0, 1.0, 2.0]) * 1e-9
    for estimator in ("REML", "PM", "DL"):
        assert combine_estimates(y, np.full(3, 1e-19), estimator=estimator).tau2 == pytest.approx(9e-19, rel=1e-9)


# The maximum of the restricted likelihood


def log_restricted(y, v, tau2):
    """Formula 10 of Viechtbauer (2005) at each τ², by plain sums."""
    w = 1 / (v + tau2[:, None])
    mean = (w * y).sum(axis=1) / w.sum(axis=1)
    return -0.5 * (
        np.log(v + tau2[:, None]).sum(axis=1) + np.log(w.sum(axis=1)) + (w * (y - mean[:, None]) ** 2).sum(axis=1)
    )


def test_the_maximum_lies_away_from_a_zero_with_negative_slope():
    """Two precise estimates agree, a third is far off: the likelihood falls at 0, then rises to its maximum."""
    y, v = np.array([0.941, 4.296, 0.876]), np.array([0.01051, 0.72939, 0.00019])
    at = np.array([0.0, 1e-6, 1e-5])
    assert (np.diff(log_restricted(y, v, at)) < 0).all()
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 100, 200_001)])
    likelihood = log_restricted(y, v, grid)
    found = combine_estimates(y, v)
    assert found.tau2 == pytest.approx(grid[likelihood.argmax()], rel=2e-4)
    assert found.tau2 > 3


@pytest.mark.slow
def test_the_higher_of_two_maxima_is_taken():
    """Small groups of very different precision; a few of 1,500 draws have two maxima."""
    rng, grid, n_double = np.random.default_rng(1), np.append(0.0, np.geomspace(1e-7, 1e3, 600)), 0
    for _ in range(1500):
        v = 10 ** rng.uniform(-4, 1, rng.integers(3, 7))
        y = rng.normal(size=len(v)) * np.sqrt(v + 10 ** rng.uniform(-3, 1))
        likelihood = np.append(-np.inf, log_restricted(y, v, grid))
        n_double += np.count_nonzero((likelihood[1:-1] > likelihood[:-2]) & (likelihood[1:-1] > likelihood[2:])) > 1
        best = log_restricted(y, v, np.array([combine_estimates(y, v).tau2]))[0]
        assert best >= likelihood.max() - 1e-9
    assert n_double >= 5


# Knapp and Hartung


def test_knapp_hartung_of_the_bcg_trials():
    """Error and t_12 interval as metafor prints with test="knha": 0.1808, −1.1084 to −0.3206."""
    found = combine_estimates(*BCG.T)
    assert found.knapp_hartung_error == pytest.approx(0.1808, abs=5e-5)
    assert found.knapp_hartung_interval == pytest.approx([-1.1084, -0.3206], abs=1e-4)


@pytest.mark.parametrize(("estimator", "method"), [("DL", "chi2"), ("PM", "iterated")])
def test_statsmodels_agrees_with_knapp_and_hartung(estimator, method):
    found, peer = combine_estimates(*BCG.T, estimator=estimator), combine_effects(*BCG.T, method_re=method, use_t=True)
    assert found.knapp_hartung_error == pytest.approx(peer.sd_eff_w_re_hksj, rel=1e-4)
    low, high = peer.conf_int()[3]
    assert found.knapp_hartung_interval == pytest.approx([low, high], rel=1e-4)


def test_knapp_hartung_of_equal_variances_is_students_t():
    """With equal variances it is s/√n, whatever τ² is."""
    y = np.array([1.0, 2.0, 4.0, 5.5])
    for estimator in ESTIMATORS:
        found = combine_estimates(y, np.full(4, 0.3), estimator=estimator)
        assert found.knapp_hartung_error == pytest.approx(y.std(ddof=1) / 2, rel=1e-12)
