"""Upper limits, against closed forms, published tables and pyhf."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, poisson

from leptonfit.inference.asymptotic import asymptotic_p_values, feldman_cousins
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.counts import poisson_feldman_cousins
from leptonfit.inference.limits import find_limits
from leptonfit.inference.profile_likelihood import ProfileLikelihood


def gaussian(sigma=1.0):
    """θ is measured directly, with a Gaussian error."""
    nothing = np.zeros((0, 1))
    return BinnedModel(
        (), np.array([0.0]), nothing, np.array([1.0]), nothing, np.zeros(0, dtype=bool), np.array([sigma])
    )


def poisson_bins():
    """Three bins, a free background norm."""
    base, signal = np.array([20.0, 15.0, 12.0]), np.array([6.0, 3.0, 1.0])
    return BinnedModel(("b",), base, 0.1 * base[None], signal, np.zeros((1, 3)), np.array([True]))


def test_each_point_of_a_profile_is_fitted_once(monkeypatch):
    model, data = poisson_bins(), np.array([[22.0, 13.0, 11.0], [30.0, 18.0, 15.0]])
    profile = ProfileLikelihood(model, data, np.ones((2, 3), dtype=bool), np.array([1.0, 2.0]))
    t, row = np.array([1.0, 1.0, 0.5, 1.0]), np.array([0, 1, 1, 0])
    expected = model.fit(data[row], theta=t * np.array([1.0, 2.0])[row]).value
    sizes, fit = [], profile.fit
    monkeypatch.setattr(profile, "fit", lambda row, theta: sizes.append(len(row)) or fit(row, theta))
    np.testing.assert_allclose(profile.at(t, row).q, expected, rtol=1e-10)
    np.testing.assert_allclose(profile.at(t[::-1], row[::-1]).q, expected[::-1], rtol=1e-10)
    assert sizes == [3]


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
        for method in CONSTRUCTIONS:
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
    channel = {
        "name": "c",
        "samples": [
            {"name": "s", "data": signal.tolist(), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
            {
                "name": "b",
                "data": base.tolist(),
                "modifiers": [
                    {
                        "name": "norm",
                        "type": "histosys",
                        "data": {"hi_data": (1.1 * base).tolist(), "lo_data": (0.9 * base).tolist()},
                    }
                ],
            },
        ],
    }
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
    channel = {
        "name": "c",
        "samples": [
            {"name": "s", "data": signal.tolist(), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
            {"name": "b", "data": base.tolist(), "modifiers": []},
        ],
    }
    peer = pyhf.Model({"channels": [channel]}, poi_name="mu")
    for i, level in enumerate((0.9, 0.95)):
        theta = float(found.observed["cls"][i])
        cls, expected = pyhf.infer.hypotest(
            theta, counts.tolist(), peer, test_stat="qtilde", par_bounds=[(0, 20)], return_expected=True
        )
        assert float(cls) == pytest.approx(1 - level, rel=1e-4)
        middle = float(found.expected["cls"][i, 2])
        _, expected = pyhf.infer.hypotest(
            middle, counts.tolist(), peer, test_stat="qtilde", par_bounds=[(0, 20)], return_expected=True
        )
        assert float(expected) == pytest.approx(1 - level, rel=1e-4)


def test_many_thresholds_at_once_are_the_same_as_one_at_a_time():
    model, data = poisson_bins(), np.array([22.0, 12.0, 14.0])
    used = np.array([[True, True, True], [False, True, True]])
    both = find_limits(model, data, used=used)
    for i in range(2):
        alone = find_limits(model, data, used=used[i])
        for method in CONSTRUCTIONS:
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


def counting(background, signal=1.0, nuisances=0):
    """One bin with a known background; nuisances, if any, do nothing."""
    nothing = np.zeros((nuisances, 1))
    names = tuple("ab"[:nuisances])
    return BinnedModel(
        names, np.array([background]), nothing, np.array([signal]), nothing, np.zeros(nuisances, dtype=bool)
    )


@pytest.mark.parametrize("background", [0.0, 1e-6, 0.5, 3.0])
@pytest.mark.parametrize("nuisances", [0, 2])
def test_one_count_has_the_exact_poisson_limits(background, nuisances):
    found = find_limits(counting(background, 0.1, nuisances), np.array([[0.0], [2.0], [6.0]]), confidence=(0.9, 0.95))
    assert found.is_exact.all()
    assert all(found.is_valid[method].all() for method in ("cls", "fc", "q_tilde"))
    np.testing.assert_allclose(found.observed["cls"][0], 10 * -np.log([0.1, 0.05]), rtol=1e-6)
    for i, n in enumerate((0, 2, 6)):
        for k, level in enumerate((0.9, 0.95)):
            low, high = poisson_feldman_cousins(n, background, level)
            assert found.observed["fc"][i, k] == pytest.approx(10 * high)
            assert found.low["fc"][i, k] == pytest.approx(10 * low)
            at = background + 0.1 * found.observed["cls"][i, k]
            assert poisson.cdf(n, at) / poisson.cdf(n, background) == pytest.approx(1 - level)


def test_expected_limits_of_one_count_are_those_of_its_quantiles():
    background = 3.0
    found = find_limits(counting(background), np.array([4.0]), confidence=(0.9,))
    counts = poisson.ppf(norm.cdf([-2, -1, 0, 1, 2]), background)
    every = find_limits(counting(background), counts[:, None], confidence=(0.9,))
    for method in ("cls", "fc", "q_tilde"):
        np.testing.assert_allclose(found.expected[method][0], every.observed[method][:, 0])


def test_counts_that_are_not_whole_or_have_an_uncertain_background_are_not_exact():
    assert not find_limits(counting(3.0), np.array([2.5])).is_exact
    uncertain = BinnedModel(
        ("b",), np.array([3.0]), np.array([[0.6]]), np.array([1.0]), np.zeros((1, 1)), np.array([False])
    )
    for n in (0.0, 1.0, 6.0):
        found = find_limits(uncertain, np.array([n]))
        assert not found.is_exact
        assert not any(found.is_valid.values())
        assert found.observed["cls"][0] > 0


def test_a_bin_without_signal_or_not_in_use_does_not_spoil_an_exact_limit():
    nothing = np.zeros((0, 3))
    model = BinnedModel(
        (), np.array([3.0, 7.0, 5.0]), nothing, np.array([1.0, 0.0, 2.0]), nothing, np.zeros(0, dtype=bool)
    )
    used = np.array([[True, True, False], [True, True, True]])
    found = find_limits(model, np.array([0.0, 9.0, 4.0]), used=used)
    assert found.is_exact.tolist() == [True, False]
    assert found.observed["cls"][0, 0] == pytest.approx(np.log(10))


def test_a_bin_without_background_sets_a_limit():
    base, signal, shifts = np.array([10.0, 0.0, 5.0]), np.array([3.0, 1.0, 2.0]), np.array([[1.0, 0.0, 0.5]])
    model = BinnedModel(("b",), base, shifts, signal, np.zeros((1, 3)), np.zeros(1, dtype=bool))
    limit = find_limits(model, np.array([11.0, 0.0, 4.0])).observed["cls"]
    without = find_limits(model, np.array([11.0, 0.0, 4.0]), used=np.array([True, False, True])).observed["cls"]
    assert (limit > 0).all()
    assert (limit < without).all()
    seen = find_limits(model, np.array([11.0, 2.0, 4.0]))  # θ = 0 is impossible
    assert np.isinf(seen.chi2_zero)
    assert np.isinf(seen.observed["pinned"]).all()
    assert np.isfinite(seen.observed["cls"]).all()


@pytest.mark.parametrize(
    ("background", "valid"),
    [(2.0, []), (10.0, ["cls"]), (30.0, ["cls", "pinned", "q_tilde"]), (400.0, ["cls", "fc", "pinned", "q_tilde"])],
)
def test_approximations_hold_where_their_coverage_was_measured_to(background, valid):
    """The same bin in two halves, so that no formula is exact: coverage at signals up to three standard deviations."""
    halves, nothing = np.full(2, background / 2), np.zeros((0, 2))
    split = BinnedModel((), halves, nothing, np.full(2, 0.5), nothing, np.zeros(0, dtype=bool))
    counts = np.arange(int(background + 10 * np.sqrt(background) + 20))
    found = find_limits(split, np.column_stack([counts / 2, counts / 2]), confidence=(0.9,))
    assert found.n_effective[0] == pytest.approx(background)
    assert sorted(method for method in CONSTRUCTIONS if found.is_valid[method][0]) == valid
    for method in valid:
        for mu in np.linspace(0.3, 3.0, 28) * np.sqrt(background):
            covers = (found.low[method][:, 0] <= mu) & (mu <= found.observed[method][:, 0])
            assert poisson.pmf(counts[covers], background + mu).sum() > 0.865, (method, mu)


def test_rates_are_valid_and_large_nuisances_of_the_signal_are_not_gaussian():
    assert all(find_limits(gaussian(), np.array([0.3])).is_valid.values())
    base, signal = np.array([4e4, 4e4]), np.array([400.0, 0.0])
    norm_of_signal = BinnedModel(
        ("s", "b"),
        base,
        np.stack([0 * base, 0.1 * base]),
        signal,
        np.stack([0.4 * signal, 0 * signal]),
        np.array([False, True]),
    )
    found = find_limits(norm_of_signal, base)
    assert found.is_valid["cls"]
    assert not found.is_valid["fc"]


def test_a_nuisance_that_undoes_any_signal_leaves_no_limit():
    model = BinnedModel(
        ("s",), np.array([5.0]), np.zeros((1, 1)), np.array([1.0]), np.array([[1.0]]), np.array([False])
    )
    found = find_limits(model, np.array([0.0]))  # at a pull of −1 there is no signal, whatever θ
    assert np.isinf(found.observed["cls"]).all()


def test_a_fit_that_fails_names_the_row_and_the_data(monkeypatch):
    fit = BinnedModel.fit

    def fail(self, data, **options):
        found = fit(self, data, **options)
        return replace(found, converged=found.converged & (np.asarray(data)[..., 0] != 7.0))

    monkeypatch.setattr(BinnedModel, "fit", fail)
    with pytest.raises(
        RuntimeError,
        match=r"1 of 2 fits did not converge; the first is of data set 2 of 2, "
        r"\[7.0, 15.0, 12.0\], with theta = 0",
    ):
        find_limits(poisson_bins(), np.array([[20.0, 15, 12], [7, 15, 12]]))


def test_what_cannot_be_limited_is_refused():
    with pytest.raises(ValueError, match=r"data: has the shape \(1,\), must end in 3"):
        find_limits(poisson_bins(), np.array([20.0]))
    with pytest.raises(ValueError, match=r"confidence = \[1.2\]: must be above 0.5 and below 1"):
        find_limits(poisson_bins(), np.array([20.0, 15, 12]), confidence=(1.2,))
    with pytest.raises(ValueError, match=r"used: choice 1 of 1, of 0 bins, sets no limit: it holds no signal"):
        find_limits(poisson_bins(), np.array([20.0, 15, 12]), used=np.zeros(3, dtype=bool))


def test_a_theta_to_which_the_data_are_not_sensitive_is_not_excluded():
    """The Asimov value is exactly 0 there, and q̃ is rounding noise."""
    cls, p = asymptotic_p_values(np.array([1e-12, 0.0]), np.zeros(2))
    np.testing.assert_allclose(cls, 1)
    np.testing.assert_allclose(p, 0.5, atol=1e-6)
