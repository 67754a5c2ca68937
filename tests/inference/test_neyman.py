"""Toys: Feldman and Cousins in general, and coverage."""

import numpy as np
import pytest
from scipy.stats import chi2, poisson

from leptonfit.inference.asymptotic import feldman_cousins
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.counts import poisson_feldman_cousins
from leptonfit.inference.limit_coverage import cover_limits
from leptonfit.inference.neyman import _last_crossings, _Toys, run_feldman_cousins


def gaussian():
    nothing = np.zeros((0, 1))
    return BinnedModel((), np.array([0.0]), nothing, np.array([1.0]), nothing, np.zeros(0, dtype=bool), np.array([1.0]))


def counting(background, signal=1.0):
    nothing = np.zeros((0, 1))
    return BinnedModel((), np.array([background]), nothing, np.array([signal]), nothing, np.zeros(0, dtype=bool))


@pytest.mark.parametrize("x", [-1.5, 0.2, 1.5])
def test_toys_find_the_exact_limits_of_a_gaussian(x):
    found = run_feldman_cousins(gaussian(), np.array([x]), n_toys=20_000, seed=1)
    exact = feldman_cousins(x, np.array([0.9, 0.95]))[1]
    assert (np.abs(found.limit - exact) < 4 * found.error + 0.01).all()
    assert (found.error < 0.05).all()


def test_toys_find_the_exact_limit_of_counts():
    """By the ordering itself: counts in the order of their likelihood ratio until they hold 90 %."""
    n, background, counts = 112, 100.0, np.arange(400)
    best = poisson.pmf(counts, np.maximum(counts, background))
    accepting = []
    for theta in np.linspace(5, 60, 551):
        chance = poisson.pmf(counts, background + theta)
        order = np.argsort(-chance / best)
        taken = np.cumsum(chance[order])
        accepting += [theta] * (n in counts[order][: np.searchsorted(taken, 0.9) + 1])
    found = run_feldman_cousins(counting(background), np.array([float(n)]), confidence=(0.9,), n_toys=20_000, seed=2)
    assert found.limit[0] == pytest.approx(max(accepting), abs=0.5)  # a step of one count


