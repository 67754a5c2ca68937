"""Problems made from a plain function: predictions, derivatives, likelihoods, data and refusals."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import curve_fit
from scipy.stats import f as f_distribution
from scipy.stats import poisson

from leptonfit.inference.assess import assess_problem
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.problem import Parameter
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.solve import solve

T = np.linspace(0, 6, 13)
BOUNDS = {"a": (0, 20), "b": (0, 5), "c": (-1, 2)}


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


def point_by_point(t, a, b, c):
    return np.array([a * math.exp(-b * value) + c for value in t])


def with_abs(t, a, b, c):
    return np.abs(a) * np.exp(-b * t) + c


def by_integration(t, a, b, c):
    return solve_ivp(lambda s, y: -b * y, (0, t[-1]), [a], t_eval=t, rtol=1e-9, atol=1e-12).y[0] + c


def measured(seed=3, sigma=0.15):
    return decay(T, 5.0, 0.7, 0.3) + sigma * np.random.default_rng(seed).standard_normal(len(T))


def exact_jacobian(x):
    a, b, _ = x
    return np.stack([np.exp(-b * T), -a * T * np.exp(-b * T), np.ones_like(T)], axis=-1)


@pytest.mark.parametrize(
    ("model", "accuracy"), [(decay, 1e-15), (point_by_point, 1e-10), (with_abs, 1e-10), (by_integration, 1e-5)]
)
def test_derivatives_are_found_whatever_the_model_accepts(model, accuracy):
    problem = problem_from_model(model, T, measured(), 0.15, BOUNDS)
    problem.check()
    for x in (problem.start, np.array([3.0, 0.0, 2.0])):  # the second one on bounds
        error = np.abs(problem.jacobian(x) * 0.15 - exact_jacobian(x))
        assert error.max() <= accuracy * np.abs(exact_jacobian(x)).max()
    batch = problem.start * np.linspace(0.9, 1.1, 6).reshape(2, 3, 1)
    assert problem.jacobian(batch).shape == (2, 3, len(T), 3)
    assert problem.jacobian(batch)[1, 2] == pytest.approx(problem.jacobian(batch[1, 2]), rel=1e-9)


def test_what_is_slower_or_less_accurate_is_said():
    assert problem_from_model(decay, T, measured(), 0.15, BOUNDS).notes == ()
    notes = " ".join(problem_from_model(point_by_point, T, measured(), 0.15, BOUNDS).notes)
    assert "one parameter set at a time" in notes
    assert "difference quotients" in notes


def test_given_derivatives_are_used_and_checked():
    def slopes(t, a, b, c):
        return np.stack(np.broadcast_arrays(np.exp(-b * t), -a * t * np.exp(-b * t), 1.0 + 0 * t), axis=-1)

    for model in (decay, point_by_point):
        problem = problem_from_model(model, T, measured(), 0.15, BOUNDS, jacobian=slopes)
        problem.check()
        assert problem.jacobian(problem.start) * 0.15 == pytest.approx(exact_jacobian(problem.start), rel=1e-15)
    wrong = problem_from_model(decay, T, measured(), 0.15, BOUNDS, jacobian=lambda t, **x: 1.1 * slopes(t, **x))
    with pytest.raises(ValueError, match=r"d\(datum 2\)/d\(c\)"):
        wrong.check()


def test_given_derivatives_of_one_parameter_set_are_enough():
    def slopes(t, a, b, c):
        return np.stack([np.exp(-b * t), -a * t * np.exp(-b * t), np.ones_like(t)], axis=-1)

    problem = problem_from_model(decay, T, measured(), 0.15, BOUNDS, jacobian=slopes)
    problem.check()
    batch = problem.start * np.linspace(0.9, 1.1, 6).reshape(2, 3, 1)
    assert problem.jacobian(batch)[1, 2] * 0.15 == pytest.approx(exact_jacobian(batch[1, 2]), rel=1e-14)


@pytest.mark.parametrize(
    "model",
    [
        lambda t, a, b: np.polynomial.polynomial.polyval(t, [a, b]),
        lambda t, a, b: a * np.exp(b * t) / np.exp(b * t).max(),
    ],
)
def test_a_model_that_only_seems_to_take_batches_is_called_for_one_set_at_a_time(model):
    problem = problem_from_model(model, T, measured(), 0.15, {"a": (-1, 9), "b": (-1, 1)})
    problem.check()
    assert "one parameter set at a time" in problem.notes[0]
    x = np.array([[2.0, 0.3], [1.0, -0.2]])
    assert problem.residuals(x)[1] == pytest.approx((model(T, *x[1]) - measured()) / 0.15)


def test_a_covariance_gives_the_same_chi2_as_its_inverse():
    covariance = np.diag(np.linspace(0.1, 0.2, len(T)) ** 2) + 0.01
    problem = problem_from_model(decay, T, measured(), covariance, BOUNDS)
    problem.check()
    x = np.array([4.0, 0.6, 0.2])
    difference = decay(T, *x) - measured()
    expected = difference @ np.linalg.solve(covariance, difference)
    assert np.sum(problem.residuals(x) ** 2) == pytest.approx(expected, rel=1e-12)


def test_counts_have_the_exact_poisson_likelihood():
    counts = np.array([7, 1, 4, 1, 1, 0, 1, 0, 3, 0, 0, 1, 2])
    problem = problem_from_model(decay, T, counts, "poisson", {"a": (0, 20), "b": (0, 5), "c": (0, 1)})
    problem.check()
    for x in np.array([[4.0, 0.6, 0.5], [7.0, 0.0, 0.0], [6.9, 0.3, 1e-9]]):
        expected = decay(T, *x)
        ratio = -2 * np.sum(poisson.logpmf(counts, expected) - poisson.logpmf(counts, np.maximum(counts, 1e-300)))
        assert np.sum(problem.residuals(x) ** 2) - 1e-4 * (counts == 0).sum() == pytest.approx(ratio, rel=1e-9)
    near = problem_from_model(lambda t, m: m + 0 * t, np.arange(3.0), [4, 4, 4], "poisson", {"m": (1, 9)})
    at = 4 * (1 + np.array([0.0, 1e-9, -1e-5, 1e-3]))[:, None]
    assert near.jacobian(at)[:, 0, 0] == pytest.approx(0.5 * (1 - (at[:, 0] / 4 - 1) * 2 / 3), rel=1e-5)
    fit = run_multistart(near, effort=Effort(4, 1))
    assert fit.x[0, 0] == pytest.approx(4.0, rel=1e-9)


def test_zero_counts_everywhere_bound_the_mean_from_above():
    """−2 ln L = 2 n μ: the upper end is level/(2 n), in closed form."""
    problem = problem_from_model(
        lambda t, m: m + 0 * t,
        np.arange(4.0),
        np.zeros(4),
        "poisson",
        {"m": Parameter(name="m", start=1.0, lower=0.0, upper=50.0, physical=(0.0, math.inf))},
    )
    found = scan_profile(problem, "m")
    assert found.identified_set["0.95"].intervals[-1, 1] == pytest.approx(found.levels["0.95"] / 8, rel=1e-6)


def test_an_unknown_sigma_gives_student_intervals():
    """For a straight line the interval is that of linear regression, slope ± t σ_slope."""
    y = np.array([1.1, 2.3, 2.8, 4.2, 4.9, 6.3])
    x = np.arange(6.0)
    problem = problem_from_model(lambda x, a, b: a + b * x, x, y, None, {"a": (-10, 10), "b": (-10, 10)})
    assert problem.sigma_degrees == 4
    assert "σ is unknown" in problem.notes[-1]
    best, covariance = curve_fit(lambda x, a, b: a + b * x, x, y)
    half = math.sqrt(f_distribution.ppf(0.95, 1, 4) * covariance[1, 1])
    low, high = scan_profile(problem, "b").released_set["0.95"].intervals[0]
    assert (low, high) == pytest.approx((best[1] - half, best[1] + half), rel=1e-6)
    with pytest.raises(ValueError, match="more data than parameters; there are 2 and 2"):
        problem_from_model(lambda x, a, b: a + b * x, x[:2], y[:2], None, {"a": (-10, 10), "b": (-10, 10)})
    with pytest.raises(ValueError, match="passes through all data"):
        problem_from_model(lambda x, a, b: a + b * x, x, 1 + 2 * x, None, {"a": (-10, 10), "b": (-10, 10)})


def test_fixed_and_equal_parameters():
    y = measured()
    fixed = problem_from_model(decay, T, y, 0.15, {"a": (0, 20), "b": (0, 5), "c": 0.3})
    assert fixed.names == ("a", "b")
    assert fixed.residuals(np.array([5.0, 0.7])) == pytest.approx((decay(T, 5.0, 0.7, 0.3) - y) / 0.15)
    equal = problem_from_model(decay, T, y, 0.15, {"a": (0, 20), "b": "c", "c": (0, 2)})
    equal.check()
    assert equal.names == ("a", "c")
    assert equal.residuals(np.array([5.0, 0.7])) == pytest.approx((decay(T, 5.0, 0.7, 0.7) - y) / 0.15)


def test_several_x_and_missing_values():
    u, v = np.arange(6.0), np.array([1.0, 0.0, 2.0, np.nan, 1.0, 3.0])
    y = 2 * u + 3 * v
    y[5] = np.nan
    for x, model in (
        ((u, v), lambda x, p, q: p * x[0] + q * x[1]),
        (np.stack([u, v]), lambda x, p, q: p * x[0] + q * x[1]),
    ):
        problem = problem_from_model(model, x, y, [1, 1, np.nan, 1, 1, 1], {"p": (-9, 9), "q": (-9, 9)})
        assert problem.n_res == 3
        assert problem.notes == ("Rows with missing values are left out: 3.",)
        assert solve(problem, problem.start).x == pytest.approx([2, 3])


def test_starts_lie_in_the_middle():
    problem = problem_from_model(decay, T, measured(), 0.15, {"a": (0.1, 10), "b": (0, 4), "c": (-1, 2)})
    assert problem.start == pytest.approx([1.0, 2.0, 0.5])
    assert not problem.is_physical.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": measured()[:-1]}, r"x of shape \(13,\): its last axis must have 12 values"),
        ({"sigma": 0.0}, "sigma = 0: must be positive and finite"),
        ({"sigma": np.nan}, "sigma = nan: must be positive and finite"),
        ({"sigma": [0.1, 0.2]}, r"sigma of shape \(2,\): must be a number, 13 numbers or a covariance"),
        ({"sigma": -np.eye(13)}, "must be positive definite; its smallest eigenvalue is -1"),
        ({"sigma": "counts"}, "sigma = 'counts': must be numbers, 'poisson' or None"),
        ({"sigma": "poisson", "y": -measured()}, "counts must be finite and 0 or more"),
        ({"y": np.full(13, np.nan)}, "all 13 rows have a missing value"),
        ({"y": [*measured()[:-1], np.inf]}, "y = inf: must be finite"),
        ({"parameters": {**BOUNDS, "d": (0, 1)}}, "parameter 'd': the model takes only a, b, c"),
        ({"parameters": {"a": (0, 20), "b": (0, 5)}}, "parameter 'c': the model needs it"),
        ({"parameters": {**BOUNDS, "b": (0, np.inf)}}, "infinite bounds need a Parameter with a start"),
        ({"parameters": {**BOUNDS, "b": (5, 0)}}, r"b: bounds \[5, 0\] must have lower < upper"),
        ({"parameters": {**BOUNDS, "b": "d"}}, "parameter 'b' = 'd': must name a parameter with bounds"),
        ({"parameters": {**BOUNDS, "b": np.nan}}, "a fixed value must be finite"),
        ({"parameters": {**BOUNDS, "b": Parameter(name="k", start=1)}}, "its Parameter is called 'k'"),
        ({"parameters": {"a": 1, "b": 1, "c": 1}}, "at least one must be free"),
        ({"model": lambda t, a, b, c: np.log(-a) * t}, "the model is nan for datum 1 at a = 10"),
        ({"model": lambda t, a, b, c: t[:3]}, r"the model returns the shape \(3,\)"),
        (
            {"model": lambda t, a, b, c: a * t + np.random.default_rng().normal()},
            "changes its answer from call to call",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_cannot_be_fitted_is_refused_in_one_line(change, message):
    given = {"model": decay, "x": T, "y": measured(), "sigma": 0.15, "parameters": BOUNDS, **change}
    with pytest.raises(ValueError, match=message) as refused:
        problem_from_model(**given)
    assert "\n" not in str(refused.value)


def test_fewer_data_than_parameters_are_allowed_and_said():
    problem = problem_from_model(decay, T[:2], measured()[:2], 0.15, BOUNDS)
    assert problem.notes == ("There are fewer data (2) than parameters (3).",)


def test_a_masked_datum_is_left_out():
    x, y = np.arange(5.0), np.ma.masked_array([1, 3, 5, 7, 900.0], [0, 0, 0, 0, 1])
    problem = problem_from_model(lambda x, a: 1 + a * x, x, y, 1.0, {"a": (0, 9)})
    assert problem.n_res == 4
    assert problem.notes == ("Rows with missing values are left out: 1.",)


@pytest.mark.parametrize("low", [-10, 3, 6])
def test_no_search_bound_makes_an_unknown_sigma(low):
    """σ is that of the straight line, wherever the box of a is."""
    x = np.arange(6.0)
    y = 1 + 2 * x + np.array([0.3, -0.4, 0.1, 0.5, -0.6, 0.2])
    problem = problem_from_model(lambda x, a, b: a + b * x, x, y, None, {"a": (low, 10), "b": (-10, 10)})
    rss = np.polyfit(x, y, 1, full=True)[1][0]
    assert problem.data.sigma[0] == pytest.approx(np.sqrt(rss / 4), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 10, 100])
def test_both_solutions_of_an_exchange_are_found_in_any_box(width):
    """A → B → C stays the same with the rates exchanged and A k1/k2 for A."""
    t = np.linspace(0.2, 8, 14)

    def chain(t, a, k1, k2):
        return a * k1 / (k2 - k1) * (np.exp(-k1 * t) - np.exp(-k2 * t))

    y = chain(t, 5, 0.4, 1.1) + np.random.default_rng(8).normal(0, 0.02, 14)
    bounds = {"a": (0, 20 * width), "k1": (0, 3 * width), "k2": (0, 3 * width)}
    found = assess_problem(problem_from_model(chain, t, y, 0.02, bounds), "k1").verdicts["k1"]
    assert found.code == "disjoint"
    np.testing.assert_allclose(found.intervals, [[0.33554035, 0.40332885], [1.01310887, 1.30040653]], rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda x, a: 1 / 0, "the model failed at a = 4.5: ZeroDivisionError: division by zero"),
        (lambda x, a: None, "the model returns 'None' at a = 4.5: must return real numbers"),
        (3, "model = 3: must be a function of x and of the parameters by name"),
    ],
)
def test_a_model_that_is_none_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        problem_from_model(model, np.arange(5.0), np.arange(5.0), 0.1, {"a": (0, 9)})


def test_what_is_assumed_is_noted():
    problem = problem_from_model(
        lambda x, a, b=1.0: a * x + b, np.arange(3.0), np.array([1, 2.5, 4]), "poisson", {"a": (0, 9)}
    )
    assert problem.notes == (
        "Parameters held at the defaults of the model: b = 1.0.",
        "Some counts are not whole numbers.",
    )


def test_a_logarithmic_scale_changes_no_verdict():
    """V s/(K + s) far above K: K ≥ 0 is the physical limit that holds V, on either scale."""
    s = np.array([5, 10, 20, 40.0])
    y = np.array([9.9, 10.1, 9.95, 10.05])
    scales = ({"lower": 0, "physical": (0, np.inf)}, {"lower": 1e-6, "scale": "log"})
    found = []
    for scale in scales:
        bounds = {"v": (0, 30), "k": Parameter(name="k", upper=20, **scale)}
        problem = problem_from_model(lambda s, v, k: v * s / (k + s), s, y, 0.3, bounds)
        found.append(assess_problem(problem, "v").verdicts["v"])
    assert [one.code for one in found] == ["bound_limited"] * 2
    np.testing.assert_allclose(found[1].interval, found[0].interval, rtol=1e-6)


@pytest.mark.parametrize(("sigma", "n_calls"), [(0.1, 1), (np.diag([0.1, 0.2, 0.3]), 1), ("poisson", 2)])
def test_derivatives_call_the_model_for_its_prediction_only_where_they_depend_on_it(sigma, n_calls):
    calls = []

    def line(x, a, b):
        calls.append(x)
        return a + b * x

    problem = problem_from_model(line, np.arange(3.0), np.array([2.0, 4.0, 5.0]), sigma, {"a": (0.1, 9), "b": (0.1, 9)})
    calls.clear()
    problem.jacobian(problem.start)
    assert len(calls) == n_calls
