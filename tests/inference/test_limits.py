"""Upper limits, against closed forms, published tables and pyhf."""

import numpy as np
import pytest
from scipy.stats import norm

from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.limits import METHODS, feldman_cousins, find_limits


def gaussian(sigma=1.0):
    """θ is measured directly, with a Gaussian error."""
    nothing = np.zeros((0, 1))
    return BinnedModel(
        (), np.array([0.0]), nothing, np.array([1.0]), nothing, np.zeros(0, dtype=bool), np.array([sigma])
    )


def poisson():
    """Three bins, a free background norm."""
    base, signal = np.array([20.0, 15.0, 12.0]), np.array([6.0, 3.0, 1.0])
    return BinnedModel(("b",), base, 0.1 * base[None], signal, np.zeros((1, 3)), np.array([True]))


def test_feldman_cousins_upper_ends_are_the_known_ones():
    x = np.array([-3, -2, -1, 0, 1, 2])
    known = {0.90: [0.2635, 0.4016, 0.8136, 1.6449, 2.6449, 3.6449], 0.95: [0.4228, 0.6180, 1.1021, 1.96, 2.96, 3.96]}
    for level, ends in known.items():
        np.testing.assert_allclose(feldman_cousins(x, level)[1], ends, atol=6e-5)


@pytest.mark.parametrize("level", [0.90, 0.95])
@pytest.mark.parametrize("mu", [0.05, 0.4, 1.1, 2.0, 4.0])
def test_feldman_cousins_ends_are_those_of_the_ordering_itself(mu, level):
    """Outcomes are taken in the order of their likelihood ratio until they hold the confidence."""
    x = np.linspace(mu - 30, mu + 30, 2_000_001)
    ratio = norm.logpdf(x, mu) - norm.logpdf(x, np.maximum(x, 0))
    order = np.argsort(-ratio)
    taken = np.cumsum(norm.pdf(x[order], mu)) * (x[1] - x[0])
    accepted = x[order][: np.searchsorted(taken, level)]
    low, high = accepted.min(), accepted.max()
    assert feldman_cousins(low, level)[1] == pytest.approx(mu, abs=2e-3)
    assert feldman_cousins(high, level)[0] == pytest.approx(mu, abs=2e-3)


def test_feldman_cousins_interval_covers_exactly():
    rng = np.random.default_rng(1)
    for mu in (0.0, 0.3, 1.0, 2.5):
        low, high = feldman_cousins(mu + rng.standard_normal(40_000), 0.90)
        assert np.mean((low <= mu) & (mu <= high)) == pytest.approx(0.90, abs=0.006)


@pytest.mark.parametrize("x", [-3.0, -1.0, 0.0, 0.4, 2.0])
@pytest.mark.parametrize("sigma", [1.0, 0.01])
def test_gaussian_limits_have_their_closed_forms(x, sigma):
    found = find_limits(gaussian(sigma), np.array([x * sigma]), confidence=(0.9, 0.95))
    for i, alpha in enumerate((0.1, 0.05)):
        cls = x + norm.isf(alpha * norm.cdf(x))
        assert found.observed["cls"][i] == pytest.approx(sigma * cls, rel=1e-6)
        assert found.observed["q_tilde"][i] == pytest.approx(sigma * max(0.0, x + norm.isf(alpha)), rel=1e-6)
        assert found.observed["pinned"][i] == pytest.approx(sigma * (x + np.hypot(x, norm.isf(alpha))), rel=1e-6)
        assert found.observed["fc"][i] == pytest.approx(sigma * feldman_cousins(x, 1 - alpha)[1], rel=1e-6)
    assert found.theta_hat == pytest.approx(x * sigma, abs=1e-9)
    ends = max(x, 0) + np.sqrt([1.64, 2.71, 3.84]) if x >= 0 else x + np.sqrt(x**2 + np.array([1.64, 2.71, 3.84]))
    np.testing.assert_allclose(found.delta_chi2, sigma * ends, rtol=1e-6)


def test_expected_band_is_where_gaussian_limits_fall():
    """Each expected limit is the limit of the data that fell that far."""
    band = find_limits(gaussian(), np.array([0.3])).expected
    for k, fell in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0)):
        observed = find_limits(gaussian(), np.array([fell])).observed
        for method in METHODS:
            np.testing.assert_allclose(band[method][:, k], observed[method], rtol=1e-6)


@pytest.mark.parametrize(("method", "level", "known"), [("cls", 0, 0.079), ("cls", 1, 0.071), ("fc", 0, 0.128)])
def test_scatter_of_log_moments_under_no_signal_is_the_known_one(method, level, known):
    limits = find_limits(gaussian(), np.random.default_rng(2).standard_normal((4000, 1))).observed[method][:, level]
    assert np.std(np.log10(np.sqrt(limits))) == pytest.approx(known, abs=0.003)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pyhf's own imports
