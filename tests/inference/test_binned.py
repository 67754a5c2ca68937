"""The binned likelihood, against closed forms and MIGRAD."""

from dataclasses import replace

import numpy as np
import pytest
from iminuit import Minuit

from leptonfit.inference.binned import BinnedModel, stack_models
from leptonfit.inference.limits import find_limits
from leptonfit.inference.nuisances import hold_nuisance, rank_nuisances


def build(sigma=None, n_bins=12, seed=3):
    """A falling signal over a tilted background with a free norm, a constrained slope and a signal's norm."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, n_bins)
    base, signal = 30 + 10 * x, 8 * np.exp(-3 * x)
    shifts = np.stack([0.1 * base, 2 * (x - 0.5), np.zeros(n_bins)])
    signal_shifts = np.stack([np.zeros(n_bins), np.zeros(n_bins), 0.1 * signal])
    free = np.array([True, False, False])
    width = None if sigma is None else np.full(n_bins, sigma)
    model = BinnedModel(("norm", "slope", "signal norm"), base, shifts, signal, signal_shifts, free, width)
    return model, model.draw(0.7, np.array([0.3, -0.5, 0.2]), rng)


def minus_two_log_likelihood(model, data, p):
    expected = model.expected(p[0], np.array(p[1:]))
    if model.sigma is not None:
        terms = ((data - expected) / model.sigma) ** 2
    else:
        terms = 2 * (expected - data) + np.where(data > 0, 2 * data * np.log(np.maximum(data, 1) / expected), 0)
    return terms.sum() + sum(a**2 for a, free in zip(p[1:], model.is_free, strict=True) if not free)


@pytest.mark.parametrize("sigma", [None, 5.0])
@pytest.mark.parametrize("theta", [None, 0.0, 1.5])
def test_minimum_is_that_of_migrad(sigma, theta):
    model, data = build(sigma)
    fit = model.fit(data, theta=theta)
    assert fit.converged
    other = Minuit(lambda p: minus_two_log_likelihood(model, data, p), [theta or 0.0, 0, 0, 0])
    other.errordef = Minuit.LEAST_SQUARES
    other.fixed[0] = theta is not None
    other.tol = 1e-6
    other.migrad()
    np.testing.assert_allclose(fit.value, other.fval, rtol=1e-7)
    np.testing.assert_allclose([fit.theta, *fit.pulls], other.values, atol=2e-4)


def test_one_bin_has_its_closed_form():
    model = BinnedModel(("b",), np.array([4.0]), np.zeros((1, 1)), np.array([2.0]), np.zeros((1, 1)), np.array([False]))
    fit = model.fit(np.array([[10.0], [1.0], [0.0]]))
    assert fit.theta == pytest.approx([3.0, -1.5, -2.0])  # without a count the expectation goes to zero
    assert fit.value == pytest.approx(0, abs=1e-9)
    assert fit.converged.all()
    above = model.fit(np.array([0.0]), lowest=-1.0)
    assert (above.theta, above.value) == (-1.0, pytest.approx(4.0))
    held = model.fit(np.array([0.0]), theta=1.0)
    assert held.value == pytest.approx(2 * 6.0)


def test_on_and_off_counts_profile_to_their_closed_form():
    on, off, ratio = (
        25.0,
        40.0,
        0.5,
    )  # background expected off is b, on ratio b: without signal b = (on + off)/(1 + ratio)
    base = np.array([ratio * 40, 40.0])
    model = BinnedModel(("b",), base, 0.1 * base[None], np.array([1.0, 0.0]), np.zeros((1, 2)), np.array([True]))
    fit = model.fit(np.array([on, off]), theta=0.0)
    b = (on + off) / (1 + ratio)
    assert 40 * (1 + 0.1 * fit.pulls[0]) == pytest.approx(b)
    assert fit.value == pytest.approx(
        2 * (on * np.log(on / (ratio * b)) + off * np.log(off / b))
    )  # Li and Ma's statistic


def test_a_batch_is_the_same_as_one_at_a_time():
    model, _ = build()
    data = model.draw(np.zeros(20), np.zeros((20, 3)), np.random.default_rng(0))
    together = model.fit(data, theta=np.linspace(0, 2, 20))
    for i in (0, 7, 19):
        alone = model.fit(data[i], theta=np.linspace(0, 2, 20)[i])
        assert alone.value == pytest.approx(together.value[i], rel=1e-10)
        np.testing.assert_allclose(alone.pulls, together.pulls[i], atol=1e-7)


def test_bins_left_out_do_not_count():
    model, data = build()
    used = np.arange(12) >= 5
    cut = BinnedModel(
        model.nuisances,
        *(a[..., used] for a in (model.base, model.shifts, model.signal, model.signal_shifts)),
        model.is_free,
    )
    assert model.fit(data, used=used).value == pytest.approx(cut.fit(data[used]).value, rel=1e-10)


def test_slope_is_the_derivative_of_the_profile():
    model, data = build()
    step = 1e-4
    around = model.fit(data, theta=np.array([1 - step, 1, 1 + step]))
    assert around.slope[1] == pytest.approx((around.value[2] - around.value[0]) / (2 * step), rel=1e-6)


def test_fisher_information_is_the_curvature_for_expected_data():
    model, _ = build()
    asimov = model.expected(0.4)
    h = 1e-3
    rise = model.fit(asimov, theta=0.4 + h).value + model.fit(asimov, theta=0.4 - h).value
    assert np.linalg.inv(model.fisher(0.4))[0, 0] == pytest.approx(2 * h**2 / rise, rel=1e-4)


def test_impact_is_what_refits_say():
    model, data = build()
    found = rank_nuisances(model, data)
    assert np.all(np.diff(np.abs(found.impacts)) <= 0)
    k = found.names.index("norm")
    moved = []
    for sign in (-1, 1):  # hold the norm one fitted error away by a new base without that nuisance
        shift = found.pulls[k] + sign * found.errors[k]
        base = model.base + shift * model.shifts[0]
        held = BinnedModel(
            ("slope", "signal norm"), base, model.shifts[1:], model.signal, model.signal_shifts[1:], model.is_free[1:]
        )
        moved.append(float(held.fit(data).theta))
    assert found.impacts[k] == pytest.approx((moved[1] - moved[0]) / 2, rel=0.1)


def test_the_limit_without_a_nuisance_is_that_of_the_model_without_it():
    model, data = build()
    found = rank_nuisances(model, data)
    limits = find_limits(model, data)
    assert found.limit == pytest.approx(float(limits.delta_chi2[1]), rel=1e-6)
    k = found.names.index("norm")
    held = BinnedModel(
        ("slope", "signal norm"), model.base, model.shifts[1:], model.signal, model.signal_shifts[1:], model.is_free[1:]
    )
    assert found.limits_without[k] == pytest.approx(float(find_limits(held, data).delta_chi2[1]), rel=1e-6)
    assert found.limits_without[k] != pytest.approx(found.limit, rel=0.01)
    bounded = replace(model, lowest_pulls=np.array([-3.0, -np.inf, -np.inf]))
    assert hold_nuisance(bounded, 0).lowest_pulls.tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_bad_data_are_refused(bad):
    model, data = build()
    with pytest.raises(ValueError, match="data: must be finite, and counts not negative"):
        model.fit(np.where(np.arange(12) == 3, bad, data))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base": np.array([1.0])}, r"shifts: has the shape \(1, 2\), must be \(1, 1\) for 1 nuisances and 1 bins"),
        ({"base": np.ones((2, 1))}, r"base: has the shape \(2, 1\), must be \(2,\)"),
        ({"base": np.array([1.0, -2.0])}, "base: entry 2 is -2, must not be negative where counts are expected"),
        ({"base": np.array([np.nan, 1.0])}, "base: entry 1 is nan, must be finite"),
        ({"signal": np.ones(3)}, r"signal: has the shape \(3,\), must be \(2,\)"),
        ({"shifts": np.ones((2, 2))}, r"shifts: has the shape \(2, 2\), must be \(1, 2\)"),
        ({"signal_shifts": np.array([[0.0, np.inf]])}, "signal_shifts: entry 1, 2 is inf, must be finite"),
        ({"is_free": np.zeros(2, dtype=bool)}, r"is_free: has the shape \(2,\), must be \(1,\)"),
        ({"is_free": np.zeros(1)}, "is_free: .* must be of bool"),
        ({"sigma": np.array([1.0, 0.0])}, "sigma: entry 2 is 0, must be positive, or nan for counts"),
        ({"sigma": np.ones(1)}, r"sigma: has the shape \(1,\), must be \(2,\)"),
        (
            {"base": np.array([0.0, 5.0]), "signal": np.array([0.0, 1.0]), "shifts": np.zeros((1, 2))},
            "base: entry 1 is 0, must be positive where neither signal nor nuisances add to it",
        ),
    ],
)
def test_a_model_that_is_wrong_is_refused_by_name(changed, message):
    good = {
        "nuisances": ("a",),
        "base": np.ones(2),
        "shifts": np.ones((1, 2)),
        "signal": np.ones(2),
        "signal_shifts": np.zeros((1, 2)),
        "is_free": np.zeros(1, dtype=bool),
    }
    BinnedModel(**good)
    with pytest.raises(ValueError, match=message):
        BinnedModel(**good | changed)


def test_arrays_of_the_wrong_length_are_refused():
    model, data = build()
    with pytest.raises(ValueError, match=r"data: has the shape \(1,\), must end in 12, one a bin"):
        model.fit(np.array([5.0]))
    with pytest.raises(ValueError, match=r"used: has the shape \(3,\), must end in 12, one a bin"):
        model.fit(data, used=np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match=r"centres: has the shape \(2,\), must end in 3, one a nuisance"):
        model.fit(data, centres=np.zeros(2))


def test_a_count_where_none_can_be_is_impossible():
    nothing = np.zeros((0, 2))
    model = BinnedModel((), np.array([0.0, 5.0]), nothing, np.array([1.0, 1.0]), nothing, np.zeros(0, dtype=bool))
    held = model.fit(np.array([[2.0, 5.0], [0.0, 5.0]]), theta=0.0)
    assert held.value.tolist() == [np.inf, 0.0]
    assert held.converged.all()
    assert np.isfinite(model.theta_sigma())
    free = model.fit(np.array([2.0, 5.0]))
    assert free.converged
    assert 7 / free.theta.item() > 1
    # d/dθ: 1 − 2/θ + 1 − 5/(5 + θ) = 0
    assert free.theta == pytest.approx((-3 + np.sqrt(9 + 80)) / 4, rel=1e-6)


def test_stacked_models_add_up():
    counts, rates = build()[0], build(5.0)[0]
    data = [one.draw(0.5, np.zeros(3), np.random.default_rng(i)) for i, one in enumerate((counts, rates))]
    both = stack_models({"counts": counts, "rates": rates})
    assert both.nuisances[3] == "rates: norm"
    for theta in (0.0, 1.2):
        apart = sum(one.fit(found, theta=theta).value for one, found in zip((counts, rates), data, strict=True))
        assert both.fit(np.concatenate(data), theta=theta).value == pytest.approx(apart, rel=1e-9)
    assert both.lowest_theta == counts.lowest_theta
    toys = both.draw(np.zeros(4000), np.zeros((4000, 6)), np.random.default_rng(2))
    np.testing.assert_allclose(toys.mean(axis=0), both.base, rtol=0.02)
    np.testing.assert_allclose(toys.var(axis=0), both.variance(both.base), rtol=0.12)
    assert (toys[:, :12] == toys[:, :12].round()).all()
    alone = [one.theta_sigma() ** -2.0 for one in (counts, rates)]
    assert both.theta_sigma() ** -2.0 == pytest.approx(sum(alone))


def test_common_nuisances_of_stacked_models_are_one_parameter():
    first, second = build()[0], build(seed=4)[0]
    both = stack_models({"a": first, "b": second}, common=("slope",))
    assert both.nuisances == ("a: norm", "slope", "a: signal norm", "b: norm", "b: signal norm")
    assert both.is_free.tolist() == [True, False, False, True, False]
    np.testing.assert_array_equal(both.shifts[1], np.append(first.shifts[1], second.shifts[1]))
    np.testing.assert_array_equal(both.shifts[3], np.append(np.zeros(12), second.shifts[0]))


@pytest.mark.parametrize("sigma", [None, 5.0])
def test_a_pull_stays_above_its_lowest_value(sigma):
    """Against MIGRAD with a bound, for counts and for rates; without effect where the bound is far."""
    model, data = build(sigma)
    far = replace(model, lowest_pulls=np.array([-50.0, -50.0, -np.inf]))
    np.testing.assert_allclose(far.fit(data).pulls, model.fit(data).pulls, atol=1e-6)
    few = (0.8 * data).round()
    assert model.fit(few, theta=0.4).pulls[0] < -1.5
    bounded = replace(model, lowest_pulls=np.array([-1.0, -np.inf, -np.inf]))
    found = bounded.fit(few, theta=0.4)
    assert found.converged
    peer = Minuit(lambda p: minus_two_log_likelihood(model, few, np.append(0.4, p)), np.zeros(3))
    peer.limits[0] = (-1, None)
    peer.errordef, peer.strategy, peer.tol = Minuit.LEAST_SQUARES, 2, 1e-6
    peer.migrad()
    assert found.pulls[0] == pytest.approx(-1, abs=1e-5)
    assert found.value == pytest.approx(peer.fval, abs=1e-4)


def test_a_lowest_pull_that_is_not_negative_is_refused():
    with pytest.raises(ValueError, match=r"lowest_pulls: entry 1 is 1, must be negative"):
        replace(build()[0], lowest_pulls=np.array([1.0, -1.0, -np.inf]))


def test_bounds_of_stacked_models_are_those_of_each():
    model = build()[0]
    bounded = replace(model, lowest_pulls=np.array([-3.0, -np.inf, -np.inf]))
    both = stack_models({"a": model, "b": bounded})
    assert both.lowest_pulls.tolist() == [-np.inf] * 3 + [-3.0] + [-np.inf] * 2
    assert stack_models({"a": model, "b": model}).lowest_pulls is None
