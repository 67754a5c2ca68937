"""Goodness of fit: the χ² law where it holds, toys where counts are few."""

import numpy as np
import pytest
from scipy.stats import chi2, poisson

from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.goodness import assess_goodness


def flat(expected, n_bins):
    """A known background; the signal is in one bin, which it fits exactly."""
    nothing, signal = np.zeros((0, n_bins)), np.zeros(n_bins)
    signal[0] = 1.0
    return BinnedModel((), np.full(n_bins, expected), nothing, signal, nothing, np.zeros(0, dtype=bool))


def test_many_counts_follow_the_chi2_law():
    data = np.array([100.0, 110.0, 95.0, 120.0])
    found = assess_goodness(flat(100.0, 4), data, n_toys=0, seed=1)
    statistic = 2 * np.sum(100 - data[1:] + data[1:] * np.log(data[1:] / 100))
    assert not found.is_by_toys
    assert found.dof == 3
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(chi2.sf(statistic, 3))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_counts_have_the_poisson_probability(n):
    """One bin tests the model: its counts in the order of their own likelihood ratio."""
    expected, counts = 0.8, np.arange(60)
    data = np.array([1.0, float(n)])
    found = assess_goodness(flat(expected, 2), data, n_toys=20_000, seed=2)
    deviance = 2 * (expected - counts + np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / expected), 0))
    exact = poisson.pmf(counts, expected)[deviance >= deviance[n] - 1e-9].sum()
    assert found.is_by_toys
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_nothing_is_tested_without_degrees_of_freedom_and_toys_must_be_given():
    assert np.isnan(assess_goodness(flat(0.5, 1), np.array([2.0]), n_toys=10, seed=1).p_value)
    with pytest.raises(ValueError, match="n_toys = 0: must be at least 1, as a bin expects fewer than 5"):
        assess_goodness(flat(0.5, 3), np.array([2.0, 0, 0]), n_toys=0, seed=1)
