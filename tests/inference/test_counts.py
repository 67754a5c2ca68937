"""Exact limits from one count, against the published tables and the ordering itself."""

import numpy as np
import pytest
from scipy.stats import poisson

from leptonfit.inference.counts import poisson_feldman_cousins, poisson_upper

NO_COUNT = {
    0.0: 2.44,
    0.5: 1.94,
    1.0: 1.61,
    1.5: 1.33,
    2.0: 1.26,
    2.5: 1.18,
    3.0: 1.08,
    3.5: 1.06,
    4.0: 1.01,
    5.0: 0.98,
}
"""Upper ends at n = 0 and 90 % by background (arXiv:physics/9711021, table IV)."""
NO_BACKGROUND = [
    (0.00, 2.44),
    (0.11, 4.36),
    (0.53, 5.91),
    (1.10, 7.42),
    (1.47, 8.60),
    (1.84, 9.99),
    (2.21, 11.47),
    (3.56, 12.53),
    (3.96, 13.99),
    (4.36, 15.30),
    (5.50, 16.50),
]
"""Intervals by n without background at 90 % (table IV)."""


@pytest.mark.parametrize(("background", "high"), list(NO_COUNT.items()))
def test_upper_ends_without_a_count_are_the_published_ones(background, high):
    assert poisson_feldman_cousins(0, background, 0.9) == (0.0, pytest.approx(high, rel=0.006))


@pytest.mark.parametrize(("n", "known"), list(enumerate(NO_BACKGROUND)))
def test_intervals_without_background_are_the_published_ones(n, known):
    assert poisson_feldman_cousins(n, 0.0, 0.9) == pytest.approx(known, abs=0.006)


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [
        (0, 0, 1.08),
        (1, 0, 1.88),
        (2, 0, 3.04),
        (3, 0, 4.42),
        (4, 0, 5.60),
        (5, 0, 6.99),
        (6, 0.15, 8.47),
        (10, 2.63, 13.50),
    ],
)
def test_intervals_over_three_counts_of_background_are_the_published_ones(n, low, high):
    assert poisson_feldman_cousins(n, 3.0, 0.9) == pytest.approx((low, high), abs=0.006)


@pytest.mark.parametrize(("n", "low", "high"), [(0, 0, 3.09), (1, 0.05, 5.14), (2, 0.36, 6.72), (3, 0.82, 8.25)])
def test_intervals_at_95_percent_are_the_published_ones(n, low, high):
    assert poisson_feldman_cousins(n, 0.0, 0.95) == pytest.approx((low, high), abs=0.006)


def order(n, background, confidence, mu):
    """Whether n is among the counts that come first by likelihood ratio and hold the confidence."""
    counts = np.arange(200)
    chance, best = poisson.pmf(counts, mu + background), poisson.pmf(counts, np.maximum(counts, background))
    ratio = np.divide(chance, best, out=np.zeros(len(counts)), where=best > 0)
    first = np.argsort(-ratio, kind="stable")
    taken = np.searchsorted(np.cumsum(chance[first]), confidence)
    return n in counts[first][: taken + 1]


def test_the_plain_construction_is_the_ordering_itself():
    rng = np.random.default_rng(3)
    for _ in range(40):
        background, confidence = rng.uniform(0, 8), rng.choice([0.68, 0.9, 0.95])
        n = int(rng.poisson(background + rng.uniform(0, 6)))
        low, high = poisson_feldman_cousins(n, background, confidence, adjusted=False)
        assert order(n, background, confidence, high - 1e-6)
        assert not any(order(n, background, confidence, high + more) for more in (1e-6, 0.01, 0.1, 0.5, 1, 3))
        if low > 0:
            assert order(n, background, confidence, low + 1e-6)
            assert not any(order(n, background, confidence, low * less) for less in (1 - 1e-6, 0.95, 0.8, 0.5, 0.1))
        else:
            assert order(n, background, confidence, 0.0)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_published_upper_end_is_the_largest_over_larger_backgrounds(n):
    backgrounds = np.arange(0, 14, 0.005)
    plain = [poisson_feldman_cousins(n, float(b), 0.9, adjusted=False)[1] for b in backgrounds]
    for start in (0.0, 1.3, 3.0, 4.2):
        found = poisson_feldman_cousins(n, start, 0.9)[1]
        assert found == pytest.approx(max(np.array(plain)[backgrounds >= start - 1e-9]), abs=0.006)
    assert poisson_feldman_cousins(0, 3.0, 0.9, adjusted=False)[1] == pytest.approx(0.953, abs=1e-3)


def test_many_counts_become_gaussian():
    low, high = poisson_feldman_cousins(10_000, 9_700.0, 0.9)
    assert [low, high] == pytest.approx([300 - 164.5, 300 + 164.5], rel=0.02)


@pytest.mark.parametrize("n", [0, 2, 9])
@pytest.mark.parametrize("background", [0.0, 0.5, 4.0])
def test_tails_are_closed_form(n, background):
    cls = poisson_upper(np.array(n), background, 0.9, cls=True)
    assert poisson.cdf(n, background + cls) == pytest.approx(0.1 * poisson.cdf(n, background))
    plain = poisson_upper(np.array(n), background, 0.9, cls=False)
    assert plain == 0 or poisson.cdf(n, background + plain) == pytest.approx(0.1)


def test_a_count_that_is_impossible_is_refused():
    with pytest.raises(ValueError, match="n = 3: a background of 5000 never gives so few counts"):
        poisson_upper(np.array([3.0]), 5000.0, 0.9, cls=True)