@pytest.mark.slow
def test_the_same_seed_gives_the_same_toys_on_any_number_of_processes():
    one, two = (run_feldman_cousins(counting(50.0), np.array([52.0]), n_toys=200, seed=5, jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.critical, two.critical)
    other = run_feldman_cousins(counting(50.0), np.array([52.0]), n_toys=200, seed=6)
    assert not np.array_equal(one.critical, other.critical)


@pytest.mark.parametrize("theta", [0.0, 1.0, 2.4])
def test_every_construction_covers_a_gaussian_as_it_should(theta):
    found = cover_limits(gaussian(), np.array([0.0]), theta, n_toys=20_000, seed=3)
    for i, level in enumerate((0.9, 0.95)):
        low, high = found.interval("fc", i, confidence=0.999)
        assert low <= level <= high
        if theta:
            low, high = found.interval("q_tilde", i, confidence=0.999)
            assert low <= level <= high
        for method in ("cls", "pinned"):
            assert found.interval(method, i, confidence=0.999)[1] >= level


@pytest.mark.slow
@pytest.mark.parametrize(("background", "n"), [(3.0, 0), (3.0, 2), (3.0, 10), (0.5, 0), (0.0, 1)])
def test_at_few_counts_the_quoted_error_covers_the_exact_limit(background, n):
    """Of the plain construction, whose critical values jump; repeated with many seeds."""
    exact = poisson_feldman_cousins(n, background, 0.9, adjusted=False)[1]
    found = [
        run_feldman_cousins(counting(background), np.array([float(n)]), confidence=(0.9,), n_toys=1000, seed=seed)
        for seed in range(15)
    ]
    limits, errors = (np.array([getattr(one, name)[0] for one in found]) for name in ("limit", "error"))
    away = np.abs(limits - exact) / errors
    assert np.mean(away < 1.2) > 0.6
    assert np.mean(away < 2.2) > 0.9
    assert np.median(errors) < 0.12 * exact


def test_toys_cover_what_one_count_covers_exactly():
    """Coverage of the exact limits of one count is at least nominal, also of those the toys are judged by."""
    for theta in (0.7, 2.0, 4.5):
        found = cover_limits(counting(0.5), np.array([0.0]), theta, n_toys=3000, seed=3)
        for i, level in enumerate((0.9, 0.95)):
            for method in ("fc", "cls", "q_tilde"):
                assert found.interval(method, i, confidence=0.999)[1] >= level, method


def test_the_error_of_a_critical_value_is_that_of_a_quantile():
    """√(p(1 − p)/n) over the density of χ² with one degree of freedom, far from the limit θ = 0."""
    found = run_feldman_cousins(gaussian(), np.array([9.0]), confidence=(0.9,), n_toys=4000, seed=1)
    quantile = chi2.ppf(0.9, 1)
    error = np.sqrt(0.9 * 0.1 / 4000) / chi2.pdf(quantile, 1)
    far = found.theta > 6
    np.testing.assert_allclose(found.critical[0, far], quantile, atol=5 * error)
    assert np.mean(found.critical_error[0, far]) == pytest.approx(error, rel=0.2)


def test_the_limit_is_the_last_of_several_crossings():
    """A p-value that is high below 1, and again from 2 to 3."""
    limit, width = _last_crossings(
        lambda x: np.where((x < 1) | ((x > 2) & (x < 3)), 1.0, 0.0), np.linspace(0, 5, 11), np.array([0.1])
    )
    assert limit[0] == pytest.approx(3, abs=4 * width[0])
    assert width[0] < 0.05


def test_toys_must_be_asked_for():
    with pytest.raises(ValueError, match="n_toys = 0: must be at least 1"):
        run_feldman_cousins(gaussian(), np.array([0.0]), n_toys=0, seed=1)


def test_auxiliary_measurements_scatter_about_the_truth():
    """A background known to 20 % from elsewhere: intervals cover only if toys redraw what was known of it."""
    base, signal = np.array([100.0]), np.array([10.0])
    model = BinnedModel(("b",), base, 0.2 * base[None], signal, np.zeros((1, 1)), np.array([False]))
    found = cover_limits(model, np.array([140.0]), 1.5, n_toys=8000, seed=9)  # its nuisance is pulled up there
    for i, level in enumerate((0.9, 0.95)):
        low, high = found.interval("q_tilde", i, confidence=0.999)
        assert low - 0.01 <= level <= high + 0.01
        assert found.interval("pinned", i, confidence=0.999)[1] < 1.0
    toys = run_feldman_cousins(model, np.array([140.0]), n_toys=4000, seed=4)
    sigma = float(model.theta_sigma())
    exact = sigma * feldman_cousins(model.fit(np.array([140.0])).theta / sigma, np.array([0.9, 0.95]))[1]
    np.testing.assert_allclose(toys.limit, exact, rtol=0.1)


def test_toys_far_from_the_background_converge():
    from leptonfit.neutrino.likelihood import load_likelihood

    one = load_likelihood("coherent_csi")
    cover_limits(one.model, one.data, 2e5, n_toys=1000, seed=1)


def test_toys_away_from_the_observed_statistic_need_no_fit_of_their_own():
    """Between two θ already fitted, interpolated toys lie on the side of the observed value that their fits lie on."""
    rng = np.random.default_rng(4)
    shifts = np.array([[3.0, 1.0, 0.5], [0.2, 0.6, 2.0]])
    model = BinnedModel(
        ("a", "b"),
        np.array([20.0, 8.0, 3.0]),
        shifts,
        np.array([1.0, 2.0, 1.5]),
        0.05 * shifts,
        np.zeros(2, dtype=bool),
    )
    drawn = [_Toys(model, 3.0, np.zeros(2), 3000, np.random.SeedSequence(1)) for _ in range(2)]
    for theta in (1.5, 4.5):
        drawn[0].statistic(theta, np.zeros(2))
    fitted = []
    hold = drawn[0]._hold
    drawn[0]._hold = lambda theta, pulls, rows: fitted.append(len(rows)) or hold(theta, pulls, rows)
    for theta in rng.uniform(1.5, 4.5, 5):
        near, every = drawn[0].statistic(theta, np.zeros(2), near=1.0), drawn[1].statistic(theta, np.zeros(2))
        assert ((near >= 1.0) == (every >= 1.0)).all()
        np.testing.assert_allclose(near, every, atol=0.02)
    assert 0 < max(fitted) < 300


def test_a_fit_may_start_at_another():
    model = counting(10.0, signal=2.0)
    first = model.fit(np.array([[14.0], [18.0]]))
    again = model.fit(np.array([[14.0], [18.0]]), start=first)
    np.testing.assert_allclose(again.theta, [2.0, 4.0], rtol=1e-9)
    held = model.fit(np.array([[14.0], [18.0]]), theta=1.0, start=first)
    assert (held.theta == 1.0).all()