@pytest.mark.parametrize("counts", [[18.0, 14.0, 12.0], [30.0, 18.0, 11.0], [9.0, 11.0, 14.0]])
def test_cls_is_that_of_pyhf(counts):
    """A background norm of 10 % with a pull, the Asimov data at the nuisance fitted without signal."""
    import pyhf

    base, signal = np.array([20.0, 15.0, 12.0]), np.array([6.0, 3.0, 1.0])
    model = BinnedModel(("b",), base, 0.1 * base[None], signal, np.zeros((1, 3)), np.array([False]))
    pulls = model.fit(np.array(counts), theta=0.0).pulls
    theta = find_limits(model, np.array(counts), asimov_pulls=pulls).observed["cls"][0]
    channel = {"name": "c", "samples": [
        {"name": "s", "data": signal.tolist(), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": base.tolist(), "modifiers": [
            {"name": "norm", "type": "histosys",
             "data": {"hi_data": (1.1 * base).tolist(), "lo_data": (0.9 * base).tolist()}}]}]}  # fmt: skip
    peer = pyhf.Model({"channels": [channel]}, poi_name="mu")
    pyhf.set_backend("numpy", "scipy")
    bounds = [(0, 20) if name == "mu" else (-5, 5) for name in peer.config.par_names]
    cls = pyhf.infer.hypotest(theta, [*counts, *peer.config.auxdata], peer, test_stat="qtilde", par_bounds=bounds)
    assert float(cls) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cls_without_nuisances_is_that_of_pyhf():
    import pyhf

    base, signal, counts = np.array([20.0, 15.0, 12.0]), np.array([6.0, 3.0, 1.0]), np.array([16.0, 15.0, 9.0])
    nothing = np.zeros((0, 3))
    model = BinnedModel((), base, nothing, signal, nothing, np.zeros(0, dtype=bool))
    found = find_limits(model, counts)
    channel = {"name": "c", "samples": [
        {"name": "s", "data": signal.tolist(), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": base.tolist(), "modifiers": []}]}  # fmt: skip
    peer = pyhf.Model({"channels": [channel]}, poi_name="mu")
    for i, level in enumerate((0.9, 0.95)):
        theta = float(found.observed["cls"][i])
        cls, expected = pyhf.infer.hypotest(theta, counts.tolist(), peer, test_stat="qtilde", par_bounds=[(0, 20)],
                                            return_expected=True)  # fmt: skip
        assert float(cls) == pytest.approx(1 - level, rel=1e-4)
        middle = float(found.expected["cls"][i, 2])
        _, expected = pyhf.infer.hypotest(middle, counts.tolist(), peer, test_stat="qtilde", par_bounds=[(0, 20)],
                                          return_expected=True)  # fmt: skip
        assert float(expected) == pytest.approx(1 - level, rel=1e-4)


def test_many_thresholds_at_once_are_the_same_as_one_at_a_time():
    model, data = poisson(), np.array([22.0, 12.0, 14.0])
    used = np.array([[True, True, True], [False, True, True]])
    both = find_limits(model, data, used=used)
    for i in range(2):
        alone = find_limits(model, data, used=used[i])
        for method in METHODS:
            np.testing.assert_allclose(both.observed[method][i], alone.observed[method], rtol=1e-6)
    assert both.observed["cls"].shape == (2, 2)
    assert both.expected["cls"].shape == (2, 2, 5)


def test_a_signal_that_a_nuisance_can_imitate_is_refused_whatever_the_units():
    base, signal = np.array([1e6, 2e6, 4e6]), np.array([1e-3, 2e-3, 4e-3])
    for shifts in (base[None], np.stack([base, 1e-9 * np.arange(3)])):
        model = BinnedModel(
            tuple("ab"[: len(shifts)]), base, shifts, signal, 0 * shifts, np.ones(len(shifts), dtype=bool)
        )
        with pytest.raises(ValueError, match="holds no signal that nuisances cannot imitate"):
            find_limits(model, base)
    shape = BinnedModel(("a",), base, base[None], signal * [1, 1, 2], np.zeros((1, 3)), np.array([True]))
    assert np.isfinite(find_limits(shape, base).observed["cls"]).all()


def test_what_cannot_be_limited_is_refused():
    with pytest.raises(ValueError, match=r"confidence = \[1.2\]: must be above 0.5 and below 1"):
        find_limits(poisson(), np.array([20.0, 15, 12]), confidence=(1.2,))
    with pytest.raises(ValueError, match="holds no signal"):
        find_limits(poisson(), np.array([20.0, 15, 12]), used=np.zeros(3, dtype=bool))
