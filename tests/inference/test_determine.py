"""What would determine a parameter: priors, another parameter, one more datum."""

import math

import numpy as np
import pytest

from leptonfit.inference.assess import assess_problem
from leptonfit.inference.determine import add_prior, choose_allowed_point, find_next_datum, precision_that_closes
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.problem import Parameter
from leptonfit.inference.profile import scan_profile


def line(x, a, b):
    return a + b * x


X = np.arange(6.0)
LINE = problem_from_model(line, X, 1 + 2 * X, 0.5, {"a": (-50, 50), "b": (-50, 50)})


def test_a_gaussian_prior_is_one_more_datum():
    """σ_a of a line with a prior on a, from the inverse of the information matrix."""
    more = add_prior(LINE, "a", 1.3, 0.2)
    more.check()
    information = np.array([[6, 15.0], [15, 55]]) / 0.25 + np.diag([1 / 0.04, 0])
    half = math.sqrt(3.841458820694124 * np.linalg.inv(information)[0, 0])
    low, high = scan_profile(more, "a").released_set["0.95"].intervals[0]
    assert (high - low) / 2 == pytest.approx(half, rel=1e-6)
    right = np.array([np.sum(LINE.data.y), np.sum(X * LINE.data.y)]) / 0.25 + [1.3 / 0.04, 0]
    assert (high + low) / 2 == pytest.approx(np.linalg.solve(information, right)[0], rel=1e-6)


def test_a_log_normal_prior_is_symmetric_in_the_logarithm():
    flat = problem_from_model(
        lambda x, k, m: m + 0 * x,
        X[:2],
        X[:2],
        1.0,
        {"k": Parameter(name="k", start=2.0, lower=1e-3, upper=1e3), "m": (-9, 9)},
    )
    more = add_prior(flat, "k", 2.0, 0.2, is_log_normal=True)
    more.check()
    low, high = scan_profile(more, "k").released_set["0.95"].intervals[0]
    reach = math.exp(0.1 * math.sqrt(3.841458820694124))
    assert (low, high) == pytest.approx((2 / reach, 2 * reach), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("c", 1, 1), "parameter 'c'"),
        (("a", 1, 0), "prior of a = 1 ± 0: must be finite, with a positive error"),
        (("a", math.nan, 1), "must be finite"),
    ],
)
def test_priors_that_mean_nothing_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        add_prior(LINE, *given)
    with pytest.raises(ValueError, match="a log-normal one must have a positive value"):
        add_prior(LINE, "a", -1, 1, is_log_normal=True)


@pytest.fixture(scope="module")
def michaelis():
    """Substrate far below K: only V/K is known (a textbook case)."""
    s = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    rate = 10 * s / (5 + s) + 0.001 * np.array([0.4, -1.1, 0.9, 0.2, -0.6])
    problem = problem_from_model(lambda s, v, k: v * s / (k + s), s, rate, 0.001, {"v": (0, 1000), "k": (0, 1000)})
    return problem, assess_problem(problem)


def test_only_the_ratio_of_michaelis_and_menten_is_determined(michaelis):
    _, found = michaelis
    assert [verdict.code for verdict in found.verdicts.values()] == ["open_above", "open_above"]
    (ratio,) = found.combinations
    assert ratio.startswith("v/k = ")
    value, error = map(float, ratio.removeprefix("v/k = ").split(" ± "))
    assert abs(value - 2) < 4 * error < 0.4


def test_one_of_two_known_determines_the_other(michaelis):
    problem, found = michaelis
    at = choose_allowed_point(problem, found.profiles["v"])
    assert (at > problem.lower).all()
    assert (at < problem.upper).all()
    assert precision_that_closes(problem, found.profiles["v"], "k") in (0.03, 0.1, 0.3)


def test_nothing_is_promised_where_another_parameter_does_not_help():
    problem = problem_from_model(lambda x, p, q, r: p + 0 * q + r * x, X, X, 1.0, dict.fromkeys("pqr", (-9, 9)))
    found = assess_problem(problem, ["q"])
    assert found.verdicts["q"].code == "not_identified"
    assert precision_that_closes(problem, found.profiles["q"], "p") is None


def test_the_next_datum_of_a_line_lies_at_the_far_end():
    """For the slope, a datum at x adds (x − mean)²/(1 + leverage) of information: exact for a line."""
    found = assess_problem(LINE, ["b"])
    datum = find_next_datum(LINE, found, "b")
    assert datum.best_x == 10.0
    low, high = datum.before
    spread = np.sum((X - X.mean()) ** 2)
    then = spread + (10 - X.mean()) ** 2 * 6 / 7
    assert (datum.after[1] - datum.after[0]) / (high - low) == pytest.approx(math.sqrt(spread / then), rel=1e-6)
    assert datum.shortening.min() == pytest.approx(math.sqrt(spread / then), rel=0.05)


def test_a_datum_where_the_enzyme_saturates_closes_the_set(michaelis):
    problem, found = michaelis
    datum = find_next_datum(problem, found, "v", x=np.geomspace(0.01, 50, 21))
    assert datum.before[1] == math.inf
    assert math.isfinite(datum.after[1])
    assert datum.best_x > 5
